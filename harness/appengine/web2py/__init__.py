"""Real web2py in process: its root folders and applications, and requests through `gluon.main.wsgibase`."""

from harness.appengine.web2py.not_found import explain_404
from harness.appengine.web2py.site import Site

__all__ = ["Site", "explain_404"]
