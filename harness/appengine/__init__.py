"""The local App Engine: task queue, dispatcher, web2py, virtual clock."""
