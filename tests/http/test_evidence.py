"""What a status, the answer to a deletion, or a read proves; without a server."""

import uuid
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict

from enapter_async._http.evidence import Evidence, Seen, told_by_cache
from enapter_async._http.message import Failure
from enapter_async.errors import CachedAnswerError, Certainty, RedirectError
from enapter_async.models.devices import Device
from enapter_async.operation import Operation
from enapter_async.operations.devices import DeleteDevice, ListDevices
from tests.http.test_wire import DEVICE, JSON, failed, reply, wire
from tests.support.rig import DELETE, GET, UPDATE

ASKED, OTHER = str(uuid.UUID(int=1)), str(uuid.UUID(int=2)).encode()


@pytest.mark.parametrize(
    ("status", "certainty"),
    [
        (300, Certainty.MAYBE),
        (301, Certainty.REFUSED),
        (302, Certainty.MAYBE),
        (303, Certainty.MAYBE),
        (304, Certainty.MAYBE),
        (307, Certainty.REFUSED),
        (308, Certainty.REFUSED),
        (399, Certainty.MAYBE),
    ],
)
def test_only_a_redirect_to_another_address_means_not_done(
    status: int, certainty: Certainty
) -> None:
    ended = failed(reply(status, DEVICE))
    assert isinstance(ended.error, RedirectError)
    assert (ended.certainty, ended.retries) == (certainty, 0)


def test_the_only_statuses_below_500_that_are_retried() -> None:
    refused = {status: failed(reply(status, b"")).retries for status in range(300, 600)}
    again = {status for status, retries in refused.items() if retries is None}
    assert again == {408, 425, 429, 499, *range(500, 600)}


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (204, b"", {}),
        (204, b"", {"Content-Type": "text/html"}),
        (200, b"{}", JSON),
        (200, b" {}\n", {"Content-Type": "text/plain; charset=utf-8"}),
        (200, DEVICE, JSON),
    ],
)
def test_confirmations_of_a_deletion(status: int, body: bytes, headers: Any) -> None:
    assert wire().read(DELETE, reply(status, body, headers)) is None


UNCONFIRMED: list[tuple[int, bytes, dict[str, str]]] = [
    (200, b"", {}),
    (200, b"", JSON),
    (200, b"anything", JSON),
    (200, b'{"device": {"id": 5}}', JSON),
    (200, b"[]", JSON),
    (200, b"null", JSON),
    (200, b'{"maintenance": true}', JSON),
    (200, b'{"device": null}', JSON),
    (200, b'{"device": "dev-1"}', JSON),
    (200, b'{"errors": [{"code": "has_children"}]}', JSON),
    (200, b'{"device": {"id": "dev-1"}, "errors": []}', JSON),
    (201, b"{}", JSON),
    (202, b"{}", JSON),
    (202, DEVICE, JSON),
]


@pytest.mark.parametrize(("status", "body", "headers"), UNCONFIRMED)
def test_any_other_good_status_proves_no_deletion(status: int, body: bytes, headers: Any) -> None:
    ended = failed(reply(status, body, headers), DELETE)
    assert (ended.certainty, ended.unconfirmed) == (Certainty.MAYBE, True)
    assert (ended.retries, ended.status, ended.kind) == (0, status, "Unconfirmed")


def test_a_deletion_whose_answer_was_cut_is_not_confirmed() -> None:
    ended = failed(reply(200, b"{}", cut="late", late=True), DELETE)
    assert ended.unconfirmed
    assert ended.timed_out


def test_a_deletion_is_not_confirmed_by_another_device_nor_by_a_page() -> None:
    ended = failed(reply(200, b'{"device": {"id": "%s"}}' % OTHER), DeleteDevice(device_id=ASKED))
    assert (ended.certainty, ended.kind) == (Certainty.MAYBE, "ResponseMismatchError")
    page = failed(reply(200, b"{}", {"Content-Type": "text/html"}), DELETE)
    assert (page.certainty, page.retries, page.unconfirmed) == (Certainty.MAYBE, None, False)


# Whether a read is newer than a write


T0 = 1_750_000_000.0
"""When the first write began, by the server's clock."""


def seen(stamp: float | None, **given: Any) -> Seen:
    """Return a read that was answered 10 s after the write began, at 110 on our clock."""
    told: dict[str, Any] = {"date": T0 + 10, "at": 110.0, "stamped": True, "lag": 0.0, **given}
    return Seen(stamp, **told)


@pytest.mark.parametrize(
    ("read", "before", "proven"),
    [
        (seen(T0 + 5), None, True),
        (seen(T0 - 2), None, True),
        (seen(T0 - 2.001), None, False),
        (seen(T0 - 7, lag=5.0), None, True),
        (seen(T0 - 7.001, lag=5.0), None, False),
        (seen(T0 - 86_400), None, False),
        (seen(T0 - 86_400), T0 - 86_400, True),
        (seen(T0 - 86_400), T0 - 86_401, False),
        (seen(None), None, False),
        (seen(None, stamped=False), None, True),
        (seen(None, date=None), None, True),
        (seen(T0 - 86_400, date=None), None, True),
    ],
)
def test_what_a_read_proves(read: Seen, before: float | None, proven: bool) -> None:
    assert read.proves(100.0, before) is proven


@given(
    skew=st.floats(-1e6, 1e6),
    waited=st.floats(0, 3600),
    after=st.floats(0, 3600),
    lag=st.floats(0, 1.0),
    travel=st.floats(0, 30),
)
def test_the_writes_own_state_always_proves_it(
    skew: float, waited: float, after: float, lag: float, travel: float
) -> None:
    """Whatever the server's clock says, in whole seconds, with a database a second behind."""
    written = T0 + waited
    read_at = written + after
    told = Seen(
        stamp=float(int(written + skew - lag)),
        date=float(int(read_at + skew)),
        at=100.0 + waited + after + travel,
        stamped=True,
        lag=0.0,
    )
    assert told.proves(100.0, None)


@given(old=st.floats(4.0, 1e9), skew=st.floats(-1e6, 1e6), travel=st.floats(0, 0.5))
def test_a_state_from_before_the_write_never_proves_it(
    old: float, skew: float, travel: float
) -> None:
    told = Seen(T0 - old + skew, T0 + 10 + skew, 110.0 + travel, stamped=True, lag=0.0)
    assert not told.proves(100.0, None)


def test_the_largest_lag_of_good_writes_counts() -> None:
    evidence = Evidence()
    assert evidence.seen(GET, {}, device(None), 0.0) == Seen(None, None, 0.0, False, 0.0)
    for lag in (3, 9, 4, -20):
        evidence.note_write(UPDATE, {"Date": formatdate(T0, usegmt=True)}, device(T0 - lag))
    evidence.note_write(UPDATE, {}, device(T0 - 1000))
    evidence.note_write(UPDATE, {"Date": "soon"}, device(T0 - 1000))
    evidence.note_write(UPDATE, {"Date": formatdate(T0, usegmt=True)}, device(None))
    shown = evidence.seen(GET, {"Date": formatdate(T0 + 1, usegmt=True)}, device(T0), 5.0)
    assert shown == Seen(T0, T0 + 1, 5.0, stamped=True, lag=9.0)


@given(
    answers=st.lists(
        st.tuples(st.booleans(), st.integers(0, 5), st.integers(-5, 5)), min_size=1, max_size=8
    )
)
@example(answers=[(True, 0, 0), (False, 5, 0), (True, 5, 1)])
def test_reads_between_writes_hide_no_lag(answers: list[tuple[bool, int, int]]) -> None:
    evidence = Evidence()
    largest = 0.0
    for is_write, date, stamp in answers:
        headers = {"Date": formatdate(T0 + date, usegmt=True)}
        if is_write:
            evidence.note_write(UPDATE, headers, device(T0 + stamp))
            largest = max(largest, float(date - stamp))
        else:
            evidence.seen(GET, headers, device(T0 + stamp), 0.0)
    assert evidence.lag == largest


def device(stamp: float | None) -> Device:
    return Device(id="a", updated_at=None if stamp is None else datetime.fromtimestamp(stamp, UTC))


class Plain(Operation[None]):
    """Names no proof."""


def test_any_good_answer_proves_an_api_to_an_operation_without_a_proof() -> None:
    evidence = Evidence()
    assert not evidence.lives(Plain())
    evidence.learn(GET, device(None))
    assert evidence.lives(Plain())
    assert evidence.lives(GET)


def test_a_page_shows_that_devices_carry_a_time() -> None:
    evidence = Evidence()
    evidence.learn(ListDevices(), (device(T0),))
    assert evidence.seen(GET, {}, device(None), 0.0).stamped


@pytest.mark.parametrize(
    ("name", "value", "cached"),
    [
        ("Age", "1", True),
        ("age", " 3600 ", True),
        ("Age", "0", False),
        ("Age", "soon", False),
        ("Age", "\u00b2", False),
        ("Age", "0" * 5000 + "1", True),
        ("Age", "-1", False),
        ("X-Cache", "HIT", True),
        ("X-Cache", "Hit from cloudfront", True),
        ("X-Cache", "MISS, HIT", True),
        ("X-Cache", "TCP_MEM_HIT from a23-1 (AkamaiGHost)", True),
        ("X-Cache", "TCP_REFRESH_HIT from a23-1", False),
        ("X-Cache", "RefreshHit from cloudfront", False),
        ("X-Cache", "Miss from cloudfront", False),
        ("CF-Cache-Status", "HIT", True),
        ("CF-Cache-Status", "STALE", True),
        ("CF-Cache-Status", "UPDATING", True),
        ("CF-Cache-Status", "REVALIDATED", False),
        ("CF-Cache-Status", "DYNAMIC", False),
        ("X-Proxy-Cache", "hit", True),
        ("X-Vercel-Cache", "STALE", True),
        ("Cache-Status", "ExampleCache; hit", True),
        ("Cache-Status", "Origin; fwd=uri-miss, CDN; hit; ttl=30", True),
        ("Cache-Status", "CDN; hit=?1", True),
        ("Cache-Status", "CDN; hit=?0", False),
        ("Cache-Status", "hit-cache; fwd=stale; stored", False),
        ("X-Varnish", "1234 1230", True),
        ("X-Varnish", "1234", False),
        ("X-Cache-Lookup", "HIT from proxy:3128", False),
        ("Cache-Control", "stale-while-revalidate=5", False),
        ("X-Hit", "HIT", False),
    ],
)
def test_how_a_cache_identifies_itself(name: str, value: str, cached: bool) -> None:
    headers = CIMultiDict({"Content-Type": "application/json", name: value})
    assert bool(told_by_cache(headers)) is cached
    answered = wire().read(GET, reply(200, DEVICE, {**JSON, name: value}), fresh=True)
    assert isinstance(answered, Failure) is cached
    assert not isinstance(wire().read(GET, reply(200, DEVICE, {**JSON, name: value})), Failure)
    if isinstance(answered, Failure):
        assert isinstance(answered.error, CachedAnswerError)
        assert name in str(answered.error)


def test_a_fresh_answer_is_requested_in_both_ways() -> None:
    spoken = wire()
    plain = spoken.serialize(spoken.message(GET))
    fresh = spoken.serialize(spoken.message(GET, fresh=True))
    assert fresh == plain[:-2] + b"Cache-Control: no-cache\r\nPragma: no-cache\r\n\r\n"
