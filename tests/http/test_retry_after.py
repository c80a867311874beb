"""How long a server asks to wait, in each form that HTTP has for it."""

import pytest

from enapter_async._http.dates import http_date, parse_retry_after


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        ((), None),
        (("",), None),
        (("soon",), None),
        (("-1",), None),
        (("1.5",), None),
        (("0",), 0.0),
        ((" 7\t",), 7.0),
        (("1", "9", "5"), 9.0),
        (("soon", "4"), 4.0),
        (("9999999999",), 9999999999.0),
        (("10000000001",), 1e10),
        (("9" * 400,), 1e10),
    ],
)
def test_retry_after_in_seconds(values: tuple[str, ...], seconds: float | None) -> None:
    assert parse_retry_after(values, None, 0.0) == seconds


NOON = "Sun, 06 Nov 1994 08:49:37 GMT"
NOON_SECONDS = 784111777.0


@pytest.mark.parametrize(
    ("date", "wall", "seconds"),
    [
        (None, NOON_SECONDS - 30, 30.0),
        (None, NOON_SECONDS + 30, 0.0),
        ("Sun, 06 Nov 1994 08:49:27 GMT", 0.0, 10.0),
        (NOON, 0.0, 0.0),
        ("nonsense", NOON_SECONDS - 3, 3.0),
    ],
)
def test_retry_after_as_a_date(date: str | None, wall: float, seconds: float) -> None:
    assert parse_retry_after([NOON], date, wall) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (NOON, NOON_SECONDS),
        ("Sunday, 06-Nov-94 08:49:37 GMT", NOON_SECONDS),
        ("Sun Nov  6 08:49:37 1994", NOON_SECONDS),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Thu, 01 Jan 1970 01:00:00 +0100", 0.0),
        ("", None),
        ("Sun, 99 Nov 1994 08:49:37 GMT", None),
    ],
)
def test_a_date_is_read_in_each_form_that_http_has(text: str, seconds: float | None) -> None:
    assert http_date(text) == seconds
