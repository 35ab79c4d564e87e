# -*- coding: utf-8 -*-
# Only the task queue and a developer on this machine may call the worker.
import traceback

session.forget(response)
if not from_queue() and not request.is_local:
    raise HTTP(403, 'Only the task queue may call this')


def run():
    """Call a function as gluon.scheduler did, and record the run. If the last attempt fails, report the task."""
    job = json.loads(request.body.read().decode('utf8'))
    name = request.env.http_x_appengine_taskname
    record = db.run(task_name=name) or db.run(db.run.insert(
        task_name=name, function_name=job['function'], status=QUEUED))
    try:
        result = TASKS[job['function']](**job['pvars'])
    except Exception:
        db.rollback()
        return failed(name, job)
    record = db.run(task_name=name)
    record.update_record(status=COMPLETED, attempts=retries() + 1, result=json.dumps(result))
    if job['repeats'] != 1:
        later = request.now + datetime.timedelta(seconds=job['period'])
        queue_task(job['function'], job['pvars'], later, job['period'], max(job['repeats'] - 1, 0))
    return record.result


def failed(name, job):
    last = retries() + 1 >= configuration.take('letters.attempts', cast=int)
    db.run.update_or_insert(
        db.run.task_name == name, task_name=name, function_name=job['function'], attempts=retries() + 1,
        status=FAILED if last else RUNNING,
        result=json.dumps(dict(pvars=job['pvars'], traceback=traceback.format_exc())))
    if last:
        taskqueue.add(url=URL('dead'), params=dict(task=name, queue=from_queue()), queue_name='dead-letters')
        return 'given up'
    db.commit()
    raise HTTP(503, 'try again')


def dead():
    """Tell the editors about a task that failed for good."""
    row = db.run(task_name=request.post_vars.task)
    mail.send(to='editors@example.com', subject='Failed: %s' % row.function_name,
              message=json.loads(row.result)['traceback'])
    return 'reported'
