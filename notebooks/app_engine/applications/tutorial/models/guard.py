def require_app_engine():
    """Refuse users. App Engine adds these headers to the requests of tasks and cron, and removes them from a user's
    request, unless the user is an administrator of the application.

    https://docs.cloud.google.com/appengine/docs/standard/reference/request-headers
    https://docs.cloud.google.com/appengine/docs/standard/scheduling-jobs-with-cron-yaml
    """
    session.forget(response)
    if not (request.env.http_x_appengine_queuename or request.env.http_x_appengine_cron):
        raise HTTP(403, "Only the task queue and cron may call this URL.")
