"""The figures of virtual time. Import this module only to draw, because it imports matplotlib.

If HOME is read-only, the import prints a warning with the random name of a temporary folder, so stderr is redirected.
"""

from contextlib import redirect_stderr
from io import StringIO

with redirect_stderr(StringIO()):
    from harness.show.queue_plots import backoff, rate
    from harness.show.timeline import timeline

__all__ = ["backoff", "rate", "timeline"]
