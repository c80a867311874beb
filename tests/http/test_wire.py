"""Between values and bytes, without a server: what each answer proves."""

import uuid
from typing import Any

import pytest
from multidict import CIMultiDict
from yarl import URL

from enapter_async._http.evidence import certainty_of
from enapter_async._http.message import Failure, Message, Reply
from enapter_async._http.wire import Wire, printable
from enapter_async.errors import (
    APIError,
    Certainty,
    ErrorDetail,
    RateLimitedError,
    ServerError,
)
from enapter_async.operation import Operation
from tests.support.rig import CONFIG, GET, LIST, TOKEN, UPDATE

JSON = {"Content-Type": "application/json"}
ASKED, OTHER = str(uuid.UUID(int=1)), str(uuid.UUID(int=2)).encode()
DEVICE = b'{"device": {"id": "dev-1"}}'
REFUSAL = b'{"errors": [{"code": "no", "message": "Not so"}]}'


def wire(base_url: str = "http://127.0.0.1", **options: Any) -> Wire:
    given: dict[str, Any] = {"secret": TOKEN, "wall": lambda: 0.0, **options}
    return Wire(URL(base_url), {"X-One": "1"}, **given)


def reply(status: int, body: bytes = b"", headers: Any = JSON, **more: Any) -> Reply:
    return Reply(status, CIMultiDict(headers), body, **more)


def failed(answer: Reply, operation: Operation[Any] = GET, **options: Any) -> Failure:
    ended = wire(**options).read(operation, answer)
    assert isinstance(ended, Failure)
    return ended


def refused(answer: Reply, operation: Operation[Any] = GET, **options: Any) -> APIError:
    error = failed(answer, operation, **options).error
    assert isinstance(error, APIError)
    return error


def test_defaults_of_a_failure() -> None:
    plain = Failure(certainty=Certainty.MAYBE, error=ServerError("no", status=500), kind="x")
    assert (plain.retries, plain.status, plain.retry_after) == (None, None, None)
    assert (plain.timed_out, plain.from_api) == (False, False)
    with pytest.raises(TypeError):
        Failure(Certainty.MAYBE, plain.error, "x")  # type: ignore[call-arg]  # what is wrong is the point


# Requests


def test_a_request_with_and_without_a_body() -> None:
    spoken = wire("http://127.0.0.1:8080/api/")
    assert spoken.serialize(spoken.message(GET)) == (
        b"GET /api/v3/devices/dev-1 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nX-One: 1\r\n\r\n"
    )
    assert spoken.serialize(Message("PATCH", "/x", b"{}")) == (
        b"PATCH /x HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nX-One: 1\r\n"
        b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    )


def test_the_target_and_fixed_headers_can_be_queried() -> None:
    told = {"X-One": "1"}
    spoken = Wire(URL("http://127.0.0.1:8080/api/"), told, secret=None, wall=lambda: 0.0)
    told["X-Two"] = "2"
    assert spoken.base_url == URL("http://127.0.0.1:8080/api/")
    assert spoken.origin == URL("http://127.0.0.1:8080")
    assert spoken.headers == {"X-One": "1"}


def test_defaults_of_a_reply() -> None:
    plain = reply(200)
    assert (plain.cut, plain.late, plain.framed) == ("", False, True)


# Good answers


def test_a_truncated_answer_is_not_complete_however_it_parses() -> None:
    ended = failed(reply(200, DEVICE, cut="the answer's body was lost"))
    assert ended.certainty is Certainty.APPLIED
    assert "the answer's body was lost" in str(ended.error)
    assert not ended.timed_out
    assert failed(reply(200, DEVICE, cut="late", late=True)).timed_out


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_any_status_below_300_is_good(status: int) -> None:
    assert wire().read(GET, reply(status, DEVICE)).id == "dev-1"  # type: ignore[union-attr]  # a failure has none


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "empty"),
        (b"{", "not JSON"),
        (b"[]", "no JSON object"),
        (b"{}", "device is missing"),
        (b'{"device": null}', "device is missing"),
        (b'{"device": {"id": 1}}', "device.id: expected a string, got a number"),
        (b'{"device": []}', "device: expected an object, got a list"),
    ],
)
def test_an_unreadable_success_was_done(body: bytes, reason: str) -> None:
    ended = failed(reply(200, body), UPDATE)
    assert ended.certainty is Certainty.APPLIED
    assert ended.kind == "ResponseError"
    assert ended.status == 200
    assert reason.replace("no JSON object", "not a JSON object") in str(ended.error)


def test_a_path_into_a_list_has_no_dot() -> None:
    ended = failed(reply(200, b'{"devices": [{"id": 1}]}'), LIST)
    assert "devices[0].id" in str(ended.error)


@pytest.mark.parametrize(
    ("media_type", "body", "expected"),
    [
        ("application/json", b"", True),
        ("application/json; charset=utf-8", b"<", True),
        ("APPLICATION/JSON", b"<", True),
        ("text/json", b"<", True),
        ("application/problem+json", b"<", True),
        ("text/plain", b"", True),
        ("text/plain", b"x", False),
        ("text/html", b"", False),
        ("application/xhtml+xml", b"", False),
        ("", b"", True),
        ("", b"  {", True),
        ("", b'{"a": 1}', True),
        ("", b"[", True),
        ("", b"<", False),
    ],
)
def test_answers_that_may_be_the_apis(media_type: str, body: bytes, expected: bool) -> None:
    headers = {"Content-Type": media_type} if media_type else {}
    ended = failed(reply(200, body, headers), UPDATE)
    assert ended.certainty is (Certainty.APPLIED if expected else Certainty.MAYBE)
    assert ("something other than the API" in str(ended.error)) is not expected


def test_a_lost_body_of_another_kind_is_not_the_apis() -> None:
    ended = failed(reply(200, b"", {"Content-Type": "text/plain"}, cut="lost"), UPDATE)
    assert ended.certainty is Certainty.MAYBE


@pytest.mark.parametrize("label", ["text/plain; charset=utf-8", "application/octet-stream"])
def test_an_answer_of_the_right_form_is_read_whatever_its_content_type(label: str) -> None:
    headers = {"Content-Type": label}
    assert wire().read(UPDATE, reply(200, DEVICE, headers)).id == "dev-1"  # type: ignore[union-attr]  # a failure has none
    unlike = failed(reply(200, b'{"status": "fine"}', headers), UPDATE)
    assert unlike.certainty is Certainty.MAYBE
    page = failed(reply(200, DEVICE, {"Content-Type": "text/html"}), UPDATE)
    assert page.certainty is Certainty.MAYBE


# Refusals


@pytest.mark.parametrize(
    ("status", "certainty", "retries"),
    [
        (400, Certainty.REFUSED, 0),
        (404, Certainty.REFUSED, 0),
        (408, Certainty.MAYBE, None),
        (425, Certainty.REFUSED, None),
        (429, Certainty.REFUSED, None),
        (498, Certainty.REFUSED, 0),
        (499, Certainty.MAYBE, None),
        (500, Certainty.MAYBE, None),
        (502, Certainty.MAYBE, None),
        (503, Certainty.MAYBE, None),
        (600, Certainty.MAYBE, None),
        (199, Certainty.MAYBE, None),
    ],
)
def test_how_certain_a_status_is(status: int, certainty: Certainty, retries: int | None) -> None:
    assert certainty_of(status, dated=False) is certainty
    ended = failed(reply(status, REFUSAL))
    assert (ended.certainty, ended.retries, ended.status) == (certainty, retries, status)
    assert ended.kind == type(ended.error).__name__
    assert ended.from_api


@pytest.mark.parametrize(
    ("status", "headers", "body", "certainty"),
    [
        (503, {"Retry-After": "1"}, REFUSAL, Certainty.REFUSED),
        (503, {"Retry-After": "soon"}, REFUSAL, Certainty.MAYBE),
        (503, {"Retry-After": "1"}, b"busy", Certainty.MAYBE),
        (502, {"Retry-After": "1"}, REFUSAL, Certainty.MAYBE),
    ],
)
def test_only_the_apis_own_503_with_a_time_is_a_refusal(
    status: int, headers: Any, body: bytes, certainty: Certainty
) -> None:
    assert failed(reply(status, body, {**JSON, **headers})).certainty is certainty


@pytest.mark.parametrize(
    ("status", "seconds"), [(429, 7.0), (503, 7.0), (500, None), (301, None), (400, None)]
)
def test_retry_after_counts_only_with_429_and_503(status: int, seconds: float | None) -> None:
    ended = failed(reply(status, REFUSAL, {**JSON, "Retry-After": "7"}))
    assert ended.retry_after == seconds
    assert getattr(ended.error, "retry_after", None) == seconds


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (REFUSAL, (ErrorDetail(code="no", message="Not so", details=None),)),
        (b'{"errors": [{"code": 1, "message": [], "details": "x"}]}', (ErrorDetail(),)),
        (b'{"errors": [{"details": {"a": 1}}, 5]}', (ErrorDetail(details={"a": 1}),)),
        (b'{"errors": []}', ()),
        (b'{"errors": {}}', ()),
        (b"[]", ()),
        (b"{", ()),
    ],
)
def test_partial_error_details_are_read(body: bytes, expected: tuple[ErrorDetail, ...]) -> None:
    error = refused(reply(400, body))
    assert error.errors == expected
    assert error.excerpt == ("" if expected else body.decode())


@pytest.mark.parametrize(
    ("body", "headers", "cut", "expected"),
    [
        (REFUSAL, JSON, "", True),
        (REFUSAL, {"Content-Type": "text/plain; charset=utf-8"}, "", True),
        (REFUSAL, {"Content-Type": "text/html"}, "", True),
        (REFUSAL, {}, "", True),
        (b'{"errors": []}', JSON, "", False),
        (b'{"errors": ["not found"]}', JSON, "", False),
        (b"{}", JSON, "", False),
        (b"", JSON, "", False),
        (b"", {}, "", False),
        (b"", {"Content-Type": "text/html"}, "", False),
        (b"", JSON, "lost", False),
        (b"x", {"Content-Type": "text/plain"}, "", False),
    ],
)
def test_who_sent_a_refusal(body: bytes, headers: Any, cut: str, expected: bool) -> None:
    ended = failed(reply(404, body, headers, cut=cut))
    assert ended.from_api is expected
    assert getattr(ended.error, "from_api", None) is expected


def test_an_excerpt_is_4_kib_and_never_of_a_secret() -> None:
    long = b"x" * 5000
    plain = {"Content-Type": "text/plain"}
    assert refused(reply(500, long, plain)).excerpt == "x" * 4096
    assert refused(reply(500, long, plain), CONFIG).excerpt == ""


@pytest.mark.parametrize(("secret", "shown"), [("abc", "abc"), ("abcd", "***"), (None, "abcd")])
def test_a_secret_of_four_letters_is_not_quoted(secret: str | None, shown: str) -> None:
    text = secret or "abcd"
    headers = {"Content-Type": "text/plain", "X-Request-Id": text}
    error = refused(reply(400, text.encode(), headers), secret=secret)
    assert error.excerpt == shown
    assert error.request_id == shown


def test_a_secret_is_not_quoted_however_deeply_nested() -> None:
    body = b'{"errors": [{"message": "m", "details": {"%s": [{"a": "x%sy"}, 1]}}]}'
    token = TOKEN.encode()
    (detail,) = refused(reply(400, body % (token, token))).errors
    assert detail.details == {"***": [{"a": "x***y"}, 1]}


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (400, b"", "HTTP 400 Bad Request"),
        (499, b"", "HTTP 499"),
        (400, REFUSAL, "HTTP 400 Bad Request: Not so (no)"),
        (400, b'{"errors": [{}]}', "HTTP 400 Bad Request: no message"),
        (400, b'{"errors": [{}, {}]}', "HTTP 400 Bad Request: no message, and 1 more"),
        (400, b'{"errors": [{}, {}, {}]}', "HTTP 400 Bad Request: no message, and 2 more"),
    ],
)
def test_the_message_of_a_refusal(status: int, body: bytes, said: str) -> None:
    assert refused(reply(status, body)).args[0] == said


def test_a_code_is_shortened() -> None:
    body = b'{"errors": [{"code": "%s"}]}' % (b"c" * 100)
    assert f"({'c' * 79}…)" in str(refused(reply(400, body)))


def test_each_status_has_its_error() -> None:
    assert isinstance(refused(reply(429, REFUSAL)), RateLimitedError)
    assert isinstance(refused(reply(503, REFUSAL)), ServerError)


# Texts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x" * 200, "x" * 200),
        ("x" * 201, "x" * 199 + "…"),
        ("a\r\n\x00b", "a b"),
        ("a\u202eb\u2066c\U000e0041\u061cd", "a b c d"),
    ],
)
def test_a_servers_text_is_one_short_line(text: str, expected: str) -> None:
    assert printable(text) == expected


def test_a_text_may_be_made_shorter() -> None:
    assert printable("abcd", 4) == "abcd"
    assert printable("abcde", 4) == "abc…"
