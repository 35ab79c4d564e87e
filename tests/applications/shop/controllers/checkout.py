# -*- coding: utf-8 -*-
import json

from google.appengine.api import taskqueue

from gluon.utils import web2py_uuid

from payment import RETRIES


def index():
    if not cart():
        redirect(URL('default', 'index'))
    form = SQLFORM(db.purchase, submit_button='Buy')
    if form.process(onvalidation=reserve).accepted:
        place(int(form.vars.id))
        session.cart = None
        redirect(URL('status', args=form.vars.id, hmac_key=session_key()))
    return dict(form=form, rows=cart_rows(), total=cart_total())


def reserve(form):
    form.vars.total = cart_total()
    for row, quantity in cart_rows():
        if row.stock < quantity:
            form.errors.name = '%s is sold out' % row.name


def place(id):
    """Take the products out of the stock, and let a task charge the card. The task's name is the order's number."""
    for row, quantity in cart_rows():
        db.item.insert(purchase=id, product=row.id, quantity=quantity, price=row.price)
        db(db.product.id == row.id).update(stock=db.product.stock - quantity)
    try:
        taskqueue.add(url=URL('tasks', 'charge'), params=dict(order=id), name='charge-%s' % id,
                      queue_name='payments', retry_options=taskqueue.TaskRetryOptions(**RETRIES))
    except (taskqueue.TaskAlreadyExistsError, taskqueue.TombstonedTaskError):
        pass


def session_key():
    session.key = session.key or web2py_uuid()
    return session.key


def status():
    """Only the visitor who has placed the order sees it."""
    if not URL.verify(request, hmac_key=session_key()):
        raise HTTP(403)
    order = db.purchase(request.args(0))
    items = db(db.item.purchase == order.id).select(db.item.ALL)
    response.headers['Cache-Control'] = 'no-store'
    return dict(order=order, items=items)


def retry():
    """The customer gives another card after the first was declined."""
    order = db.purchase(request.args(0, cast=int))
    if not order or order.status != DECLINED:
        raise HTTP(409, json.dumps(dict(error='nothing to retry')), **{'Content-Type': 'application/json'})
    order.update_record(card=request.post_vars.card, status=NEW)
    taskqueue.add(url=URL('tasks', 'charge'), params=dict(order=order.id), queue_name='payments',
                  name='charge-%s-%s' % (order.id, request.post_vars.card))
    return response.json(dict(status=order.status))
