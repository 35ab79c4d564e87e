# -*- coding: utf-8 -*-
# queue_task takes the arguments of the Scheduler that it replaces.
import datetime
import json

from google.appengine.api import taskqueue


def queue_task(function_name, pvars=None, start_time=None, period=0, repeats=1, task_name=None, queue='default'):
    """Add a task that calls a function of TASKS with the arguments `pvars`, `repeats` times every `period` seconds."""
    payload = json.dumps(dict(function=function_name, pvars=pvars or {}, period=period, repeats=repeats))
    try:
        return taskqueue.add(url=URL('worker', 'run'), payload=payload, eta=start_time, name=task_name,
                             queue_name=queue, headers={'Content-Type': 'application/json'}).name
    except (taskqueue.TaskAlreadyExistsError, taskqueue.TombstonedTaskError):
        return None


def from_queue():
    return request.env.http_x_appengine_queuename


def retries():
    return int(request.env.http_x_appengine_taskretrycount or 0)
