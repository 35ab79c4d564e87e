"""The folder notebooks/app_engine/ starts as on App Engine: its own entrypoint, gunicorn, and Google's real client.

`serve` stands in for App Engine's front end and its task queue. The database is SQLite instead of Cloud SQL.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import httpx
import psutil
import pytest
from google.appengine.api import appinfo
from packaging.requirements import Requirement

from harness.appengine.taskqueue import preload
from harness.serve.project import find_project

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "notebooks" / "app_engine"
FORGED = {"X-AppEngine-QueueName": "default", "X-Appengine-Cron": "true", "X-Appengine-User-Ip": "0.1.0.2"}
NOT_INSTALLED = {"psycopg2-binary", "google-cloud-secret-manager"}  # only a deployment with Cloud SQL needs them
OLDER = {"pydal"}  # a lab repairs gluon.tools, so it can use a newer version


def contents(folder):
    """Return all files and folders in a folder; a folder has the content None."""
    return {path.relative_to(folder): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.fixture
def deployed(tmp_path):
    """A copy of the folder whose variables are those of a deployment, except for the database."""
    folder = shutil.copytree(FOLDER, tmp_path / "deployed", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "data").mkdir()
    url = f"sqlite://{tmp_path}/data/tutorial.sqlite"
    app_yaml = folder / "app.yaml"
    variables = {"DATABASE_URL": url, "GAE_ENV": "standard", "GAE_APPLICATION": "s~example", "SERVER_SOFTWARE": "x"}
    lines = "".join(f"  {name}: {value}\n" for name, value in variables.items())
    app_yaml.write_text(re.sub(r"  DATABASE_SECRET: .*\n", lines, app_yaml.read_text()))
    environment = {**os.environ, "DATABASE_URL": url, "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "migrate.py"], cwd=folder, env=environment, check=True)
    return folder


def test_the_deployed_folder_runs_tasks_and_cron_refuses_users_and_writes_nothing(terminal, deployed):
    before = contents(deployed)
    serve = terminal("serve", "--fresh", str(deployed), PYTHONDONTWRITEBYTECODE="1")
    assert "mytable contains 0 rows" in serve.get("/")
    assert "sans-serif" in serve.get("/tutorial/static/style.css")
    assert serve.get("/tutorial/default/gen_task") == "Your text is replaced in a moment.\n"
    serve.wait_until_done()
    assert "mytable contains 1 rows" in serve.get("/")

    users = f"http://127.0.0.1:{serve.port}/tutorial/default"
    servers = serve.application().children(recursive=True)
    (port,) = {each.laddr.port for server in servers for each in server.net_connections() if each.status == "LISTEN"}
    platform = f"http://127.0.0.1:{port}/tutorial/default"  # for App Engine's own requests
    for path in ("task_do", "task_do/1", "nightly"):
        assert httpx.get(f"{users}/{path}", headers=FORGED).status_code == 403
        assert httpx.get(f"{platform}/{path}").status_code == 403
    cron = {"X-Appengine-Cron": "true", "X-Appengine-Api-Ticket": "ticket"}
    assert httpx.get(f"{platform}/nightly", headers=cron).status_code == 200
    serve.wait_until_done()

    (worker, other) = servers[-2:]  # the two processes of gunicorn that handle requests
    worker.kill()
    psutil.wait_procs([worker], timeout=30)
    assert other.is_running()
    assert "mytable contains 2 rows" in serve.get("/")
    assert contents(deployed) == before


@pytest.mark.row("T75")
def test_without_app_engine_apis_the_client_of_the_task_queue_raises(terminal, tmp_path):
    """The folder is started without any preparation, so its database is a temporary file."""
    folder = shutil.copytree(FOLDER, tmp_path / "deployed", ignore=shutil.ignore_patterns("__pycache__"))
    app_yaml = folder / "app.yaml"
    app_yaml.write_text(app_yaml.read_text().replace("app_engine_apis: true\n", ""))
    serve = terminal("serve", "--fresh", str(folder), TMPDIR=str(tmp_path))
    assert "mytable contains 0 rows" in serve.get("/")
    assert "Internal error" in serve.get("/tutorial/default/gen_task")
    serve.find("Attempted RPC call without active security ticket")
    assert "app.yaml doesn't contain `app_engine_apis: true`" in serve.find("app_engine_apis")


def test_googles_own_parsers_accept_the_configuration_files():
    preload()  # without the warnings of Google's client
    from google.appengine.api import croninfo, queueinfo

    app = appinfo.LoadSingleAppInfo((FOLDER / "app.yaml").read_text())
    assert (app.app_engine_apis, app.handlers[1].login) == (True, "admin")
    [cron] = croninfo.LoadSingleCron((FOLDER / "cron.yaml").read_text()).cron
    assert re.fullmatch(app.handlers[1].url, cron.url)
    [queue] = queueinfo.LoadSingleQueue((FOLDER / "queue.yaml").read_text()).queue
    assert queue.name == "default"
    assert find_project(FOLDER).kind == "app.yaml"


def test_the_requirements_are_the_packages_of_the_tests():
    lines = [line.partition("#")[0].strip() for line in (FOLDER / "requirements.txt").read_text().splitlines()]
    pins = {each.name: str(each.specifier) for each in map(Requirement, filter(None, lines))}
    installed = set(pins) - NOT_INSTALLED - OLDER - ({"zombie-imp"} if sys.version_info < (3, 12) else set())
    assert {name: f"=={version(name)}" for name in installed} == {name: pins[name] for name in installed}
    assert all(specifier.startswith("==") for specifier in pins.values())


def test_the_address_of_the_database_is_a_secret_that_no_environment_variable_contains():
    program = """
import os, sys, types
payload = types.SimpleNamespace(data=b"sqlite:memory")
secrets = {os.environ["DATABASE_SECRET"]: types.SimpleNamespace(payload=payload)}
client = types.SimpleNamespace(access_secret_version=lambda name: secrets[name])
module = types.SimpleNamespace(SecretManagerServiceClient=lambda: client)
sys.modules["google.cloud.secretmanager"] = module
import main
from gluon.settings import global_settings
assert global_settings.database_url == "sqlite:memory"
assert "sqlite:memory" not in os.environ.values()
"""
    environment = {**os.environ, "GAE_ENV": "standard", "DATABASE_SECRET": "projects/p/secrets/s/versions/latest"}
    subprocess.run([sys.executable, "-c", program], cwd=FOLDER, env=environment, check=True)


def test_the_runtime_is_a_python_that_the_course_supports():
    runtime = appinfo.LoadSingleAppInfo((FOLDER / "app.yaml").read_text()).runtime
    supported = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    major, minor = re.fullmatch(r"python(\d)(\d+)", runtime).groups()
    assert f"{major}.{minor}.0" in Requirement(f"python{supported}").specifier
