"""The scenarios of lesson 06: for each exercise, the fields of a row, and the table. The checks are in two modules:
guard06.py (6.1 and 6.2) and lesson06.py (6.3).
"""

from dataclasses import dataclass

from harness.course.catalogue import Pattern, Scenario

Card = tuple[str, str]  # a subscriber's e-mail address, and the token of the card
_DAY = 86_400.0  # seconds
_EDGES = (f""" 'Möwe'{'"Ebbe" & <i>%40</i>' * 9} """, "", "None")
# An instance is shut down after each of the first statements, and twice before the first one.
_SHUTDOWNS = (1, 2, 3, 0, 0)
# A model that lets the first insert of a task's first attempt fail, as if the database was locked.
_REFUSES_ONCE = """
def _refuse(*_):
    if int(request.env.http_x_appengine_taskretrycount or 9) < 1:
        raise RuntimeError('the database is locked')

db.charged._before_insert.append(_refuse)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """A task that another action of the application adds.

    Args:
        queue: its queue.
        method: its method.
        closed: the mistake if its worker isn't admitted.
    """

    queue: str = "default"
    method: str = "POST"
    closed: str = "only-publish"


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded(Scenario):
    """Users' requests add tasks, whose worker has a guard, and users try to call the worker themselves.

    Args:
        values: what the users send, one request each, before the first task runs.
        refused: the mistake if one of these tasks isn't admitted. For "shared" it may also be "once", and for "memory"
            "too-old"; guard06.py finds out.
        pause: the virtual seconds after each request of a user.
        wait: the virtual seconds before the first task runs.
        elsewhere: whether another instance runs the tasks.
        shutdowns: for each of the first attempts, the turns after which its instance is shut down.
        attacked: whether a user copies the tasks before they run and after it.
        senders: the tasks of other actions.
    """

    values: tuple[str, ...] = ("Möwen",)
    refused: str = "shut-out"
    pause: float = 1.25
    wait: float = 0.0
    elsewhere: bool = False
    shutdowns: tuple[int, ...] = ()
    attacked: bool = False
    senders: tuple[Sender, ...] = ()


# The rows of all guards.
ANY_GUARD = (
    Guarded(
        what="the instance is shut down in each of the first five attempts",
        patterns=frozenset({Pattern.DEATH, Pattern.SIZES}),
        shutdowns=_SHUTDOWNS,
        refused="one-attempt",
    ),
    Guarded(
        what="a user copies the request of a task, which waits for a day and a half before another instance runs it",
        patterns=frozenset({Pattern.INSTANCES, Pattern.CLOCK, Pattern.ATTACKER}),
        wait=1.5 * _DAY + 2.75,
        elsewhere=True,
        attacked=True,
        refused="memory",
    ),
)

TASK_ONLY = (
    Guarded(),
    Guarded(
        what="users publish three articles before the first task runs, and two of the articles are equal",
        patterns=frozenset({Pattern.TWO_USERS, Pattern.EQUAL_INPUT}),
        values=("Ferry late", "Nightfall", "Ferry late"),
        refused="shared",
    ),
    *ANY_GUARD,
    Guarded(
        what="articles are empty or unusual, and another action adds tasks to three queues, with POST and with GET",
        patterns=frozenset({Pattern.STRINGS, Pattern.KEYS}),
        values=_EDGES,
        refused="value",
        senders=(
            Sender(),
            Sender(queue="letters", closed="one-queue"),
            Sender(queue="default-2", closed="one-queue"),
            Sender(method="GET", closed="one-method"),
        ),
    ),
)

FORGED = (
    Guarded(values=("Grüße",)),
    Guarded(
        what="three readers order before the first task runs, one of them twice, and one name contains another",
        patterns=frozenset({Pattern.TWO_USERS, Pattern.EQUAL_INPUT, Pattern.KEYS}),
        values=("Ebbesen", "Kim", "Ebbesen", "Ebbe"),
        refused="shared",
    ),
    *ANY_GUARD,
    Guarded(
        what="the reader's name is empty, has spaces or quotation marks, or is very long",
        patterns=frozenset({Pattern.STRINGS}),
        values=_EDGES,
        refused="value",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal(Scenario):
    """Subscribers renew their subscriptions, and get a new card while the task waits.

    Args:
        ids: the ids of all subscribers.
        cards: the e-mail address and the token of each; further ones aren't used.
        others: the same in a second lab, or () for no second lab.
        renewals: the ids in the users' requests.
        changes: the run before which the subscribers get a new e-mail address and a new card, or 0 for no change. If
            each task runs before the next request, the runs are counted from 1; otherwise, there is only one.
        pauses: the virtual seconds after each request; it is repeated.
        each: whether each task runs before the next request.
        elsewhere: whether another instance runs the tasks.
        fails: whether the first insert of a task's first attempt fails.
        shutdowns: for each of the next attempts, the turns after which its instance is shut down.
        audited: whether another action calls `charge_card` at the end.
        lost: the mistake if a request adds no task.
        uncharged: the mistake if the right card isn't charged, or None if the row doesn't show the reason.
    """

    ids: tuple[int, ...] = (1, 2, 3)
    cards: tuple[Card, ...] = (
        ("ebbe0.larsen@example.com", "tok-aq0-4z1q"),
        ("runa2.krag@example.com", "tok-mq2-6v3x"),
        ("vigga1.holm@example.com", "tok-zq1-8w2y"),
        ("tove3.lind@example.com", "tok-wq3-5u7n"),
    )
    others: tuple[Card, ...] = ()
    renewals: tuple[int, ...] = (2,)
    pauses: tuple[float, ...] = (1.25,)
    changes: int = 1
    each: bool = False
    elsewhere: bool = False
    fails: bool = False
    shutdowns: tuple[int, ...] = ()
    audited: bool = False
    lost: str = "not-queued"
    uncharged: str | None = "not-charged"


_OTHER_CARDS = (("Kim-0@mail.test", "XK0_90zq"), ("Pia-11@mail.test", "XK11_7j2w"), ("Ole-5@mail.test", "XK5_1y9k"))
_UNUSUAL = ((f"Ebbe.O'Hara+{'news.' * 12}@Example.COM", "00000042"), ("Ä@ö.dk", "07a"))
RENEWALS = (
    Renewal(others=_OTHER_CARDS),
    Renewal(
        what="two subscribers with similar ids and unusual cards renew, and another instance runs their tasks",
        patterns=frozenset(
            {Pattern.SIZES, Pattern.KEYS, Pattern.TWO_USERS, Pattern.INSTANCES, Pattern.STRINGS, Pattern.UNCHANGED}
        ),
        ids=(111, 11, 1, 21),
        cards=(("ebbe0.larsen@example.com", "tok-aq0-4z1q"), _UNUSUAL[0], ("tove3.lind@ö.dk", "tok-wq3"), _UNUSUAL[1]),
        renewals=(11, 21),
        changes=0,
        elsewhere=True,
        audited=True,
        uncharged=None,
        parts=(
            Renewal(
                what="the subscribers 11 and 21 renew before the first task runs, and others have the ids 1 and 111",
                ids=(111, 11, 1, 21),
                renewals=(11, 21),
                changes=0,
                uncharged="other-id",
            ),
            Renewal(
                what="one instance adds the task, and another one runs it",
                changes=0,
                elsewhere=True,
                uncharged="memory",
            ),
            Renewal(
                what="e-mail addresses have unusual characters, tokens are short, and another action calls charge_card",
                cards=_UNUSUAL,
                renewals=(1, 2),
                changes=0,
                audited=True,
                uncharged="changed",
            ),
        ),
    ),
    Renewal(
        what="a subscriber renews again two seconds later, and exactly a day after the first time",
        patterns=frozenset({Pattern.EQUAL_INPUT, Pattern.CLOCK}),
        renewals=(2, 2, 2),
        pauses=(2.0, _DAY - 2.0),
        changes=2,
        each=True,
        lost="lost-renewal",
        uncharged="charged-before",
    ),
    Renewal(
        what="the database is locked during the first attempt, and the instance is shut down in the next three",
        patterns=frozenset({Pattern.DEATH}),
        models={"locked": _REFUSES_ONCE},
        changes=0,
        fails=True,
        shutdowns=(2, 3, 4),
        uncharged="early-mark",
    ),
)
