"""A wave must show the values set last, unless the device was deleted or ended badly."""

from typing import Any

import pytest

from enapter_async.fleet.journal.waves import WaveVerification
from enapter_async.fleet.outcomes import State
from enapter_async.operation import Operation
from enapter_async.operations.devices import (
    AssignBlueprint,
    DeleteDevice,
    GenerateConfig,
    UpdateDevice,
)

NAME = UpdateDevice(device_id="a", name="n")
OTHER_NAME = UpdateDevice(device_id="a", name="m")
SLUG = UpdateDevice(device_id="a", slug="s")
BOTH = UpdateDevice(device_id="a", name="n", slug="s")
BLUEPRINT = AssignBlueprint(device_id="a", blueprint_id="bp")
DELETION = DeleteDevice(device_id="a")
MINTING = GenerateConfig(device_id="a", protocol="MQTT")
ELSEWHERE = UpdateDevice(device_id="b", name="m")


def applied(*operations: Operation[Any]) -> WaveVerification:
    findings = WaveVerification(0)
    for operation in operations:
        findings.take(operation, State.APPLIED)
    return findings


def test_the_initial_state_is_empty() -> None:
    findings = WaveVerification(3)
    assert (findings.number, findings.bad, findings.seen) == (3, "", None)
    assert findings.shown() == []


@pytest.mark.parametrize(
    ("operations", "shown"),
    [
        ([NAME], [NAME]),
        ([NAME, OTHER_NAME], [OTHER_NAME]),
        ([NAME, SLUG], [NAME, SLUG]),
        ([BOTH, NAME], [BOTH, NAME]),
        ([NAME, BOTH], [BOTH]),
        ([NAME, BLUEPRINT], [NAME, BLUEPRINT]),
        ([NAME, SLUG, DELETION], [DELETION]),
        ([NAME, ELSEWHERE], [NAME, ELSEWHERE]),
        ([MINTING], []),
        ([NAME, MINTING], [NAME]),
    ],
)
def test_values_replaced_or_deleted_later_need_not_be_shown(
    operations: list[Operation[Any]], shown: list[Operation[Any]]
) -> None:
    assert applied(*operations).shown() == shown


@pytest.mark.parametrize("state", [State.UNCHANGED, State.ABSENT])
def test_unsent_items_are_not_read_and_supersede_earlier_ones(state: State) -> None:
    findings = applied(NAME)
    findings.take(OTHER_NAME, state)
    assert (findings.shown(), findings.bad) == ([], "")


def test_a_later_wave_supersedes_the_values_of_this_one() -> None:
    findings = applied(NAME, ELSEWHERE)
    findings.outdo(OTHER_NAME)
    assert findings.shown() == [ELSEWHERE]
    findings.outdo(SLUG)
    findings.outdo(UpdateDevice(device_id="c", name="m"))
    assert findings.shown() == [ELSEWHERE]
    findings.outdo(DeleteDevice(device_id="b"))
    assert findings.shown() == []


@pytest.mark.parametrize("state", [State.FAILED, State.UNKNOWN, State.HELD])
def test_the_first_failure_is_named_and_sets_nothing(state: State) -> None:
    findings = applied(NAME)
    findings.take(OTHER_NAME, state)
    findings.take(ELSEWHERE, State.FAILED)
    assert findings.bad == f"UpdateDevice of a ended as '{state}'"
    assert findings.shown() == [NAME]
