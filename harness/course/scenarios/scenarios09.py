"""The scenarios of lesson 09: for each exercise, the fields of a row, and the table. The checks are in two modules:
tokens09.py (9.2) and lesson09.py (9.1 and 9.3).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.course.catalogue import Pattern, Scenario

_DAY = 86_400.0  # seconds
_CLOUD = {"cloud_tasks": True}
_ORDERS = "1" + "2" * 40, "12"
_EDGES = (f""" 'Möwe'{'"Ebbe" & <i>%40</i>' * 9} """, "", "None")
_LINES = "“Möwe”\r\nEbbe\t\U0001f41f"
# A model that makes the insert of a task's first attempt fail, as if the database were locked.
_REFUSES_ONCE = """
def _refuse(*_):
    if int(request.env.http_x_appengine_taskretrycount or 9) < 1:
        raise RuntimeError('the database is locked')

db.prize._before_insert.append(_refuse)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pressed:
    """A request of 9.1.

    Args:
        week: the week.
        steps: the number of attempts that run before the request.
        pause: the seconds before the request.
        other: whether a different editor sends the request than the previous one.
    """

    week: str = "2012-36"
    steps: int = 0
    pause: float = 1.25
    other: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws(Scenario):
    """9.1: editors request that the prizes of some weeks are drawn.

    Args:
        presses: the requests, in order.
        elsewhere: whether another instance serves each request and each task.
        orders: if each request is sent twice at the same time, the orders in which the two take turns (see
            `Lab.overlap`).
        fails: whether an extra request comes first, during which the task queue refuses each call.
        again: the mistake if a later request for a week queues a task, and the prize isn't drawn yet.
        undrawn: the mistake if the response is "waiting", although the prize is drawn.
        early: the mistake if the response is "drawn", although the prize isn't drawn.
    """

    presses: tuple[Pressed, ...] = (Pressed(),)
    elsewhere: bool = False
    orders: tuple[str, ...] = ()
    fails: bool = False
    again: str = "every-time"
    undrawn: str = "other-state"
    early: str = "too-early"


_TWICE = (Pressed(other=False), Pressed(other=False), Pressed(), Pressed(steps=1), Pressed(pause=3600.5))
DRAWS = (
    Draws(),
    Draws(
        what="in the bundled service, two editors press the button again, before and after the prize is drawn",
        patterns=frozenset({Pattern.EQUAL_INPUT, Pattern.UNCHANGED}),
        presses=_TWICE,
    ),
    Draws(
        what="in Cloud Tasks mode, two editors press the button again, before and after the prize is drawn",
        patterns=frozenset({Pattern.EQUAL_INPUT, Pattern.UNCHANGED}),
        lab=_CLOUD,
        presses=_TWICE,
        undrawn="by-exception",
    ),
    Draws(
        what="in Cloud Tasks mode, editors request the prizes of similar weeks, and then the first week again",
        patterns=frozenset({Pattern.KEYS, Pattern.SIZES, Pattern.TWO_USERS}),
        lab=_CLOUD,
        presses=(
            Pressed(),
            Pressed(week="2013-36", steps=1),
            Pressed(week="2012-3"),
            Pressed(week="2012-03"),
            Pressed(week="2012-27"),
            Pressed(week="2012-3"),
            Pressed(steps=1),
        ),
        again="forgotten",
        undrawn="forgotten",
        early="similar-week",
    ),
    Draws(
        what="in the bundled service, an editor presses the button again after twenty hours and after two days",
        patterns=frozenset({Pattern.CLOCK}),
        presses=(Pressed(), Pressed(pause=72_061.5), Pressed(steps=1), Pressed(pause=_DAY + 33.25)),
        again="too-short",
        undrawn="too-short",
    ),
    Draws(
        what="in Cloud Tasks mode, other instances serve the requests and the tasks",
        patterns=frozenset({Pattern.INSTANCES}),
        lab=_CLOUD,
        presses=(Pressed(), Pressed(), Pressed(steps=1), Pressed(week="2012-37")),
        elsewhere=True,
        again="own-memory",
        undrawn="own-memory",
        early="own-memory",
    ),
    Draws(
        what="two editors press the button at the same time, and two instances serve them",
        patterns=frozenset({Pattern.INSTANCES, Pattern.TWO_USERS}),
        lab=_CLOUD,
        presses=(Pressed(), Pressed(week="2012-37")),
        orders=_ORDERS,
    ),
    Draws(
        what="the database is locked during the first attempt, and an editor presses the button before the second one",
        patterns=frozenset({Pattern.DEATH}),
        models={"locked": _REFUSES_ONCE},
        presses=(Pressed(), Pressed(steps=1), Pressed(steps=1)),
    ),
    Draws(
        what="the task queue can't be reached during an editor's request, and then the editor presses the button again",
        patterns=frozenset({Pattern.UNCHANGED}),
        fails=True,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prints(Scenario):
    """9.2: Cloud Tasks calls the worker, and others try to call it.

    Args:
        issues: what is printed, one task each.
        refused: the mistake if one of these tasks isn't admitted, or None if the row doesn't show the reason.
        wait: the virtual seconds before the first task runs.
        shutdowns: for each of the first attempts, the turns after which its instance is shut down.
        forged: whether requests are sent with forged tokens and with tokens that aren't for this worker.
        similar: whether the requests with tokens for similar accounts and audiences are sent.
        broken: whether requests are sent whose header doesn't contain a token.
        alone: whether requests are sent that have a token, but no other header of Cloud Tasks.
    """

    issues: tuple[str, ...] = ("Friday",)
    refused: str | None = None
    wait: float = 0.0
    shutdowns: tuple[int, ...] = ()
    forged: bool = False
    similar: bool = False
    broken: bool = False
    alone: bool = False


PRINTS = (
    Prints(),
    Prints(
        what="strangers send forged tokens, and real tokens that aren't for this worker",
        patterns=frozenset({Pattern.ATTACKER}),
        forged=True,
    ),
    Prints(
        what="other accounts and audiences have similar names",
        patterns=frozenset({Pattern.KEYS}),
        similar=True,
    ),
    Prints(
        what="four tasks wait at the same time, and two of them print the same issue",
        patterns=frozenset({Pattern.TWO_USERS, Pattern.EQUAL_INPUT}),
        issues=("Friday", "Saturday", "Friday", "Sunday"),
        refused="once",
    ),
    Prints(
        what="the header Authorization is empty or broken, or has another scheme, and issues have unusual names",
        patterns=frozenset({Pattern.STRINGS}),
        issues=_EDGES,
        refused="value",
        broken=True,
    ),
    Prints(
        what="the task has waited for a day and a half, because its queue was paused",
        patterns=frozenset({Pattern.CLOCK}),
        wait=1.5 * _DAY + 2.75,
        refused="too-old",
    ),
    Prints(
        what="the instance is shut down during each of the first attempts",
        patterns=frozenset({Pattern.DEATH}),
        shutdowns=(1, 2, 3, 0),
        refused="one-attempt",
    ),
    Prints(
        what="requests with a valid token don't come from Cloud Tasks, and one of them is repeated an hour later",
        patterns=frozenset({Pattern.CLOCK}),
        alone=True,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A request of 9.3.

    Args:
        article: the number of the article.
        title: its title.
        pause: the seconds before the request.
        other: whether a different editor sends the request than the previous one.
        sent: whether the waiting tasks run before the request.
    """

    article: int = 17
    title: str = "Ferry late"
    pause: float = 1.25
    other: bool = True
    sent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Offers(Scenario):
    """9.3: editors offer articles to the partner.

    Args:
        offers: the requests, in order.
        elsewhere: whether another instance serves each request.
        orders: the same as in `Draws`.
        failures: how often the partner's server fails for each article.
        missing: whether an extra request is sent first, before the queue exists.
        again: the mistake if a later request for an article creates a task.
        content: the mistake if the partner gets another body.
    """

    lab: Mapping[str, Any] = field(default_factory=lambda: _CLOUD)
    offers: tuple[Offer, ...] = (Offer(),)
    elsewhere: bool = False
    orders: tuple[str, ...] = ()
    failures: int = 0
    missing: bool = False
    again: str = "every-time"
    content: str = "other-body"


OFFERS = (
    Offers(),
    Offers(
        what="an editor offers the same article twice, and another editor offers it before and after it is sent",
        patterns=frozenset({Pattern.EQUAL_INPUT, Pattern.UNCHANGED}),
        offers=(Offer(other=False), Offer(other=False), Offer(), Offer(sent=True)),
    ),
    Offers(
        what="seven articles with similar numbers wait at the same time, and five of them have the same title",
        patterns=frozenset({Pattern.KEYS, Pattern.SIZES, Pattern.TWO_USERS}),
        offers=(
            Offer(article=1),
            Offer(article=11),
            Offer(article=111),
            Offer(article=1114),
            Offer(article=2111),
            Offer(article=17, title="Nightfall"),
            Offer(article=71, title="Regatta"),
            Offer(article=1),
        ),
        again="forgotten",
    ),
    Offers(
        what="the partner's server fails six times, and an editor offers the article again after twenty hours",
        patterns=frozenset({Pattern.CLOCK}),
        offers=(Offer(), Offer(sent=True, pause=72_061.5)),
        failures=6,
        again="too-short",
    ),
    Offers(
        what="an editor changes the title of an article and offers it again, before and after it is sent",
        patterns=frozenset({Pattern.KEYS}),
        offers=(Offer(title="Nightfall"), Offer(title="Nightmare"), Offer(title="Nightmare", sent=True)),
        again="by-title",
    ),
    Offers(
        what="titles are empty, very long, or have quotation marks and other special characters",
        patterns=frozenset({Pattern.STRINGS}),
        offers=(
            Offer(title=_EDGES[0]),
            Offer(article=2, title=_EDGES[1]),
            Offer(article=3, title=_EDGES[2]),
            Offer(article=4, title=_LINES),
        ),
        content="unescaped",
    ),
    Offers(
        what="another instance serves each request",
        patterns=frozenset({Pattern.INSTANCES}),
        offers=(Offer(), Offer(), Offer(article=18)),
        elsewhere=True,
        again="own-memory",
    ),
    Offers(
        what="an editor double-clicks, so two requests arrive at the same time, and two instances serve them",
        patterns=frozenset({Pattern.INSTANCES, Pattern.TWO_USERS}),
        offers=(Offer(), Offer(article=18)),
        orders=_ORDERS,
    ),
    Offers(
        what="the queue is created only after an editor's first request, and then the editor offers the article again",
        patterns=frozenset({Pattern.UNCHANGED}),
        missing=True,
    ),
)
