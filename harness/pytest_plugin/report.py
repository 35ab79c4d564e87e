"""What a failing cell says: one line for the summary, then its source and the few lines that explain it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import unified_diff
from typing import Any

from click import unstyle

from harness.errors import one_line

_LINES = 40
_WIDTH = 160


def error_line(error: Mapping[str, Any]) -> str:
    """Return the name of an exception and the gist of its message."""
    return f"{error.get('ename')}: {one_line(str(error.get('evalue', '')))}"


def failure_text(headline: str, source: str, details: str | None) -> str:
    """Compose a failure; pytest's summary shows its first line."""
    numbered = [f"{number:4}  {line}" for number, line in enumerate(source.splitlines(), 1)]
    return "\n".join([headline, *numbered, *_shortened(unstyle(details or ""))])


def difference(reference: list[Any], test: list[Any]) -> list[str]:
    """Return how the outputs of a run differ from those in the notebook, as the lines of a unified diff."""
    old, new = list(_lines(reference)), list(_lines(test))
    return list(unified_diff(old, new, "in the notebook", "in this run", n=2, lineterm=""))


def _lines(outputs: list[Any]) -> Iterator[str]:
    for output in outputs:
        if output["output_type"] == "stream":
            yield from output["text"].splitlines()
        elif output["output_type"] == "error":
            yield from f"{output['ename']}: {output['evalue']}".splitlines()
        else:
            for kind, data in sorted(output["data"].items()):
                if not kind.startswith("image/png"):
                    yield f"[{kind}]"
                    yield from str(data).replace("><", ">\n<").splitlines()


def _shortened(details: str) -> list[str]:
    lines = [line[:_WIDTH] for line in details.strip("\n").splitlines()]
    return lines if len(lines) <= _LINES else [*lines[: _LINES // 2], "  …", *lines[-_LINES // 2 :]]
