"""A user's own operations, with the answers and bodies of other endpoints of the API."""

from typing import Any, ClassVar

import attrs
import pytest

from enapter_async import WHOLE, Answer, Operation, Payload, Repeat, RequestParts
from enapter_async.errors import Certainty, ConfigurationError, ResponseError
from tests.support.kinds import each
from tests.support.replies import answer
from tests.support.rig import TransportKind, open_rig
from tests.support.server import FaultServer, applied, ignored


@attrs.frozen(kw_only=True)
class Provisioned:
    """A server's answer about a device that it just created."""

    device_id: str
    slug: str | None = None


@attrs.frozen(kw_only=True)
class Provision(Operation[Provisioned]):
    """Create a device; the answer has no envelope."""

    kind: ClassVar[str] = "tested.provision"
    repeat: ClassVar[Repeat] = Repeat.ONCE
    answer: ClassVar[Answer[Provisioned]] = Answer(key=WHOLE, type=Provisioned)

    body: Any = attrs.field(default=None, hash=False)

    def request(self) -> RequestParts:
        return RequestParts("POST", ("provisioning", "ucm"), body=self.body)


@attrs.frozen(kw_only=True)
class ReadAnything(Operation[dict[str, Any]]):
    """Read an object of any form."""

    kind: ClassVar[str] = "tested.read_anything"
    repeat: ClassVar[Repeat] = Repeat.READ
    answer: ClassVar[Answer[dict[str, Any]]] = Answer(key=WHOLE, type=dict[str, Any])

    def request(self) -> RequestParts:
        return RequestParts("GET", ("anything",))


def _lines(reply: Any) -> tuple[str, ...]:
    text = reply.body.decode("ascii")
    if not text.endswith("\n"):
        raise ValueError("its last line does not end")
    return tuple(text.split())


@attrs.frozen(kw_only=True)
class Translate(Operation[tuple[str, ...]]):
    """Send and read text instead of JSON."""

    kind: ClassVar[str] = "tested.translate"
    repeat: ClassVar[Repeat] = Repeat.READ
    answer: ClassVar[Answer[tuple[str, ...]]] = Answer(
        type=tuple[str, ...], media=("text/plain",), decode=_lines
    )

    def request(self) -> RequestParts:
        return RequestParts("POST", ("translate",), body=Payload(b"text\r\n\r\n", "text/x-in"))


async def test_a_body_and_an_answer_may_be_something_else_than_json(
    transport: TransportKind, server: FaultServer
) -> None:
    server.script(
        ignored(answer(200, {"lines": []})),
        ignored(answer(200, b"a\nb", media_type="text/plain")),
        ignored(answer(200, b"a\nb\n", media_type="text/plain; charset=ascii")),
    )
    async with open_rig(transport, server) as rig:
        assert await rig.run(Translate()) == ("a", "b")
        assert rig.certainties == [Certainty.MAYBE, Certainty.APPLIED]
        server.script(ignored(answer(200, {"rules": []})))
        await rig.run(ReadAnything())
    sent, *_, json = server.arrivals
    assert sent.body == b"text\r\n\r\n"
    assert [sent.header(name) for name in ("Content-Type", "Accept", "Content-Length")] == [
        "text/x-in",
        "text/plain",
        "8",
    ]
    assert (json.header("Accept"), json.header("Content-Type")) == ("application/json", None)


async def test_an_answer_without_an_envelope_is_read_whole(server: FaultServer) -> None:
    server.script(
        applied(answer(200, {"device_id": "d", "slug": "s", "config": {}})),
        ignored(answer(200, {"rules": []})),
    )
    async with open_rig("direct", server) as rig:
        assert await rig.run(Provision()) == Provisioned(device_id="d", slug="s")
        assert await rig.run(ReadAnything()) == {"rules": []}


@each(
    "case",
    {
        "errors": ({"errors": [{"message": "no"}]}, "is missing"),
        "list": ([], "not a JSON object"),
    },
)
async def test_errors_or_a_list_are_not_a_whole_answer(
    case: tuple[Any, str], server: FaultServer
) -> None:
    body, reason = case
    server.always(ignored(answer(200, body)))
    async with open_rig("direct", server) as rig:
        error = await rig.fails(ReadAnything())
    assert isinstance(error, ResponseError)
    assert reason in str(error)


async def test_the_path_into_a_whole_answer_begins_with_its_field(server: FaultServer) -> None:
    server.always(ignored(answer(200, {"device_id": 5})))
    async with open_rig("direct", server) as rig:
        error = await rig.fails(Provision())
    assert "device_id: expected a string, got a number" in str(error)


@each("body", {"bytes": b"PK", "nested": {"a": [b"SECRET"]}, "surrogate": {"a": "\ud800"}})
async def test_a_body_that_is_not_json_is_refused_before_anything_is_sent(
    body: Any, server: FaultServer
) -> None:
    async with open_rig("direct", server) as rig:
        with pytest.raises(ConfigurationError, match="body of Provision cannot be written") as told:
            await rig.run(Provision(body=body))
    assert told.value.__context__ is None
    assert server.arrivals == []


@attrs.frozen(kw_only=True)
class DeleteRule(Operation[None]):
    """Delete a rule, written as in version 0.1."""

    kind: ClassVar[str] = "tested.delete_rule"
    repeat: ClassVar[Repeat] = Repeat.ONCE
    answer: ClassVar[Answer[None]] = Answer(type=None, empty_allowed=True)

    def request(self) -> RequestParts:
        return RequestParts("DELETE", ("rules", "r"))

    def result_of(self, state: Any) -> None:
        return None


@each("reply", {"204": answer(204), "empty": answer(200), "object": answer(200, {})})
async def test_an_operation_of_version_0_1_may_allow_an_empty_answer(
    reply: Any, server: FaultServer
) -> None:
    server.script(applied(reply))
    async with open_rig("direct", server) as rig:
        await rig.run(DeleteRule())
        assert rig.attempts == ()
