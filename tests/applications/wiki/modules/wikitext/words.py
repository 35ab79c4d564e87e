"""The words of a page, for the search."""

import re
from collections import Counter

COMMON = set('a an and are for in is it of on or that the this to with'.split())


def count_words(text):
    words = re.findall(r'\w{2,60}', text.lower())
    return Counter(word for word in words if word not in COMMON)
