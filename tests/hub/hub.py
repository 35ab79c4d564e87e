"""JupyterHub and its proxy on this machine, in a folder of their own, for as long as a run takes."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from tempfile import mkdtemp

from tests.hub import processes

ROOT = Path(__file__).parents[2]
CLASSROOM = ROOT / ".venv" / "classroom"
PROXY = ROOT / ".venv" / "hub" / "node_modules" / ".bin" / "configurable-http-proxy"
_NBGRADER = ("formgrader", "validate_assignment", "assignment_list", "course_list")


def missing() -> str | None:
    """Say what has to be installed before a hub can run here, and how; None when nothing has."""
    if not (CLASSROOM / "bin" / "jupyterhub").exists():
        return "JupyterHub is not installed in .venv/classroom; install it: make classroom"
    if not PROXY.exists():
        return "configurable-http-proxy is not installed in .venv/hub; install it with Node's npm: make hub-test"
    if shutil.which("node") is None:
        return "there is no `node`, which configurable-http-proxy needs; on Debian: apt-get install nodejs npm"
    return None


class Hub:
    """A context manager: the hub runs inside, and nothing of it is left afterwards.

    Args:
        patience: seconds for its start, and for its end.

    `left` says afterwards what the hub itself had not ended or removed.
    """

    def __init__(self, patience: float) -> None:
        self.left: list[str] = []
        self.mark = processes.new_mark()
        self.password = secrets.token_urlsafe(12)
        self.state = Path(mkdtemp(prefix="course-hub-"))
        self.ports = _free_ports(3)
        self.url = f"http://127.0.0.1:{self.ports[0]}"
        self._patience = patience
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Hub:
        try:
            self._lay_out()
            self._start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    @property
    def log(self) -> str:
        """What the hub, its proxy and the learners' servers have said."""
        file = self.state / "hub.log"
        return file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""

    def _lay_out(self) -> None:
        """Make the folder that notebooks/HUB.md calls /srv/course, and the other files."""
        course = self.state / "course"
        course.mkdir()
        (course / ".venv").symlink_to(CLASSROOM)
        (course / "harness").symlink_to(ROOT / "harness")
        for folder in ("homes", "tmp", "no-nbgrader"):
            (self.state / folder).mkdir()
        off = {f"nbgrader.server_extensions.{name}": False for name in _NBGRADER}
        settings = json.dumps({"ServerApp": {"jpserver_extensions": off}})
        (self.state / "no-nbgrader" / "jupyter_server_config.json").write_text(settings, encoding="utf-8")

    def _start(self) -> None:
        config = Path(__file__).with_name("jupyterhub_config.py")
        command = [CLASSROOM / "bin" / "python", "-m", "jupyterhub", "--config", config]
        with (self.state / "hub.log").open("wb") as log:
            self._process = subprocess.Popen(
                list(map(str, command)),
                cwd=self.state,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is ours to pass on
            )
        end = time.monotonic() + self._patience
        while not _answers(f"{self.url}/hub/health"):
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"the hub did not start:\n{self.log[-3000:]}")
            time.sleep(0.2)

    def _environment(self) -> dict[str, str]:
        kept = {key: os.environ[key] for key in ("PATH", "LANG", "LC_ALL") if key in os.environ}
        return {
            **kept,
            "HOME": str(self.state),
            "TMPDIR": str(self.state / "tmp"),  # where labs have their folders: whatever stays there is noticed
            "COURSE_HUB_STATE": str(self.state),
            "COURSE_HUB_PORTS": " ".join(map(str, self.ports)),
            "COURSE_HUB_PASSWORD": self.password,
            processes.MARK: self.mark,
        }

    def _end(self) -> None:
        """Ask the hub to end, which ends the servers and the proxy; then end and remove what is left, and say it."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(self._patience)
            except subprocess.TimeoutExpired:
                self.left.append("the hub did not end")
                self._process.kill()
                self._process.wait()
        self.left += processes.end(self.mark, seconds=10)
        self.left += _labs_left(self.state / "tmp")
        self.left += [f"port {port} is still open" for port in self.ports if _is_open(port)]
        shutil.rmtree(self.state, ignore_errors=True)
        if self.state.exists():
            self.left.append(f"the folder {self.state}")


def _labs_left(folder: Path) -> list[str]:
    """Let the next lab clean up after kernels that were killed, as it does for a learner; say what then is left."""
    program = "from harness import Lab; Lab().close()"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env={**os.environ, "TMPDIR": str(folder)}, check=True)
    return [f"a folder of a lab: {path.name}" for path in folder.glob("harness-*")]


def _free_ports(count: int) -> list[int]:
    """Return ports of 127.0.0.1 that nobody listens on just now, all different."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _answers(url: str) -> bool:
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
