# -*- coding: utf-8 -*-
if not EDITOR and request.function != 'login':
    redirect(URL('login'))


def login():
    form = FORM(INPUT(_name='password', _type='password', requires=IS_NOT_EMPTY()), INPUT(_type='submit'))
    if form.process().accepted:
        if form.vars.password == configuration.take('editors.password'):
            session.editor = True
            redirect(URL('index'))
        form.errors.password = 'Wrong'
    return dict(form=form)


def index():
    rows = db(db.campaign).select(orderby=~db.campaign.id)
    return dict(rows=rows)


def edit():
    row = db.campaign(request.args(0)) if request.args else None
    if row and row.status != 'draft':
        session.flash = 'It was sent already'
        redirect(URL('index'))
    form = SQLFORM(db.campaign, row, fields=['subject', 'body', 'hour'], showid=False, formstyle='divs')
    if form.process().accepted:
        redirect(URL('index'))
    return dict(form=form, row=row)


def send():
    row = db.campaign(request.args(0, cast=int))
    if request.env.request_method != 'POST' or not row or row.status != 'draft':
        raise HTTP(409, 'Nothing to send')
    row.update_record(status='queued')
    queue_task('start_campaign', dict(campaign=row.id), task_name='campaign-%s' % row.id)
    session.flash = 'It will be sent at %i:00, in the time zone of each recipient' % row.hour
    redirect(URL('index'))


def failures():
    rows = db(db.run.status == FAILED).select(orderby=~db.run.last)
    return dict(rows=rows)


def again():
    """Queue a failed run again, under another name."""
    row = db.run(request.args(0, cast=int))
    old = json.loads(row.result)
    queue_task(row.function_name, old['pvars'], task_name='%s-again-%s' % (row.task_name, row.id), queue='letters')
    row.update_record(status=QUEUED)
    redirect(URL('failures'))
