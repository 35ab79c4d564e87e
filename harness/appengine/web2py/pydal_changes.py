"""Take back the changes in pydal that web2py 2.26.1 cannot work with.

web2py 2.26.1 was released with pydal 20220814.1. That pydal cannot be imported where Google's client is installed,
because it imports `google.appengine.api.rdbms`, which `appengine-python-standard` 3.1.0 lacks. So the lab runs web2py
2.26.1 with pydal 20260520.0. web2py 3.3.3 expects the new pydal and needs none of this.
"""

from typing import Any


def take_back(compat: Any) -> None:
    """Give web2py 2.26.1 what it expects of pydal; `compat` is its module `gluon._compat`."""
    from urllib.request import FancyURLopener

    import pydal._compat
    from pydal.objects import Row, Set, Table
    from pydal.validators import IS_NOT_IN_DB

    # gluon/contrib/autolinks.py imports this name, so gluon/tools.py needs it too. pydal 20260520.0 lacks it.
    compat.FancyURLopener = pydal._compat.FancyURLopener = FancyURLopener
    Table._filter_fields = _with_id(Table._filter_fields)
    IS_NOT_IN_DB.set_self_id = _with_number(IS_NOT_IN_DB.set_self_id)
    Table.validate_and_insert = _as_row(Table.validate_and_insert, Row)
    Table.validate_and_update = _as_row(Table.validate_and_update, Row)
    Set.validate_and_update = _as_row(Set.validate_and_update, Row)


def _with_id(pick: Any) -> Any:
    """Accept the argument `id`, which Auth passes at each login. pydal 20260520.0 calls it `allow_id`."""

    def _filter_fields(
        table: Any, record: Any, allow_id: bool = False, writable_only: bool = False, id: bool = False
    ) -> Any:
        return pick(table, record, allow_id or id, writable_only)

    return _filter_fields


def _with_number(store: Any) -> Any:
    """Accept the id of a record as a string, because SQLFORM passes one.

    pydal 20260520.0 compares ids in Python, where "1" != 1. An update form then refuses the record's own value.
    """

    def set_self_id(validator: Any, id: Any) -> None:
        store(validator, int(id) if isinstance(id, str) and id.isdecimal() else id)

    return set_self_id


def _as_row(validate: Any, row: Any) -> Any:
    """Return a Row, because AuthAPI and Scheduler read the attribute `errors`. pydal 20260520.0 returns a dict."""

    def validate_and_write(*args: Any, **fields: Any) -> Any:
        result = row(validate(*args, **fields))
        result.errors = row(result.errors)
        return result

    return validate_and_write
