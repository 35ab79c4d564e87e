"""routes.py: read by web2py when it changes, and what is wrong in it told in the learner's own lines."""

from __future__ import annotations

import traceback

from harness.errors import SourceError
from harness.web2py.names import ROUTES
from harness.web2py.source import show_line
from harness.web2py.tenancy import Tenancy
from harness.web2py.tickets import message_of


def load_routes(tenancy: Tenancy) -> None:
    """Let web2py read the root's routes.py, if there is one; else its routes are the default ones.

    Raises:
        SourceError: it does not run, or web2py makes no sense of what it defines.
    """
    try:
        tenancy.load_routes()
    except (Exception, SystemExit) as error:
        raise SourceError(_explain(error, tenancy)) from None


def _explain(error: BaseException, tenancy: Tenancy) -> str:
    """Say what is wrong. web2py runs the file as a string, so that its frames are those of the file "<string>"."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == "<string>"]
    where = f"{ROUTES}: "
    if lines:
        number = lines[-1] or 1
        source = (tenancy.root / ROUTES).read_text("utf-8").splitlines()
        where = show_line(ROUTES, number, None, source[number - 1]) + "\n"
    advice = "Correct that line." if lines else "Correct the rule that it names; the routes of before stay in force."
    if "compile_regex()" in str(error):
        advice = "routes_in and routes_out are lists of pairs: [('/from', '/to')]; the routes of before stay in force."
    return f"{where}{type(error).__name__}: {message_of(error)}\n{advice}"
