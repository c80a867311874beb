"""Between values and bytes, without a server: what each answer is worth."""

from typing import Any

from multidict import CIMultiDict
from yarl import URL

from enapter_async._http.wire import Failure, Reply, Wire
from enapter_async.errors import Certainty
from tests.faults.rig import DELETE, GET, TOKEN

JSON = {"Content-Type": "application/json"}
DEVICE = b'{"device": {"id": "dev-1"}}'


def wire(**options: Any) -> Wire:
    given: dict[str, Any] = {"secret": TOKEN, "wall": lambda: 0.0, **options}
    return Wire(URL("http://127.0.0.1"), {}, **given)


def reply(status: int, body: bytes, headers: Any = JSON, **more: Any) -> Reply:
    return Reply(status, CIMultiDict(headers), body, **more)


def test_an_answer_that_was_cut_is_not_whole_however_it_reads() -> None:
    ended = wire().read(GET, reply(200, DEVICE, cut="the answer's body was lost"))
    assert isinstance(ended, Failure)
    assert ended.certainty is Certainty.APPLIED
    assert "the answer's body was lost" in str(ended.error)
    assert wire().read(DELETE, reply(200, DEVICE, cut="the answer's body was lost")) is None
