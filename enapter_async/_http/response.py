"""The result of a call together with its HTTP response."""

from typing import Any, Final, Generic, TypeVar

import attrs
from multidict import CIMultiDict, CIMultiDictProxy

from enapter_async._http.call import Call, CallRecord
from enapter_async._http.message import Reply
from enapter_async._http.pipeline import Pipeline
from enapter_async.errors import Attempt
from enapter_async.operation import Operation

T = TypeVar("T")

_NO_HEADERS: Final[CIMultiDictProxy[str]] = CIMultiDictProxy(CIMultiDict())


@attrs.frozen(kw_only=True)
class Response(Generic[T]):
    """What `Client.send` returns: the `result` of an operation, and its HTTP response.

    The streams of `Client.stream` have one, too, with None as its result.

    `headers` ignores the case of names; a token that the server echoes is masked in it.
    `request_id` is the server's identifier of the request, which its support may ask for.
    `attempts` are the failed ones, and `elapsed` is in seconds.

    `status` is None, and there are no headers, if no answer to the operation itself was usable and
    a read showed that it was done (`settled`), or that a deleted object is gone.
    """

    result: T
    status: int | None
    headers: CIMultiDictProxy[str] = attrs.field(repr=False)
    request_id: str | None
    attempts: tuple[Attempt, ...]
    elapsed: float
    settled: bool


class _KeepingRecord(CallRecord):
    reply: Reply | None = None


@attrs.frozen(kw_only=True)
class _KeepingPipeline(Pipeline):
    """A pipeline of its own, so that other calls do not even ask whether to keep an answer."""

    def _passed(self, call: Call, reply: Reply, result: Any, began: float) -> None:
        if isinstance(call.record, _KeepingRecord):
            call.record.reply = reply
        super()._passed(call, reply, result, began)


async def respond(pipeline: Pipeline, operation: Operation[T]) -> Response[T]:
    """Execute an operation, and return its result with the answer."""
    record = _KeepingRecord()
    keeping = _KeepingPipeline(**attrs.asdict(pipeline, recurse=False))
    result = await keeping.execute(operation, record)
    reply, wire = record.reply, pipeline.wire
    return Response(
        result=result,
        status=None if reply is None else reply.status,
        headers=_NO_HEADERS if reply is None else wire.masked_headers(reply),
        request_id=None if reply is None else wire.request_id(reply),
        attempts=record.attempts,
        elapsed=record.elapsed,
        settled=record.settled,
    )
