"""Random jobs of a few devices in several sessions, played and compared with the server.

Each session runs the same operations on the same journal with its own client, as a restarted
process would. A session ends by itself, or is stopped, cut off, left or cancelled at any moment;
the last one is honest and runs to its end. Servers and networks are those of
`tests/support/plans.py`: they fail in every way, and do not lie.
"""

import asyncio
import json
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, Final, Literal

import attrs
from hypothesis import strategies as st

from enapter_async import fleet
from enapter_async._http.retry import RetryPolicy
from enapter_async._http.transport import Timeouts
from enapter_async.fleet import JournalOptions, Outcome, State
from enapter_async.fleet.journal.names import read_journal
from enapter_async.fleet.journal.replay import Replay
from enapter_async.fleet.reporting.results import result_rows, write_results
from enapter_async.operation import Operation, Repeat
from enapter_async.operations.devices import (
    AssignBlueprint,
    DeleteDevice,
    GenerateConfig,
    UpdateDevice,
)
from enapter_async.operations.provisioning import ProvisionStandalone
from enapter_async.operations.sites import CreateSite, DeleteSite, UpdateSite
from tests.support.clock import FakeClock
from tests.support.kinds import FINAL
from tests.support.oracle import (
    SECRETS,
    heard,
    nothing_is_held,
    open_after,
    quiet,
    trouble,
    wait_for,
)
from tests.support.plans import REFUSALS, Cancel, Greeting, late_reads, late_writes, reads, writes
from tests.support.rig import Rig, TransportKind, open_rig
from tests.support.secrets import shown
from tests.support.server import Arrival, FaultServer, Step
from tests.support.world import Effect

DENIALS: Final = REFUSALS | frozenset(FINAL.values())
"""The replies by which a server says that it has not carried out the request."""
BRISK: Final = Timeouts(connect=0.3, read=0.03)
DONE: Final = frozenset({State.APPLIED, State.UNCHANGED, State.ABSENT})
AT_ONCE: Final = Cancel("turns", 1)

End = Literal["whole", "stop", "cut", "leave", "cancel"]


@attrs.frozen
class Session:
    """One run of the job: the steps for its arrivals, and how and when it ends."""

    end: End = "whole"
    moment: Cancel = AT_ONCE
    writes: tuple[Step, ...] = ()
    reads: tuple[Step, ...] = ()
    greetings: tuple[Greeting, ...] = ()
    concurrency: int = 4
    attempts: int = 4
    check: bool = False
    retry_failed: bool = False
    regenerate: bool = False


@attrs.frozen
class Story:
    """A job: its operations, all different, and its sessions before the uninterrupted one.

    With `lazily`, the operations are an iterable without a length. At first, the port stays closed
    for `closed_for` sleeps.
    """

    operations: tuple[Operation[Any], ...]
    sessions: tuple[Session, ...]
    lazily: bool = False
    closed_for: int = 0


def _works(number: int) -> st.SearchStrategy[tuple[Operation[Any], ...]]:
    """Return the operations on the device or the site with that number, or on a new one.

    There is one, or there are two in order.
    """
    device_id = f"dev-{number}"
    name = UpdateDevice(device_id=device_id, name=f"Name {number}")
    slug = UpdateDevice(device_id=f"slug-of-{device_id}", slug=f"slug-{number}")
    assign = AssignBlueprint(device_id=device_id, blueprint_id=f"bp-of-{number}")
    delete = DeleteDevice(device_id=device_id)
    mint = GenerateConfig(device_id=device_id, protocol="MQTT")
    secure = GenerateConfig(device_id=device_id, protocol="MQTTS")
    made = ProvisionStandalone(name="New", slug=f"made-{number}", site_id="site-1")
    site = CreateSite(name=f"Place {number}", timezone="Europe/Rome")
    moved = UpdateSite(site_id=f"place-{number}", name=f"Name {number}")
    closed = DeleteSite(site_id=f"place-{number}")
    alone = (name, slug, assign, delete, mint, secure, made, site, moved, closed)
    return st.sampled_from([*((each,) for each in alone), (name, assign), (assign, mint)])


_moments = st.one_of(
    st.builds(Cancel, st.just("arrivals"), st.integers(1, 5)),
    st.builds(Cancel, st.just("sleeps"), st.integers(1, 3)),
    st.builds(Cancel, st.just("turns"), st.integers(1, 80)),
)
"""When a session ends; a caller who leaves does so after one to four outcomes."""


def _sessions(ends: tuple[End, ...], *, slow: bool) -> st.SearchStrategy[Session]:
    return st.builds(
        Session,
        end=st.sampled_from(ends),
        moment=_moments,
        writes=st.lists(late_writes | writes if slow else writes, min_size=1, max_size=8).map(
            tuple
        ),
        reads=st.lists(late_reads | reads if slow else reads, max_size=4).map(tuple),
        greetings=st.lists(st.sampled_from(["well", "fin", "rst"]), max_size=3).map(tuple),
        concurrency=st.integers(1, 4),
        attempts=st.integers(1, 4),
        check=st.booleans(),
        retry_failed=st.booleans(),
        regenerate=st.booleans(),
    )


def stories(
    *ends: End, sessions: int = 3, devices: int = 5, slow: bool = False
) -> st.SearchStrategy[Story]:
    """Return stories whose sessions end in these ways; with `slow`, some answers never arrive."""
    operations = st.integers(2, devices).flatmap(
        lambda count: st.tuples(*(_works(number) for number in range(1, count + 1)))
    )
    return st.builds(
        Story,
        operations=operations.map(lambda parts: tuple(one for part in parts for one in part)),
        sessions=st.lists(_sessions(ends, slow=slow), min_size=1, max_size=sessions).map(tuple),
        lazily=st.booleans(),
        closed_for=st.sampled_from([0, 0, 0, 1, 3]),
    )


@attrs.define
class Taken:
    """The reports of one session while it ran."""

    outcomes: dict[Operation[Any], Outcome[Any]] = attrs.Factory(dict)
    whole: bool = False
    """Whether every outcome was read."""


class Play:
    """A story played in a folder: its sessions one after another, each checked."""

    def __init__(self, kind: TransportKind, story: Story, folder: Path) -> None:
        self._kind = kind
        self._story = story
        self._clock = FakeClock()
        self._folder = folder
        self._journal = folder / "job.db"
        self._credentials = folder / "credentials.jsonl"
        self._said: list[str] = []

    async def play(self) -> None:
        """Play it, and raise AssertionError if any report is untrue."""
        story = self._story
        devices = tuple(f"dev-{number}" for number in range(1, len(story.operations) + 1))
        with heard() as log:
            async with FaultServer(devices=devices, closed=story.closed_for > 0) as server:
                if story.closed_for:
                    open_after(story.closed_for, server, self._clock)
                for session in story.sessions:
                    await self._run(server, session)
                server.late.land()
                await server.unclose()
                await self._run(server, Session())
                self._judge(server)
        self._said.append(log.getvalue())
        self._no_secret_is_told()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"tasks are left over: {left}"

    async def _run(self, server: FaultServer, session: Session) -> None:
        trouble(server, session)
        closed = self._closed(server, session)
        retry = RetryPolicy(
            attempts=session.attempts, on_ambiguous="regenerate" if session.regenerate else "raise"
        )
        async with open_rig(self._kind, server, self._clock, retry=retry, timeouts=BRISK) as rig:
            run, taken = self._new_run(rig, session), Taken()
            job = asyncio.ensure_future(_take(run, session, taken))
            if session.end in ("stop", "cut", "cancel"):
                await wait_for(_from_now(session.moment, rig), job, rig)
                ways: dict[str, Callable[[], object]] = {
                    "stop": run.stop,
                    "cut": run.cut,
                    "cancel": job.cancel,
                }
                ways[session.end]()
            try:
                await job
            except asyncio.CancelledError:
                assert session.end == "cancel"
            nothing_is_held(rig)
            self._said += [repr(rig.events), repr(run.report)]
        await quiet(server)
        self._said += [repr(outcome) for outcome in taken.outcomes.values()]
        self._said += [shown(each.error) for each in taken.outcomes.values() if each.error]
        for operation, count in closed.items():
            assert len(sent(operation, server)) == count, "a finished operation was sent again"
            assert operation not in taken.outcomes, "a finished operation was reported again"
        self._journal_agrees(taken, run.report)

    def _new_run(self, rig: Rig, session: Session) -> "fleet.Run[Operation[Any]]":
        operations = self._story.operations
        return fleet.Run(
            rig.client,
            iter(operations) if self._story.lazily else operations,
            concurrency=session.concurrency,
            journal=JournalOptions(
                path=self._journal,
                retry_failed=session.retry_failed,
                ambiguous="regenerate" if session.regenerate else "report",
            ),
            abort=None,
            credentials=self._credentials,
            check=session.check,
            on_event=lambda event: self._said.append(repr(event)),
        )

    def _closed(self, server: FaultServer, session: Session) -> dict[Operation[Any], int]:
        """Return the finished operations, each with the number of its requests so far."""
        ended = set(DONE)
        if not session.retry_failed:
            ended.add(State.FAILED)
        return {
            operation: len(sent(operation, server))
            for operation, state in self._states().items()
            if state in ended
            or (
                state is State.UNKNOWN
                and operation.repeat is Repeat.ONCE
                and not session.regenerate
            )
        }

    def _states(self) -> dict[Operation[Any], State]:
        """Return each operation's state from the journal's results, which must contain it once."""
        if not self._journal.exists():
            return {}
        with closing(read_journal(self._journal)) as journal:
            rows = list(result_rows(journal))
            counts = Replay(journal).counts()
        numbers = [row["item"] for row in rows]
        assert numbers == sorted(set(numbers)), "an item has two outcomes"
        assert counts == _counted(row["state"] for row in rows)
        return {self._story.operations[row["item"]]: State(row["state"]) for row in rows}

    def _journal_agrees(self, taken: Taken, report: fleet.Report) -> None:
        """Compare a session's reports with its journal."""
        if not taken.whole:
            return
        states = self._states()
        for operation, outcome in taken.outcomes.items():
            # Items that a stopped run had not reached are held, with or without a row.
            assert states.get(operation, State.HELD) is outcome.state
        assert report.complete
        unwritten = len(self._story.operations) - len(states)
        counts = _counted(states.values())
        counts[State.HELD] += unwritten
        assert report.counts == counts

    def _judge(self, server: FaultServer) -> None:
        """Compare the end of each operation with the server's log."""
        states = self._states()
        assert set(states) == set(self._story.operations)
        regenerated = any(session.regenerate for session in self._story.sessions)
        for operation, state in states.items():
            arrivals = sent(operation, server)
            effects = effects_of(arrivals, server)
            if state in (State.FAILED, State.HELD):
                assert effects == [], f"{state}, and something was done"
            if state in DONE:
                assert _held_once(operation, effects, server), f"{state}, and it never held"
            if operation.repeat is Repeat.ONCE and not regenerated:
                risky = [one for one in arrivals if one.step and one.step.reply not in DENIALS]
                assert len(risky) <= 1, "a once-only operation arrived again"
                assert len(effects) <= 1
            if operation.repeat is not Repeat.ONCE and operation.subject() in server.world.past:
                # The last session checked or carried out the item without any obstacle.
                assert state is not State.UNKNOWN, "an honest server left an unknown outcome"
        self._credentials_are_kept(states, server)

    def _credentials_are_kept(
        self, states: dict[Operation[Any], State], server: FaultServer
    ) -> None:
        lines = []
        if self._credentials.exists():
            text = self._credentials.read_text(encoding="utf-8")
            self._said.append(text.replace("KEY-SECRET", "").replace("PASSWORD-SECRET", ""))
            lines = [json.loads(line) for line in text.splitlines()]
        minted = [one for one in server.world.effects if one.operation == "generate_config"]
        kept = []
        for line in lines:
            if "config" not in line:
                continue  # part of an answer, of which nothing is known except that it arrived
            credentials = line["config"]["mqtt_credentials"]
            secret = credentials.get("password") or credentials["private_key"]
            number = int(secret.rpartition("-")[2])
            assert minted[number - 1].device_id == line["device_id"]
            kept.append(number)
        assert len(set(kept)) == len(kept)
        for operation, state in states.items():
            if isinstance(operation, GenerateConfig) and state is State.APPLIED:
                assert any(line["device_id"] == operation.device_id for line in lines)

    def _no_secret_is_told(self) -> None:
        with closing(read_journal(self._journal)) as journal:
            for form in ("csv", "jsonl"):
                write_results(journal, self._folder / f"results.{form}", form)
        fleet.write_report(self._journal, self._folder / "report.html")
        for path in self._folder.iterdir():
            if path != self._credentials:
                self._said.append(path.read_bytes().decode("latin-1"))
        for secret in SECRETS:
            assert not any(secret in text for text in self._said), "a secret was shown"


async def _take(run: "fleet.Run[Operation[Any]]", session: Session, taken: Taken) -> None:
    async with run:
        async for outcome in run:
            assert outcome.operation not in taken.outcomes, "it was reported twice"
            taken.outcomes[outcome.operation] = outcome
            if session.end == "leave" and len(taken.outcomes) == 1 + session.moment.count % 4:
                return
        taken.whole = True


def _from_now(moment: Cancel, rig: Rig) -> Cancel:
    """Count a session's arrivals and sleeps from its beginning."""
    before = {
        "turns": 0,
        "arrivals": len(rig.server.arrivals),
        "sleeps": len(rig.clock.sleeps),
    }
    return attrs.evolve(moment, count=before[moment.after] + moment.count)


def _counted(states: Iterable[str]) -> dict[State, int]:
    counts = dict.fromkeys(State, 0)
    for state in states:
        counts[State(state)] += 1
    return counts


def sent(operation: Operation[Any], server: FaultServer) -> list[Arrival]:
    """Return the arrivals of an operation; no other one has its method, path and new name."""
    request = operation.request()
    target = "/v3/" + "/".join(request.path)
    key = {ProvisionStandalone: "slug", CreateSite: "name"}.get(type(operation))
    named = b"" if key is None else f'"{getattr(operation, key)}"'.encode()
    return [
        each
        for each in server.arrivals
        if each.method == request.method and each.target == target and named in each.body
    ]


def effects_of(arrivals: list[Arrival], server: FaultServer) -> list[Effect]:
    numbers = {each.number for each in arrivals}
    return [each for each in server.world.effects if each.arrival in numbers]


def _held_once(operation: Operation[Any], effects: list[Effect], server: FaultServer) -> bool:
    if operation.repeat is Repeat.ONCE:
        return bool(effects)
    past = server.world.past[str(operation.subject()).removeprefix("slug-of-")]
    if isinstance(operation, DeleteDevice | DeleteSite):
        return None in past
    # Not by `holds`, by which the run settles.
    wanted = operation.changes().items()
    return any(wanted <= state.items() for state in past if state is not None)
