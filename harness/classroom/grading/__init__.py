"""Grading with nbgrader: the course folder is generated from the solutions, and submissions are checked in isolation.

nbgrader runs a submitted notebook in a kernel and trusts what its check cells show. This package doesn't: it takes
only the answers out of the notebook, runs no other cell, and lets `python -m harness.classroom.grading` check them.
The checker process holds the queue, the clock and the verdicts, and never runs an answer itself. Each request to an
answer runs in a child process with few rights (see `sandbox`). Only its response, its calls to the queue and its
database are kept.
"""
