"""The words that a display shows, as text and as HTML."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any


class Shown(HTMLParser):
    """Collects the tags of HTML, and its text except the whole values that unfold below shortened ones."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text = ""
        self.tags: set[str] = set()
        self._hides: list[bool] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        if tag in ("details", "summary", "div"):
            self._hides.append(tag == "details")
        self.text += "" if tag == "wbr" else " "

    def handle_endtag(self, tag: str) -> None:
        if tag in ("details", "summary", "div"):
            self._hides.pop()

    def handle_data(self, data: str) -> None:
        if not any(self._hides[-1:]):
            self.text += data


def words(text: str) -> list[str]:
    """Return the words of a text in any order, without the rules of tables and the numbers of steps."""
    return sorted(re.sub(r"(?m)^\d+\. |^[- ]+$", "", text).split())
