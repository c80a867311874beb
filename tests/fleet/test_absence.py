"""Plan, guard, run, wave and settling read treat every 404 by the same rule."""

import asyncio
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enapter_async import fleet
from enapter_async.client import Client
from enapter_async.emulator import Emulator
from enapter_async.errors import AmbiguousOutcomeError, NotFoundError, ResponseError
from enapter_async.fleet import RunAbortedError, State
from enapter_async.fleet.errors import WaveNotPassedError
from enapter_async.fleet.inputs import WorkItem
from enapter_async.fleet.planning.drift import GuardMode, StateGuard
from enapter_async.fleet.rollout.waves import Rollout
from enapter_async.operations.devices import DeleteDevice, UpdateDevice
from tests.support.budget import IN_TIME, examples
from tests.support.replies import answer, close, errors, good
from tests.support.rig import DELETE, Rig, TransportKind, attempts, open_rig
from tests.support.server import Exchange, FaultServer, Reply, Step, applied, ignored

ENVELOPE: Final = b'{"errors": [{"code": "not_found", "message": "no"}]}'
BODIES: Final = (
    ENVELOPE,
    b' {"errors": [{"message": "no such device"}], "request": 5}\n',
    b'{"errors": []}',
    b'{"errors": "not found"}',
    b'{"detail": "Not Found"}',
    b"<html>404</html>",
    b"404 page not found\n",
    b"",
)
OF_THE_API: Final = BODIES[:2]
"""The API page: an error is `{"errors": [{code, message, details}]}`, whatever the content type."""
LABELS: Final = (
    "application/json",
    "text/plain; charset=utf-8",
    "text/html",
    "application/octet-stream",
)
LISTS: Final = (b'{"devices": []}', b'{"devices": [{"id": "other"}], "total_count": 1}')


def split(page: Reply, listing: Reply) -> Reply:
    """Answer like this for a device, and for the list of all devices."""

    async def reply(exchange: Exchange) -> bool:
        return await (page if exchange.arrival.address else listing)(exchange)

    return reply


async def plan_says(rig: Rig) -> bool:
    try:
        with await fleet.plan(rig.client, [DELETE]) as made:
            return made.counts[fleet.Verdict.ABSENT] == 1
    except (NotFoundError, ResponseError):
        return False


async def guard_says(rig: Rig) -> bool:
    item = WorkItem(seq=0, operation=UpdateDevice(device_id="dev-1", name="B"), before={"name": 1})
    try:
        return "was deleted" in (await StateGuard(rig.client, GuardMode.EACH).check(item) or "")
    except NotFoundError:
        return False


async def run_says(rig: Rig, *, check: bool) -> bool:
    report = await fleet.apply(rig.client, [DELETE], check=check)
    absent = report.counts[State.ABSENT] == 1
    assert absent or report.counts[State.FAILED] + report.counts[State.UNKNOWN] == 1
    return absent


async def wave_says(rig: Rig) -> bool:
    rig.server.script(ignored(answer(204)), method="DELETE")
    report = await fleet.apply(rig.client, [DELETE], rollout=Rollout(waves=("rest",)))
    assert report.counts[State.APPLIED] == 1
    assert report.stopped is None or isinstance(report.stopped, WaveNotPassedError)
    return report.stopped is None


async def settling_says(rig: Rig, *, again: bool) -> bool:
    """Delete, lose the answer, and receive a 404: by a second attempt, or only by the read."""
    rig.server.script(ignored(close()), method="DELETE")
    client = rig.client.with_options(retry=attempts(2 if again else 1))
    try:
        await client.execute(DELETE)
    except AmbiguousOutcomeError:
        return False
    return True


async def each_says(page: Step) -> dict[str, bool]:
    ways: dict[str, Any] = {
        "plan": plan_says,
        "guard": guard_says,
        "run": lambda rig: run_says(rig, check=False),
        "check": lambda rig: run_says(rig, check=True),
        "wave": wave_says,
        "attempt": lambda rig: settling_says(rig, again=True),
        "settle": lambda rig: settling_says(rig, again=False),
    }
    told = {}
    for name, way in ways.items():
        async with FaultServer() as server:
            server.always(page)
            async with open_rig("direct", server, known=False, retry=attempts(1)) as rig:
                told[name] = await way(rig)
    return told


@IN_TIME
@given(
    body=st.sampled_from(BODIES),
    label=st.sampled_from(LABELS),
    listing=st.one_of(
        st.builds(lambda body: (200, body), st.sampled_from(LISTS)),
        st.builds(lambda body: (404, body), st.sampled_from(BODIES)),
        st.just((200, b"{}")),
    ),
)
@examples(25)
def test_plan_guard_run_and_wave_agree_on_every_404(
    body: bytes, label: str, listing: tuple[int, bytes]
) -> None:
    page = answer(404, body, media_type=label)
    told = asyncio.run(each_says(ignored(split(page, answer(*listing)))))
    absent = body in OF_THE_API and listing[1] in LISTS
    assert told == dict.fromkeys(told, absent)


@pytest.mark.parametrize(
    ("page", "proof"),
    [
        (answer(404, ENVELOPE), errors(503)),
        (answer(404, ENVELOPE), answer(404, ENVELOPE)),
        (answer(404, ENVELOPE), answer(200, {"service": "another"})),
        (answer(404, b"<p>", media_type="text/html"), good()),
        (answer(410, ENVELOPE), good()),
    ],
    ids=["no-answer", "no-api", "another-service", "page", "gone"],
)
async def test_a_deletion_that_a_proxy_delivered_twice_is_unknown_if_nothing_is_proven(
    transport: TransportKind, page: Reply, proof: Reply, server: FaultServer
) -> None:
    """The second delivery is answered, and nothing proves that the API sent the answer."""
    server.always(ignored(split(page, proof)))
    async with (
        open_rig(transport, server, known=False, retry=attempts(1)) as rig,
        fleet.Run(rig.client, [DELETE], abort=()) as run,
    ):
        (outcome,) = [outcome async for outcome in run]
    assert outcome.state is State.UNKNOWN
    assert "404" not in str(outcome.error) or "does not prove that it" in str(outcome.error)
    assert server.seen[0] == "DELETE"


async def test_a_wrong_path_deletes_nothing_and_stops_after_three() -> None:
    async with (
        Emulator(devices=50, seed=1) as emulator,
        Client(emulator.token, base_url=f"{emulator.base_url}/gateway") as client,
    ):
        operations = [DeleteDevice(device_id=device.id) for device in emulator.world]
        report = await fleet.apply(client, operations, abort=None, concurrency=1)
        assert (report.counts[State.UNKNOWN], report.counts[State.HELD]) == (3, 47)
        assert isinstance(report.stopped, RunAbortedError)
        assert "check base_url" in str(report.stopped)
        assert all("check base_url" in str(each.error) for each in report.unknowns)
        assert len(emulator.world) == 50


async def test_scattered_404s_stop_nothing() -> None:
    devices = tuple(f"dev-{number}" for number in range(6))
    page = ignored(answer(404, b"<html>"))
    async with FaultServer(devices=devices) as server, open_rig("direct", server) as rig:
        server.script(page, page, applied(good()), page, page, applied(good()))
        operations = [UpdateDevice(device_id=each, name="New") for each in devices]
        report = await fleet.apply(rig.client, operations, abort=None, concurrency=1)
        assert report.stopped is None
        assert (report.counts[State.FAILED], report.counts[State.APPLIED]) == (4, 2)


async def test_items_that_a_plan_calls_absent_end_as_absent(server: FaultServer) -> None:
    gone = DeleteDevice(device_id="no-such-device")
    async with open_rig("direct", server) as rig:
        with await fleet.plan(rig.client, [gone]) as made:
            report = await fleet.apply(rig.client, made)
        assert report.counts[State.ABSENT] == 1
        assert report.ok
    assert "DELETE" not in server.seen
