"""Run by dispatch.py in a process of its own: web2py as it comes, with nothing of ours in it.

    python -m tests.bench.bare FOLDER

FOLDER is a web2py root. Reads lines "path body count collector" and answers each with the seconds per POST; "off" as
collector leaves out web2py's call of Python's garbage collector after every hundredth request.
"""

from __future__ import annotations

import io
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any


def main(folder: str) -> None:
    """Load web2py the way its own servers do, and answer until there is nothing more to read."""
    os.chdir(folder)
    Path("VERSION").write_text("Version 2.26.1-stable+timestamp.2024.01.01.00.00.00", encoding="utf-8")
    sys.path.insert(0, os.environ.get("WEB2PY_PATH", folder))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import gluon.main
    gluon.main.global_settings.applications_parent = folder
    for line in sys.stdin:
        path, body, count, collector = line.split()
        options = {"web2py_disable_garbage_collect": True} if collector == "off" else {}
        _post(gluon.main.wsgibase, path, body.encode(), options)
        start = time.perf_counter()
        for _ in range(int(count)):
            _post(gluon.main.wsgibase, path, body.encode(), options)
        print((time.perf_counter() - start) / int(count), flush=True)


def _post(wsgibase: Any, path: str, body: bytes, options: dict[str, bool]) -> None:
    environ = {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "REQUEST_URI": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "127.0.0.1:8000",
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_TYPE": "application/x-www-form-urlencoded",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        **options,
    }
    statuses: list[str] = []
    list(wsgibase(environ, lambda status, headers, exc_info=None: statuses.append(status)))
    if statuses != ["200 OK"]:
        raise RuntimeError(f"bare web2py answered {statuses}")


if __name__ == "__main__":
    main(sys.argv[1])
