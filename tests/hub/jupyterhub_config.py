"""The hub of a run: what notebooks/HUB.md tells a host to write, with a proxy, ports and folders of the run's own."""

import os
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
STATE = Path(os.environ["COURSE_HUB_STATE"])
PORTS = dict(zip(("public", "hub", "proxy"), os.environ["COURSE_HUB_PORTS"].split(), strict=True))

c: Any = get_config()  # type: ignore[name-defined]  # noqa: F821

# The host's own lines, from the page. The course stands in the run's folder instead of /srv/course.
page = (ROOT / "notebooks" / "HUB.md").read_text(encoding="utf-8")
told = re.findall(r"```python\n# jupyterhub_config\.py\n(.*?)```", page, re.DOTALL)
exec("\n".join(told).replace("/srv/course", str(STATE / "course")))

c.JupyterHub.bind_url = f"http://127.0.0.1:{PORTS['public']}"
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{PORTS['hub']}"
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{PORTS['proxy']}"
c.ConfigurableHTTPProxy.command = [str(ROOT / ".venv" / "hub" / "node_modules" / ".bin" / "configurable-http-proxy")]
c.ConfigurableHTTPProxy.pid_file = str(STATE / "proxy.pid")
c.JupyterHub.cookie_secret_file = str(STATE / "cookie_secret")
c.JupyterHub.db_url = f"sqlite:///{STATE / 'jupyterhub.sqlite'}"
c.JupyterHub.log_level = "WARN"

# Learners without accounts on this machine: all are the same system user, each with a home of its own.
c.JupyterHub.authenticator_class = "shared-password"
c.SharedPasswordAuthenticator.user_password = os.environ["COURSE_HUB_PASSWORD"]
c.SharedPasswordAuthenticator.allow_all = True
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = str(STATE / "homes" / "{username}")
c.Spawner.ip = "127.0.0.1"
c.Spawner.env_keep = ["PATH", "LANG", "LC_ALL", "TMPDIR", "COURSE_HUB_RUN"]
# The servers run in .venv/classroom, where nbgrader is, too; it is no part of a learner's environment.
c.Spawner.environment["JUPYTER_CONFIG_PATH"] += os.pathsep + str(STATE / "no-nbgrader")
if os.geteuid() == 0:
    c.Spawner.args = ["--allow-root"]
