# -*- coding: utf-8 -*-
# web2py runs this model only for the controller `campaign`.
from gluon.tools import prettydate

EDITOR = session.editor or request.is_local and request.env.http_x_editor == 'yes'
response.title = 'Campaigns'
db.campaign.subject.comment = 'Recipients see it in their inbox'
db.campaign.progress = Field.Virtual('progress', lambda row: db(db.delivery.campaign == row.campaign.id).count())
