"""Equal and contradictory operations in a known input; answers that differ from the request."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enapter_async import fleet
from enapter_async.client import Client
from enapter_async.emulator import Emulator, World
from enapter_async.fleet import InputConflictError, ResultDiffersError, State
from enapter_async.fleet.inputs import Input, WorkItem
from enapter_async.fleet.journal.resume import merged
from enapter_async.operation import Operation
from enapter_async.operations.devices import (
    AssignBlueprint,
    DeleteDevice,
    GenerateConfig,
    GetDevice,
    UpdateDevice,
)
from tests.support.replies import answer
from tests.support.server import FaultServer, applied

NAME_A = UpdateDevice(device_id="d", name="a")
NAME_B = UpdateDevice(device_id="d", name="b")
SLUG = UpdateDevice(device_id="d", slug="s")
BOTH = UpdateDevice(device_id="d", name="a", slug="s")
MINT = GenerateConfig(device_id="d", protocol="MQTT")
MINT_TLS = GenerateConfig(device_id="d", protocol="MQTTS")
BLUEPRINT = AssignBlueprint(device_id="d", blueprint_id="x")
DELETE = DeleteDevice(device_id="d")
OTHER = UpdateDevice(device_id="e", name="z")


@pytest.mark.parametrize(
    ("operations", "left_out"),
    [
        ([NAME_A, OTHER, NAME_A], {2}),
        ([NAME_A, SLUG, BOTH, SLUG], {3}),
        ([MINT, MINT_TLS, MINT], {2}),
        ([DELETE, DELETE], {1}),
        ([NAME_A, BLUEPRINT, MINT, DELETE], set()),
        ([GetDevice(device_id="d")] * 2, set()),
        ([], set()),
    ],
)
def test_equal_operations_are_merged(operations: list[Any], left_out: set[int]) -> None:
    assert merged(Input(operations)) == left_out


@pytest.mark.parametrize(
    ("operations", "words"),
    [
        ([NAME_A, OTHER, NAME_B], "operations 0 and 2 set name of d to 'a' and 'b'"),
        ([BOTH, NAME_B], "operations 0 and 1 set name of d to 'a' and 'b'"),
        ([DELETE, NAME_A], "operation 1 comes after operation 0 deletes d"),
        ([NAME_A, DELETE, MINT], "operation 2 comes after operation 1 deletes d"),
    ],
)
def test_contradictions_are_refused_with_their_places(operations: list[Any], words: str) -> None:
    with pytest.raises(InputConflictError) as caught:
        merged(Input(operations))
    assert caught.value.conflicts == (words,)
    assert "nothing was sent" in str(caught.value)


def test_items_of_one_unit_may_set_a_field_twice() -> None:
    works = [
        WorkItem(seq=5, operation=UpdateDevice(device_id="d", slug="tmp"), unit=1),
        WorkItem(seq=6, operation=UpdateDevice(device_id="d", slug="end"), unit=1),
    ]
    assert merged(Input(works)) == frozenset()


@given(st.lists(st.sampled_from([NAME_A, NAME_B, SLUG, BOTH, MINT, DELETE, OTHER]), max_size=8))
def test_the_result_has_no_duplicates_and_no_contradiction(
    operations: list[Operation[Any]],
) -> None:
    try:
        left_out = merged(Input(operations))
    except InputConflictError:
        deleted = operations.index(DELETE) if DELETE in operations else len(operations)
        beyond = any(each not in (DELETE, OTHER) for each in operations[deleted:])
        names = {each for each in operations if each in (NAME_A, NAME_B, BOTH)}
        assert beyond or (NAME_B in names and len(names) > 1)
        return
    left = [each for seq, each in enumerate(operations) if seq not in left_out]
    assert sorted(map(repr, left)) == sorted({repr(each) for each in operations})


@pytest.fixture
def world() -> World:
    return World.seeded(10, 1, role="OWNER")


async def test_a_contradiction_is_reported_before_anything_is_sent_or_created(
    emulator: Emulator, tmp_path: Path
) -> None:
    path = tmp_path / "run.db"
    async with Client(emulator.token, base_url=emulator.base_url) as client:
        with pytest.raises(InputConflictError):
            await fleet.apply(client, [NAME_A, NAME_B], journal=path)
    assert list_of(tmp_path) == []
    assert emulator.world.log.count_arrivals() == 0


def list_of(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir()]


async def test_merged_operations_are_counted_separately_and_recognized_on_repeat(
    emulator: Emulator, tmp_path: Path
) -> None:
    ids = [device.id for device in emulator.world]
    once = [UpdateDevice(device_id=each, name="new") for each in ids]
    path = tmp_path / "run.db"
    async with Client(emulator.token, base_url=emulator.base_url) as client:
        report = await fleet.apply(client, once + once, journal=path)
        assert (report.total, report.merged, report.ok) == (10, 10, True)
        again = await fleet.apply(client, once + once, journal=path)
        assert (again.total, again.earlier, again.ok) == (10, 10, True)
        with pytest.raises(fleet.RunRefusedError):
            await fleet.apply(client, once, journal=path)
    assert emulator.world.log.count("update") == 10


async def test_an_answer_with_another_value_differs_and_shows_both(server: FaultServer) -> None:
    # A server that trims names: reporting `applied` would be untrue.
    server.script(applied(answer(200, b'{"device": {"id": "dev-1", "name": "Boiler"}}')))
    operation = UpdateDevice(device_id="dev-1", name=" Boiler ")
    async with Client("token", base_url=server.base_url) as client:
        report = await fleet.apply(client, [operation])
    assert report.counts[State.DIFFERS] == 1
    error = report.differing[0].error
    assert isinstance(error, ResultDiffersError)
    assert "'Boiler'" in str(error)
    assert "' Boiler '" in str(error)
