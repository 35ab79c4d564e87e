# -*- coding: utf-8 -*-
import datetime

from google.appengine.api import taskqueue
from google.appengine.ext import deferred

import notify
from wikitext import slug
from wikitext.compare import changed_lines


def index():
    redirect(URL('page', args=configuration.get('wiki.front')))


def page():
    row = page_or_404(request.args(0))
    db.remark.page.default = row.id
    form = SQLFORM(db.remark, submit_button=T('Send')) if auth.user else None
    if form and form.process(formname='remark').accepted:
        session.flash = T('Thank you')
        redirect(row.url)
    remarks = db(db.remark.page == row.id).select(orderby=db.remark.created_on)
    attachments = db(db.attachment.page == row.id).select()
    watching = auth.user and db.watcher(page=row.id, person=auth.user_id)
    backlinks = db(db.link.target == row.name)(db.page.id == db.link.page).select(db.page.ALL, orderby=db.page.name)
    response.title = row.name
    return dict(page=row, form=form, remarks=remarks, attachments=attachments, watching=watching, backlinks=backlinks)


@auth.requires_login()
def edit():
    name = slug(request.args(0) or '')
    row = db.page(name=name)
    if row and row.locked and not is_editor():
        session.flash = T('This page is locked')
        redirect(row.url)
    db.page.locked.writable = db.page.locked.readable = bool(is_editor())
    db.page.name.default = name
    form = SQLFORM(db.page, row, fields=['name', 'body', 'locked'], showid=False, submit_button=T('Save'),
                   hidden=dict(opened=row.modified_on if row else ''))
    form.append(INPUT(_name='summary', _placeholder=T('What did you change?')))
    if form.process(onvalidation=check_conflict).accepted:
        saved(db.page(form.vars.id), request.post_vars.summary)
        redirect(URL('page', args=form.vars.name))
    elif form.errors:
        response.flash = T('Please correct the form')
    return dict(form=form, page=row)


def check_conflict(form):
    """Refuse a form that was opened before the last change, because it would overwrite that change."""
    opened = request.post_vars.opened
    row = form.record and db.page(form.record.id)
    if opened and row and opened < str(row.modified_on):
        form.errors.body = T('%s has changed this page since you opened it', row.modified_by.first_name)


def saved(row, summary):
    """Keep a revision, let a worker render the page, and let another task write to the people who watch it."""
    last = db(db.revision.page == row.id).select(orderby=~db.revision.number, limitby=(0, 1)).first()
    number = last.number + 1 if last else 1
    db.revision.insert(page=row.id, number=number, body=row.body, summary=summary)
    taskqueue.add(url=URL('tasks', 'render'), params=dict(page=row.id, revision=number), queue_name='render')
    people = db((db.watcher.page == row.id) & (db.watcher.person == db.auth_user.id) & (db.auth_user.mails == True) &
                (db.auth_user.id != auth.user_id)).select(db.auth_user.email)
    if people:
        deferred.defer(
            notify.mail_watchers, configuration.get('smtp.server'), configuration.get('smtp.sender'), row.name,
            URL('page', args=row.name, scheme=True, host=True), [person.email for person in people],
            changed_lines(last.body if last else '', row.body), _queue='mails', _countdown=60)


def history():
    row = page_or_404(request.args(0))
    revisions = db(db.revision.page == row.id).select(orderby=~db.revision.number)
    return dict(page=row, revisions=revisions)


@auth.requires_signature()
def revert():
    """A signed link on the page of the history leads here, so that no other site can make an editor revert a page."""
    row, revision = page_or_404(request.args(0)), db.revision(request.args(1, cast=int))
    if not revision or revision.page != row.id:
        not_found()
    row.update_record(body=revision.body)
    saved(row, T('Reverted to revision %s', revision.number))
    redirect(URL('page', args=row.name))


@auth.requires_login()
def attach():
    row = page_or_404(request.args(0))
    db.attachment.page.default = row.id
    form = SQLFORM(db.attachment, upload=URL('download'), submit_button=T('Upload'))
    if form.process().accepted:
        redirect(URL('page', args=row.name))
    return dict(form=form, page=row)


@auth.requires_login()
def watch():
    row = page_or_404(request.args(0))
    if not db(db.watcher)(db.watcher.page == row.id)(db.watcher.person == auth.user_id).delete():
        db.watcher.insert(page=row.id, person=auth.user_id)
    redirect(URL('page', args=row.name))


def share_key():
    return configuration.get('wiki.hmac_key')


@auth.requires_login()
def share():
    """Return a link that works for a week, without a login."""
    row = page_or_404(request.args(0))
    until = (request.now + datetime.timedelta(days=configuration.get('share.days'))).strftime('%Y-%m-%d')
    link = URL('shared', args=row.name, vars=dict(until=until), hmac_key=share_key(), scheme=True, host=True)
    return response.json(dict(link=link))


def shared():
    if not URL.verify(request, hmac_key=share_key()):
        raise HTTP(403, T('This link is not valid'))
    if request.now.strftime('%Y-%m-%d') > request.vars.until:
        raise HTTP(410, T('This link has expired'))
    row = page_or_404(request.args(0))
    return dict(page=row)


def pages():
    return dict(grid=SQLFORM.grid(
        db.page, fields=[db.page.name, db.page.modified_on], deletable=is_editor, editable=False, create=False,
        details=False, csv=False, paginate=configuration.get('wiki.per_page'),
        links=[lambda row: A(T('Open'), _href=URL('page', args=row.name))]))


def search():
    form = FORM(INPUT(_name='words', _value=request.get_vars.words), INPUT(_type='submit', _value=T('Search')),
                _method='GET')
    words = (request.get_vars.words or '').lower().split()
    times = db.word.times.sum()
    rows = words and db(db.word.word.belongs(words))(db.page.id == db.word.page).select(
        db.page.ALL, times, groupby=db.page.id, orderby=~times)
    return dict(form=form, rows=[(row.page, row[times]) for row in rows], words=words)


@auth.requires_membership(EDITORS)
def editors():
    form = SQLFORM.factory(Field('email', requires=[IS_EMAIL(), IS_IN_DB(db, 'auth_user.email')]))
    if form.process().accepted:
        auth.add_membership(auth.id_group(EDITORS), db.auth_user(email=form.vars.email).id)
        response.flash = T('Done')
    members = db(db.auth_membership.group_id == auth.id_group(EDITORS))(
        db.auth_user.id == db.auth_membership.user_id).select(db.auth_user.ALL)
    return dict(form=form, members=members)


def user():
    return dict(form=auth())


@cache.action()
def download():
    return response.download(request, db)
