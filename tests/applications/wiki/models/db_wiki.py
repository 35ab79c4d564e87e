# -*- coding: utf-8 -*-
import re

NAME = re.compile(r'^[A-Z]\w{1,60}$')

db.define_table(
    'page',
    Field('name', unique=True, requires=[IS_MATCH(NAME.pattern, error_message=T('Begin with a capital letter')),
                                         IS_NOT_IN_DB(db, 'page.name')]),
    Field('body', 'text', requires=IS_LENGTH(20000)),
    Field('html', 'text', readable=False, writable=False),
    Field('rendered', 'integer', default=0, readable=False, writable=False),
    Field('locked', 'boolean', default=False),
    auth.signature,
    format='%(name)s')

db.define_table(
    'revision',
    Field('page', 'reference page'),
    Field('number', 'integer'),
    Field('body', 'text'),
    Field('summary', length=200),
    auth.signature)

db.define_table(
    'remark',
    Field('page', 'reference page', readable=False, writable=False),
    Field('body', 'text', requires=IS_NOT_EMPTY(error_message=T('Write something'))),
    auth.signature)

db.define_table(
    'attachment',
    Field('page', 'reference page', readable=False, writable=False),
    Field('title', requires=IS_NOT_EMPTY()),
    Field('data', 'upload', autodelete=True, requires=[IS_NOT_EMPTY(), IS_LENGTH(200000)]),
    auth.signature)

db.define_table('watcher', Field('page', 'reference page'), Field('person', 'reference auth_user'))

# Which words a page contains, and to which pages it links. Only the workers write these two.
db.define_table('word', Field('page', 'reference page', ondelete='CASCADE'), Field('word', length=60),
                Field('times', 'integer'))
db.define_table('link', Field('page', 'reference page', ondelete='CASCADE'), Field('target', length=60))

# In virtual fields, web2py passes the row of the query.
db.page.url = Field.Virtual('url', lambda row: URL('default', 'page', args=row.page.name))


def is_editor():
    return auth.user_id and auth.has_membership(EDITORS)


def page_or_404(name):
    """Members may write a page that does not exist."""
    row = db.page(name=name)
    if not row and auth.user:
        redirect(URL('default', 'edit', args=name))
    return row or not_found()


def not_found():
    raise HTTP(404, T("This page doesn't exist"))
