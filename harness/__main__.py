"""The command line. `python -m harness` lists the commands."""

import sys

from harness.classroom.cli import main

if __name__ == "__main__":
    sys.exit(main())
