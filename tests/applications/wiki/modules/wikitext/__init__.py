"""The markup of the wiki: headings, lists, bold text, and links to other pages."""

import re


def slug(name):
    """Return the name of a page: "my garden" becomes "MyGarden"."""
    words = re.findall(r'\w+', name)
    return ''.join(word[:1].upper() + word[1:] for word in words)[:60]
