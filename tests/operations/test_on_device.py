"""Operations on one device behave the same at the path of its site."""

from typing import Any

import attrs
import pytest

from enapter_async.models.devices import Device
from enapter_async.operation import Target
from enapter_async.operations.devices import (
    AssignBlueprint,
    DeleteDevice,
    GenerateConfig,
    GetDevice,
    GetManifest,
    ListDevices,
    UpdateDevice,
)

ASKED = "0d6a7c11-7b1e-4f6a-9a55-3c2b1d0e9f88"


@pytest.mark.parametrize(
    "operation",
    [
        GetDevice(device_id=ASKED, site_id="s1"),
        GetManifest(device_id=ASKED, site_id="s1"),
        UpdateDevice(device_id=ASKED, site_id="s1", name="n"),
        DeleteDevice(device_id=ASKED, site_id="s1"),
        AssignBlueprint(device_id=ASKED, site_id="s1", blueprint_id="b"),
        GenerateConfig(device_id=ASKED, site_id="s1", protocol="MQTT"),
    ],
    ids=lambda operation: operation.kind,
)
def test_every_operation_on_a_device_has_a_twin_at_its_site(operation: Any) -> None:
    plain = attrs.evolve(operation, site_id=None).request()
    path = ("sites", "s1", *plain.path)
    assert operation.request() == plain._replace(path=path)
    assert operation.target() == Target("device", ASKED, "s1")
    assert operation.proven_by() == ListDevices(site_id="s1", limit=1)
    if operation.reads() is not None:
        assert operation.reads() == GetDevice(device_id=ASKED, site_id="s1")
    if not isinstance(operation, GenerateConfig | GetManifest):
        assert operation.accepts(Device(id=ASKED, site_id="s1"))
        assert not operation.accepts(Device(id=ASKED, site_id="s2"))
    before = Device(id=ASKED, name="old", blueprint_id="old")
    undone = operation.undo(before)
    assert undone is None or undone.target() == operation.target()
