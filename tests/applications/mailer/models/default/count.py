# -*- coding: utf-8 -*-
response.title = 'News'
readers = cache.ram('readers', lambda: db(db.recipient.active == True).count(), 60)
