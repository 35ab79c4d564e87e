"""A real JupyterHub on this machine, and learners who all use the course at once: `python -m tests.hub`."""
