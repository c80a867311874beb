"""Runs over real sockets: their reports compared with the emulator's log."""

import asyncio
import json
import re
import stat
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from enapter_async import fleet
from enapter_async._http.retry import RetryPolicy
from enapter_async.client import Client
from enapter_async.emulator import Drop, Emulator, Fault, Reply, ServerFailure, Truncate, World
from enapter_async.errors import (
    AmbiguousOutcomeError,
    AuthenticationError,
    ConfigurationError,
    NotFoundError,
    PermissionDeniedError,
    ResultLostError,
)
from enapter_async.fleet import CredentialsNotKeptError, Outcome, State
from enapter_async.operation import Operation
from enapter_async.operations.devices import (
    AssignBlueprint,
    DeleteDevice,
    GenerateConfig,
    UpdateDevice,
)

if sys.platform != "win32":
    import resource

QUICK = RetryPolicy(attempts=3, base_delay=0.001, max_delay=0.01, deadline=5.0)
UNAUTHORIZED = Reply(status=401, body=b'{"errors": [{"code": "invalid_header", "message": "No."}]}')


@pytest.fixture
def world() -> World:
    return World.seeded(40, 1, role="OWNER")


@pytest.fixture
def policy() -> RetryPolicy:
    return QUICK


@pytest.fixture
def standalone(world: World) -> list[str]:
    """Devices that have their own configuration and no children."""
    return [device.id for device in world if device.type in {"STANDALONE", "LINK_SLAVE_UCM"}]


async def one(client: Client, operation: Operation[Any], **options: Any) -> Outcome[Any]:
    async with fleet.Run(client, [operation], **options) as run:
        (outcome,) = [outcome async for outcome in run]
    return outcome


def leaf(world: World) -> str:
    return next(device.id for device in world if not world.below(device.id))


async def test_applied_is_in_the_emulators_log_once(world: World, client: Client) -> None:
    operations: list[Operation[Any]] = [
        UpdateDevice(device_id=device.id, name=f"{device.name} new") for device in world
    ]
    operations += [AssignBlueprint(device_id=device.id, blueprint_id="bp-2") for device in world]
    report = await fleet.apply(client, operations)
    assert report.counts[State.APPLIED] == 80
    assert report.attempts == world.log.count_arrivals() == 80
    for device in world:
        update, assign = world.effects_of(device.id)
        assert (update.operation, assign.operation) == ("update", "assign_blueprint")
        assert device.name.endswith(" new")
        assert device.blueprint_id == "bp-2"


async def test_a_refusal_is_failed_and_nothing_is_done(world: World, client: Client) -> None:
    device_id = world.change(leaf(world), authorized_role="USER").id
    outcome = await one(client, UpdateDevice(device_id=device_id, name="new"))
    assert outcome.state is State.FAILED
    assert isinstance(outcome.error, PermissionDeniedError)
    assert outcome.attempts == 1
    assert not outcome.settled
    assert world.effects_of(device_id) == ()


async def test_a_device_that_was_already_deleted_is_absent(client: Client) -> None:
    outcome = await one(client, DeleteDevice(device_id="no-such-device"))
    assert outcome.state is State.ABSENT
    assert outcome.error is None


async def test_an_update_of_a_deleted_device_failed(client: Client) -> None:
    outcome = await one(client, UpdateDevice(device_id="no-such-device", name="new"))
    assert outcome.state is State.FAILED
    assert isinstance(outcome.error, NotFoundError)


async def test_a_proxys_404_page_does_not_prove_that_a_device_is_absent(
    world: World, emulator: Emulator, client: Client
) -> None:
    page = Reply(status=404, body=b"<html>not here</html>", content_type="text/html")
    emulator.faults.add(page, method="DELETE", times=None)
    delete = DeleteDevice(device_id=leaf(world))
    outcome = await one(client, delete)
    assert outcome.state is State.UNKNOWN, "the proxy may have delivered it twice"
    assert isinstance(outcome.error, AmbiguousOutcomeError)
    assert "check base_url" in str(outcome.error)
    emulator.faults.add(page, method="GET", times=None)
    report = await fleet.apply(client, [delete], check=True)
    assert report.counts[State.FAILED] == 1, "nothing was sent"


async def test_a_deletion_that_took_effect_before_the_connection_dropped_is_applied(
    world: World, emulator: Emulator, client: Client
) -> None:
    device_id = leaf(world)
    emulator.faults.add(Drop(after_effect=True), method="DELETE")
    outcome = await one(client, DeleteDevice(device_id=device_id))
    assert outcome.state is State.APPLIED
    assert outcome.settled
    assert outcome.attempts == 2
    assert world.log.count("delete", device_id=device_id) == 1


async def test_an_update_that_never_got_an_answer_is_settled_by_reading(
    world: World, emulator: Emulator, client: Client
) -> None:
    device_id = leaf(world)
    emulator.faults.add(ServerFailure(status=502, after_effect=True), method="PATCH", times=None)
    outcome = await one(client, UpdateDevice(device_id=device_id, name="new"))
    assert outcome.state is State.APPLIED
    assert outcome.settled
    assert outcome.attempts == QUICK.attempts
    assert outcome.result.name == world.device(device_id).name == "new"


@pytest.mark.parametrize(
    ("fault", "error", "effects"),
    [
        (Drop(), AmbiguousOutcomeError, 0),
        (Drop(after_effect=True), AmbiguousOutcomeError, 1),
        (Truncate(), ResultLostError, 1),
    ],
)
async def test_a_configuration_whose_answer_is_lost_is_unknown_and_never_sent_again(
    *,
    world: World,
    emulator: Emulator,
    client: Client,
    standalone: list[str],
    fault: Fault,
    error: type[Exception],
    effects: int,
) -> None:
    emulator.faults.add(fault, method="POST")
    outcome = await one(client, GenerateConfig(device_id=standalone[0], protocol="MQTT"))
    assert outcome.state is State.UNKNOWN
    assert type(outcome.error) is error
    assert outcome.attempts == 1
    assert world.log.count_arrivals("POST") == 1
    assert world.log.count("generate_config") == effects


async def test_check_reads_first_and_writes_only_what_differs(world: World, client: Client) -> None:
    first, second = world.devices[:2]
    operations: list[Operation[Any]] = [
        UpdateDevice(device_id=first.id, name=first.name),
        UpdateDevice(device_id=second.id, name="new"),
        AssignBlueprint(device_id=first.id, blueprint_id=first.blueprint_id),
        DeleteDevice(device_id="no-such-device"),
        UpdateDevice(device_id="no-such-device-either", name="new"),
    ]
    async with fleet.Run(client, operations, check=True) as run:
        outcomes = {outcome.operation: outcome async for outcome in run}
    states = [outcomes[operation].state for operation in operations]
    assert states == ["unchanged", "applied", "unchanged", "absent", "failed"]
    assert outcomes[operations[0]].result.id == first.id
    assert outcomes[operations[0]].attempts == 0
    assert world.log.count_arrivals("GET") == 5
    assert world.log.count_arrivals("DELETE") == 0
    assert world.log.count() == 1


async def test_nothing_is_read_unless_requested(world: World, client: Client) -> None:
    await fleet.apply(client, [UpdateDevice(device_id=leaf(world), name="new")])
    assert world.log.count_arrivals("GET") == 0


async def test_a_401_stops_the_run(world: World, emulator: Emulator, client: Client) -> None:
    emulator.faults.add(UNAUTHORIZED, device=world.devices[5].id, times=None)
    operations = [UpdateDevice(device_id=device.id, name="new") for device in world]
    report = await fleet.apply(client, operations, concurrency=2)
    assert isinstance(report.stopped, AuthenticationError)
    assert report.counts[State.FAILED] == 1
    assert report.counts[State.APPLIED] == world.log.count("update") <= 7
    assert report.total == 40
    assert report.complete


async def test_apply_refuses_to_generate_without_a_place_for_credentials(
    world: World, client: Client, standalone: list[str]
) -> None:
    operations: list[Operation[Any]] = [
        UpdateDevice(device_id=leaf(world), name="new"),
        GenerateConfig(device_id=standalone[0], protocol="MQTT"),
    ]
    with pytest.raises(ConfigurationError, match=r"operations\[1\] generates credentials"):
        await fleet.apply(client, operations)
    assert world.log.count_arrivals() == 0


async def test_apply_refuses_a_lazy_input_at_the_first_generating_operation(
    world: World, client: Client, standalone: list[str]
) -> None:
    def lazily() -> Iterator[Operation[Any]]:
        yield UpdateDevice(device_id=leaf(world), name="new")
        yield GenerateConfig(device_id=standalone[0], protocol="MQTT")
        raise AssertionError("it was pulled further")

    async def asynchronously() -> AsyncIterator[Operation[Any]]:
        for each in lazily():
            yield each

    for source in (lazily(), asynchronously()):
        with pytest.raises(ConfigurationError, match=r"operations\[1\] generates credentials"):
            await fleet.apply(client, source)
    assert world.log.count("generate_config") == 0


async def test_run_returns_credentials_in_the_result(client: Client, standalone: list[str]) -> None:
    outcome = await one(client, GenerateConfig(device_id=standalone[0], protocol="MQTT"))
    password = outcome.result.mqtt_credentials.password
    assert password
    assert password not in repr(outcome)


async def test_credentials_are_in_their_file_when_the_outcome_is_reported(
    client: Client, standalone: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "credentials.jsonl"
    operations = [
        GenerateConfig(device_id=device_id, protocol=protocol)
        for device_id in standalone
        for protocol in ("MQTT", "MQTTS")
    ]
    told = 0
    async with fleet.Run(client, operations, credentials=path) as run:
        async for outcome in run:
            told += 1
            # The next group may already be on its way into the file.
            whole_lines = path.read_text().rpartition("\n")[0].splitlines()
            stored = [json.loads(line) for line in whole_lines]
            assert len(stored) >= told
            credentials = outcome.result.mqtt_credentials
            secret = getattr(credentials, "password", None) or credentials.private_key
            (row,) = [each for each in stored if secret in json.dumps(each).replace("\\n", "\n")]
            assert row["device_id"] == outcome.operation.device_id
            assert row["protocol"] == outcome.operation.protocol
            assert row["config"]["mqtt_host"] == outcome.result.mqtt_host
            assert row["generated_at"].endswith("Z")
    assert told == len(operations) >= 4
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_callable_may_take_the_credentials(client: Client, standalone: list[str]) -> None:
    taken = []

    async def take(operation: Operation[Any], result: Any) -> None:
        await asyncio.sleep(0)
        taken.append((operation.subject(), result.mqtt_protocol))

    operations = [GenerateConfig(device_id=each, protocol="MQTT") for each in standalone]
    report = await fleet.apply(client, operations, credentials=take)
    assert report.ok
    assert sorted(taken) == sorted((each, "MQTT") for each in standalone)


async def test_a_sink_that_fails_stops_the_run_and_nothing_is_called_applied(
    world: World, client: Client, standalone: list[str]
) -> None:
    def refuse(_: Operation[Any], result: Any) -> None:
        raise RuntimeError(f"no space for {result.mqtt_credentials.password}")

    operations = [GenerateConfig(device_id=each, protocol="MQTT") for each in standalone]
    async with fleet.Run(client, operations, concurrency=1, credentials=refuse) as run:
        outcomes = [outcome async for outcome in run]
    assert [each.state for each in outcomes] == ["unknown"] + ["held"] * (len(operations) - 1)
    error = outcomes[0].error
    assert isinstance(error, CredentialsNotKeptError)
    assert isinstance(error, ResultLostError)
    assert run.report.stopped is error
    password = outcomes[0].result.mqtt_credentials.password  # still possible to save
    assert password not in str(error)
    assert run.report.unknowns[0].result is None
    assert world.log.count("generate_config") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="this system cannot limit file sizes")
async def test_a_file_that_cannot_grow_stops_the_run_and_ends_in_a_whole_line(
    world: World, client: Client, standalone: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "credentials.jsonl"
    operations = [GenerateConfig(device_id=each, protocol="MQTTS") for each in standalone]
    outcomes = []
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        async with fleet.Run(client, operations, concurrency=1, credentials=path) as run:
            async for outcome in run:
                # At first there is room for one line of about 2 kB but not for two, and the
                # reserved space does not help, because the kernel refuses to extend the file.
                resource.setrlimit(resource.RLIMIT_FSIZE, (3000, hard))
                outcomes.append(outcome)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [each.state for each in outcomes[:3]] == ["applied", "unknown", "held"]
    assert isinstance(outcomes[1].error, CredentialsNotKeptError)
    assert world.log.count("generate_config") == 2
    (line,) = path.read_text().splitlines()
    assert json.loads(line)["device_id"] == standalone[0]


def names_in(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir()]


@pytest.mark.skipif(sys.platform == "win32", reason="this system cannot limit file sizes")
async def test_without_space_for_all_in_flight_nothing_is_generated(
    world: World, client: Client, standalone: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "credentials.jsonl"
    operations = [GenerateConfig(device_id=each, protocol="MQTTS") for each in standalone]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Less than what is reserved for one of the results in flight.
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, hard))
    try:
        report = await fleet.apply(client, operations, concurrency=4, credentials=path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert report.counts[State.HELD] == len(operations)
    assert isinstance(report.stopped, fleet.NoRoomError)
    assert world.log.count_arrivals() == 0
    assert names_in(tmp_path) == [path.name]


async def test_space_that_cannot_be_reserved_is_reported_with_the_reason(
    world: World, client: Client, standalone: list[str], tmp_path: Path
) -> None:
    path, reserve = tmp_path / "credentials.jsonl", tmp_path / "credentials.jsonl.reserve"
    reserve.mkdir()
    operations = [GenerateConfig(device_id=each, protocol="MQTTS") for each in standalone]
    report = await fleet.apply(client, operations, concurrency=4, credentials=path)
    assert report.counts[State.HELD] == len(operations)
    assert isinstance(report.stopped, fleet.NoRoomError)
    assert re.fullmatch(
        rf"credentials cannot be stored: .+ \({re.escape(str(reserve))}\)", str(report.stopped)
    )
    assert world.log.count_arrivals() == 0


async def test_a_cut_waits_for_a_configuration_on_its_way_into_the_file(
    client: Client, standalone: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "credentials.jsonl"
    operations = [GenerateConfig(device_id=each, protocol="MQTT") for each in standalone]
    async with fleet.Run(client, operations, credentials=path) as run:
        async for _ in run:
            run.cut()
    applied = run.report.counts[State.APPLIED]
    assert len(path.read_text().splitlines()) == applied >= 1
    assert run.report.total == len(operations)


async def test_a_credentials_file_that_cannot_be_opened_is_reported_before_anything_is_sent(
    world: World, client: Client, standalone: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "credentials.jsonl"
    path.write_text("")
    path.chmod(0o644)
    operations = [GenerateConfig(device_id=standalone[0], protocol="MQTT")]
    with pytest.raises(ConfigurationError, match="0644, but must have 0600"):
        await fleet.apply(client, operations, credentials=path)
    assert world.log.count_arrivals() == 0
