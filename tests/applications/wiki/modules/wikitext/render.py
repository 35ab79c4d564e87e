"""Turn the text of a page into HTML."""

import re
from html import escape

from . import slug

LINK = re.compile(r'\[\[([^\]|]+)(?:\|([^\]]+))?\]\]')
BOLD = re.compile(r"'''(.+?)'''")


def links(text):
    """Return the names of the pages to which a text links."""
    return {slug(found[1]) for found in LINK.finditer(text)}


def to_html(text, known, url):
    """Return HTML. `known` are the names of the pages that exist, and `url` makes the address of a page."""
    blocks = []
    for block in re.split(r'\n\s*\n', text.replace('\r\n', '\n').strip()):
        lines = block.split('\n')
        if block.startswith('='):
            level = len(block) - len(block.lstrip('='))
            blocks.append('<h%i>%s</h%i>' % (level, _inline(block.strip('= '), known, url), level))
        elif all(line.startswith('* ') for line in lines):
            items = ''.join('<li>%s</li>' % _inline(line[2:], known, url) for line in lines)
            blocks.append('<ul>%s</ul>' % items)
        else:
            blocks.append('<p>%s</p>' % _inline(block, known, url))
    return '\n'.join(blocks)


def _inline(text, known, url):
    def link(found):
        name = slug(found[1])
        missing = '' if name in known else ' class="missing"'
        return '<a href="%s"%s>%s</a>' % (url(name), missing, found[2] or found[1])

    return BOLD.sub(r'<b>\1</b>', LINK.sub(link, escape(text, quote=False)))
