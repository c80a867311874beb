"""How `undo` treats a state that this package itself would refuse to set."""

from enapter_async.models.devices import Device
from enapter_async.operations.devices import UpdateDevice


def test_an_old_value_that_cannot_be_set_cannot_be_undone() -> None:
    before = Device(id="dev-1", name="x" * 1025)
    assert UpdateDevice(device_id="dev-1", name="Boiler").undo(before) is None
