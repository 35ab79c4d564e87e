"""A notebook in memory: what its JSON says, with attributes for keys.

nbformat has the same, and is used where notebooks are run, validated and written. To read one it is not loaded: that
takes longer than to load web2py (1.7 seconds of the processor for nbformat 5.10, most of it for a grammar of URLs in
jsonschema), and every first `check` would wait for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


class Node(dict[str, Any]):
    """A dict whose keys are attributes too; a dict that is put into it becomes one as well."""

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, value if isinstance(value, Node) else to_node(value))

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        del self[name]


def to_node(value: Any) -> Any:
    """Return what JSON gave with a Node for each dict."""
    if isinstance(value, dict):
        return Node({key: to_node(each) for key, each in value.items()})
    return [to_node(each) for each in value] if isinstance(value, list) else value


def join_lines(notebook: Node) -> None:
    """Make one text of each list of lines, as which notebooks of format 4 are stored."""
    for cell in notebook.cells:
        _join(cell, "source")
        for bundle in _bundles(cell):
            for kind in bundle:
                if not _is_json(kind):
                    _join(bundle, kind)
        for output in cell.get("outputs", []):
            _join(output, "text")


def _bundles(cell: Node) -> Iterator[Node]:
    """Yield what maps media types to data: attachments, and outputs that show something."""
    yield from cell.get("attachments", {}).values()
    for output in cell.get("outputs", []):
        yield output.get("data", Node())


def _is_json(kind: str) -> bool:
    return kind == "application/json" or kind.startswith("application/") and kind.endswith("+json")


def _join(holder: Node, key: str) -> None:
    lines = holder.get(key)
    if isinstance(lines, list) and all(isinstance(line, str) for line in lines):
        holder[key] = "".join(lines)
