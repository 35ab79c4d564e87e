"""app.yaml: the fields that `serve` uses, those that it lists, and the messages about mistakes."""

import re
from pathlib import Path

import pytest

from harness.errors import AppYamlError
from harness.serve.app_yaml import parse_app_yaml, read_app_yaml

COMPLETE = """
runtime: python312
service: worker
app_engine_apis: true
entrypoint: gunicorn -b :$PORT main:app
instance_class: F2
env_variables:
  MODE: "test"
  COUNT: 3
automatic_scaling:
  max_instances: 3
handlers:
- url: /static
  static_dir: public
  http_headers:
    X-From: folder
- url: /(.*\\.(gif|png))$
  static_files: images/\\1
  upload: images/.*
  mime_type: image/x-test
  require_matching_file: true
- url: /admin/.*
  script: auto
  login: admin
  secure: always
- url: /account
  script: auto
  login: required
- url: .*
  script: auto
  secure: optional
"""


@pytest.fixture(scope="module")
def complete():
    return parse_app_yaml(COMPLETE)


def test_the_fields_of_the_server_are_read(complete):
    assert complete.entrypoint == "gunicorn -b :$PORT main:app"
    assert (complete.runtime, complete.service) == ("python312", "worker")
    assert complete.env == {"MODE": "test", "COUNT": "3"}


@pytest.mark.row("T75")
@pytest.mark.parametrize(
    ("line", "apis"),
    [
        ("app_engine_apis: true", True),
        ("app_engine_apis: yes", True),
        ("app_engine_apis: Y", True),
        ("app_engine_apis: 1", True),
        ("app_engine_bundled_services: [BUNDLED_SERVICE_TYPE_TASKQUEUES]", True),
        ("app_engine_apis: false", False),
        ("app_engine_apis: No", False),
        ("app_engine_apis: 0", False),
        ("app_engine_apis:", False),
        ("app_engine_bundled_services: []", False),
        ("app_engine_bundled_services:", False),
        ("", False),
    ],
)
def test_the_apis_of_app_engine_must_be_enabled(line, apis):
    assert parse_app_yaml(f"runtime: python312\n{line}\n").apis is apis


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("app_engine_apis: ture", "line 2: app_engine_apis: 'ture' is not allowed; write true or false"),
        ("app_engine_apis: [true]", "line 2: app_engine_apis: expected one value"),
        (
            "app_engine_apis: true\napp_engine_bundled_services: BUNDLED_SERVICE_TYPE_TASKQUEUES",
            "line 3: app_engine_bundled_services: expected a list, with one name of a service per line",
        ),
    ],
)
def test_a_misspelled_value_enables_no_apis(lines, message):
    with pytest.raises(AppYamlError, match=re.escape(message)):
        parse_app_yaml(f"runtime: python312\n{lines}\n")


def test_fields_without_an_effect_are_listed_with_their_lines(complete):
    assert complete.unsupported == (
        "instance_class (line 6)",
        "automatic_scaling (line 10)",
        "handlers: secure: always (line 25)",
        "handlers: login: required (line 28)",
    )


def test_a_newer_field_is_listed_and_a_misspelled_one_is_refused():
    assert parse_app_yaml("runtime: python399\nsome_new_field: 1\n").unsupported == ("some_new_field (line 2)",)
    with pytest.raises(AppYamlError, match="line 2: entry_point: unknown field; did you mean 'entrypoint'?"):
        parse_app_yaml("runtime: python312\nentry_point: x\n")


def test_handlers_find_their_files_and_no_others(complete, tmp_path):
    for name in ("public/a/b.css", "images/x.png", "secret.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "public" / "link").symlink_to(tmp_path / "secret.txt")
    folder, files, admin, *_ = complete.handlers
    assert folder.find_file("/static/a/b.css", tmp_path) == tmp_path / "public/a/b.css"
    assert files.find_file("/x.png", tmp_path) == tmp_path / "images/x.png"
    for path in ("/static/../secret.txt", "/static/link", "/static/a", "/static/none", "/static/\0", "/other"):
        assert folder.find_file(path, tmp_path) is None, path
    open_url = parse_app_yaml("handlers:\n- url: /files/(.*)\n  static_files: public/\\1\n  upload: .*\n").handlers[0]
    assert open_url.find_file("/files/a/b.css", tmp_path) == tmp_path / "public/a/b.css"
    assert open_url.find_file("/files/../secret.txt", tmp_path) is None
    other = parse_app_yaml("handlers:\n- url: /(.*)\n  static_files: \\1\n  upload: public/.*\\.css\n").handlers[0]
    assert other.find_file("/public/a/b.css", tmp_path) == tmp_path / "public/a/b.css"
    assert other.find_file("/secret.txt", tmp_path) is None
    assert folder.headers == (("X-From", "folder"),)
    assert (files.mime_type, files.must_exist, folder.must_exist) == ("image/x-test", True, False)
    assert (admin.admin, admin.folder, folder.admin) == (True, None, False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "app.yaml is empty"),
        ("- 1", "line 1: the file: expected lines"),
        ("a: [", "line 1: not YAML"),
        ("a: \x07", "line 1: not YAML: the character"),
        ("runtime: a\nruntime: b", "line 2: runtime: given twice"),
        ("entrypoint: [a, b]", "line 1: entrypoint: expected one value"),
        ("entrypoint:", "line 1: entrypoint: expected one value"),
        ("env_variables:\n  1A: x", "line 2: env_variables: '1A' isn't a valid name for a variable"),
        ("env_variables:\n  A: [x]", "line 2: env_variables: A: expected one value"),
        ("handlers: 3", "line 1: handlers: expected a list"),
        ("handlers:\n- script: auto", "line 2: url: missing"),
        ("handlers:\n- url: /a(\n  script: auto", "line 2: url: '/a\\(' is not valid"),
        ("handlers:\n- url: /(a)\n  static_files: \\1", "line 3: static_files: its handler also needs `upload`"),
        ("handlers:\n- url: /(a)\n  static_files: \\2\n  upload: .*", "line 3: static_files: '\\\\\\\\2' is not valid"),
        ("handlers:\n- url: /a\n  static_dir: a\n  static_files: b", "line 4: static_files: not allowed together"),
        ("handlers:\n- url: /a\n  login: admin", "line 2: url: its handler needs `script: auto`, or static_dir"),
        (
            "handlers:\n- url: /a\n  script: auto\n  login: nobody",
            "line 4: login: 'nobody' is not allowed; write optional or",
        ),
        ("handlers:\n- url: /a\n  statics_dir: a", "line 3: statics_dir: unknown field; did you mean 'static_dir'?"),
    ],
)
def test_a_mistake_is_reported_with_its_line_and_field(text, message):
    with pytest.raises(AppYamlError, match=message):
        parse_app_yaml(text)


def test_a_file_that_is_not_text_is_reported_with_its_path(tmp_path: Path):
    (tmp_path / "app.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(AppYamlError, match="app.yaml can't be read"):
        read_app_yaml(tmp_path / "app.yaml")
