# -*- coding: utf-8 -*-
import datetime
import json

from google.appengine.api import taskqueue

import payment

session.forget(response)
if not request.env.http_x_appengine_queuename:
    raise HTTP(403)


def charge():
    order = db.purchase(request.post_vars.order)
    if order.status != NEW:
        return 'nothing to do'
    try:
        receipt = payment.charge('order-%s' % order.id, order.total, order.card, configuration)
    except payment.Declined as reason:
        order.update_record(status=DECLINED, receipt=str(reason))
        put_back(order)
        return 'declined'
    order.update_record(status=CHARGED, receipt=receipt, charged=request.now)
    items = db(db.item.purchase == order.id).select()
    taskqueue.Queue('picking').add(taskqueue.Task(
        payload=json.dumps(dict(order=order.id, items=[[item.product.name, item.quantity] for item in items])),
        method='PULL', tag='order'))
    return 'charged'


def put_back(order):
    for item in db(db.item.purchase == order.id).select():
        db(db.product.id == item.product).update(stock=db.product.stock + item.quantity)


def report():
    """Sum up the orders of a day. Each task handles a few orders, and adds the task for the next ones."""
    day, page = request.post_vars.day, int(request.post_vars.page or 0)
    size = configuration.get('shop.report_page')
    of_day = (db.purchase.placed >= day) & (db.purchase.placed < day + ' 24')
    orders = db(of_day & (db.purchase.status != DECLINED)).select(
        orderby=db.purchase.id, limitby=(page * size, (page + 1) * size))
    db.report.update_or_insert(db.report.day == day, day=day)
    row = db.report(day=day)
    row.update_record(sold=row.sold + len(orders), total=row.total + sum(order.total for order in orders),
                      complete=len(orders) < size)
    if not row.complete:
        taskqueue.add(url=URL('report'), params=dict(day=day, page=page + 1), countdown=1,
                      name='report-%s-%s' % (day, page + 1))
    return '%s: %s' % (page, len(orders))


def start_report():
    day = (request.now - datetime.timedelta(days=1)).strftime('%Y-%m-%d')
    db(db.report.day == day).delete()
    taskqueue.add(url=URL('report'), params=dict(day=day))
    return day
