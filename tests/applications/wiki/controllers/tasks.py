# -*- coding: utf-8 -*-
# The workers. Only the task queue and cron may call them.
from google.appengine.api import taskqueue

from wikitext.render import links, to_html
from wikitext.words import count_words

if not (request.env.http_x_appengine_queuename or request.env.http_x_appengine_cron):
    raise HTTP(403, 'Only the task queue may call this')


def render():
    """Render a page, and write its index again. Do nothing if this revision or a newer one is already rendered."""
    row = db.page(request.post_vars.page)
    number = int(request.post_vars.revision)
    if not row or row.rendered >= number:
        return 'nothing to do'
    known = {each.name for each in db(db.page).select(db.page.name)}
    row.update_record(html=to_html(row.body, known, lambda name: URL('default', 'page', args=name)), rendered=number,
                      modified_on=row.modified_on, modified_by=row.modified_by)
    db(db.word.page == row.id).delete()
    db(db.link.page == row.id).delete()
    db.word.bulk_insert([dict(page=row.id, word=word, times=times) for word, times in count_words(row.body).items()])
    db.link.bulk_insert([dict(page=row.id, target=target) for target in sorted(links(row.body))])
    if number == 1:
        # Pages that linked to this page before it existed show the link as missing.
        for other in db(db.link.target == row.name)(db.page.id == db.link.page).select(db.page.ALL):
            if other.id != row.id:
                taskqueue.add(url=URL('again'), params=dict(page=other.id), queue_name='render', countdown=5)
    return 'rendered'


def again():
    """Render a page again although its text has not changed."""
    db(db.page.id == request.post_vars.page).update(rendered=0)
    last = db(db.revision.page == request.post_vars.page).select(orderby=~db.revision.number, limitby=(0, 1)).first()
    params = dict(page=request.post_vars.page, revision=last.number)
    taskqueue.add(url=URL('render'), params=params, queue_name='render')
    return 'queued'


def nightly():
    """Called by cron: render every page whose task was lost."""
    newest = db.revision.number.max()
    rows = db(db.revision.page == db.page.id).select(db.page.id, db.page.rendered, newest, groupby=db.page.id)
    late = [row for row in rows if row.page.rendered < row[newest]]
    for row in late:
        taskqueue.add(url=URL('render'), params=dict(page=row.page.id, revision=row[newest]), queue_name='render')
    return str(len(late))
