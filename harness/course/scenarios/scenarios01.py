"""The scenarios of lesson 01's exercises, as data. Their checks are in lesson01.py."""

from dataclasses import dataclass

from harness.course.catalogue import Pattern, Scenario

_DAY = 24 * 3600.0  # seconds
Values = tuple[str, ...]  # what one request sends: two headlines, or an address
ELSEWHERE = "the user's request and the task run on different instances"
LOCKED = "the server is down"  # the message of an insert that fails
# This model lets the first attempt of a task fail when it inserts its row, as if the database or a server was down.
_REFUSES = f"""
def _refuse(fields):
    if int(request.env.http_x_appengine_taskretrycount or 9) < 1 and (fields['old'] == 'mail sent to' or {{every}}):
        raise RuntimeError('{LOCKED}')

db.mytable._before_insert.append(_refuse)
"""
_AWKWARD = (
    ("  FERRY\u00a0 ", "None"),
    ("O'Neill's \"best\" <b>&amp;</b> 100% + 1; a\\b", "Die Fähre nach Rødvig fährt heute leider nicht. " * 4),
    ("", ""),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests(Scenario):
    """Requests of users to the action of an exercise, and the attempts of their tasks.

    Args:
        requests: the values of each request.
        at_once: whether all requests are sent before the first task runs. Otherwise, the tasks of each request run
            before the next request.
        pause: the virtual seconds before each request, in which no task runs.
        browsers: whether each request comes from a browser of its own, without cookies.
        elsewhere: whether the tasks run on another instance than the requests.
        earlier: rows that mytable contains already.
        deleted: the number of rows that were deleted from mytable, so that the ids have a gap.
        kill_after: the turns after which the instance of the first attempt is shut down, or None.
        fails: whether the first attempt fails, because a model refuses its row.
        other_page: whether another action calls send_mail, too (1.3).
    """

    requests: tuple[Values, ...]
    at_once: bool = False
    pause: float = 1.0
    browsers: bool = False
    elsewhere: bool = False
    earlier: tuple[Values, ...] = ()
    deleted: int = 0
    kill_after: int | None = None
    fails: bool = False
    other_page: bool = False

    @property
    def rounds(self) -> tuple[tuple[Values, ...], ...]:
        """Return the requests between which no task runs."""
        return (self.requests,) if self.at_once else tuple((values,) for values in self.requests)


def _edits(plain: Values, other: Values) -> tuple[Requests, ...]:
    """Return the rows of 1.1 and 1.2: requests with two headlines."""
    return (
        Requests(requests=(plain,)),
        Requests(
            what="an editor sends the same values twice before the first task runs",
            patterns=frozenset({Pattern.EQUAL_INPUT}),
            requests=(plain, plain),
            at_once=True,
        ),
        Requests(
            what="another editor sends the same values at the same time on the next day",
            patterns=frozenset({Pattern.EQUAL_INPUT, Pattern.CLOCK}),
            requests=(plain, plain),
            pause=_DAY,
            browsers=True,
        ),
        Requests(
            what="two editors save within one second, before the first task runs",
            patterns=frozenset({Pattern.TWO_USERS, Pattern.CLOCK}),
            requests=(plain, other),
            at_once=True,
            pause=0.25,
            browsers=True,
        ),
        Requests(
            what=f"{ELSEWHERE}, and mytable already contains rows",
            patterns=frozenset({Pattern.INSTANCES, Pattern.UNCHANGED}),
            requests=(plain,),
            elsewhere=True,
            earlier=((plain[0], "Ferry cancelled"), other, plain),
        ),
        Requests(
            what="the values of one edit are parts of another edit's values",
            patterns=frozenset({Pattern.KEYS}),
            requests=(("Fog 17", "ferries"), ("Fog 1", "7ferries")),
        ),
        Requests(
            what="editors send unusual headlines",
            patterns=frozenset({Pattern.STRINGS}),
            requests=_AWKWARD,
        ),
    )


QUEUE_IT = _edits(("Ferry late", "Ferry on time"), ("Nightfall", "Nächtlicher Nebel & Wind"))

WRITE_THE_WORKER = (
    *(row for row in QUEUE_IT if row.patterns != {Pattern.EQUAL_INPUT, Pattern.CLOCK}),
    Requests(
        what="the database rejects the row in the first attempt",
        patterns=frozenset({Pattern.DEATH}),
        models={"refuses": _REFUSES.format(every=True)},
        requests=(("Ferry late", "Ferry on time"),),
        fails=True,
    ),
    Requests(
        what="the worker's instance is shut down after two turns (a database statement or a commit is a turn)",
        patterns=frozenset({Pattern.DEATH}),
        requests=(("Ferry late", "Ferry on time"),),
        kill_after=2,
    ),
)

MOVE_THE_MAIL = (
    Requests(requests=(("ada@example.com",),)),
    Requests(
        what="two equal addresses and another one are registered within one minute, before the first task runs",
        patterns=frozenset({Pattern.EQUAL_INPUT, Pattern.TWO_USERS, Pattern.CLOCK}),
        requests=(("ada@example.com",), ("grace@example.org",), ("ada@example.com",)),
        at_once=True,
        pause=7.25,
    ),
    Requests(
        what="the same address is registered again at the same time on the next day",
        patterns=frozenset({Pattern.EQUAL_INPUT, Pattern.CLOCK}),
        requests=(("ada@example.com",), ("ada@example.com",)),
        pause=_DAY - 3,  # the worker takes 3 s
        browsers=True,
    ),
    Requests(
        what=ELSEWHERE,
        patterns=frozenset({Pattern.INSTANCES}),
        requests=(("ada@example.com",),),
        elsewhere=True,
    ),
    Requests(
        what="readers have unusual, similar addresses, and mytable already contains rows, whose ids have a gap",
        patterns=frozenset({Pattern.KEYS, Pattern.STRINGS, Pattern.SIZES}),
        requests=(
            ("Björn+jo.O'Hara@Example.com",),
            ("Björn+joO'Hara@Example.com",),
            ("O'Hara@Example.com",),
            ('"the front desk & co = 100%"@a-very-long-name-of-a-very-small-harbour.example.com',),
        ),
        earlier=(("registered", "old@example.com"),),
        deleted=12,
    ),
    Requests(
        what="another action also calls send_mail, and in the first attempt of a task, send_mail raises an exception",
        patterns=frozenset({Pattern.DEATH, Pattern.UNCHANGED}),
        models={"refuses": _REFUSES.format(every=False)},
        requests=(("ada@example.com",),),
        other_page=True,
        fails=True,
    ),
)

TWO_TASKS = (
    Requests(requests=(("Harbour", "Market"),)),
    Requests(
        what="three editors save within one second; the first two have similar values, and the last two equal ones",
        patterns=frozenset({Pattern.EQUAL_INPUT, Pattern.TWO_USERS, Pattern.CLOCK, Pattern.KEYS}),
        requests=(("Fog17", "ferries"), ("Fog1", "7ferries"), ("Fog1", "7ferries")),
        at_once=True,
        pause=0.25,
        browsers=True,
    ),
    Requests(
        what="an editor swaps two equal headlines, and swaps them again at the same time on the next day",
        patterns=frozenset({Pattern.EQUAL_INPUT, Pattern.CLOCK}),
        requests=(("Harbour", "Harbour"), ("Harbour", "Harbour")),
        pause=_DAY,
    ),
    Requests(
        what=f"{ELSEWHERE}, and mytable already contains rows",
        patterns=frozenset({Pattern.INSTANCES, Pattern.UNCHANGED}),
        requests=(("Harbour", "Market"),),
        elsewhere=True,
        earlier=(("Harbour", "Ferry cancelled"), ("Chess & cards", "Choir"), ("Harbour", "Market")),
    ),
    Requests(
        what="headlines have unusual characters, are long, or are empty",
        patterns=frozenset({Pattern.STRINGS}),
        requests=(
            ("  FERRY\u00a0 ", "None"),
            ("O'Neill's \"best\" <b>&amp;</b> 100% + 1; a\\b" + " nach Rødvig" * 8, ""),
        ),
    ),
)
