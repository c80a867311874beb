"""The fast converter compared with the exact one: the same value, or a refusal by both."""

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enapter_async.converter import rules
from enapter_async.models.configs import CommunicationConfig
from enapter_async.models.devices import (
    AccessRole,
    Communication,
    CommunicationType,
    Connectivity,
    Device,
    DeviceType,
)
from tests.converter.samples import JSON_VALUES

CLASSES = (Device, Communication, Connectivity, CommunicationConfig)
SAID = st.one_of(
    JSON_VALUES,
    st.sampled_from(
        ("", "lua", "LUA", "Owner", "UCM_EMBBEDED", "ONLINE", "2026-11-23T01:02:03Z", "MQTTS", 1)
    ),
)


def of(kind: Any, read: Any, data: Any) -> Any:
    try:
        return read(data, kind)
    except Exception:  # noqa: BLE001 - whatever it raises, it refuses
        return "refused"


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_the_fast_converter_reads_what_the_exact_one_reads(kind: Any, data: st.DataObject) -> None:
    names = [field.name for field in attrs.fields(kind)]
    names += ["communication_info", "communication_type"]
    said = data.draw(st.dictionaries(st.sampled_from(names), SAID))
    if "id" in names:
        said.setdefault("id", "dev-1")
    quick = of(kind, rules.quick.get_structure_hook(kind), said)
    exact = of(kind, rules.exact().structure, said)
    assert quick == exact
    assert type(quick) is type(exact)


@attrs.frozen(cache_hash=True, weakref_slot=False)
class Rack:
    """A model of somebody else's, with what attrs allows and this package does not use."""

    _row: str
    height: int = attrs.field(alias="units")
    inside: "Rack | None" = None
    doors: int = attrs.field(default=2, init=False)


def test_a_model_of_somebody_else_is_read_as_attrs_defines_it() -> None:
    said = {"_row": "b", "height": 2, "doors": 9, "inside": {"_row": "c", "height": 1}}
    inside = Rack(row="c", units=1)
    for read in (rules.quick.structure, rules.exact().structure):
        rack = read(said, Rack)
        assert rack == Rack(row="b", units=2, inside=inside)
        assert hash(rack) == hash(attrs.evolve(rack))


def test_known_members_are_the_same_objects() -> None:
    device = rules.quick.structure({"id": "a", "type": "LUA", "authorized_role": "OWNER"}, Device)
    assert device.type is DeviceType.LUA
    assert device.authorized_role is AccessRole.OWNER
    said = {"id": "a", "communication": {"type": "ucm_embbeded"}}
    communication = rules.quick.structure(said, Device).communication
    assert communication is not None
    assert communication.type is CommunicationType.UCM_EMBEDDED


def test_missing_fields_have_defaults_and_set_ones_are_complete_values() -> None:
    device = rules.quick.structure({"id": "a"}, Device)
    assert device == Device(id="a")
    assert hash(device) == hash(Device(id="a"))
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        device.name = "b"  # type: ignore[misc]  # that it cannot be set is what is shown
