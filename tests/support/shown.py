"""The words that a display shows, as text and as HTML."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any


class Shown(HTMLParser):
    """Collects the text of HTML that is visible before anything is unfolded, and the tags."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text = ""
        self.tags: set[str] = set()
        self._folded = self._summary = 0
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        self._folded += tag == "details"
        self._summary += tag == "summary"
        self.text += " "

    def handle_endtag(self, tag: str) -> None:
        self._folded -= tag == "details"
        self._summary -= tag == "summary"

    def handle_data(self, data: str) -> None:
        if self._summary or not self._folded:
            self.text += data


def words(text: str) -> list[str]:
    """Return the words of a text in any order, without the rules of tables and the numbers of steps."""
    return sorted(re.sub(r"(?m)^\d+\. |^[- ]+$", "", text).split())
