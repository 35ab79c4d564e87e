"""Start `lab --source`, send it requests from a stranger, a website and its user, and print the responses.

    python -m tests.support.server_probe

It is a separate program so that it can run without a network. It prints JSON: a status or a body for each request.
"""

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from tests.support.isolation import ROOT

CONFIG = re.compile(r'<script id="jupyter-config-data" type="application/json">(.*?)</script>', re.DOTALL)


def ask(url: str, token: str = "", data: Any = None, **headers: str) -> tuple[int, str]:
    """Send a request, and return the status and the body of the response."""
    sent = {**headers, **({"Authorization": f"token {token}"} if token else {})}
    body = None if data is None else json.dumps(data).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, sent), timeout=240) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode("utf-8", "replace")


def await_server(base: str) -> None:
    """Wait until the port is open, because JupyterLab prints its URL a moment earlier."""
    end = time.monotonic() + 240
    while True:
        try:
            return socket.create_connection(("127.0.0.1", int(base.rpartition(":")[2]))).close()
        except ConnectionRefusedError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listening(pid: int) -> list[str]:
    """Return the addresses on which a process and its children listen."""
    process = psutil.Process(pid)
    families = [process, *process.children(recursive=True)]
    sockets = []
    for one in families:
        with suppress(psutil.NoSuchProcess):  # jupyter-lsp runs npm for a moment
            sockets += one.net_connections("inet")
    return sorted({each.laddr.ip for each in sockets if each.status == psutil.CONN_LISTEN or not each.raddr})


def answers(base: str, token: str, pid: int) -> dict[str, Any]:
    evil = {"Host": "evil.example"}
    page = ask(f"{base}/lab", token)[1]
    config = json.loads((CONFIG.search(page) or [None, "{}"])[1])
    return {
        "stranger lists files": ask(f"{base}/api/contents")[0],
        "stranger starts a kernel": ask(f"{base}/api/kernels", data={})[0],
        "stranger opens a terminal": ask(f"{base}/api/terminals", data={})[0],
        "stranger asks for the page": "jupyter-config-data" in ask(f"{base}/lab")[1],
        "wrong token": ask(f"{base}/api/contents", "0" * 48)[0],
        "website by another name": ask(f"{base}/api/contents", token, **evil)[0],
        "user lists files": ask(f"{base}/api/contents", token)[0],
        "user starts a kernel": ask(f"{base}/api/kernels", token, {"name": "python3"})[0],
        "listens at": listening(pid),
        "news": json.loads(ask(f"{base}/lab/api/news", token)[1]),
        "update": json.loads(ask(f"{base}/lab/api/update", token)[1]),
        "extensions": json.loads(ask(f"{base}/lab/api/extensions?query=a&refresh=1", token)[1]),
        "install": json.loads(
            ask(f"{base}/lab/api/extensions", token, {"cmd": "install", "extension_name": "a"})[1] or "{}"
        ),
        "page": {
            "news": config.get("news"),
            "disabled": config.get("disabledExtensions"),
            "manager": config.get("extensionManager"),
        },
        "outside": sorted(set(re.findall(r'(?:src|href)="(https?://[^"]*)', page))),
    }


@contextmanager
def jupyterlab(command: list[str], folder: Path, environment: Mapping[str, str]) -> Iterator[tuple[str, str, int]]:
    """Start JupyterLab on a free port, without a browser, and yield its address, its token and its process id.

    Args:
        command: the command; --no-browser and --port are added.
        folder: the working directory.
        environment: the complete environment.
    """
    port = free_port()
    arguments = [*command, "--no-browser", f"--port={port}"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    process = subprocess.Popen(arguments, cwd=folder, env=environment, **pipes)
    assert process.stdout is not None
    try:
        said = []
        for line in process.stdout:
            said.append(line)
            if found := re.search(rf"(http://127\.0\.0\.1:{port})/lab[^?\s]*(?:\?token=(\w+))?", line):
                break
        else:
            raise SystemExit("JupyterLab did not start:\n" + "".join(said))
        await_server(found[1])
        yield found[1], found[2] or "", process.pid
    finally:
        process.terminate()
        process.communicate()


def main() -> None:
    runtime = Path(os.environ["JUPYTER_RUNTIME_DIR"])
    with jupyterlab([sys.executable, "-m", "harness", "lab", "--source"], ROOT, os.environ) as (base, token, pid):
        result = answers(base, token, pid)
        result["token"] = len(token)
        result["others read the token"] = bool(runtime.stat().st_mode & 0o077)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
