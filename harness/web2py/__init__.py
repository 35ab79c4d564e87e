"""Real web2py in process: its root folders and applications, and requests through `gluon.main.wsgibase`."""

from harness.web2py.explain import explain_404
from harness.web2py.site import Site

__all__ = ["Site", "explain_404"]
