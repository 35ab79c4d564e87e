# -*- coding: utf-8 -*-
# The people in the store room lease the orders that are paid, pack them, and report them as done.
import json

from google.appengine.api import taskqueue

MINUTES = 15


@auth.requires_membership('managers')
def lease():
    tasks = taskqueue.Queue('picking').lease_tasks(MINUTES * 60, 2)
    return response.json([dict(json.loads(task.payload), name=task.name, retries=task.retry_count) for task in tasks])


@auth.requires_membership('managers')
def done():
    order = db.purchase(request.args(0, cast=int))
    order.update_record(status=PICKED)
    taskqueue.Queue('picking').delete_tasks_by_name(request.vars.name)
    return response.json(dict(order=order.id, status=order.status))
