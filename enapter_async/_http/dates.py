"""Parsing of dates and waiting times in HTTP headers."""

import email.utils
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

BEYOND_ANY_CAP: Final = 1e10
"""The seconds used for a Retry-After of more than ten digits."""
_SECONDS: Final = r"[0-9]+"


def parse_retry_after(values: Iterable[str], date: str | None, wall: float) -> float | None:
    """Return the seconds that a server asks to wait, or None if it does not.

    Of several values, the largest is used. A date is compared with the answer's own `date` if
    possible, otherwise with `wall`, in seconds since 1970. An unreadable value is ignored.
    Source: RFC 9110, section 10.2.3.
    """
    waits = [wait for value in values if (wait := _one_retry_after(value, date, wall)) is not None]
    return max(waits, default=None)


def _one_retry_after(value: str, date: str | None, wall: float) -> float | None:
    value = value.strip(" \t")
    if re.fullmatch(_SECONDS, value):
        return float(value) if len(value) <= 10 else BEYOND_ANY_CAP
    until = http_date(value)
    if until is None:
        return None
    now = None if date is None else http_date(date)
    return max(0.0, until - (wall if now is None else now))


def http_date(value: str) -> float | None:
    """Return an HTTP date in seconds since 1970; None if it is not one."""
    try:
        moment = email.utils.parsedate_to_datetime(value)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return (moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
