from google.appengine.api import taskqueue


def index():
    return dict(rows=db(db.mytable).count())


def gen_task():
    taskqueue.add(url=URL("task_do"), params=dict(old="original text", new="new text"))
    return "Your text is replaced in a moment.\n"


def task_do():
    require_app_engine()
    db.mytable.insert(old=request.vars["old"], new=request.vars["new"])


def nightly():
    """A job in cron.yaml requests this action. A task does the work, because the queue tries a failed task again."""
    require_app_engine()
    taskqueue.add(url=URL("task_do"), params=dict(old="yesterday", new="today"))
