"""What `doctor` looks at: everything the course needs, what is wrong with it, and how to mend it."""

from harness.checkup.finding import Finding, State
from harness.checkup.run import checkup

__all__ = ["Finding", "State", "checkup"]
