"""Stands in for gunicorn in the check of 8.1, because learners may not have it: `gunicorn -b ADDRESS MODULE:OBJECT`.

It runs as a program, and serves the application with waitress. It prints the messages of gunicorn that name a mistake.
"""

import os
import sys
from argparse import ArgumentParser
from importlib import import_module


def main(arguments: list[str]) -> int:
    """Serve the application that the arguments name. Other options of gunicorn have no effect."""
    parser = ArgumentParser("gunicorn")
    parser.add_argument("-b", "--bind", action="append")
    parser.add_argument("--chdir")
    for names in (("-w", "--workers"), ("--threads",), ("-t", "--timeout"), ("-k", "--worker-class")):
        parser.add_argument(*names)
    parser.add_argument("application", nargs="?", default="")
    options, _ = parser.parse_known_args(arguments)
    module, _, name = options.application.partition(":")
    if not module:
        parser.error("No application module specified.")
    sys.path.insert(0, ".")
    application = getattr(import_module(module), name or "application", None)
    if application is None:
        print(f"Failed to find attribute {name or 'application'!r} in {module!r}.", file=sys.stderr)
        return 4
    from waitress import create_server

    [address] = (options.bind or [f":{os.environ['PORT']}"])[-1:]  # gunicorn's default too, if PORT is set
    server = create_server(application, listen=address if address[0] != ":" else f"0.0.0.0{address}")
    print(f"Listening at: http://{address}", flush=True)
    server.run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
