def gen_task():
    from google.appengine.api import taskqueue
    # .... do some things, then
    taskqueue.add(url=URL('task_do'),
                params=dict(old='original text', new='new text'))
    return dict()


def task_do():
    db.mytable.insert(old=request.vars['old'], new=request.vars['new'])
