"""The scenarios of lesson 04: for each exercise, the fields of a row, and the table. The checks are in lesson04.py."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.course.catalogue import Pattern, Scenario

# A model that lets the first insert of each of these ratings fail. The header shows that an insert was tried.
REFUSES_NUMBERS = """
def _refuse(fields):
    if fields['number'] in {numbers} and int(request.env.http_x_appengine_taskretrycount or 9) < 1:
        response.headers['X-Locked'] = 'yes'
        raise RuntimeError('the database is locked')

db.rating._before_insert.append(_refuse)
"""
# A model after which every statement is permanent immediately, and a rollback does nothing, as on Firestore (W03).
_NO_TRANSACTIONS = "db._adapter.connection.isolation_level = None\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Work(Scenario):
    """What the rows of all exercises have.

    Args:
        pause: the virtual seconds after each request of a user.
        gap: the virtual seconds that the queue lets pass before each further attempt.
        together: whether all requests come before the first task runs.
        elsewhere: whether another instance serves the attempts of each task from this number on, the user's request
            being number 0.
        deaths: for the number of an attempt, the turns after which its instance is shut down; 0 means that the attempt
            never reaches the worker.
    """

    pause: float = 1.25
    gap: float = 0.0
    together: bool = False
    elsewhere: int | None = None
    deaths: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asks(Work):
    """Readers ask for tide tables.

    Args:
        days: the days that they ask for; the office never responds for the day "never".
        has_other_task: whether another page also adds a task for `fetch`, which has no limit.
    """

    days: tuple[str, ...] = ("never",)
    has_other_task: bool = False


ASKS = (
    Asks(days=("never", "Tuesday")),
    Asks(
        what="a reader asks for Tuesday, and asks for Tuesday again after the first task is done",
        patterns=frozenset({Pattern.EQUAL_INPUT}),
        days=("Tuesday", "Tuesday"),
    ),
    Asks(
        what="within one minute, one reader asks for May 17, and another one for May 1",
        patterns=frozenset({Pattern.TWO_USERS, Pattern.KEYS, Pattern.CLOCK}),
        days=("May 17", "May 1"),
        together=True,
        pause=12.4,
    ),
    Asks(
        what="no attempt reaches the worker, and more than an hour passes before each further one",
        patterns=frozenset({Pattern.DEATH, Pattern.CLOCK}),
        days=("Thursday",),
        gap=4000.5,
        deaths={1: 0, 2: 0, 3: 0},
    ),
    Asks(
        what="one instance adds the task, and another one runs it",
        patterns=frozenset({Pattern.INSTANCES}),
        days=("Friday",),
        elsewhere=1,
    ),
    Asks(
        what="the day is empty, or contains spaces, quotation marks and umlauts",
        patterns=frozenset({Pattern.STRINGS}),
        days=("", " Never ", "März 3, 'Tag & Nacht' " + "und " * 15),
    ),
    Asks(
        what="another page's task for fetch has no limit, and only its hourly attempts 4 and 5 reach the worker",
        patterns=frozenset({Pattern.UNCHANGED, Pattern.CLOCK}),
        days=(),
        gap=4000.5,
        deaths={1: 0, 2: 0, 3: 0},
        has_other_task=True,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberedRatings(Work):
    """Readers rate stories.

    Args:
        ratings: the number and the stars of each rating.
        dies_after: for each rating, the turns after which the instances of its first attempts are shut down.
        orders: for each rating, the order in which two deliveries of its task take turns, or "".
        refused: the numbers of the ratings whose first insert fails.
        has_second_row: whether another page then inserts a second row for the first rating.
        is_first_alone: whether the first rating's task is done before the other requests, if those are sent together.
        late: the index of the rating before which ten days pass. Later ratings run on another instance.
    """

    ratings: tuple[tuple[str, str], ...] = (("r1", "5"),)
    dies_after: tuple[tuple[int, ...], ...] = ()
    orders: tuple[str, ...] = ()
    refused: frozenset[str] = frozenset()
    has_second_row: bool = False
    is_first_alone: bool = False
    late: int | None = None


_LONG_NUMBER = "R4'" + "x" * 50 + "1 "

RATINGS = (
    NumberedRatings(lab={"duplicates": 1.0}),
    NumberedRatings(
        what="a rating is queued four times (again with other stars, after ten days, and for another instance), and "
        "another page inserts a row for it",
        patterns=frozenset({Pattern.EQUAL_INPUT, Pattern.CLOCK, Pattern.INSTANCES, Pattern.UNCHANGED}),
        ratings=(("r7", "3"), ("r7", "5"), ("r7", "3"), ("r7", "3")),
        late=2,
        elsewhere=4,
        has_second_row=True,
    ),
    NumberedRatings(
        what="three ratings have similar, unusual numbers, stars are empty or 'None', and the database is locked when "
        "two of the ratings are first inserted",
        patterns=frozenset({Pattern.EQUAL_INPUT, Pattern.TWO_USERS, Pattern.KEYS, Pattern.STRINGS, Pattern.DEATH}),
        ratings=((_LONG_NUMBER, ""), ("r4'", "None"), ("R4'", "")),
        models={"z_refusing": REFUSES_NUMBERS.format(numbers=(_LONG_NUMBER, "R4'"))},
        refused=frozenset({_LONG_NUMBER, "R4'"}),
        together=True,
        is_first_alone=True,
    ),
    NumberedRatings(
        what="two deliveries of one task run at the same time, and the instance is shut down in two attempts of "
        "another task",
        patterns=frozenset({Pattern.EACH_WRITE, Pattern.DEATH}),
        ratings=(("r50", "4"), ("r51", "4"), ("r52", "1"), ("r70", "2")),
        orders=("12", "1122", "112", ""),
        dies_after=((), (), (), (1, 2)),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders(Work):
    """Customers order pages.

    Args:
        pages: the pages of each order.
        busy: for how many attempts the office is busy, or None to use the learner's `office_is_busy` as it is.
        has_rollback: whether the database can roll back.
    """

    pages: tuple[str, ...] = ("8",)
    busy: int | None = None
    has_rollback: bool = True


ORDERS = (
    Orders(),
    Orders(
        what="page 8 is ordered, printed, and ordered again, and the office is busy once for each order",
        patterns=frozenset({Pattern.EQUAL_INPUT}),
        pages=("8", "8"),
        busy=1,
    ),
    Orders(
        what="orders for unusual and similar pages wait, and the office is never busy",
        patterns=frozenset({Pattern.TWO_USERS, Pattern.KEYS, Pattern.STRINGS, Pattern.SIZES}),
        pages=(' 12–14 & "back" ', " 1", "0", ""),
        busy=0,
        together=True,
        parts=(
            Orders(
                what="orders for page 17 and for page 1 wait, and the office is busy once for each of them",
                pages=("17", "1"),
                busy=1,
                together=True,
            ),
            Orders(
                what="pages are '0', empty, or contain spaces and quotation marks, and the office is never busy",
                pages=("0", "", ' 12–14 & "back" '),
                busy=0,
            ),
        ),
    ),
    Orders(
        what="the office is busy four times, instances are shut down in attempts 1, 2 and 5, and a new one takes over",
        patterns=frozenset({Pattern.SIZES, Pattern.UNCHANGED, Pattern.INSTANCES, Pattern.DEATH}),
        pages=("9",),
        busy=4,
        elsewhere=5,
        deaths={1: 1, 2: 2, 5: 1},
        parts=(
            Orders(
                what="the office is busy four times, and another instance runs the fifth attempt",
                pages=("9",),
                busy=4,
                elsewhere=5,
            ),
            Orders(
                what="the worker's instance is shut down in each of the first three attempts",
                pages=("11",),
                deaths={1: 1, 2: 2, 3: 1},
            ),
        ),
    ),
    Orders(
        what="the database can't roll back, and the worker's instance can be shut down while the office is busy",
        patterns=frozenset({Pattern.EACH_WRITE, Pattern.DEATH}),
        pages=("25",),
        models={"no_transactions": _NO_TRANSACTIONS},
        deaths={1: 1},
        has_rollback=False,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Letters(Work):
    """Letters are sent to partners.

    Args:
        letters: the letters.
        delivered: for each letter that can be delivered, the number of the first attempt that can do it.
    """

    letters: tuple[str, ...] = ("lost",)
    delivered: Mapping[str, int] = field(default_factory=dict)


LETTERS = (
    Letters(),
    Letters(
        what="one letter can be delivered at the fourth attempt, and another one at the first",
        patterns=frozenset({Pattern.SIZES}),
        letters=("late", "prompt"),
        delivered={"late": 4, "prompt": 1},
    ),
    Letters(
        what="two equal letters and one that can be delivered are waiting, and attempt 1 never reaches the worker",
        patterns=frozenset({Pattern.EQUAL_INPUT, Pattern.TWO_USERS, Pattern.KEYS}),
        letters=("lost", "lost at sea", "lost"),
        delivered={"lost at sea": 3},
        deaths={1: 0},
        together=True,
    ),
    Letters(
        what="attempts 1 and 2 never reach the worker, and another instance is shut down in attempt 4",
        patterns=frozenset({Pattern.DEATH, Pattern.INSTANCES}),
        deaths={1: 0, 2: 0, 4: 1},
        elsewhere=4,
    ),
    Letters(
        what="letters are empty or long, an hour passes before attempt 1, and attempts 1 and 2 never reach the worker",
        patterns=frozenset({Pattern.CLOCK, Pattern.STRINGS}),
        letters=("", " Dear 'Editor' & \"friends\", " + "very " * 12),
        pause=4000.5,
        deaths={1: 0, 2: 0},
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wakes(Work):
    """The night desk wakes people.

    Args:
        times: for each task that `wake` adds, the attempts that it needs.
        names: names of tasks that another page adds, each of which needs one attempt.
    """

    times: tuple[int, ...] = ()
    names: tuple[str, ...] = ()


WAKES = (
    Wakes(times=(3,)),
    Wakes(
        what="a second task needs as many attempts as the first one",
        patterns=frozenset({Pattern.EQUAL_INPUT}),
        times=(2, 2),
    ),
    Wakes(
        what="a task needs ten rows, another instance takes over at attempt 3, and attempt 5 never reaches it",
        patterns=frozenset({Pattern.SIZES, Pattern.INSTANCES, Pattern.DEATH}),
        times=(10,),
        elsewhere=3,
        deaths={5: 0},
    ),
    Wakes(
        what="two tasks wait when the first one runs",
        patterns=frozenset({Pattern.TWO_USERS}),
        times=(3, 2),
        together=True,
    ),
    Wakes(
        what="other pages add tasks whose names contain each other, are long, or consist of digits",
        patterns=frozenset({Pattern.KEYS, Pattern.STRINGS}),
        names=("Night_Bell-2", "Night_Bell", "0017", "None", "n" * 60),
    ),
)
