"""A local App Engine in real time: the task queues of an application on this machine, and their console."""
