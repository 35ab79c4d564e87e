"""The scenarios of lesson 08: for each exercise, the fields of a row, and the table.

The checks are in deployed08.py (8.1) and guard06.py (8.2).
"""

from dataclasses import dataclass
from typing import ClassVar

from harness.course.catalogue import Pattern, Scenario
from harness.course.scenarios.scenarios06 import ANY_GUARD, Guarded


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed(Scenario):
    """The learner's app.yaml starts a server, and a user orders.

    Args:
        items: what the user orders, one request each.
    """

    starts_programs: ClassVar[bool] = True
    items: tuple[str, ...] = ("Tea",)


# Each row starts a server, which takes most of a second. So there is only one.
DEPLOYMENT = (Deployed(),)

SCHEDULED = (
    Guarded(values=("Monday",)),
    Guarded(
        what="three reports are ordered before a task runs, one of them twice, and one day's text contains another's",
        patterns=frozenset({Pattern.TWO_USERS, Pattern.EQUAL_INPUT, Pattern.KEYS}),
        values=("Sunday 14", "Friday", "Sunday 14", "Sunday 1"),
        refused="shared",
    ),
    *ANY_GUARD,
    Guarded(
        what="the day is empty, has spaces or quotation marks, or is very long",
        patterns=frozenset({Pattern.STRINGS}),
        values=(f""" 'Mon'{'"Tue" & <i>%40</i>' * 9} """, "", "None"),
        refused="value",
    ),
)
