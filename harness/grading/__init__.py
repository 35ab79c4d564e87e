"""Grading with nbgrader: a course folder laid out from the solutions, and submissions judged apart from their authors.

nbgrader runs a submitted notebook in a kernel and believes what its check cells show. Here it does not: from the
notebook only the answers are taken, no other cell runs, and `python -m harness.grading` judges them. In that process
the judge, who holds the queue, the clock and the verdict, never runs an answer itself: each request that reaches an
answer is a child process of its own, which can do little besides (`confine`) and leaves nothing behind but its
response, its calls to the queue and its database.
"""
