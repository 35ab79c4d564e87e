"""The text of a letter."""

import textwrap
from string import Template


def compose(body, name, link):
    """Return the text for one recipient; $name in the body is their name."""
    text = Template(body).safe_substitute(name=name or 'reader')
    wrapped = '\n\n'.join(textwrap.fill(part, 70) for part in text.replace('\r\n', '\n').split('\n\n'))
    return '%s\n\n-- \nUnsubscribe: %s\n' % (wrapped, link)
