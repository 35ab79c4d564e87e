def require_app_engine():
    """Refuse users. App Engine adds these headers to the requests of tasks and cron, and removes them from users'.

    https://docs.cloud.google.com/appengine/docs/standard/reference/request-headers
    https://docs.cloud.google.com/appengine/docs/standard/python3/scheduling-jobs-with-cron-yaml
    """
    session.forget(response)
    if not (request.env.http_x_appengine_queuename or request.env.http_x_appengine_cron):
        raise HTTP(403, "Only the task queue and cron may call this URL.")
