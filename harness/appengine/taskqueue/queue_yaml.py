"""Reads queue.yaml. A message about a mistake names the line and the field, and lists what is allowed."""

import re
from collections.abc import Callable
from typing import Any

import yaml

from harness.appengine.taskqueue.model import QueueConfig, RetryParameters
from harness.errors import QueueConfigError, did_you_mean, quoted

Parser = Callable[[str], Any] | None  # None if the field holds more than one value
Fields = dict[str, tuple[yaml.Node, yaml.Node]]

_DEEPEST = 6  # levels; a queue.yaml needs four
_SHOWN = 60  # characters of a quoted value
_LONGEST_REASON = 500  # characters; PyYAML quotes a name in full
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_NUMBER = r"[0-9]+(?:\.[0-9]*)?"
_EXPONENT = r"[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?[eE][-+]?[0-9]+$"
_LONGEST = 10 * 365 * 86400  # seconds; our own limit, which keeps every date within the calendar
_LARGEST_INT = 2**31 - 1  # Google's messages have 32 bits


def _matching(pattern: str, allowed: str, convert: Callable[[re.Match[str]], Any] = lambda found: found[0]) -> Parser:
    """Return a parser of texts that match a pattern; `convert` makes the value of the match."""

    def parse(text: str) -> Any:
        found = re.fullmatch(pattern, text)
        if found is None:
            raise ValueError(f"{text[:_SHOWN]!r} is not {allowed}")
        return convert(found)

    return parse


def _limited(found: re.Match[str], number: float, least: int, most: int, unit: str = " seconds") -> float:
    if not least <= number <= most:
        raise ValueError(f"{found[0][:_SHOWN]!r} is out of range; at least {least} and at most {most}{unit}")
    return number


def _integer(least: int, most: int) -> Parser:
    allowed = f"an integer; write one from {least} to {most}"
    return _matching(r"\+?[0-9]+", allowed, lambda found: int(_limited(found, float(found[0]), least, most, "")))


_rate = _matching(
    rf"0|({_NUMBER})/([smhd])",
    "a rate; write a number and a unit, such as 5/s, 10/m, 1/h or 1/d, or 0 to hold all tasks",
    lambda found: _limited(found, float(found[1] or 0) / _UNITS[found[2] or "s"], 0, 500, "/s"),
)
_age = _matching(
    rf"({_NUMBER})([smhd])",
    "a length of time; write a number and a unit, such as 30s, 10m, 4h or 2d",
    lambda found: _limited(found, int(min(float(found[1]) * _UNITS[found[2]], 1e300)), 1, _LONGEST),
)
_seconds = _matching(
    rf"{_NUMBER}(?:e[-+]?[0-9]+)?",
    "a number of seconds; write a number such as 0.5, 10 or 300",
    lambda found: _limited(found, float(found[0]), 0, _LONGEST),
)
_name = _matching("[a-zA-Z0-9-]{1,100}", "a queue name; use 1 to 100 letters, digits and '-'")
_mode = _matching("push|pull", "a mode; write push or pull")
_label = "(?!-)[a-z0-9-]"

# The fields of queue.yaml, with what each may hold (T39; Docs, and SDK `google/appengine/api/queueinfo.py`).
TOP_FIELDS: dict[str, Parser] = {
    "queue": None,
    "resume_paused_queues": _matching("True|False", "true or false"),
    "total_storage_limit": _matching(f"{_NUMBER}[BKMGT]?", "a size; write a number and B, K, M, G or T, such as 120M"),
}
PUSH_FIELDS: dict[str, Parser] = {
    "name": _name,
    "mode": _mode,
    "rate": _rate,
    "bucket_size": _integer(1, 500),
    "max_concurrent_requests": _integer(1, 5000),
    "retry_parameters": None,
    "target": _matching(rf"({_label}{{1,100}}\.)?{_label}{{1,63}}", "a target; write a service, or version.service"),
}
PULL_FIELDS: dict[str, Parser] = {"name": _name, "mode": _mode, "acl": None, "retry_parameters": None}
RETRY_FIELDS: dict[str, Parser] = {
    "task_retry_limit": _integer(0, _LARGEST_INT),
    "task_age_limit": _age,
    "min_backoff_seconds": _seconds,
    "max_backoff_seconds": _seconds,
    "max_doublings": _integer(0, _LARGEST_INT),
}
ACL_FIELDS: dict[str, Parser] = dict.fromkeys(("user_email", "writer_email"), _matching("(?s:.*)", "an address"))
PULL_RETRY_FIELDS: dict[str, Parser] = {"task_retry_limit": _integer(0, _LARGEST_INT)}


def parse_queue_yaml(text: str | bytes) -> tuple[QueueConfig, ...]:
    """Return the queues of a queue.yaml, including "default" (T39, T40; Docs).

    Args:
        text: the text of the file; bytes must be UTF-8.

    Raises:
        QueueConfigError: the file contains a mistake; the message names its line, field and value.
    """
    root = _compose(_decoded(text))
    if root is None:
        raise QueueConfigError(
            "queue.yaml is empty; it must begin with `queue:`, followed by one `- name: …` per queue"
        )
    fields = _fields(root, "the file", TOP_FIELDS)
    _values(fields, TOP_FIELDS)  # only checked, because these values change nothing here
    items = _items(fields, "queue", "one `- name: …` per queue")
    configs = [_queue(item) for item in items]
    _check_unique(items, configs)
    if not any(config.name == "default" for config in configs):
        configs.insert(0, QueueConfig("default"))
    return tuple(configs)


class _Loader(yaml.SafeLoader):
    """Composes nodes with their line numbers; it refuses anchors, aliases and the tag !, as Google's parser does."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if anchor := getattr(event, "anchor", None):
            sign = "*" if isinstance(event, yaml.AliasEvent) else "&"
            raise _mistake(event, f"{sign}{anchor}"[:_SHOWN], "anchors and aliases are not allowed; repeat the value")
        if getattr(event, "tag", None) == "!":
            raise _mistake(event, "!", "a tag without a name is not allowed; delete it")
        self.depth += 1
        if self.depth > _DEEPEST:
            raise _mistake(event, "queue.yaml", f"nested more than {_DEEPEST} levels deep")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


# Google's parser (ruamel.yaml) also reads these booleans of YAML 1.1, and a float such as 1e3; PyYAML leaves them out.
for _tag, _pattern, _first in (("bool", "[yYnN]$", "yYnN"), ("float", _EXPONENT, "-+0123456789")):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first))


class _Constructor(yaml.constructor.SafeConstructor):
    """Makes values of nodes."""

    bool_values = yaml.constructor.SafeConstructor.bool_values | {"y": True, "n": False}


def _mistake(place: yaml.Node | yaml.Event, field: str, what: str) -> QueueConfigError:
    return QueueConfigError(f"queue.yaml, line {_line(place.start_mark)}: {field}: {what[:_LONGEST_REASON]}")


def _line(mark: Any) -> int:
    return mark.line + 1 if mark else 1


def _decoded(text: str | bytes) -> str:
    if isinstance(text, str):
        return text
    if not isinstance(text, bytes):
        raise QueueConfigError(f"queue.yaml must be a string, such as 'queue:\\n- name: mail\\n', not {quoted(text)}")
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        raise QueueConfigError(
            f"queue.yaml, line {line}: the byte {text[error.start]:#04x} is not UTF-8; save the file as UTF-8"
        ) from None


def _compose(text: str) -> yaml.Node | None:
    try:
        return yaml.compose(text, Loader=_Loader)
    except yaml.reader.ReaderError as error:
        line, what = text.count("\n", 0, error.position) + 1, f"the character {chr(error.character)!r} is not allowed"
    except yaml.MarkedYAMLError as error:
        tab = "; indent with spaces, not with tabs" if "\\t" in str(error.problem) else ""
        line, what = _line(error.problem_mark), f"{error.problem}{tab}"
    except QueueConfigError:
        raise
    except (OverflowError, ValueError):  # PyYAML 6.0 passes an escape such as "\UFFFFFFFF" to chr() unchecked
        line, what = text.count("\n", 0, text.find("\\U")) + 1, "an escape \\U beyond Unicode"
    raise QueueConfigError(f"queue.yaml, line {line}: not YAML: {what[:_LONGEST_REASON]}") from None


def _fields(node: yaml.Node, what: str, known: dict[str, Parser]) -> Fields:
    """Return the fields of a mapping, each with the node of its name and the node of its value."""
    if not isinstance(node, yaml.MappingNode):
        raise _mistake(node, what, f"expected lines of `field: value`, not {_shown(node)}")
    fields: Fields = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.value not in known:
            meant = did_you_mean(key.value, known) if isinstance(key, yaml.ScalarNode) else ""
            meant = meant or f"the fields are {', '.join(known)}"
            raise _mistake(key, _shown(key), f"unknown field of {what}; {meant}")
        if key.value in fields:
            raise _mistake(key, key.value, f"given twice in one {what}; delete one")
        fields[key.value] = (key, value)
    return fields


def _items(fields: Fields, name: str, what: str) -> list[yaml.Node]:
    """Return the items of a field that holds a list. The list is empty if the field is missing."""
    if name not in fields:
        return []
    node = fields[name][1]
    if not isinstance(node, yaml.SequenceNode):
        raise _mistake(node, name, f"expected a list, {what}, not {_shown(node)}")
    items: list[yaml.Node] = node.value
    return items


def _queue(node: yaml.Node) -> QueueConfig:
    every = PUSH_FIELDS | PULL_FIELDS
    fields = _fields(node, "queue", every)
    if "name" not in fields:
        raise _mistake(node, "name", "missing; every queue needs one, such as `- name: mail`")
    values = _values(fields, every)
    pull = values.get("mode") == "pull"
    for name in fields:
        if name not in (PULL_FIELDS if pull else PUSH_FIELDS):
            raise _mistake(fields[name][0], name, f"allowed only for {'push' if pull else 'pull'} queues; delete it")
    for item in _items(fields, "acl", "one `- user_email: …` per account"):
        _values(_fields(item, "acl", ACL_FIELDS), ACL_FIELDS)  # only checked
    if "retry_parameters" in fields:
        values["retry"] = _retry(fields["retry_parameters"][1], pull)
    return QueueConfig(**values)


def _retry(node: yaml.Node, pull: bool) -> RetryParameters:
    known = PULL_RETRY_FIELDS if pull else RETRY_FIELDS
    fields = _fields(node, "the retry_parameters of a pull queue" if pull else "retry_parameters", known)
    values = {name.removesuffix("_seconds"): value for name, value in _values(fields, known).items()}
    least, most = values.get("min_backoff"), values.get("max_backoff")
    if least is not None and most is not None and least > most:
        what = f"{least:g} is more than max_backoff_seconds, {most:g}"
        raise _mistake(fields["min_backoff_seconds"][1], "min_backoff_seconds", what)
    default = RetryParameters()
    if least is not None and most is None:
        values["max_backoff"] = max(default.max_backoff, least)  # as Google's parser of queue.yaml does (SDK)
    if most is not None and least is None:
        values["min_backoff"] = min(default.min_backoff, most)
    return RetryParameters(**values)


def _values(fields: Fields, parsers: dict[str, Parser]) -> dict[str, Any]:
    """Return the values of the fields that hold one value."""
    values: dict[str, Any] = {}
    for name, (_, node) in fields.items():
        if (parser := parsers[name]) is None:
            continue
        if not isinstance(node, yaml.ScalarNode):
            raise _mistake(node, name, f"expected one value, not {_shown(node)}")
        text = _text(name, node)
        try:
            values[name] = parser(text)
        except ValueError as error:
            written = node.value[:_SHOWN]
            read = "" if text == node.value else f"{written!r} is read as {text[:_SHOWN]!r}, and "
            raise _mistake(node, name, f"{read}{error}") from None
    return values


def _text(name: str, node: yaml.ScalarNode) -> str:
    """Return a value as Google's parser sees it: YAML 1.1 reads it, and `str` turns the result into a string (SDK)."""
    try:
        value = _Constructor().construct_object(node)
    except yaml.constructor.ConstructorError as error:
        raise _mistake(node, name, f"not a value: {error.problem}") from None
    except ValueError:  # such as the 13th month, or an integer with more digits than Python reads
        kind = node.tag.rpartition(":")[2]
        what = f"{_shown(node)} is not a valid {kind} of YAML; write it in quotes if it is a string"
        raise _mistake(node, name, what) from None
    if value is None:
        raise _mistake(node, name, "expected one value, but found none")
    return str(value)


def _check_unique(nodes: list[yaml.Node], configs: list[QueueConfig]) -> None:
    lines: dict[str, int] = {}
    for node, config in zip(nodes, configs, strict=True):
        if config.name in lines:
            raise _mistake(node, "name", f"queue {config.name!r} is already defined in line {lines[config.name]}")
        lines[config.name] = _line(node.start_mark)


def _shown(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return repr(node.value[:60]) if node.value else "nothing"
    return "a list" if isinstance(node, yaml.SequenceNode) else "fields"
