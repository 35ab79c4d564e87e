"""The tables of scenarios for the exercises of lesson 05. Their checks are in lesson05.py."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.course.catalogue import Pattern, Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Reminders(Scenario):
    """5.1: requests for reminders.

    Args:
        wishes: the article and the minutes of each request, in order.
        pause: the seconds before each request.
        others: whether each request comes from another reader.
        elsewhere: whether another instance serves each request and each task.
        mistake: why the reminders are wrong, if the plain example is right.
        time: why the time is wrong, if the plain example is right.
    """

    wishes: tuple[tuple[str, int], ...] = (("Tides", 10),)
    pause: float = 0.0
    others: bool = False
    elsewhere: bool = False
    mistake: str = "changed-text"
    time: str = "other-time"


REMINDERS = (
    Reminders(),
    Reminders(
        what="readers choose other numbers of minutes, from 0 to a whole week",
        patterns=frozenset({Pattern.SIZES}),
        wishes=(("Tides", 1), ("Nightfall", 90), ("Ferry late", 3000), ("Regatta", 10_080), ("Harbour", 0)),
        pause=1.5,
        time="limited",
    ),
    Reminders(
        what="a reader marks an article shortly before a full hour, and not at a whole minute",
        patterns=frozenset({Pattern.CLOCK}),
        wishes=(("Tides", 10), ("Nightfall", 45)),
        pause=3353.75,
    ),
    Reminders(
        what="a reader marks the same article three times, the last time after the first reminder",
        patterns=frozenset({Pattern.EQUAL_INPUT}),
        wishes=(("Tides", 10), ("Tides", 10), ("Tides", 10)),
        pause=400.5,
    ),
    Reminders(
        what="two readers mark articles with similar titles, and the second reader wants to be reminded first",
        patterns=frozenset({Pattern.KEYS, Pattern.TWO_USERS}),
        wishes=(("Tides 1", 90), ("Tides 17", 10), ("Tides", 40)),
        pause=1.5,
        others=True,
    ),
    Reminders(
        what="the title of the article has spaces at both ends, quotes or other special characters",
        patterns=frozenset({Pattern.STRINGS}),
        wishes=(
            ("  Nebel über dem \"Hafen\" & 'Meer' + 100 % <b>?  ", 1),
            ("None", 2),
            ("0", 3),
            ("the long way home from the outer harbour, and what the ferry's captain said about it", 4),
        ),
        pause=1.5,
    ),
    Reminders(
        what="another instance of the application serves each request and each task",
        patterns=frozenset({Pattern.INSTANCES}),
        elsewhere=True,
        mistake="own-memory",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Press:
    """One request for a digest.

    Args:
        day: the day.
        pause: the seconds before the request.
        other: whether the request comes from another editor than the previous one.
        mailed: whether the waiting tasks run before the request.
        again: why the day is queued again, if the previous requests are right.
    """

    day: str = "2012-09-03"
    pause: float = 1.0
    other: bool = True
    mailed: bool = False
    again: str = "every-time"


@dataclass(frozen=True, slots=True, kw_only=True)
class Digests(Scenario):
    """5.2: requests for digests.

    Args:
        presses: the requests, in order.
        elsewhere: whether another instance serves each request and each task.
        orders: if each request is sent twice at the same time, the orders in which the two take turns (see
            `Lab.overlap`).
        mistake: why the mailed days are wrong, if the plain example is right.
    """

    presses: tuple[Press, ...] = (Press(),)
    elsewhere: bool = False
    orders: tuple[str, ...] = ()
    mistake: str = "no-values"


DIGESTS = (
    Digests(),
    Digests(
        what="an editor presses the button twice, and another editor before and after the task has ended",
        patterns=frozenset({Pattern.EQUAL_INPUT, Pattern.UNCHANGED}),
        presses=(
            Press(other=False),
            Press(other=False),
            Press(again="own-session"),
            Press(mailed=True, again="after-the-mail"),
        ),
    ),
    Digests(
        what="the digests of several days are requested, and then the first of these days again",
        patterns=frozenset({Pattern.KEYS, Pattern.SIZES, Pattern.TWO_USERS}),
        presses=(
            Press(),
            Press(day="2012-10-03"),
            Press(day="2013-09-03"),
            Press(day="2012-09-30"),
            Press(day="2012-09-04"),
            Press(again="forgotten"),
        ),
    ),
    Digests(
        what="another instance receives each request and each task, and the last request comes twenty hours later",
        patterns=frozenset({Pattern.INSTANCES, Pattern.CLOCK}),
        presses=(Press(), Press(again="own-memory"), Press(pause=72_061.5, mailed=True, again="too-short")),
        elsewhere=True,
        mistake="own-memory",
    ),
    Digests(
        what="two editors request the digest of a day at the same time, and two instances serve them",
        patterns=frozenset({Pattern.INSTANCES, Pattern.TWO_USERS}),
        presses=(Press(), Press(day="2012-09-04")),
        orders=("1" + "2" * 40, "12"),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages(Scenario):
    """5.3: pages in a queue.

    Args:
        worker: which worker handles them: one that is quick, slow or fails.
        count: the number of pages.
        together: whether all of them are queued in one moment after a quiet hour, or one every ten seconds.
        failures: for the worker that fails, how often.
        queue: the queue to which they are added.
    """

    worker: str = "quick"
    count: int = 3
    together: bool = True
    failures: int = 3
    queue: str = "archive"


PAGES = (
    Pages(count=2, together=False),
    Pages(
        what="five pages are queued after a quiet hour",
        patterns=frozenset({Pattern.SIZES, Pattern.CLOCK}),
        count=5,
    ),
    Pages(
        what="each page takes longer than ten seconds",
        patterns=frozenset({Pattern.SIZES}),
        worker="slow",
        count=3,
    ),
    Pages(
        what="the archive fails for more than half a day, and then works again",
        patterns=frozenset({Pattern.DEATH}),
        worker="fails",
        count=1,
        failures=20,
    ),
    Pages(
        what="other tasks are in the queue default",
        patterns=frozenset({Pattern.UNCHANGED}),
        worker="slow",
        count=6,
        queue="default",
    ),
    Pages(
        what="another task, in the queue default, fails",
        patterns=frozenset({Pattern.UNCHANGED}),
        worker="fails",
        count=1,
        queue="default",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailing(Scenario):
    """5.4: one run of the chain.

    Args:
        people: the table from its beginning: a role and how many people in a row have it. For the role "", that many
            ids are missing.
        elsewhere: whether another instance serves each task.
        kills: after how many turns the worker's instance is shut down, by the number of the attempt from 0.
        mistake: why readers aren't mailed, if the plain example is right. If earlier ones are missing than the plain
            example has, the shutdowns have lost them.
        gap: the number of readers before the first large gap. If no others are mailed, the gap ended the chain.
        wrongly: why other people are mailed, if the plain example is right.
        endless: why the chain doesn't end, if the plain example is right.
    """

    people: tuple[tuple[str, int], ...] = (("reader", 110), ("editor", 2))
    elsewhere: bool = False
    kills: Mapping[int, int] = field(default_factory=dict)
    mistake: str | None = None
    gap: int = 0
    wrongly: str = "others-too"
    endless: str = "never-ends"


_GAPS = (("", 60), ("reader", 37), ("editor", 120), ("", 120), ("reader", 214), ("", 3), ("editor", 1))
_KILLS = {1: 30, 2: 3, 4: 2}
MAILINGS = (
    Mailing(),
    Mailing(
        what="nobody has the role reader, and some people have similar roles",
        patterns=frozenset({Pattern.KEYS, Pattern.STRINGS, Pattern.SIZES}),
        people=(
            ("proofreader", 2),
            ("reader emeritus", 2),
            ("Reader", 2),
            (" reader ", 2),
            ("readers", 2),
            ("editor", 2),
        ),
        wrongly="similar-roles",
    ),
    Mailing(
        what="251 readers' ids have large gaps, and another instance serves each attempt, three of which are shut down",
        patterns=frozenset({Pattern.SIZES, Pattern.DEATH, Pattern.INSTANCES}),
        people=_GAPS,
        elsewhere=True,
        kills=_KILLS,
        mistake="own-memory",
        endless="own-memory",
        parts=(
            Mailing(
                what="another instance of the application serves each request and each task",
                people=(("reader", 51),),
                elsewhere=True,
                mistake="own-memory",
                endless="own-memory",
            ),
            Mailing(
                what="251 readers' ids have large gaps, and an instance is shut down in the second and third task",
                people=_GAPS,
                kills=_KILLS,
                mistake="fixed-count",
                gap=37,
            ),
        ),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Editions(Scenario):
    """5.5: requests for the Sunday edition.

    Args:
        counts: the number of subscribers of each request, in order.
        pause: the seconds before each request.
        others: whether each request comes from another editor.
        mailed: whether the tasks run before each later request.
        elsewhere: whether another instance serves each request and each task.
        mistake: why the numbers are wrong, if the plain example is right.
        missing: why tasks are missing, if the plain example is right.
    """

    counts: tuple[int, ...] = (120,)
    pause: float = 1.5
    others: bool = False
    mailed: bool = False
    elsewhere: bool = False
    mistake: str = "same-values"
    missing: str = "some-missing"


_WEEK = 7 * 86_400.0  # seconds
EDITIONS = (
    Editions(),
    Editions(
        what="two editors send an edition each before the first task runs",
        patterns=frozenset({Pattern.TWO_USERS, Pattern.EQUAL_INPUT, Pattern.CLOCK}),
        counts=(2, 2, 3),
        others=True,
        mistake="shared",
        missing="remembered",
    ),
    Editions(
        what="four weekly editions have 0, 300, 1 and 1 subscribers, and another instance serves each request and task",
        patterns=frozenset({Pattern.EQUAL_INPUT, Pattern.INSTANCES, Pattern.SIZES}),
        counts=(0, 300, 1, 1),
        pause=_WEEK,
        mailed=True,
        elsewhere=True,
        mistake="own-memory",
        parts=(
            Editions(
                what="the edition of the next Sunday has the same number of subscribers",
                counts=(2, 2),
                pause=_WEEK,
                mailed=True,
                missing="remembered",
            ),
            Editions(
                what="another instance of the application serves each request and each task",
                counts=(2,),
                elsewhere=True,
                mistake="own-memory",
            ),
            Editions(
                what="the editions have 0, 1 and 300 subscribers",
                counts=(0, 1, 300),
                mailed=True,
                missing="fixed-count",
            ),
        ),
    ),
)
