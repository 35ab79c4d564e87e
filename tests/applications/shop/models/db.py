# -*- coding: utf-8 -*-
from gluon.contrib.appconfig import AppConfig
from gluon.tools import Auth, Service

configuration = AppConfig(reload=True)
db = DAL(configuration.get('db.uri'), pool_size=configuration.get('db.pool_size'), lazy_tables=True)
response.generic_patterns = ['default/index.json', 'default/product.json']

auth = Auth(db)
auth.define_tables(username=True, signature=False)
auth.settings.actions_disabled = ['retrieve_username', 'request_reset_password']
service = Service()

# The task queue calls the workers without HTTPS, and it does not follow redirects.
if configuration.get('app.https') and not request.env.http_x_appengine_queuename:
    request.requires_https()
    session.secure()

NEW, CHARGED, DECLINED, PICKED, SENT = STATUSES = ('new', 'charged', 'declined', 'picked', 'sent')
