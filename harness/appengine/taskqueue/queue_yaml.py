"""Reads queue.yaml: the queues that it describes, or a message that names the line, the field and what is allowed."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from typing import Any

import yaml

from harness.appengine.taskqueue.model import QueueConfig, RetryParameters
from harness.errors import QueueConfigError

# The fields of queue.yaml, and what each may hold (T39; Docs, and SDK `google/appengine/api/queueinfo.py`).

Parser = Callable[[str], Any] | None  # None: the field holds more than one value

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_NUMBER = r"[0-9]+(?:\.[0-9]*)?"
_LONGEST = 10 * 365 * 86400  # our own: far beyond any course, and before the calendar ends
_LARGEST_INT = 2**31 - 1  # Google's messages hold 32 bits


def _name(text: str) -> str:
    if not re.fullmatch(r"[a-zA-Z0-9-]{1,100}", text):
        raise ValueError(f"{text[:120]!r} is no name for a queue; use 1 to 100 letters, digits and '-'")
    return text


def _rate(text: str) -> float:
    if text == "0":
        return 0.0
    match = re.fullmatch(rf"({_NUMBER})/([smhd])", text)
    if not match:
        allowed = "write a number and a unit, such as 5/s, 10/m, 1/h or 1/d, or 0 to hold all tasks"
        raise ValueError(f"{text[:60]!r} is no rate; {allowed}")
    rate = float(match[1]) / _UNITS[match[2]]
    if rate > 500:
        raise ValueError(f"{text[:60]!r} is too fast; at most 500/s")
    return rate


def _mode(text: str) -> str:
    if text not in ("push", "pull"):
        raise ValueError(f"{text[:60]!r} is no mode; write push or pull")
    return text


def _target(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*(\.[a-z0-9][a-z0-9-]*){0,2}", text) or len(text) > 200:
        raise ValueError(f"{text[:120]!r} is no target; write a service, or version.service")
    return text


def _storage(text: str) -> str:
    if not re.fullmatch(rf"{_NUMBER}[BKMGT]?", text):
        raise ValueError(f"{text[:60]!r} is no size; write a number and B, K, M, G or T, such as 120M")
    return text


def _switch(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(f"{text[:60]!r} is neither true nor false")
    return text.lower() == "true"


def _age(text: str) -> float:
    match = re.fullmatch(rf"({_NUMBER})([smhd])", text)
    if not match:
        raise ValueError(f"{text[:60]!r} is no length of time; write a number and a unit, such as 30s, 10m, 4h or 2d")
    return _limited(text, int(min(float(match[1]) * _UNITS[match[2]], 1e300)), 1, _LONGEST, " seconds")


def _seconds(text: str) -> float:
    if not re.fullmatch(_NUMBER, text):
        raise ValueError(f"{text[:60]!r} is no number of seconds; write a number such as 0.5, 10 or 300")
    return _limited(text, float(text), 0, _LONGEST, " seconds")


def _integer(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch("[0-9]+", text):
            raise ValueError(f"{text[:60]!r} is no whole number; write one from {least} to {most}")
        return int(_limited(text, float(text), least, most))

    return parse


def _limited(text: str, number: float, least: int, most: int, unit: str = "") -> float:
    if not least <= number <= most:
        raise ValueError(f"{text[:60]!r} is out of range; at least {least} and at most {most}{unit}")
    return number


TOP_FIELDS: dict[str, Parser] = {
    "queue": None,
    "resume_paused_queues": _switch,
    "total_storage_limit": _storage,
}
PUSH_FIELDS: dict[str, Parser] = {
    "name": _name,
    "mode": _mode,
    "rate": _rate,
    "bucket_size": _integer(1, 500),
    "max_concurrent_requests": _integer(1, 5000),
    "retry_parameters": None,
    "target": _target,
}
PULL_FIELDS: dict[str, Parser] = {"name": _name, "mode": _mode, "acl": None, "retry_parameters": None}
RETRY_FIELDS: dict[str, Parser] = {
    "task_retry_limit": _integer(0, _LARGEST_INT),
    "task_age_limit": _age,
    "min_backoff_seconds": _seconds,
    "max_backoff_seconds": _seconds,
    "max_doublings": _integer(0, _LARGEST_INT),
}
PULL_RETRY_FIELDS: dict[str, Parser] = {"task_retry_limit": _integer(0, _LARGEST_INT)}


def closest(name: str, known: Iterable[str]) -> str:
    """Return a proposal for a field that does not exist."""
    near = difflib.get_close_matches(name.strip("'"), known, 1)
    return f"; did you mean {near[0]}?" if near else f"; the fields are {', '.join(known)}"


_DEEPEST = 6  # a queue.yaml needs four levels

Fields = dict[str, tuple[yaml.Node, yaml.Node]]


def parse_queue_yaml(text: str | bytes) -> tuple[QueueConfig, ...]:
    """Return the queues that a queue.yaml describes, "default" among them (T39, T40; Docs).

    Args:
        text: the file; bytes must be UTF-8.

    Raises:
        QueueConfigError: any mistake in it, with its line, field and value.
    """
    root = _compose(_decoded(text))
    if root is None:
        raise QueueConfigError("queue.yaml is empty; it begins with a line `queue:`, then one `- name: …` per queue")
    fields = _fields(root, "the file", TOP_FIELDS)
    _values(fields, TOP_FIELDS)  # checked, and of no consequence here
    items = _items(fields["queue"][1]) if "queue" in fields else []
    configs = [_queue(item) for item in items]
    _check_unique(items, configs)
    if not any(config.name == "default" for config in configs):
        configs.insert(0, QueueConfig("default"))
    return tuple(configs)


class _Loader(yaml.SafeLoader):
    """Composes nodes, which know their line; it takes no aliases (a small file could stand for a huge one)."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            raise _mistake(event, f"*{event.anchor}", "queue.yaml takes no aliases; write the value out")
        self.depth += 1
        if self.depth > _DEEPEST:
            raise _mistake(event, "queue.yaml", f"nested more than {_DEEPEST} levels deep")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _mistake(place: yaml.Node | yaml.Event, field: str, what: str) -> QueueConfigError:
    return QueueConfigError(f"queue.yaml, line {_line(place.start_mark)}: {field}: {what}")


def _line(mark: Any) -> int:
    return mark.line + 1 if mark else 1


def _decoded(text: str | bytes) -> str:
    if isinstance(text, str):
        return text
    if not isinstance(text, bytes):
        raise QueueConfigError(f"queue.yaml is text, such as 'queue:\\n- name: mail\\n', and not {text!r}")
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
        tab = "; indent with spaces, never with tabs" if "\\t" in str(error.problem) else ""
        line, what = _line(error.problem_mark), f"{error.problem}{tab}"
    except QueueConfigError:
        raise
    except (OverflowError, ValueError):  # PyYAML 6.0 hands an escape such as "\UFFFFFFFF" to chr() as it is
        line, what = text.count("\n", 0, text.find("\\U")) + 1, "an escape \\U beyond Unicode"
    raise QueueConfigError(f"queue.yaml, line {line}: not YAML: {what}") from None


def _fields(node: yaml.Node, what: str, known: dict[str, Parser]) -> Fields:
    """Return the fields of a mapping, each with the nodes of its name and of its value."""
    if not isinstance(node, yaml.MappingNode):
        raise _mistake(node, what, f"expected lines of `field: value`, not {_shown(node)}")
    fields: Fields = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.value not in known:
            raise _mistake(key, _shown(key), f"no field of {what}{closest(_shown(key), known)}")
        if key.value in fields:
            raise _mistake(key, key.value, f"given twice in one {what}; delete one")
        fields[key.value] = (key, value)
    return fields


def _items(node: yaml.Node) -> list[yaml.Node]:
    if not isinstance(node, yaml.SequenceNode):
        raise _mistake(node, "queue", f"expected a list, one `- name: …` per queue, not {_shown(node)}")
    return list(node.value)


def _queue(node: yaml.Node) -> QueueConfig:
    every = PUSH_FIELDS | PULL_FIELDS
    fields = _fields(node, "queue", every)
    if "name" not in fields:
        raise _mistake(node, "name", "missing; every queue needs one, such as `- name: mail`")
    values = _values(fields, every)
    pull = values.get("mode") == "pull"
    for name in fields:
        if name not in (PULL_FIELDS if pull else PUSH_FIELDS):
            raise _mistake(fields[name][0], name, f"only for {'push' if pull else 'pull'} queues; delete it")
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
    """Return the values of those fields that hold one value, as the configuration has them."""
    values: dict[str, Any] = {}
    for name, (_, node) in fields.items():
        parser = parsers[name]
        if parser is None:
            continue
        if not isinstance(node, yaml.ScalarNode):
            raise _mistake(node, name, f"expected one value, not {_shown(node)}")
        try:
            values[name] = parser(node.value.strip())
        except ValueError as error:
            raise _mistake(node, name, str(error)) from None
    return values


def _check_unique(nodes: list[yaml.Node], configs: list[QueueConfig]) -> None:
    lines: dict[str, int] = {}
    for node, config in zip(nodes, configs, strict=True):
        if config.name in lines:
            raise _mistake(node, "name", f"queue {config.name!r} is there already, in line {lines[config.name]}")
        lines[config.name] = _line(node.start_mark)


def _shown(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return repr(node.value[:60]) if node.value else "nothing"
    return "a list" if isinstance(node, yaml.SequenceNode) else "fields"
