"""App Engine's dispatcher: sends due tasks to their handlers in virtual time."""

from harness.appengine.dispatcher.chaos import Chaos
from harness.appengine.dispatcher.dispatcher import CAP, Dispatcher
from harness.appengine.dispatcher.task_request import application as deferred_application
from harness.appengine.dispatcher.task_request import strip_appengine_headers

__all__ = ["CAP", "Chaos", "Dispatcher", "deferred_application", "strip_appengine_headers"]
