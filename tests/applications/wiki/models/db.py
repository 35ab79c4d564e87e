# -*- coding: utf-8 -*-
# The connection, the users and the mail server. Everything that differs between two installations is in
# private/appconfig.ini.
from gluon.contrib.appconfig import AppConfig
from gluon.tools import Auth

configuration = AppConfig(reload=request.is_local)

db = DAL(configuration.get('db.uri'),
         pool_size=configuration.get('db.pool_size'),
         migrate_enabled=configuration.get('db.migrate'),
         check_reserved=['sqlite'])

response.generic_patterns = []
if request.is_local and not configuration.get('app.production'):
    response.generic_patterns.append('*.json')

response.formstyle = 'bootstrap4_inline'
response.form_label_separator = ''
response.meta.author = configuration.get('app.author')
response.meta.description = configuration.get('app.description')

auth = Auth(db, host_names=configuration.get('host.names'))
auth.settings.extra_fields['auth_user'] = [
    Field('mails', 'boolean', default=True, label=T('Mail me about changes'))]
auth.define_tables(username=False, signature=False)
auth.settings.registration_requires_verification = False
auth.settings.registration_requires_approval = False
auth.settings.reset_password_requires_verification = True
auth.settings.login_next = URL('default', 'index')
auth.settings.create_user_groups = None

mail = auth.settings.mailer
mail.settings.server = configuration.get('smtp.server')
mail.settings.sender = configuration.get('smtp.sender')
mail.settings.tls = configuration.get('smtp.tls') or False

EDITORS = 'editors'


def first_user_is_editor(form):
    """The first user who registers may edit the front page and appoint other editors."""
    if db(db.auth_user).count() == 1:
        group = auth.id_group(EDITORS) or auth.add_group(EDITORS, 'May edit every page')
        auth.add_membership(group, form.vars.id)


auth.settings.register_onaccept.append(first_user_is_editor)

# /it/page/Start and /de/page/Start force a language; routes.py reads it from the URL.
if request.uri_language:
    T.force(request.uri_language)
