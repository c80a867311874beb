"""What a status, or the answer to a deletion, proves; without a server."""

import uuid
from typing import Any

import pytest

from enapter_async.errors import Certainty, RedirectError
from enapter_async.operations.devices import DeleteDevice
from tests.http.test_wire import DEVICE, JSON, failed, reply, wire
from tests.support.rig import DELETE

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
def test_only_a_redirect_to_another_address_says_not_done(
    status: int, certainty: Certainty
) -> None:
    ended = failed(reply(status, DEVICE))
    assert isinstance(ended.error, RedirectError)
    assert (ended.certainty, ended.retries) == (certainty, 0)


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
def test_what_says_that_a_deletion_was_done(status: int, body: bytes, headers: Any) -> None:
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
def test_any_other_good_status_says_nothing_of_a_deletion(
    status: int, body: bytes, headers: Any
) -> None:
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
