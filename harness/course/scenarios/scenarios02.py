"""The scenarios of lesson 02's exercises, as data. Their checks are in lesson02.py."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.course.catalogue import Pattern, Scenario

_RANDOM = random.Random(2)
_WORDS = ("".join(_RANDOM.choices("αβγδεζηθικλμνξοπρστυφχψω", k=6)) for _ in range(3000))
GREEK = " ".join(_WORDS)  # 3,000 words, which don't fit into a task even if they are compressed
LONG = "Die Fähre fährt heute nicht. " * 2
AWKWARD = "  \"½\" + 'e\u0301' & <i>100 %</i>; a\\b=夜  "  # e and an accent, as macOS writes it
LONG_AWKWARD = AWKWARD + "Die Fähre fährt  "  # as long as LONG
LIKE_NONE = ("None", "0", "-", "null")
IS_CUT_OFF = "App Engine shuts down the worker's instance during the first attempt"
ELSEWHERE = "another instance of the application runs the task"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery(Scenario):
    """Requests of users, and the attempts of their tasks.

    Args:
        together: whether all requests are sent before the first task runs. Otherwise, each task runs before the next
            request.
        earlier: whether the table contains rows already.
        elsewhere: whether the tasks run on another instance than the requests.
        dies: the number of turns after which the instance of the first attempt is shut down, or None. If several tasks
            share the work, it is shut down after one turn.
    """

    together: bool = False
    earlier: bool = False
    elsewhere: bool = False
    dies: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Edits(Delivery):
    """2.1: each edit is an old and a new headline. If `is_form`, it is sent as a form, by POST."""

    edits: tuple[tuple[str, str], ...] = (("Ferry late", "Ferry on time"),)
    logged_in: bool = False
    is_form: bool = False


@dataclass(frozen=True, slots=True)
class SectionVote:
    """2.2: one vote; None as the comment means that the form has no such key."""

    stars: int
    comment: str | None
    sections: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SectionVotes(Delivery):
    """2.2: the votes of readers."""

    votes: tuple[SectionVote, ...] = (SectionVote(4, "Mehr Möwen!", ("sport", "tides")),)


@dataclass(frozen=True, slots=True)
class Report:
    """2.3: one report of tides."""

    port: str
    metres: tuple[float, ...]
    storm: bool

    @property
    def tides(self) -> dict[str, Any]:
        return {"port": self.port, "metres": list(self.metres), "storm": self.storm}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reports(Delivery):
    """2.3: the reports of the harbour office."""

    reports: tuple[Report, ...] = (Report("Rødvig", (9.25, 10.5, 9.75), True),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stories(Scenario):
    """2.4: stories that are saved before the first task runs. Stories are numbered in this order, from 0.

    Args:
        bodies: their texts.
        corrected: the new text of each story that is corrected while its task waits.
        deleted: the stories that are deleted while their tasks wait.
        others: the number of stories that another part of the application adds after the first one. Some ids before
            them aren't used.
        elsewhere: see `Delivery`.
        dies: for each of the first attempts, the number of turns after which its instance is shut down.
    """

    bodies: tuple[str, ...] = (GREEK,)
    corrected: Mapping[int, str] = field(default_factory=dict)
    deleted: frozenset[int] = frozenset()
    others: int = 0
    elsewhere: bool = False
    dies: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Article:
    """2.5: one article, and the value of the form's box “urgent”; None means that the form has no such key."""

    title: str
    urgent: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class News(Delivery):
    """2.5: the articles that are published."""

    articles: tuple[Article, ...] = (Article("Ferry cancelled", "on"), Article("Chess club", ""))


_SAME_TWICE = frozenset({Pattern.EQUAL_INPUT})
_TWO_USERS = frozenset({Pattern.TWO_USERS, Pattern.CLOCK})
_EARLIER = frozenset({Pattern.SIZES, Pattern.UNCHANGED})
_KEYS = frozenset({Pattern.KEYS})
_INSTANCES = frozenset({Pattern.INSTANCES})
_DEATH = frozenset({Pattern.DEATH})
_STRINGS = frozenset({Pattern.STRINGS})
_ATTACKER = frozenset({Pattern.ATTACKER, Pattern.STRINGS})

EDITS = (
    Edits(),
    Edits(
        what="a logged-in editor sends the form by POST, and `mytable` contains an equal, earlier edit",
        patterns=_EARLIER | _SAME_TWICE,
        logged_in=True,
        is_form=True,
        earlier=True,
    ),
    Edits(
        what="three editors save equal or similar headlines in the same minute",
        patterns=_TWO_USERS | _SAME_TWICE | _KEYS,
        together=True,
        edits=(("Ferry late!", "Ferry late"), ("Ferry late", "Ferry late!"), ("Ferry late", "Ferry late!")),
    ),
    Edits(
        what="headlines are empty or long, or contain outer spaces, quotes, other letters or other values",
        patterns=_STRINGS | _ATTACKER,
        edits=(('Tide & more&new=Ebb", "new": "Ebb', "None"), (AWKWARD, "Ночь + туман"), ("", LONG)),
    ),
    Edits(
        what=f"{ELSEWHERE}, and is shut down during the first attempt",
        patterns=_DEATH | _INSTANCES,
        dies=1,
        elsewhere=True,
    ),
)

VOTES = (
    SectionVotes(),
    SectionVotes(
        what="four readers vote in the same minute, and two of the votes are equal",
        patterns=_TWO_USERS | _SAME_TWICE | {Pattern.UNCHANGED},
        together=True,
        votes=(
            SectionVote(4, "Hm", ("ebb", "tide")),
            SectionVote(4, "Fine", ("sport", "ebb")),
            SectionVote(4, "Fine", ("sport", "ebb")),
            SectionVote(1, "Bad", ("chess", "sport")),
        ),
        earlier=True,
    ),
    SectionVotes(
        what="readers choose many sections, one or none, with or without a comment",
        patterns=_KEYS | _STRINGS | {Pattern.SIZES, Pattern.EACH_WRITE},
        votes=(
            SectionVote(1, None, ("tides",)),
            SectionVote(5, "", ("transport", "sport", "port", "ebb", "tide")),
            SectionVote(2, "Fine", ()),
            *(SectionVote(3, comment, ("tides", "chess")) for comment in LIKE_NONE),
        ),
    ),
    SectionVotes(
        what="comments or sections contain quotes, commas or other values",
        patterns=_ATTACKER,
        votes=(
            SectionVote(4, LONG_AWKWARD, ("tides",)),
            SectionVote(4, "Bad&stars=1&sections=chess", ("Arts, music & more", " 'Sport' ")),
        ),
    ),
    SectionVotes(
        what=IS_CUT_OFF, patterns=_DEATH, dies=2, votes=(SectionVote(4, "Fine", ("chess", "sport", "tides")),)
    ),
    SectionVotes(what=ELSEWHERE, patterns=_INSTANCES, elsewhere=True),
)

REPORTS = (
    Reports(),
    Reports(
        what="reports are equal, or contain one height, many heights or a port with quotes",
        patterns=_SAME_TWICE | _ATTACKER | {Pattern.SIZES},
        reports=(
            Report("Als&storm=yes", (-1.5,), False),
            Report("Als&storm=yes", (-1.5,), False),
            Report("Esbjerg", tuple(number / 4 for number in range(-20, 40)), False),
            Report(LONG_AWKWARD, (0.5, 1.5), True),
            Report('Als", "storm": true, "x": "', (0.5, 1.5), False),
        ),
    ),
    Reports(
        what="ports with similar names report in the same minute, one for the second time",
        patterns=_TWO_USERS | _KEYS | {Pattern.UNCHANGED, Pattern.SIZES},
        together=True,
        earlier=True,
        reports=(
            Report("Als 2", (9.5,), True),
            Report("Als", (2.0, 2.0), False),
            Report("Als!", (0.5,), False),
            Report("Gedser", (2.5, -0.5), False),
        ),
    ),
    Reports(what=IS_CUT_OFF, patterns=_DEATH, dies=1),
    Reports(what=ELSEWHERE, patterns=_INSTANCES, elsewhere=True),
)

STORIES = (
    Stories(),
    Stories(
        what="four tasks wait while an editor corrects one story and deletes another, some ids aren't used, and texts "
        "have no words or several spaces between words",
        patterns=_TWO_USERS | _SAME_TWICE | _KEYS | _EARLIER | _STRINGS,
        lab={"shuffle": True, "seed": 3},
        bodies=("The ferry is late.", "The ferry is late.", "The ferry is gone.", ""),
        corrected={0: "  Don't  wait:\tthe\nferry's\r\n100 % late, o'clock-wise  "},
        deleted=frozenset({2}),
        others=8,
    ),
    Stories(
        what="App Engine shuts down the worker's instance during each task's first attempt",
        patterns=_DEATH,
        dies=(1, 3),
        bodies=("The ferry is late.", "Ebb and flood."),
    ),
    Stories(what=ELSEWHERE, patterns=_INSTANCES, elsewhere=True, bodies=("The ferry is late.",)),
)

NEWS = (
    News(),
    News(
        what="titles contain quotes or other values, or the form has another `urgent`",
        patterns=_ATTACKER,
        articles=(
            Article("Chess club", None),
            Article("True or on", "none"),
            Article(LONG_AWKWARD, "on"),
            Article("0", "on"),
            Article("Chess&urgent=True&urgent=1&urgent=on", ""),
            Article('Chess", "urgent": true, "x": "', "off"),
            Article("Storm&urgent=&urgent=0", "on"),
        ),
    ),
    News(
        what="articles with equal or similar titles are published in the same minute",
        patterns=_TWO_USERS | _SAME_TWICE | _KEYS | _EARLIER,
        together=True,
        earlier=True,
        articles=(
            Article("Storm flood", "on"),
            Article("Storm", "on"),
            Article("Chess club", ""),
            Article("Storm!", "on"),
            Article("Storm", "on"),
        ),
    ),
    News(what=IS_CUT_OFF, patterns=_DEATH, dies=1, articles=(Article("Ferry cancelled", "on"),)),
    News(what=ELSEWHERE, patterns=_INSTANCES, elsewhere=True),
)
