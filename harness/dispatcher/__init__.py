"""Plays App Engine: takes the tasks that are due and sends them to their handlers, in virtual time."""

from harness.dispatcher.deferred import application as deferred_application
from harness.dispatcher.dispatcher import CAP, Dispatcher
from harness.dispatcher.headers import strip_appengine_headers

__all__ = ["CAP", "Dispatcher", "deferred_application", "strip_appengine_headers"]
