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
        earlier: the number of stories that exist already. Some ids after them aren't used.
        later: the number of stories that another part of the application adds before the first task runs.
        elsewhere, dies: see `Delivery`.
    """

    bodies: tuple[str, ...] = (GREEK,)
    corrected: Mapping[int, str] = field(default_factory=dict)
    deleted: frozenset[int] = frozenset()
    earlier: int = 0
    later: int = 0
    elsewhere: bool = False
    dies: int | None = None


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
        what="two editors save different headlines in the same minute, before the first task runs",
        patterns=_TWO_USERS,
        together=True,
        edits=(("Ebb", "Flood"), ("Chess club meets", "Chess club wins")),
    ),
    Edits(
        what="two editors save the same headline",
        patterns=_SAME_TWICE,
        edits=(("Ferry late", "Ferry on time"), ("Ferry late", "Ferry on time")),
    ),
    Edits(
        what="headlines differ only at their end or in a punctuation mark",
        patterns=_KEYS,
        together=True,
        edits=(("Ferry late again", "Ferry late"), ("Ferry late", "Ferry late!"), ("Ferry late", "Ferry late?")),
    ),
    Edits(what="an editor is logged in", patterns=frozenset({Pattern.UNCHANGED}), logged_in=True),
    Edits(
        what="an editor sends the form by POST, and `mytable` contains earlier edits",
        patterns=_EARLIER,
        is_form=True,
        earlier=True,
    ),
    Edits(
        what="headlines are empty or long, or contain spaces at their ends, quotes, and letters of other alphabets",
        patterns=_STRINGS,
        edits=((AWKWARD, "Ночь + туман"), ("", LONG), ("None", "0")),
    ),
    Edits(
        what="a headline contains something that looks like another value",
        patterns=_ATTACKER,
        edits=(("Tide & more&new=Ebb", 'Flood", "old": "Ebb'),),
    ),
    Edits(what=IS_CUT_OFF, patterns=_DEATH, dies=1),
    Edits(what=ELSEWHERE, patterns=_INSTANCES, elsewhere=True),
)

VOTES = (
    SectionVotes(),
    SectionVotes(
        what="readers choose many sections, one section, or none",
        patterns=frozenset({Pattern.SIZES, Pattern.EACH_WRITE}),
        votes=(
            SectionVote(5, "Fine", ("chess", "sport", "tides", "letters", "weather")),
            SectionVote(1, "Fine", ("tides",)),
            SectionVote(2, "Fine", ()),
        ),
    ),
    SectionVotes(
        what="a reader writes no comment",
        patterns=_STRINGS,
        votes=(SectionVote(5, "", ("tides", "chess")), SectionVote(3, None, ("tides", "chess"))),
    ),
    SectionVotes(
        what="a reader writes a comment that looks like a missing value",
        patterns=_STRINGS,
        together=True,
        votes=tuple(SectionVote(2, comment, (f"section {number}",)) for number, comment in enumerate(LIKE_NONE)),
    ),
    SectionVotes(
        what="a comment contains spaces at its ends, quotes and letters of other alphabets",
        patterns=_STRINGS,
        votes=(SectionVote(4, AWKWARD, ("tides", "chess")),),
    ),
    SectionVotes(
        what="the names of sections contain spaces, commas and quotes, or a comment is long",
        patterns=_STRINGS,
        votes=(SectionVote(4, "Fine", ("Arts, music & more", " 'Sport' ")), SectionVote(4, LONG, ("Local news",))),
    ),
    SectionVotes(
        what="a comment contains something that looks like another value",
        patterns=_ATTACKER,
        votes=(SectionVote(4, "Bad&stars=1&sections=chess", ("sport", "tides")),),
    ),
    SectionVotes(
        what="two readers send the same vote",
        patterns=_SAME_TWICE,
        votes=(SectionVote(4, "Fine", ("sport", "tides")), SectionVote(4, "Fine", ("sport", "tides"))),
    ),
    SectionVotes(
        what="two readers vote in the same minute, and `section_vote` contains earlier votes",
        patterns=_TWO_USERS | {Pattern.UNCHANGED},
        together=True,
        votes=(SectionVote(4, "Fine", ("sport", "tides")), SectionVote(1, "Bad", ("chess", "letters"))),
        earlier=True,
    ),
    SectionVotes(
        what="the name of a section is a part of another section's name",
        patterns=_KEYS,
        votes=(SectionVote(4, "Fine", ("water sport", "sport", "port")),),
    ),
    SectionVotes(
        what=IS_CUT_OFF, patterns=_DEATH, dies=2, votes=(SectionVote(4, "Fine", ("chess", "sport", "tides")),)
    ),
    SectionVotes(what=ELSEWHERE, patterns=_INSTANCES, elsewhere=True),
)

REPORTS = (
    Reports(),
    Reports(
        what="reports contain one height, equal heights, or many heights",
        patterns=frozenset({Pattern.SIZES}),
        reports=(
            Report("Korsør", (-1.5,), False),
            Report("Nyborg", (2.0, 2.0), True),
            Report("Esbjerg", tuple(number / 4 for number in range(-20, 40)), False),
        ),
    ),
    Reports(
        what="two ports report in the same minute, before the first task runs",
        patterns=_TWO_USERS,
        together=True,
        reports=(Report("Rødvig", (1.25, 2.5), True), Report("Gedser", (3.5, 0.5), False)),
    ),
    Reports(
        what="the same report arrives twice",
        patterns=_SAME_TWICE,
        reports=(Report("Rødvig", (1.25, 2.5), True), Report("Rødvig", (1.25, 2.5), True)),
    ),
    Reports(
        what="`tide` contains an earlier report of the same port",
        patterns=frozenset({Pattern.UNCHANGED}),
        earlier=True,
        reports=(Report("Gedser", (2.5, -0.5), False),),
    ),
    Reports(
        what="the name of a port is a part of another port's name",
        patterns=_KEYS,
        together=True,
        reports=(
            Report("Ærø & Als", (1.5, 9.75), True),
            Report("Als", (1.5, 2.0), False),
            Report("Als!", (0.5, 0.25), False),
        ),
    ),
    Reports(
        what="the name of a port contains quotes, a backslash and spaces at its ends",
        patterns=_STRINGS,
        reports=(Report(AWKWARD, (0.5, 1.5), True), Report(LONG, (0.5, 0.0), True)),
    ),
    Reports(
        what="the name of a port contains something that looks like another value",
        patterns=_ATTACKER,
        reports=(Report('Als", "storm": true, "x": "', (0.5, 1.5), False), Report("Als&storm=yes", (0.5,), False)),
    ),
    Reports(what=IS_CUT_OFF, patterns=_DEATH, dies=1),
    Reports(what=ELSEWHERE, patterns=_INSTANCES, elsewhere=True),
)

STORIES = (
    Stories(),
    Stories(
        what="the tasks of several stories wait at the same time and run in another order",
        patterns=frozenset({Pattern.TWO_USERS, Pattern.CLOCK, Pattern.KEYS}),
        lab={"shuffle": True, "seed": 3},
        bodies=("The ferry is late.", "Ebb and flood.", "Chess"),
    ),
    Stories(
        what="a story is deleted while its task waits",
        patterns=frozenset({Pattern.TWO_USERS, Pattern.UNCHANGED}),
        bodies=("The ferry is gone.", "It is back."),
        deleted=frozenset({0}),
    ),
    Stories(
        what="two stories have the same text, and an editor corrects one of them while its task waits",
        patterns=frozenset({Pattern.EQUAL_INPUT, Pattern.TWO_USERS, Pattern.UNCHANGED}),
        bodies=("The ferry is late.", "The ferry is late."),
        corrected={0: "The ferry is on time again."},
    ),
    Stories(
        what="a story has no words, or its words are separated by several spaces, tabs and line breaks",
        patterns=frozenset({Pattern.SIZES, Pattern.STRINGS}),
        bodies=("", "  Don't  wait:\tthe\nferry's\r\n100 % late, o'clock-wise  "),
    ),
    Stories(
        what="there are earlier stories, and some ids aren't used",
        patterns=_EARLIER,
        earlier=3,
        bodies=("The ferry is late.",),
    ),
    Stories(
        what="the id of the story is 1, and other stories have the ids 2 to 12",
        patterns=_KEYS,
        later=11,
        bodies=("The ferry is late.",),
    ),
    Stories(what=IS_CUT_OFF, patterns=_DEATH, dies=1, bodies=("The ferry is late.",)),
    Stories(
        what="App Engine shuts down the worker's instance at the end of the first attempt",
        patterns=_DEATH,
        dies=3,
        bodies=("The ferry is late.",),
    ),
    Stories(what=ELSEWHERE, patterns=_INSTANCES, elsewhere=True, bodies=("The ferry is late.",)),
)

NEWS = (
    News(),
    News(
        what="three articles are published in the same minute, before the first task runs",
        patterns=frozenset({Pattern.TWO_USERS, Pattern.CLOCK}),
        together=True,
        articles=(Article("Storm flood", "on"), Article("Chess club", ""), Article("Bridge closed", "on")),
    ),
    News(
        what="the same urgent article is published twice",
        patterns=_SAME_TWICE,
        articles=(Article("Ferry cancelled", "on"), Article("Ferry cancelled", "on")),
    ),
    News(what="`mytable` contains earlier mails", patterns=_EARLIER, earlier=True),
    News(
        what="the title of an urgent article is a part of another title",
        patterns=_KEYS,
        together=True,
        articles=(
            Article("Ferry cancelled again", "on"),
            Article("Ferry cancelled", "on"),
            Article("Ferry cancelled!", "on"),
        ),
    ),
    News(
        what="the form of an ordinary article has another value of `urgent`, or doesn't contain this key",
        patterns=_STRINGS,
        articles=(Article("Chess club", None), Article("True or on", "none"), Article("Tides", "off")),
    ),
    News(
        what="titles contain spaces at their ends, quotes, and letters of other alphabets",
        patterns=_STRINGS,
        articles=(Article(AWKWARD, "on"), Article("0", "on"), Article(LONG, "on")),
    ),
    News(
        what="a title contains something that looks like another value",
        patterns=_ATTACKER,
        articles=(
            Article("Chess&urgent=True&urgent=1&urgent=on", ""),
            Article('Chess", "urgent": true, "x": "', ""),
            Article("Storm&urgent=&urgent=0", "on"),
        ),
    ),
    News(what=IS_CUT_OFF, patterns=_DEATH, dies=1, articles=(Article("Ferry cancelled", "on"),)),
    News(what=ELSEWHERE, patterns=_INSTANCES, elsewhere=True),
)
