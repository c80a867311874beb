"""Operations that the API only accepts are followed to their end, now or in a later session."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from enapter_async import fleet
from enapter_async._http.retry import RetryPolicy
from enapter_async.client import Client
from enapter_async.errors import (
    AmbiguousOutcomeError,
    AuthenticationError,
    ConfigurationError,
    ResultDiffersError,
    StillPendingError,
)
from enapter_async.fleet import JournalOptions, Outcome, State
from tests.support.clock import FakeClock
from tests.support.racks import AddRack, RackServer, StartRun, serving

WAIT = 30.0


@asynccontextmanager
async def racks(number: int = 1) -> AsyncIterator[tuple[RackServer, Client, FakeClock]]:
    clock = FakeClock()
    names = {f"r{each}": "North" for each in range(number)}
    async with serving(**names) as server:
        server.now = clock.wall
        client = Client(
            "token",
            base_url=server.base_url,
            retry=RetryPolicy(attempts=2, base_delay=0.01),
            clock=clock.clock(),
        )
        async with client:
            yield server, client, clock


def started(server: RackServer) -> int:
    return sum(method == "POST" for method, _ in server.requests)


async def test_it_is_read_less_and_less_often_until_it_has_ended() -> None:
    async with racks() as (server, client, clock):
        server.after = lambda _, reads: "OK" if reads > 6 else "RUNNING"
        outcomes: list[Outcome[StartRun]] = []
        report = await fleet.apply(
            client, [StartRun(rack_id="r0")], wait=WAIT, on_outcome=outcomes.append
        )
    assert report.ok
    assert clock.sleeps == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, pytest.approx(4.5, abs=0.5)]
    assert (outcomes[0].result.id, outcomes[0].result.state) == ("run-0", "OK")
    assert (started(server), outcomes[0].attempts) == (1, 1)
    assert outcomes[0].elapsed >= WAIT - 0.5


@pytest.mark.parametrize(
    ("ending", "state", "kind"),
    [
        ("ERROR", State.DIFFERS, ResultDiffersError),
        ("TIMEOUT", State.UNKNOWN, AmbiguousOutcomeError),
        ("RUNNING", State.PENDING, StillPendingError),
    ],
)
async def test_each_ending_has_its_own_state(
    ending: str, state: State, kind: type[Exception], tmp_path: Path
) -> None:
    journal = JournalOptions(path=tmp_path / "j.db")
    async with racks(2) as (server, client, _):
        server.after = lambda rack, _: ending if rack == "r1" else "OK"
        runs = [StartRun(rack_id="r0"), StartRun(rack_id="r1")]
        report = await fleet.apply(client, runs, wait=WAIT, journal=journal, abort=None)
        assert report.counts[State.APPLIED] == report.counts[state] == 1
        (bad,) = (*report.differing, *report.unknowns, *report.pending)
        assert type(bad.error) is kind
        assert started(server) == 2
        again = await fleet.resume(
            client, JournalOptions(path=journal.path, retry_failed=True), wait=WAIT
        )
        assert again.counts == report.counts
        assert started(server) == 2, "none of them is sent again"


async def test_a_resumed_run_follows_pending_operations_to_their_end(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    async with racks(3) as (server, client, _):
        server.after = lambda rack, _: "RUNNING" if rack == "r1" else "OK"
        runs = [StartRun(rack_id=f"r{each}") for each in range(3)]
        report = await fleet.apply(client, runs, wait=5.0, journal=path)
        assert report.counts[State.PENDING] == 1
        assert not report.ok
        look = fleet.status(path)
        assert (look.counts[State.PENDING], list(look.ways_on())) == (1, [("to continue", "")])
        server.after = lambda rack, _: "ERROR" if rack == "r1" else "OK"
        report = await fleet.resume(client, path, wait=5.0)
        assert report.counts[State.DIFFERS] == 1
        assert started(server) == 3
        assert fleet.status(path).counts == report.counts


async def test_a_stopped_run_leaves_followed_operations_pending(
    tmp_path: Path,
) -> None:
    async with racks(2) as (server, client, clock):
        server.after = lambda _rack, _reads: "RUNNING"
        runs = [StartRun(rack_id="r0"), StartRun(rack_id="r1")]
        outcomes = []
        async with fleet.Run(
            client, runs, journal=tmp_path / "j.db", wait=1e6, concurrency=2
        ) as run:
            await clock.slept(8)
            run.stop()
            outcomes = [outcome async for outcome in run]
        assert [outcome.state for outcome in outcomes] == [State.PENDING] * 2
        assert "was accepted, but did not end: the run was stopped" in str(outcomes[0].error)
        server.after = lambda _rack, _reads: "OK"
        assert (await fleet.resume(client, tmp_path / "j.db")).ok
        assert started(server) == 2


async def test_a_kill_while_it_is_followed_loses_nothing(tmp_path: Path) -> None:
    """The id is in the journal before the first read; a kill would leave this copy of the files."""
    copy = tmp_path / "copy"
    async with racks() as (server, client, clock):
        server.after = lambda _, reads: "RUNNING" if reads < 3 else "OK"

        async def look() -> None:
            if len(clock.sleeps) == 3:
                await asyncio.to_thread(shutil.copytree, tmp_path, copy)

        clock.on_sleep = look
        await fleet.apply(client, [StartRun(rack_id="r0")], journal=tmp_path / "j.db")
        clock.on_sleep = None
        assert fleet.status(copy / "j.db").counts[State.PENDING] == 1
        report = await fleet.resume(client, copy / "j.db")
        assert report.ok
        assert started(server) == 1


async def test_a_failed_read_is_repeated_and_a_401_stops_the_run() -> None:
    async with racks(2) as (server, client, clock):
        server.after = lambda _, reads: "422" if reads < 3 else "OK"
        assert (await fleet.apply(client, [StartRun(rack_id="r0")], wait=WAIT)).ok
        assert clock.sleeps == [0.5, 1.0, 2.0]
        server.after = lambda _rack, _reads: "401"
        runs = [StartRun(rack_id="r0"), StartRun(rack_id="r1")]
        report = await fleet.apply(client, runs, wait=WAIT, concurrency=1)
        assert isinstance(report.stopped, AuthenticationError)
        assert report.counts[State.PENDING] == report.counts[State.HELD] == 1
        assert len(clock.sleeps) == 4, "reading again would not help"


async def test_an_operation_that_the_api_has_forgotten_is_unknown(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    async with racks() as (server, client, _):
        server.after = lambda _rack, _reads: "RUNNING"
        await fleet.apply(client, [StartRun(rack_id="r0")], wait=1.0, journal=path)
        server.runs.clear()
        report = await fleet.resume(client, path, wait=5.0, abort=None)
        (unknown,) = report.unknowns
        assert "the API no longer knows it" in str(unknown.error)


async def test_only_one_candidate_is_taken_and_only_if_that_is_allowed(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    async with racks() as (server, client, clock):
        server.runs["old"] = ("r0", clock.wall() - 60)
        server.lose = 1
        report = await fleet.apply(client, [StartRun(rack_id="r0")], journal=path, abort=None)
        (unknown,) = report.unknowns
        assert isinstance(unknown.error, AmbiguousOutcomeError)
        assert [each.id for each in unknown.error.candidates] == ["run-1"]
        assert "a search found 1 object that it may have created: run-1" in str(unknown.error)
        assert "--accept-candidates" in [option for _, option in fleet.status(path).ways_on()]
        left = await fleet.resume(client, path)
        assert left.counts[State.UNKNOWN] == 1, "it is never accepted without a request"
        accept = JournalOptions(path=path, accept_candidates=True)
        clock.skipped += 3600
        server.runs["other"] = ("r0", clock.wall())
        two = await fleet.resume(client, accept, abort=None)
        assert two.counts[State.UNKNOWN] == 1
        assert "a search found 2" in str(two.unknowns[0].error)
        del server.runs["other"]
        server.after = lambda _rack, _reads: "ERROR"
        one = await fleet.resume(client, accept, abort=None)
        assert one.counts[State.DIFFERS] == 1
        assert started(server) == 1


async def test_no_candidate_is_taken_if_an_equal_operation_may_have_created_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "j.db"
    async with racks() as (server, client, _):

        def lose_the_next(_rack: str, _reads: int) -> str:
            server.lose = 1
            return "OK"

        server.after = lose_the_next
        work = [AddRack(name="a"), StartRun(rack_id="r0"), AddRack(name="a")]
        report = await fleet.apply(client, work, journal=path, abort=None, concurrency=1)
        assert (report.counts[State.APPLIED], report.counts[State.UNKNOWN]) == (2, 1)
        server.racks.popitem()  # as if it had not arrived: only the first one's rack is there
        accept = JournalOptions(path=path, accept_candidates=True)
        again = await fleet.resume(client, accept, abort=None)
        assert again.counts[State.UNKNOWN] == 1
        assert fleet.status(path).counts == again.counts


async def test_an_operation_that_cannot_be_part_of_a_job_is_refused_before_anything_is_sent() -> (
    None
):
    async with racks() as (server, client, _):
        runs = [StartRun(rack_id="r0"), StartRun(rack_id="r0", alone=True)]
        with pytest.raises(ConfigurationError, match=r"operations\[1\] cannot be part of a job"):
            await fleet.apply(client, runs)
        with pytest.raises(ConfigurationError, match="it runs alone"):
            await fleet.plan(client, runs)
        assert server.requests == []
