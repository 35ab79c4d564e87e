"""Reads app.yaml. A message about a mistake names the line and the field.

This module uses PyYAML instead of `google.appengine.api.appinfo` (SDK 3.1.0). `appinfo` refuses newer fields such as
app_engine_bundled_services, and it accepts a `url` that isn't a regular expression.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import yaml

from harness.errors import AppYamlError, did_you_mean, quoted

APP_YAML = "app.yaml"
_NO_EFFECT = frozenset({"version", "threadsafe", "api_version"})
_APIS = "app_engine_apis"
_SERVICES = "app_engine_bundled_services"
# What YAML and Google's appinfo (SDK 3.1.0) read as true and as false, in lower case.
_TRUE = ("true", "yes", "on", "y", "1")
_FALSE = ("false", "no", "off", "n", "0")
_NO_EFFECT_IN_HANDLERS = frozenset({"script", "application_readable"})
_HANDLER_FIELDS = (
    "url",
    "static_dir",
    "static_files",
    "upload",
    "mime_type",
    "http_headers",
    "require_matching_file",
    "login",
    "auth_fail_action",
)
_MISSPELLED = 0.8  # an unknown field that is at least this similar to a known one counts as misspelled
_LONGEST_REASON = 500  # characters

Fields = dict[str, tuple[yaml.Node, yaml.Node]]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class UrlHandler:
    """An entry of `handlers` in app.yaml. The first one that matches a path serves it.

    Args:
        url: the pattern that must match the whole path.
        folder: the served folder or file, which may refer to groups of `url`; None if the application responds.
        is_folder: whether the rest of the path is the name of a file in `folder`.
        upload: the pattern that the names of the files must match; None if all names without ".." are allowed.
        admin: whether only administrators and tasks may use the URL.
        unauthorized: whether other users get status 401 instead of 403.
        mime_type: the type of the files; "" if it is derived from their names.
        headers: additional headers of the response.
        must_exist: whether the handler matches only paths whose files exist.
    """

    url: re.Pattern[str]
    folder: str | None = None
    is_folder: bool = False
    upload: re.Pattern[str] | None = None
    admin: bool = False
    unauthorized: bool = False
    mime_type: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    must_exist: bool = False

    def find_file(self, path: str, root: Path) -> Path | None:
        """Return the file that the handler serves for a decoded path, or None if it serves no file in the root."""
        found = self.url.fullmatch(path)
        if found is None or self.folder is None:
            return None
        name = found.expand(self.folder) if not self.is_folder else f"{self.folder}/{found[found.re.groups]}"
        if ".." in re.split(r"[/\\]", name) or (self.upload and not self.upload.fullmatch(name.lstrip("/"))):
            return None
        try:
            file = (root / name.lstrip("/")).resolve()
            exists = file.is_file()
        except (OSError, ValueError):  # a null byte, or a name that is too long
            return None
        inside = file.is_relative_to((root / self.folder).resolve() if self.is_folder else root.resolve())
        return file if exists and inside else None


def find_handler(handlers: Iterable[UrlHandler], path: str, root: Path) -> tuple[UrlHandler | None, Path | None]:
    """Return the handler that applies to a decoded path, which is the first one that matches, and the file it serves.

    Args:
        handlers: the handlers, in order.
        path: the path.
        root: the folder that contains the files of the handlers.
    """
    for handler in handlers:
        if handler.url.fullmatch(path) is not None:
            file = handler.find_file(path, root)
            if file is not None or not handler.must_exist:
                return handler, file
    return None, None


@dataclass(frozen=True, slots=True)
class AppYaml:
    """The settings of an app.yaml that `serve` uses.

    `apis` tells whether App Engine would let the application call its own APIs, such as taskqueue. `unsupported` lists
    the fields that have no effect here, with their lines.
    """

    entrypoint: str | None = None
    env: dict[str, str] = field(default_factory=dict)
    handlers: tuple[UrlHandler, ...] = ()
    runtime: str = ""
    service: str = "default"
    apis: bool = True
    unsupported: tuple[str, ...] = ()


def read_app_yaml(path: Path) -> AppYaml:
    """Return the settings of an app.yaml that `serve` uses.

    Raises:
        AppYamlError: the file can't be read, or contains a mistake. The message names its line and field.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise AppYamlError(f"{path} can't be read: {error}") from None
    return parse_app_yaml(text)


def parse_app_yaml(text: str) -> AppYaml:
    """Return the settings in the text of an app.yaml; see `read_app_yaml`."""
    root = _compose(text)
    if root is None:
        raise AppYamlError("app.yaml is empty; it must contain fields such as `runtime: python312`")
    fields = _fields(root, "the file")
    readers = {"entrypoint", "env_variables", "handlers", "runtime", "service", "module", _APIS, _SERVICES}
    unsupported = [
        f"{name} (line {_line(key)})" for name, (key, _) in fields.items() if name not in readers | _NO_EFFECT
    ]
    for name, (key, _) in fields.items():
        _check_spelling(key, name, readers)
    handlers = [_handler(node, unsupported) for node in _items(fields, "handlers", "with one `- url: …` per handler")]
    return AppYaml(
        entrypoint=_optional(fields, "entrypoint"),
        env=dict(_environment(fields)),
        handlers=tuple(handlers),
        runtime=_optional(fields, "runtime") or "",
        service=_optional(fields, "service") or _optional(fields, "module") or "default",
        apis=any([_is_on(fields), _items(fields, _SERVICES, "with one name of a service per line")]),
        unsupported=tuple(unsupported),
    )


def _is_on(fields: Fields) -> bool:
    """Return whether `app_engine_apis` is true. A field without a value is false."""
    if _APIS not in fields or _is_null(fields[_APIS][1]):
        return False
    node = fields[_APIS][1]
    value = _text(node, _APIS)
    if value.lower() not in (*_TRUE, *_FALSE):
        raise _mistake(node, _APIS, f"{quoted(value)} is not allowed; write true or false")
    return value.lower() in _TRUE


def _mistake(node: yaml.Node, name: str, what: str) -> AppYamlError:
    return AppYamlError(f"app.yaml, line {_line(node)}: {name}: {what[:_LONGEST_REASON]}")


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _compose(text: str) -> yaml.Node | None:
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        what = str(error.problem)
    except yaml.reader.ReaderError as error:
        line, what = text.count("\n", 0, error.position) + 1, f"the character {chr(error.character)!r} is not allowed"
    raise AppYamlError(f"app.yaml, line {line}: not YAML: {what[:_LONGEST_REASON]}") from None


def _fields(node: yaml.Node, what: str) -> Fields:
    """Return the fields of a mapping, each with the node of its name and the node of its value."""
    if not isinstance(node, yaml.MappingNode):
        raise _mistake(node, what, "expected lines of `field: value`")
    fields: Fields = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _mistake(key, what, "the name of a field must be a string")
        if key.value in fields:
            raise _mistake(key, key.value, f"given twice in {what}; delete one")
        fields[key.value] = (key, value)
    return fields


def _check_spelling(node: yaml.Node, name: str, known: set[str]) -> None:
    """Refuse a misspelled field. Other unknown fields are listed as unsupported, because Google adds new ones."""
    meant = did_you_mean(name, known)
    if name not in known | _NO_EFFECT and meant and _similar(name, known):
        raise _mistake(node, name, f"unknown field; {meant}")


def _similar(name: str, known: set[str]) -> bool:
    from difflib import get_close_matches

    return bool(get_close_matches(name, known, n=1, cutoff=_MISSPELLED))


def _items(fields: Fields, name: str, form: str) -> list[yaml.Node]:
    if name not in fields or _is_null(fields[name][1]):
        return []
    node = fields[name][1]
    if not isinstance(node, yaml.SequenceNode):
        raise _mistake(node, name, f"expected a list, {form}")
    items: list[yaml.Node] = node.value
    return items


def _is_null(node: yaml.Node) -> bool:
    return node.tag == "tag:yaml.org,2002:null"


def _text(node: yaml.Node, name: str) -> str:
    if not isinstance(node, yaml.ScalarNode) or _is_null(node):
        raise _mistake(node, name, "expected one value")
    return str(node.value)


def _optional(fields: Fields, name: str) -> str | None:
    return None if name not in fields else _text(fields[name][1], name)


def _environment(fields: Fields) -> Iterator[tuple[str, str]]:
    if "env_variables" not in fields:
        return
    for name, (key, value) in _fields(fields["env_variables"][1], "env_variables").items():
        if not re.fullmatch(r"[A-Za-z_]\w*", name):
            raise _mistake(key, "env_variables", f"{quoted(name)} isn't a valid name for a variable")
        yield name, _text(value, f"env_variables: {name}")


def _handler(node: yaml.Node, unsupported: list[str]) -> UrlHandler:
    fields = _fields(node, "handler")
    for name, (key, value) in fields.items():
        _check_spelling(key, name, {*_HANDLER_FIELDS, *_NO_EFFECT_IN_HANDLERS})
        unused = name not in _HANDLER_FIELDS and name not in _NO_EFFECT_IN_HANDLERS
        written = f"{name}: {value.value}" if isinstance(value, yaml.ScalarNode) else name
        if (unused and written != "secure: optional") or written == "login: required":
            unsupported.append(f"handlers: {written} (line {_line(key)})")
    if "url" not in fields:
        raise _mistake(node, "url", "missing; every handler needs one, such as `- url: /static`")
    if not {"static_dir", "static_files", "script"} & fields.keys():
        raise _mistake(fields["url"][0], "url", "its handler needs `script: auto`, or static_dir or static_files")
    if "static_dir" in fields and "static_files" in fields:
        raise _mistake(fields["static_files"][0], "static_files", "not allowed together with static_dir; delete one")
    if "static_files" in fields and "upload" not in fields:
        expected = "its handler also needs `upload`, such as `upload: static/.*`"
        raise _mistake(fields["static_files"][0], "static_files", expected)
    url = _text(fields["url"][1], "url")
    is_folder = "static_dir" in fields
    folder = _optional(fields, "static_dir") or _optional(fields, "static_files")
    pattern = _pattern(fields["url"][1], f"{url.rstrip('/')}/(.*)" if is_folder else url)
    if folder is not None and not is_folder:
        _check_groups(fields["static_files"][1], pattern, folder)
    return UrlHandler(
        pattern,
        folder,
        is_folder,
        upload=_pattern(fields["upload"][1], _text(fields["upload"][1], "upload"), "upload")
        if "upload" in fields
        else None,
        admin=_choice(fields, "login", ("optional", "required", "admin")) == "admin",
        unauthorized=_choice(fields, "auth_fail_action", ("redirect", "unauthorized")) == "unauthorized",
        mime_type=_optional(fields, "mime_type") or "",
        headers=_headers(fields),
        must_exist=(_optional(fields, "require_matching_file") or "").lower() in _TRUE,
    )


def _pattern(node: yaml.Node, text: str, name: str = "url") -> re.Pattern[str]:
    return _checked(node, name, lambda: re.compile(text))


def _check_groups(node: yaml.Node, pattern: re.Pattern[str], template: str) -> None:
    """Refuse a template with a group that the URL doesn't have."""
    empty = re.compile("()" * pattern.groups).fullmatch("")
    assert empty is not None
    _checked(node, "static_files", lambda: empty.expand(template))


def _checked(node: yaml.Node, name: str, make: Callable[[], T]) -> T:
    try:
        return make()
    except (re.error, IndexError) as error:
        raise _mistake(node, name, f"{quoted(getattr(node, 'value', ''))} is not valid: {error}") from None


def _choice(fields: Fields, name: str, allowed: tuple[str, ...]) -> str:
    value = _optional(fields, name)
    if value is not None and value not in allowed:
        raise _mistake(fields[name][1], name, f"{quoted(value)} is not allowed; write {' or '.join(allowed)}")
    return value or allowed[0]


def _headers(fields: Fields) -> tuple[tuple[str, str], ...]:
    if "http_headers" not in fields:
        return ()
    found = _fields(fields["http_headers"][1], "http_headers")
    return tuple((name, _text(value, name)) for name, (_, value) in found.items())
