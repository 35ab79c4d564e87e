"""What has changed between two revisions."""

import difflib


def changed_lines(before, after):
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm='', n=0)
    return [line for line in lines if not line.startswith(('---', '+++', '@@'))]
