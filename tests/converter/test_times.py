from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enapter_async.models.devices import (
    Device,
)
from tests.converter.samples import error_of, read

MOMENT = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
SECONDS = 1770091506  # of MOMENT: 20487 days and 04:05:06 since 1970


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (SECONDS, MOMENT),
        (float(SECONDS), MOMENT),
        (SECONDS + 0.5, MOMENT + timedelta(milliseconds=500)),
        (str(SECONDS), MOMENT),
        (f"{SECONDS}.25", MOMENT + timedelta(milliseconds=250)),
        ("1.770091506e9", MOMENT),
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (-86400, datetime(1969, 12, 31, tzinfo=UTC)),
        ("2026-02-03T04:05:06Z", MOMENT),
        ("2026-02-03t04:05:06z", MOMENT),
        ("2026-02-03 04:05:06Z", MOMENT),
        ("2026-02-03T04:05:06", MOMENT),
        ("2026-02-03T04:05:06.000", MOMENT),
        ("2026-02-03T06:05:06+02:00", MOMENT),
        ("2026-02-02T23:35:06-04:30", MOMENT),
        ("2026-02-03T04:05:06-00:00", MOMENT),
        ("2026-02-03T04:05:06.7Z", MOMENT + timedelta(milliseconds=700)),
        ("2026-02-03T04:05:06.789012Z", MOMENT + timedelta(microseconds=789012)),
        ("2026-02-03T04:05:06.789012345Z", MOMENT + timedelta(microseconds=789012)),
        ("2026-02-03T06:05:06.123456789123+02:00", MOMENT + timedelta(microseconds=123456)),
    ],
)
def test_times_in_all_their_spellings(value: Any, expected: datetime) -> None:
    moment = read(updated_at=value).updated_at
    assert moment == expected
    assert moment is not None
    assert moment.tzinfo is UTC


@given(
    seconds=st.integers(min_value=-(10**9), max_value=10**10),
    microseconds=st.integers(min_value=0, max_value=999_999),
    offset=st.integers(min_value=-23 * 60, max_value=23 * 60),
)
def test_a_time_is_the_same_in_every_spelling(seconds: int, microseconds: int, offset: int) -> None:
    whole = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    moment = whole + timedelta(microseconds=microseconds)
    there = moment.astimezone(timezone(timedelta(minutes=offset)))
    assert read(updated_at=seconds).updated_at == whole
    assert read(updated_at=float(seconds)).updated_at == whole
    assert read(updated_at=str(seconds)).updated_at == whole
    assert read(updated_at=moment.isoformat()).updated_at == moment
    assert read(updated_at=there.isoformat()).updated_at == moment
    assert read(updated_at=moment.isoformat().replace("+00:00", "z")).updated_at == moment


@pytest.mark.parametrize(
    "value",
    [
        *("yesterday", "2026-02-03", "2026-W06-2", "20260203T040506Z", "04:05:06", "Z", " "),
        *("2026-02-30T00:00:00Z", "2026-13-01T00:00:00Z", "2026-02-03T25:00:00Z"),
        *("2026-02-03T04:05:06+25:00", "0001-01-01T00:00:00+01:00", "2026-02-03T04:05:06ZZ"),
        *("1770091506 ", "0x10", "1_000", "nan", "inf", "1e999", "٣"),
        *(10**400, -(10**400), 1e300, float("nan"), float("inf"), 10**15),
        *(True, False, [], {}, [1770091506]),
    ],
    ids=lambda value: ascii(value)[:40] if not isinstance(value, int) else f"int{value % 97}",
)
def test_an_invalid_time_is_an_error_with_a_path(value: Any) -> None:
    error = error_of({"id": "a", "updated_at": value}, Device)
    assert error.path == "updated_at"
    assert error.reason.startswith("expected a time")
