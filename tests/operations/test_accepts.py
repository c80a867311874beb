"""Answers that are accepted as being about the requested device."""

import uuid
from typing import Any

import pytest

from enapter_async.models.devices import Device
from enapter_async.operations.devices import (
    AssignBlueprint,
    DeleteDevice,
    GetDevice,
    ListDevices,
    UpdateDevice,
)

ASKED, OTHER = str(uuid.UUID(int=0xA)), str(uuid.UUID(int=0xB))


ABOUT_ONE_DEVICE: list[Any] = [
    lambda device_id: GetDevice(device_id=device_id),
    lambda device_id: UpdateDevice(device_id=device_id, name="n"),
    lambda device_id: AssignBlueprint(device_id=device_id, blueprint_id="b"),
    lambda device_id: DeleteDevice(device_id=device_id),
]


@pytest.mark.parametrize("build", ABOUT_ONE_DEVICE)
@pytest.mark.parametrize(
    ("asked", "answered", "accepted"),
    [
        (ASKED, ASKED, True),
        (ASKED, ASKED.upper(), True),
        (ASKED.upper(), ASKED, True),
        (ASKED, OTHER, False),
        (ASKED.upper(), OTHER, False),
        ("boiler-pump", ASKED, True),
        (ASKED, "boiler-pump", True),
        ("devicea0-45f2-4e9e-a6f0-69a310ab110b", OTHER, True),
        (ASKED, "", True),
    ],
)
def test_only_a_uuid_other_than_the_requested_one_is_refused(
    build: Any, asked: str, answered: str, accepted: bool
) -> None:
    assert build(asked).accepts(Device(id=answered)) is accepted


@pytest.mark.parametrize("build", ABOUT_ONE_DEVICE)
@pytest.mark.parametrize(
    ("asked", "answered", "accepted"),
    [
        ("pump", Device(id=OTHER, slug="pump"), True),
        ("Pump", Device(id=OTHER, slug="pump"), True),
        ("pump", Device(id="pump", slug="boiler"), True),
        ("pump", Device(id=OTHER, slug="boiler"), False),
        ("pump", Device(id=OTHER, slug=""), True),
        ("pump", Device(id=OTHER), True),
        (ASKED, Device(id=ASKED, slug="boiler"), True),
        (ASKED, Device(id=OTHER, slug=ASKED), False),
    ],
)
def test_a_slug_is_compared_with_the_answers_id_and_slug(
    build: Any, asked: str, answered: Device, accepted: bool
) -> None:
    assert build(asked).accepts(answered) is accepted


def test_if_the_slug_is_set_any_slug_is_accepted() -> None:
    renaming = UpdateDevice(device_id="pump", slug="New Pump")
    assert renaming.accepts(Device(id=OTHER, slug="new-pump"))
    assert not UpdateDevice(device_id="pump", slug=None).accepts(Device(id=OTHER, slug="boiler"))


def test_answers_without_an_id_of_their_own_are_accepted() -> None:
    assert ListDevices().accepts((Device(id=OTHER),))
