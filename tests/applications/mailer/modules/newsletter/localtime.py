"""The instant at which it is a certain hour in a time zone."""

import datetime
from zoneinfo import ZoneInfo


def next_local(now, hour, zone):
    """Return the next instant after `now` at which it is `hour` in a zone. Both instants are naive and in UTC."""
    utc = datetime.timezone.utc
    local = now.replace(tzinfo=utc).astimezone(ZoneInfo(zone))
    due = local.replace(hour=hour, minute=0, second=0, microsecond=0)
    if due <= local:
        due += datetime.timedelta(days=1)
    return due.astimezone(utc).replace(tzinfo=None)
