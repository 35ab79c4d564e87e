"""On PYTHONPATH, this replaces a package that takes 0.2 seconds of processor time to import, in each kernel.

A kernel imports its debugger when it starts, and works without it. tests/notebooks/test_kernels.py has kernels with it.
"""

raise ImportError("the tests don't need debugpy, because none of them sets a breakpoint")
