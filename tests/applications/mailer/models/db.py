# -*- coding: utf-8 -*-
from gluon.tools import Mail, PluginManager

db = DAL(configuration.take('db.uri'), pool_size=configuration.take('db.pool_size', cast=int))
mail = Mail(server=configuration.take('mail.server'), sender=configuration.take('mail.sender'))

# Parameters of plugins. A plugin's own model has the values that are not set here.
plugins = PluginManager()
plugins.tags.most = 8

db.define_table(
    'recipient',
    Field('email', unique=True, requires=[IS_EMAIL(), IS_LOWER(), IS_NOT_IN_DB(db, 'recipient.email')]),
    Field('name'),
    Field('zone', default='UTC'),
    Field('active', 'boolean', default=True, writable=False),
    Field('bounces', 'integer', default=0, readable=False, writable=False),
    Field('since', 'datetime', default=request.now, readable=False, writable=False))

db.define_table(
    'campaign',
    Field('subject', requires=IS_NOT_EMPTY()),
    Field('body', 'text', requires=IS_NOT_EMPTY()),
    Field('hour', 'integer', default=8, requires=IS_INT_IN_RANGE(0, 24)),
    Field('status', default='draft', writable=False),
    Field('started', 'datetime', readable=False, writable=False),
    format='%(subject)s')

# One row for each mail. The unique field keeps a repeated task from sending a mail again.
db.define_table(
    'delivery',
    Field('campaign', 'reference campaign'),
    Field('recipient', 'reference recipient'),
    Field('letter', unique=True),
    Field('sent', 'datetime'))

# Replaces the table scheduler_run of gluon.scheduler.
db.define_table(
    'run',
    Field('task_name'),
    Field('function_name'),
    Field('status'),
    Field('attempts', 'integer', default=0),
    Field('result', 'text'),
    Field('last', 'datetime', update=request.now, default=request.now))
