"""Rules about what is nobody else's business: folders of a machine, hosts of a package registry, secrets."""

from __future__ import annotations

import json
import re

from harness.linter.page import Found, Page

FORBIDDEN = {
    "a machine's path": re.compile(r"(?<![\w.<])/(?:home|root|tmp|Users|work)/\w+|\b[A-Z]:\\\\?Users\\"),
    "a registry's host": re.compile(r"(?:pypi|pythonhosted|npmjs|anaconda|debian)\.(?:org|com)"),
    "a secret": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_\w{36}|[?&]token=\w{16}"),
}


def nothing_private(page: Page) -> Found:
    for cell in page.cells:
        for says in forbidden(json.dumps(cell, ensure_ascii=False)):
            yield cell, says


def forbidden(text: str) -> list[str]:
    """Say what a text holds that should not be published."""
    return [f"holds {what}, {match[0]!r}" for what, pattern in FORBIDDEN.items() if (match := pattern.search(text))]
