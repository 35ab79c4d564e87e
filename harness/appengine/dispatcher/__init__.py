"""App Engine's dispatcher: sends due tasks to their handlers, in virtual or in real time."""

from harness.appengine.dispatcher.chaos import Chaos
from harness.appengine.dispatcher.dispatcher import CAP, Dispatcher, Send
from harness.appengine.dispatcher.in_flight import InFlight
from harness.appengine.dispatcher.real_time import RealTimeDispatcher, describe_attempt
from harness.appengine.dispatcher.sender import HttpSender
from harness.appengine.dispatcher.task_request import application as deferred_application
from harness.appengine.dispatcher.task_request import strip_appengine_headers

__all__ = [
    "CAP",
    "Chaos",
    "Dispatcher",
    "HttpSender",
    "InFlight",
    "RealTimeDispatcher",
    "Send",
    "deferred_application",
    "describe_attempt",
    "strip_appengine_headers",
]
