import inspect
import timeit
from typing import Any, NamedTuple, TypeVar, assert_type

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enapter_async.api.devices import Devices
from enapter_async.models.configs import CommunicationConfig
from enapter_async.models.devices import Device
from enapter_async.operation import UNSET, Answer, Operation, Repeat, RequestParts, Settles, Target
from enapter_async.operations import devices
from enapter_async.operations.devices import (
    AssignBlueprint,
    DeleteDevice,
    GenerateConfig,
    GetDevice,
    GetManifest,
    ListDevices,
    UpdateDevice,
)
from enapter_async.operations.kinds import OLD_NAMES, named

T = TypeVar("T")

MIB = 1024 * 1024
ASKED = "0d6a7c11-7b1e-4f6a-9a55-3c2b1d0e9f88"
OTHER = "9a1b2c3d-4e5f-4a6b-8c7d-0e1f2a3b4c5d"


class Case(NamedTuple):
    operation: Operation[Any]
    request: RequestParts
    repeat: Repeat
    answer: Answer[Any]
    target: Target
    reads: GetDevice | None
    changes: dict[str, str]
    settles: Settles


# One complete example of each operation, as on the API page.
CASES: dict[type[Operation[Any]], Case] = {
    GetDevice: Case(
        GetDevice(device_id=ASKED, expand=["site", "manifest"]),
        RequestParts(
            method="GET", path=("devices", ASKED), query=(("expand", "site,manifest"),), body=None
        ),
        Repeat.READ,
        Answer(key="device", type=Device, max_bytes=MIB, stamp="updated_at"),
        Target("device", ASKED),
        None,
        {},
        Settles.NEVER,
    ),
    ListDevices: Case(
        ListDevices(site_id="site-1", expand=["communication"], offset=100, limit=20),
        RequestParts(
            method="GET",
            path=("sites", "site-1", "devices"),
            query=(("expand", "communication"), ("offset", "100"), ("limit", "20")),
        ),
        Repeat.READ,
        Answer(
            key="devices",
            type=tuple[Device, ...],
            default=(),
            max_bytes=4_000_000,
            stamp="updated_at",
        ),
        Target("device", site_id="site-1"),
        None,
        {},
        Settles.NEVER,
    ),
    UpdateDevice: Case(
        UpdateDevice(device_id=ASKED, name="Hydrogen detector"),
        RequestParts(method="PATCH", path=("devices", ASKED), body={"name": "Hydrogen detector"}),
        Repeat.CONVERGENT,
        Answer(key="device", type=Device, max_bytes=MIB, stamp="updated_at"),
        Target("device", ASKED),
        GetDevice(device_id=ASKED),
        {"name": "Hydrogen detector"},
        Settles.STATE,
    ),
    DeleteDevice: Case(
        DeleteDevice(device_id=ASKED),
        RequestParts(method="DELETE", path=("devices", ASKED)),
        Repeat.CONVERGENT,
        Answer(key="device", type=Device, confirms=True),
        Target("device", ASKED),
        GetDevice(device_id=ASKED),
        {},
        Settles.STATE,
    ),
    GenerateConfig: Case(
        GenerateConfig(device_id=ASKED, protocol="mqtts"),
        RequestParts(
            method="POST", path=("devices", ASKED, "generate_config"), body={"protocol": "MQTTS"}
        ),
        Repeat.ONCE,
        Answer(key="config", type=CommunicationConfig, max_bytes=MIB, secret=True),
        Target("device", ASKED),
        None,
        {},
        Settles.NEVER,
    ),
    AssignBlueprint: Case(
        AssignBlueprint(device_id=ASKED, blueprint_id="bp-2"),
        RequestParts(
            method="POST",
            path=("devices", ASKED, "assign_blueprint"),
            body={"blueprint_id": "bp-2"},
        ),
        Repeat.CONVERGENT,
        Answer(key="device", type=Device, max_bytes=MIB, stamp="updated_at"),
        Target("device", ASKED),
        GetDevice(device_id=ASKED),
        {"blueprint_id": "bp-2"},
        Settles.STATE,
    ),
}


def test_every_operation_has_a_case_a_name_and_a_method() -> None:
    def is_ours(member: object) -> bool:
        return (
            inspect.isclass(member)
            and issubclass(member, Operation)
            and member.__module__ == devices.__name__
        )

    ours = {kind for _, kind in inspect.getmembers(devices, is_ours)}
    assert (
        ours - {kind for kind in ours if kind.__name__.startswith("_")}
        == set(CASES) | {GetManifest}
        == {named(name) for name in OLD_NAMES} | {GetManifest}
    )
    verbs = {name for name, _ in inspect.getmembers(Devices, inspect.isfunction)}
    assert {kind.kind for kind in CASES} == {f"device.{name}" for name in OLD_NAMES}
    assert set(OLD_NAMES) <= verbs


@pytest.mark.parametrize("case", CASES.values(), ids=lambda case: type(case.operation).__name__)
def test_declarations_of_an_operation(case: Case) -> None:
    operation = case.operation
    assert operation.request() == case.request
    assert operation.repeat is case.repeat
    assert operation.answer == case.answer
    assert operation.target() == case.target
    written = case.repeat is not Repeat.READ
    assert operation.subject() == (case.target.id if written else None)
    assert operation.writes_to() == (("device", case.target.id) if written else None)
    assert operation.reads() == case.reads
    assert operation.changes() == case.changes
    assert operation.settles is case.settles


@pytest.mark.parametrize("kind", CASES)
def test_a_page_of_one_device_shows_that_a_device_api_answers(kind: type[Operation[Any]]) -> None:
    assert kind.proof == ListDevices(limit=1)


@pytest.mark.parametrize("case", CASES.values(), ids=lambda case: type(case.operation).__name__)
def test_operations_are_frozen_slotted_hashable_values(case: Case) -> None:
    operation: Any = case.operation
    assert operation == attrs.evolve(operation)
    assert hash(operation) == hash(attrs.evolve(operation))
    assert not hasattr(operation, "__dict__")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        operation.device_id = "b"


def test_checking_survives_switched_off_validators() -> None:
    attrs.validators.set_disabled(True)
    try:
        with pytest.raises(ValueError, match="device_id"):
            DeleteDevice(device_id="../sites/1")
    finally:
        attrs.validators.set_disabled(False)


def test_reads_without_arguments_request_nothing_more() -> None:
    assert GetDevice(device_id="a").request().query == ()
    assert ListDevices().request() == RequestParts(
        method="GET", path=("devices",), query=(("offset", "0"), ("limit", "50"))
    )


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        ({"name": "n"}, {"name": "n"}),
        ({"slug": "s"}, {"slug": "s"}),
        ({"name": "n", "slug": "s"}, {"name": "n", "slug": "s"}),
        ({"name": "n", "slug": UNSET}, {"name": "n"}),
        ({"name": "n", "slug": None}, {"name": "n", "slug": None}),
        ({"name": None}, {"name": None}),
        ({"name": "", "slug": "s"}, {"name": "", "slug": "s"}),
    ],
)
def test_an_update_sends_only_what_is_set(fields: Any, body: dict[str, Any]) -> None:
    assert UpdateDevice(device_id="a", **fields).request().body == body


def test_the_protocol_is_sent_as_a_plain_string() -> None:
    body = GenerateConfig(device_id="a", protocol="mqtt").request().body
    assert body == {"protocol": "MQTT"}
    assert type(body["protocol"]) is str


@pytest.mark.parametrize(
    ("fields", "state", "holds"),
    [
        ({"name": "n"}, {"name": "n", "slug": "whatever"}, True),
        ({"name": "n"}, {"name": "N"}, False),
        ({"name": "n"}, {}, False),
        ({"name": "n", "slug": "s"}, {"name": "n", "slug": "s"}, True),
        ({"name": "n", "slug": "s"}, {"name": "n", "slug": "t"}, False),
        ({"slug": "s"}, {"name": "other", "slug": "s"}, True),
        ({"name": None}, {"name": ""}, True),
        ({"name": ""}, {}, True),
        ({"name": None}, {"name": "n"}, True),
        ({"name": None, "slug": "s"}, {"name": "n", "slug": "s"}, True),
        ({"name": "", "slug": "s"}, {"name": "n", "slug": "t"}, False),
    ],
)
def test_an_update_holds_if_its_fields_are_set(fields: Any, state: Any, holds: bool) -> None:
    update = UpdateDevice(device_id="a", **fields)
    assert update.holds(Device(id="a", **state)) is holds
    assert update.holds(None) is False


def test_an_assignment_holds_if_the_blueprint_is_the_wanted_one() -> None:
    assign = AssignBlueprint(device_id="a", blueprint_id="bp-2")
    assert assign.holds(Device(id="a", blueprint_id="bp-2"))
    assert not assign.holds(Device(id="a", blueprint_id="bp-1"))
    assert not assign.holds(Device(id="a"))
    assert not assign.holds(None)


def test_a_deletion_holds_if_nothing_is_found() -> None:
    assert DeleteDevice(device_id="a").holds(None)
    assert not DeleteDevice(device_id="a").holds(Device(id="a"))


def test_a_new_configuration_never_already_holds() -> None:
    operation = GenerateConfig(device_id="a", protocol="MQTT")
    assert not operation.holds(None)
    assert not operation.holds(Device(id="a"))
    assert operation.undo(Device(id="a")) is None


def test_what_a_read_back_operation_returns() -> None:
    device = Device(id="a", name="n", blueprint_id="b")
    assert UpdateDevice(device_id="a", name="n").result_of(device) is device
    assert AssignBlueprint(device_id="a", blueprint_id="b").result_of(device) is device
    DeleteDevice(device_id="a").result_of(None)
    with pytest.raises(ValueError, match="nothing was"):
        UpdateDevice(device_id="a", name="n").result_of(None)


OLD = Device(id=ASKED, name="Old", slug="old", blueprint_id="bp-1")


@pytest.mark.parametrize(
    ("operation", "before", "undo"),
    [
        (
            UpdateDevice(device_id="old", name="New"),
            OLD,
            UpdateDevice(device_id=ASKED, name="Old"),
        ),
        (
            UpdateDevice(device_id="old", slug="new"),
            OLD,
            UpdateDevice(device_id=ASKED, slug="old"),
        ),
        (
            UpdateDevice(device_id="old", name="New", slug="new"),
            OLD,
            UpdateDevice(device_id=ASKED, name="Old", slug="old"),
        ),
        (UpdateDevice(device_id="old", name="New"), attrs.evolve(OLD, name=""), None),
        (UpdateDevice(device_id="old", name="New"), attrs.evolve(OLD, name=None), None),
        (
            UpdateDevice(device_id="old", name="New", slug="new"),
            attrs.evolve(OLD, slug=None),
            UpdateDevice(device_id=ASKED, name="Old"),
        ),
        (
            UpdateDevice(device_id="old", name="New"),
            attrs.evolve(OLD, slug=None),
            UpdateDevice(device_id=ASKED, name="Old"),
        ),
        (
            AssignBlueprint(device_id="old", blueprint_id="bp-2"),
            OLD,
            AssignBlueprint(device_id=ASKED, blueprint_id="bp-1"),
        ),
        (
            AssignBlueprint(device_id="old", blueprint_id="bp-2"),
            attrs.evolve(OLD, blueprint_id=None),
            None,
        ),
        (
            AssignBlueprint(device_id="old", blueprint_id="bp-2"),
            attrs.evolve(OLD, blueprint_id=""),
            None,
        ),
        (DeleteDevice(device_id="old"), OLD, None),
        (GetDevice(device_id="old"), OLD, None),
        (ListDevices(), (OLD,), None),
    ],
)
def test_undo_restores_the_old_state_or_says_that_nothing_can(
    operation: Operation[Any], before: Any, undo: Operation[Any] | None
) -> None:
    assert operation.undo(before) == undo


TEXTS = st.text(
    alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\x00"),
    min_size=1,
    max_size=40,
)


@given(old=st.fixed_dictionaries({"name": TEXTS, "slug": TEXTS, "blueprint_id": st.just("b")}))
def test_an_undo_holds_in_the_state_that_it_restores(old: dict[str, Any]) -> None:
    before = Device(id=ASKED, **old)
    for operation in (
        UpdateDevice(device_id="a", name="New"),
        UpdateDevice(device_id="a", name="New", slug="new"),
        AssignBlueprint(device_id="a", blueprint_id="new"),
    ):
        undo: UpdateDevice | AssignBlueprint | None = operation.undo(before)
        assert undo is not None
        assert undo.holds(before)


def test_a_missing_declaration_of_an_operation_is_named() -> None:
    class Bare(Operation[None]):
        pass

    with pytest.raises(NotImplementedError, match=r"Bare must define request\(\)"):
        Bare().request()
    with pytest.raises(NotImplementedError, match=r"Bare must define result_of\(\)"):
        Bare().result_of(None)


def test_type_checkers_know_what_an_operation_returns() -> None:
    async def execute(operation: Operation[T]) -> T:
        raise NotImplementedError

    async def calls() -> None:
        assert_type(await execute(GetDevice(device_id="a")), Device)
        assert_type(await execute(ListDevices()), tuple[Device, ...])
        assert_type(
            await execute(GenerateConfig(device_id="a", protocol="MQTT")), CommunicationConfig
        )
        assert_type(await execute(DeleteDevice(device_id="a")), None)

    assert callable(calls)


def test_building_an_operation_costs_microseconds() -> None:
    def build() -> RequestParts:
        return UpdateDevice(device_id=ASKED, name="Boiler pump 2").request()

    # About 2 microseconds; the limit only detects a rule that became a hundred times slower.
    assert min(timeit.repeat(build, number=1000, repeat=5)) / 1000 < 200e-6
