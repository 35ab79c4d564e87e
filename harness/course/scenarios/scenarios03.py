"""The tables of scenarios of lesson 03's checks."""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.course.catalogue import Pattern, Scenario

Pair = tuple[str, str]
_SPACING = 75.5  # seconds; no two requests are in the same minute, unless a row is about that


@dataclass(frozen=True, slots=True, kw_only=True)
class Saves(Scenario):
    """Requests for `save`, in rounds. The tasks of a round run after its last request.

    Args:
        rounds: the values of each request.
        apps: the application of each request, in turn.
        at: when each request is sent, in seconds from the beginning; by default, they are more than a minute apart.
        instances: whether each request and each attempt has an instance of its own.
        bystander: whether somebody also uses what the answer must not change: a page, or a worker.
    """

    rounds: tuple[tuple[Pair, ...], ...]
    apps: tuple[str, ...] = ("tutorial",)
    at: tuple[float, ...] = ()
    instances: bool = False
    bystander: bool = False

    def sent_at(self, number: int) -> float:
        """Return when the request of this number is sent, in seconds from the beginning."""
        return self.at[number] if number < len(self.at) else number * _SPACING


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses(Scenario):
    """Addresses, and how they are rewritten.

    Args:
        headlines: the headline of the task that waits with the old address, and the one of a new correction.
        pages: the application, the controller and the function of pages that keep their addresses.
        strangers: addresses that don't lead to the log.
    """

    headlines: Pair = ("Nebel & Wind über Ærø", "Ferry on time")
    pages: tuple[tuple[str, str, str], ...] = ()
    strangers: tuple[str, ...] = ()


def _saves(
    user: str, does: str, pairs: Sequence[Pair], similar: tuple[Pair, ...], odd: tuple[Pair, ...], other: str = ""
) -> list[Saves]:
    """Return the rows that are the same for each exercise with a page `save`.

    Args:
        user: who uses the page ("editors").
        does: what they do ("save the same correction").
        pairs: two plain pairs of values.
        similar: pairs that code can easily confuse.
        odd: pairs of unusual texts.
        other: what another page does after the tasks of the third row, if it does anything.
    """
    sharing = "which don't share memory, caches or files"
    return [
        Saves(
            what=f"two {user} {does} within a second, and a third one does the same exactly one day later",
            patterns=frozenset({Pattern.EQUAL_INPUT, Pattern.CLOCK}),
            rounds=((pairs[0], pairs[0]), (pairs[0],)),
            at=(0.25, 1.25, 86_400.25),
        ),
        Saves(
            what="similar requests arrive before the first task runs",
            patterns=frozenset({Pattern.TWO_USERS, Pattern.KEYS}),
            rounds=(similar,),
            at=(0.5, 1.5, 2.5),
        ),
        Saves(
            what=f"the request and its task run on different instances, {other or sharing}",
            patterns=frozenset({Pattern.INSTANCES, Pattern.UNCHANGED} if other else {Pattern.INSTANCES}),
            rounds=((pairs[0],),),
            instances=True,
            bystander=bool(other),
        ),
        Saves(
            what="the texts are unusual: empty, unchanged, long, or with spaces and special characters",
            patterns=frozenset({Pattern.STRINGS}),
            rounds=(odd,),
        ),
    ]


_LONG = "  \"Nebel\"  <b>&</b> 'Wind' + 50 % %41_- " * 2
_ODD = (("0", ""), ("", "None"), (_LONG, _LONG))
_EDITS = (("Ferry late", "Ferry on time"), ("Nightfall", "Nächtlicher Nebel & Wind"))
_SIMILAR_EDITS = (_EDITS[0], ("Ferry late again", "Ferry on time at last"))
_COUNTS = (("Ada", "Ferry on time"), ("Björn & Co.", "Sturm: 50 % mehr Möwen"))
_SIMILAR_COUNTS = (_COUNTS[0], ("Ada Lund", "Ferry on time at last"))
_ARTICLES = (("17", "Fish & chips: 1/2 price?"), ("42", "Möwen über Ærø, 100 % sicher"))
_ODD_ARTICLES = (("17", _LONG), ("18", "None"), ("19", "0"), ("20", ""))
_SIMILAR_ARTICLES = (_ARTICLES[0], ("17", "Fish & chips"), ("1", "Fish & chips"))

ANOTHER_CONTROLLER = (
    Saves(rounds=((_EDITS[0],), (_EDITS[1],)), apps=("tutorial", "preview")),
    *_saves("editors", "save the same correction", _EDITS, _SIMILAR_EDITS, _ODD),
    Saves(
        what="readers open the page ex3_1/log after each correction",
        patterns=frozenset({Pattern.UNCHANGED, Pattern.FOREGROUND}),
        rounds=((_EDITS[0],), (_EDITS[1],)),
        bystander=True,
    ),
)
ANOTHER_APPLICATION = (
    Saves(rounds=((_COUNTS[0],), (_COUNTS[1],))),
    *_saves("colleagues with the same name", "save the same headline", _COUNTS, _SIMILAR_COUNTS, _ODD),
    Saves(
        what="another page also adds a task for count, with the values editor and headline",
        patterns=frozenset({Pattern.UNCHANGED}),
        rounds=((_COUNTS[0],),),
        bystander=True,
    ),
)
ARGS_AND_PARAMS = (
    Saves(rounds=((_ARTICLES[0],), (_ARTICLES[1],))),
    *_saves("editors", "save the same headline of an article", _ARTICLES, _SIMILAR_ARTICLES, _ODD_ARTICLES),
    Saves(
        what="the numbers of the articles have one digit and seven digits",
        patterns=frozenset({Pattern.SIZES}),
        rounds=((("5", "Ferry on time"),), (("1234567", "Ferry late"),)),
    ),
)
_MAILS = "and another page also adds a task for mail_editor, with the value new"
NEVER_STOPS = (
    Saves(rounds=((_EDITS[0],), (_EDITS[1],))),
    *_saves("editors", "save the same correction", _EDITS, _SIMILAR_EDITS, _ODD, _MAILS),
)
REWRITTEN = (
    Addresses(),
    Addresses(
        what="users request other pages, and URL() makes links to them",
        patterns=frozenset({Pattern.UNCHANGED}),
        pages=(
            ("tutorial", "ex3_5", "save"),
            ("tutorial", "ex3_5_news", "log"),
            ("tutorial", "corrections", "index"),
            ("stats", "ex3_5", "log"),
        ),
    ),
    Addresses(
        what="some addresses contain, or resemble, the address of the log",
        patterns=frozenset({Pattern.KEYS}),
        pages=(
            ("tutorial", "ex3_5", "log_edit"),
            ("tutorial", "ex3_5b", "log"),
            ("tutorial", "corrections", "log"),
            ("tutorial", "ex3_5", "catalog"),
        ),
        strangers=("/corrections/logbook", "/corrections/login", "/old/corrections/log", "/corrections/catalog"),
    ),
)
