"""Real web2py in process: its root folders and applications, and requests through `gluon.main.wsgibase`."""

from harness.appengine.web2py.app_folder import AppFolder, find_applications
from harness.appengine.web2py.not_found import explain_404
from harness.appengine.web2py.site import Site

__all__ = ["AppFolder", "Site", "explain_404", "find_applications"]
