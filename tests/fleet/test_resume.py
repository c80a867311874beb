"""A resumed run: what is sent again and what is not, what is refused, what is reported."""

import json
import sqlite3
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import pytest

from enapter_async import fleet
from enapter_async._http.retry import RetryPolicy
from enapter_async.client import Client
from enapter_async.emulator import Drop, Emulator, Reply, World
from enapter_async.fleet import AbortCriterion, JournalOptions, Report, RunRefusedError, State
from enapter_async.fleet.journal.names import read_journal
from enapter_async.fleet.journal.replay import Mark, Replay
from enapter_async.fleet.journal.sqlite.lock import RunLock
from enapter_async.operation import Operation
from enapter_async.operations.devices import DeleteDevice, GenerateConfig, UpdateDevice

UNKNOWN_ONCE = AbortCriterion(failure_type="unknown", threshold_percentage=1.0)
UNAUTHORIZED = Reply(status=401, body=b'{"errors": [{"code": "invalid_header"}]}')


@pytest.fixture
def world() -> World:
    return World.seeded(30, 1, role="OWNER")


@pytest.fixture
async def emulator(world: World) -> AsyncIterator[Emulator]:
    async with Emulator(world=world, tokens={"other": None}) as running:
        yield running


def client_of(emulator: Emulator, token: str | None = None, **settings: Any) -> Client:
    policy = RetryPolicy(attempts=1)
    return Client(token or emulator.token, base_url=emulator.base_url, retry=policy, **settings)


@pytest.fixture
async def client(emulator: Emulator) -> AsyncIterator[Client]:
    async with client_of(emulator) as opened:
        yield opened


@pytest.fixture
def renames(world: World) -> list[UpdateDevice]:
    return [UpdateDevice(device_id=device.id, name="new") for device in world]


@pytest.fixture
def standalone(world: World) -> list[str]:
    return [device.id for device in world if device.type == "STANDALONE"]


async def lazily(operations: Iterable[Operation[Any]]) -> AsyncIterator[Operation[Any]]:
    for operation in operations:
        yield operation


def counts(report: Report) -> dict[str, int]:
    return {str(state): number for state, number in report.counts.items() if number}


def marks(path: Path) -> list[Mark]:
    with closing(read_journal(path)) as journal:
        return [Mark(value) for value in Replay(journal).marks]


def kinds(path: Path, seq: int) -> list[str]:
    with closing(read_journal(path)) as journal:
        return [event.kind for event in journal.events() if event.seq == seq]


def forget_the_outcome(path: Path, seq: int, state: str) -> None:
    """Put the journal into the state that a kill before the outcome leaves."""
    with closing(sqlite3.connect(path)) as connection, connection:
        gone = connection.execute(
            "DELETE FROM event WHERE seq = ? AND kind IN (?, 'witness')", (seq, state)
        )
        assert gone.rowcount


async def stopped_after(client: Client, operations: Any, path: Path, outcomes: int) -> Report:
    run = fleet.Run(client, operations, concurrency=1, journal=path)
    async with run:
        async for _ in run:
            outcomes -= 1
            if not outcomes:
                run.stop()
    return run.report


@pytest.mark.parametrize("form", ["known", "plain", "asynchronous", "resume"])
async def test_repeating_the_call_does_the_rest(
    world: World, client: Client, path: Path, renames: list[UpdateDevice], form: str
) -> None:
    def given() -> Any:
        if form in ("known", "resume"):
            return renames
        return iter(renames) if form == "plain" else lazily(renames)

    first = await stopped_after(client, given(), path, 10)
    done = first.counts[State.APPLIED]
    assert 10 <= done < 30
    assert world.log.count("update") == done
    if form == "resume":
        report = await fleet.resume(client, path)
    else:
        report = await fleet.apply(client, given(), journal=path)
    assert counts(report) == {"applied": 30}
    assert (report.earlier, report.complete, report.ok) == (done, True, True)
    assert world.log.count("update") == 30
    assert {effect.device_id for effect in world.log.effects()} == {each.id for each in world}
    again = await fleet.resume(client, path)
    assert counts(again) == {"applied": 30}
    assert world.log.count_arrivals() == 30, "nothing is sent for what is finished"


async def test_a_streamed_run_that_is_resumed_alone_is_not_complete(
    client: Client, path: Path, renames: list[UpdateDevice]
) -> None:
    await stopped_after(client, lazily(renames), path, 2)
    report = await fleet.resume(client, path)
    assert not report.complete
    assert report.counts[State.HELD] == 0
    assert report.counts[State.APPLIED] == len(marks(path)) < 30
    report = await fleet.apply(client, lazily(renames), journal=path)
    assert counts(report) == {"applied": 30}
    assert report.complete


def changed(operations: list[UpdateDevice]) -> Iterator[tuple[list[UpdateDevice], str]]:
    other = UpdateDevice(device_id=operations[4].device_id, name="other")
    yield [*operations[:4], other, *operations[5:]], "operation 4 "
    yield operations[:-1], "ends after 29"
    yield [*operations, UpdateDevice(device_id="more", name="m")], "more than the 30 operations"
    yield operations[::-1], "operation 0 "


@pytest.mark.parametrize("index", range(4))
@pytest.mark.parametrize("first", ["known", "streamed"])
@pytest.mark.parametrize("second", ["known", "plain", "asynchronous"])
async def test_another_input_is_refused_before_anything_is_sent(
    *,
    world: World,
    client: Client,
    path: Path,
    renames: list[UpdateDevice],
    first: str,
    second: str,
    index: int,
) -> None:
    await stopped_after(client, renames if first == "known" else iter(renames), path, 5)
    other, words = list(changed(renames))[index]
    given: Any = {"known": other, "plain": iter(other), "asynchronous": lazily(other)}[second]
    before = world.log.count_arrivals()
    with pytest.raises(RunRefusedError, match=words):
        await fleet.apply(client, given, journal=path)
    assert world.log.count_arrivals() == before


async def test_another_server_is_refused(
    client: Client, path: Path, renames: list[UpdateDevice]
) -> None:
    await fleet.apply(client, renames, journal=path)
    async with Emulator(devices=1) as elsewhere, client_of(elsewhere) as other:
        with pytest.raises(RunRefusedError, match="this run uses"):
            await fleet.resume(other, path)


async def test_another_token_is_refused_unless_it_is_accepted(
    world: World, emulator: Emulator, client: Client, path: Path, renames: list[UpdateDevice]
) -> None:
    await stopped_after(client, renames, path, 10)
    accepting = JournalOptions(path=path, accept_new_token=True)
    async with client_of(emulator, "other") as other:
        with pytest.raises(RunRefusedError, match="another token"):
            await fleet.resume(other, path)
        report = await fleet.resume(other, accepting)
        assert counts(report) == {"applied": 30}
        assert world.log.count_arrivals("GET") == 3
        await fleet.resume(other, path)
    with pytest.raises(RunRefusedError, match="another token"):
        await fleet.resume(client, path)


async def test_a_token_that_sees_other_devices_is_not_accepted(
    world: World, emulator: Emulator, client: Client, path: Path, renames: list[UpdateDevice]
) -> None:
    before = (await stopped_after(client, renames, path, 10)).counts[State.APPLIED]
    moved = {"device": {"id": renames[0].device_id, "site_id": "another-site"}}
    emulator.faults.add(
        Reply(body=json.dumps(moved).encode(), content_type="application/json"), method="GET"
    )
    async with client_of(emulator, "other") as other:
        with pytest.raises(RunRefusedError, match="shows a different device"):
            await fleet.resume(other, JournalOptions(path=path, accept_new_token=True))
        emulator.faults.add(UNAUTHORIZED, method="GET")
        with pytest.raises(RunRefusedError, match="cannot read"):
            await fleet.resume(other, JournalOptions(path=path, accept_new_token=True))
    assert world.log.count("update") == before


async def test_the_journal_holds_no_token(
    emulator: Emulator, client: Client, path: Path, renames: list[UpdateDevice]
) -> None:
    await fleet.apply(client, renames, journal=path)
    with path.open("rb") as file:
        assert emulator.token.encode() not in file.read()


async def test_a_second_runner_is_refused(
    world: World, client: Client, path: Path, renames: list[UpdateDevice]
) -> None:
    lock = RunLock.take(path)
    try:
        with pytest.raises(RunRefusedError, match="another runner"):
            await fleet.apply(client, renames, journal=path)
    finally:
        lock.release()
    assert world.log.count_arrivals() == 0
    assert (await fleet.apply(client, renames, journal=path)).ok


async def test_failed_items_are_retried_only_on_request(
    world: World, emulator: Emulator, client: Client, path: Path, renames: list[UpdateDevice]
) -> None:
    emulator.faults.add(Reply(status=409, body=b"{}"), device=renames[3].device_id)
    twice = [*renames, UpdateDevice(device_id=renames[3].device_id, slug="later")]
    report = await fleet.apply(client, twice, journal=path)
    assert counts(report) == {"applied": 29, "failed": 1, "held": 1}
    before = world.log.count_arrivals()
    report = await fleet.resume(client, path)
    assert counts(report) == {"applied": 29, "failed": 1, "held": 1}
    assert world.log.count_arrivals() == before
    (failure,) = report.failures
    assert failure.operation == renames[3]
    assert "409" in str(failure.error)
    report = await fleet.resume(client, JournalOptions(path=path, retry_failed=True))
    assert counts(report) == {"applied": 31}
    assert kinds(path, 30)[0] == "held"


async def test_a_convergent_intent_without_outcome_is_run_again(
    world: World, client: Client, path: Path, renames: list[UpdateDevice]
) -> None:
    await fleet.apply(client, renames, journal=path)
    forget_the_outcome(path, 7, "applied")
    assert marks(path)[7] is Mark.INTENDED
    assert counts(await fleet.resume(client, path)) == {"applied": 30}
    assert world.log.count("update", device_id=renames[7].device_id) == 2
    assert [kind for kind in kinds(path, 7) if kind != "witness"] == ["intent"] * 2 + ["applied"]


async def test_an_item_that_an_earlier_session_may_have_done_is_never_held(
    client: Client, path: Path, renames: list[UpdateDevice]
) -> None:
    later = UpdateDevice(device_id=renames[7].device_id, slug="later")
    await fleet.apply(client, [*renames, later], journal=path)
    forget_the_outcome(path, 7, "applied")
    forget_the_outcome(path, 30, "applied")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM event WHERE seq = 30")
    run: fleet.Run[Any] = fleet.Run(client, None, journal=path, abort=UNKNOWN_ONCE)
    async with run:
        run.stop()
        outcomes = [outcome async for outcome in run]
    left, held = outcomes
    assert (left.operation, left.state) == (renames[7], State.UNKNOWN)
    assert isinstance(left.error, fleet.LeftUnknownError)
    assert (held.operation, held.state) == (later, State.HELD)
    assert counts(run.report) == {"applied": 29, "unknown": 1, "held": 1}
    assert run.report.stopped is None, "items of other sessions are not a reason to abort"
    assert marks(path)[7] is Mark.INTENDED
    assert counts(await fleet.resume(client, path)) == {"applied": 31}


@pytest.mark.parametrize("shows", [True, False])
async def test_a_refusal_says_nothing_about_an_earlier_attempt(
    *,
    emulator: Emulator,
    client: Client,
    path: Path,
    renames: list[UpdateDevice],
    shows: bool,
) -> None:
    await fleet.apply(client, renames, journal=path)
    forget_the_outcome(path, 7, "applied")
    if not shows:
        emulator.world.update(renames[7].device_id, name="someone else's")
    emulator.faults.add(Reply(status=409, body=b"{}"), method="PATCH")
    report = await fleet.resume(client, path)
    if shows:
        assert counts(report) == {"applied": 30}
        assert report.settled == 1
    else:
        assert counts(report) == {"applied": 29, "unknown": 1}
        assert "an earlier attempt may have taken effect" in str(report.unknowns[0].error)


async def test_a_deletion_that_is_run_again_and_finds_nothing_was_done(
    world: World, client: Client, path: Path, standalone: list[str]
) -> None:
    await fleet.apply(client, [DeleteDevice(device_id=standalone[0])], journal=path)
    forget_the_outcome(path, 0, "applied")
    report = await fleet.resume(client, path)
    assert counts(report) == {"applied": 1}
    assert report.settled == 1
    assert standalone[0] not in world


def minting(standalone: list[str]) -> list[GenerateConfig]:
    return [GenerateConfig(device_id=each, protocol="MQTTS") for each in standalone[:3]]


@pytest.mark.parametrize("ambiguous", ["report", "regenerate", "skip"])
async def test_a_configuration_that_is_in_the_credentials_file_was_generated(
    *,
    world: World,
    client: Client,
    path: Path,
    standalone: list[str],
    tmp_path: Path,
    ambiguous: Literal["report", "regenerate", "skip"],
) -> None:
    credentials = tmp_path / "credentials.jsonl"
    await fleet.apply(client, minting(standalone), journal=path, credentials=credentials)
    forget_the_outcome(path, 2, "applied")
    report = await fleet.resume(client, JournalOptions(path=path, ambiguous=ambiguous))
    assert counts(report) == {"applied": 3}
    assert world.log.count("generate_config") == 3


@pytest.mark.parametrize("recorded", [True, False])
async def test_an_unknown_configuration_is_reported_skipped_or_repeated(
    *,
    world: World,
    emulator: Emulator,
    client: Client,
    path: Path,
    standalone: list[str],
    tmp_path: Path,
    recorded: bool,
) -> None:
    credentials = tmp_path / "credentials.jsonl"
    emulator.faults.add(Drop(after_effect=True), device=standalone[2])
    report = await fleet.apply(client, minting(standalone), journal=path, credentials=credentials)
    assert counts(report) == {"applied": 2, "unknown": 1}
    if not recorded:
        forget_the_outcome(path, 2, "unknown")
    report = await fleet.resume(client, path)
    assert (counts(report), report.acknowledged) == ({"applied": 2, "unknown": 1}, 0)
    for _ in range(2):
        report = await fleet.resume(client, JournalOptions(path=path, ambiguous="skip"))
        assert (counts(report), report.acknowledged) == ({"applied": 2, "unknown": 1}, 1)
    assert kinds(path, 2).count("acknowledged") == 1
    assert world.log.count("generate_config", device_id=standalone[2]) == 1
    again = JournalOptions(path=path, ambiguous="regenerate")
    assert counts(await fleet.resume(client, again)) == {"applied": 3}
    assert world.log.count("generate_config", device_id=standalone[2]) == 2
    lines = [json.loads(line) for line in credentials.read_text().splitlines()]
    assert len(lines) == 3
    assert {(line["item"], line["intent"]) for line in lines if line["item"] == 2} == {(2, 2)}


async def test_credentials_of_an_earlier_intent_do_not_answer_for_a_later_one(
    client: Client, path: Path, standalone: list[str], tmp_path: Path
) -> None:
    credentials = tmp_path / "credentials.jsonl"
    await fleet.apply(client, minting(standalone), journal=path, credentials=credentials)
    forget_the_outcome(path, 2, "applied")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "INSERT INTO event (seq, step, kind, attempt, at_ms) VALUES (2, 0, 'intent', 2, 0)"
        )
    report = await fleet.resume(client, path)
    assert counts(report) == {"applied": 2, "unknown": 1}


async def test_another_credentials_file_is_refused(
    client: Client, path: Path, standalone: list[str], tmp_path: Path
) -> None:
    operations = minting(standalone)
    await fleet.apply(client, operations, journal=path, credentials=tmp_path / "a.jsonl")
    with pytest.raises(RunRefusedError, match="stores its credentials in"):
        await fleet.apply(client, operations, journal=path, credentials=tmp_path / "b.jsonl")
    assert not (tmp_path / "b.jsonl").exists()
