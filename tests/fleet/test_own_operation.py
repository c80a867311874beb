"""A user's own operation, on a noun that the package does not know, in all parts of a job."""

import contextlib
import json
import warnings
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import attrs
import pytest

from enapter_async import Answer, Operation, Repeat, RequestParts, Target, fleet
from enapter_async._http.retry import RetryPolicy
from enapter_async.client import Client
from enapter_async.errors import NotFoundError
from enapter_async.fleet import JournalOptions, State, Verdict
from enapter_async.fleet.journal.names import read_journal
from enapter_async.fleet.planning.rollback import Lasting
from enapter_async.fleet.reporting.results import result_rows
from enapter_async.integrations.answers import answer_to
from enapter_async.integrations.jobs import Jobs, JobSettings
from enapter_async.operations.devices import UpdateDevice
from tests.integrations.test_jobs import end_of
from tests.support.racks import (
    AddRack,
    CreateRack,
    GetRack,
    Rack,
    RackServer,
    RenameRack,
    serving,
)

NAMES = {"r1": "North", "r2": "South", "r3": "East", "r4": "West"}


@pytest.fixture
async def server() -> AsyncIterator[RackServer]:
    async with serving(**NAMES) as running:
        yield running


@pytest.fixture
async def client(server: RackServer) -> AsyncIterator[Client]:
    policy = RetryPolicy(attempts=2, base_delay=0.01)
    async with Client("token", base_url=server.base_url, retry=policy) as opened:
        yield opened


def rename(rack_id: str, name: str) -> RenameRack:
    return RenameRack(rack_id=rack_id, name=name)


async def test_a_plan_shows_changes_and_refusals(
    server: RackServer, client: Client, tmp_path: Path
) -> None:
    asked = [
        rename("r1", "Nord"),
        rename("r2", "South"),
        rename("r3", "Ost"),
        rename("r3", "Ost"),
        rename("r4", "a"),
        rename("r4", "b"),
        rename("r9", "Nowhere"),
        CreateRack(rack_id="r5", name="Centre"),
        CreateRack(rack_id="r1", name="North"),
        CreateRack(rack_id="r2", name="Other"),
        AddRack(name="New"),
        AddRack(name="New"),
    ]
    path = tmp_path / "plan.jsonl"
    with await fleet.plan(client, asked) as plan:
        plan.write(path)
    with fleet.read_plan(path) as plan:
        told = {item.line: (item.verdict, item.device, item.why) for item in plan.items()}
        changed = next(plan.items())
        report = await fleet.apply(client, plan, journal=tmp_path / "run.db")
    refused, change, unchanged = Verdict.REFUSED, Verdict.CHANGE, Verdict.UNCHANGED
    conflict = "operations 5 and 6 set different values for its name"
    assert told == {
        1: (change, "r1", ""),
        2: (unchanged, "r2", "it already has this state"),
        3: (change, "r3", ""),
        4: (Verdict.MERGED, "r3", "the same as operation 3"),
        5: (refused, "r4", conflict),
        6: (refused, "r4", conflict),
        7: (refused, "r9", "there is no such rack, or this token may not see it"),
        8: (change, "r5", ""),
        9: (refused, "r1", "another rack already has its key"),
        10: (refused, "r2", "another rack already has its key"),
        11: (change, "", ""),
        12: (change, "", ""),
    }
    assert (changed.before, changed.operation) == ({"name": "North"}, rename("r1", "Nord"))
    assert report.counts[State.APPLIED] == 5
    assert server.racks["r1"] == "Nord"
    assert "r5" in server.racks


async def test_the_guard_holds_items_changed_meanwhile(server: RackServer, client: Client) -> None:
    for mode in (fleet.GuardMode.EACH, fleet.GuardMode.WAVE):
        server.racks.update(NAMES)
        with await fleet.plan(client, [rename("r1", "Nord"), rename("r2", "Sud")]) as plan:
            server.racks["r1"] = "Somebody else's"
            guard = fleet.StateGuard(client, mode)
            async with fleet.Run(client, plan, guard=guard) as run:
                outcomes = {each.operation.rack_id: each async for each in run}
        assert outcomes["r1"].state is State.HELD
        assert "it was 'North', now it is \"Somebody else's\"" in str(outcomes["r1"].error)
        assert outcomes["r2"].state is State.APPLIED
        assert server.racks["r1"] == "Somebody else's"


async def test_a_run_is_journalled_settled_resumed_reported_and_undone(
    server: RackServer, client: Client, tmp_path: Path
) -> None:
    journal = tmp_path / "run.db"
    server.lose = 1
    renames = [rename("r1", "Nord"), rename("r2", "Sud"), rename("r3", " trimmed ")]
    with await fleet.plan(client, renames) as plan:
        async with fleet.Run(client, plan, journal=journal, concurrency=1) as run:
            async for outcome in run:
                assert outcome.state is State.APPLIED
                run.stop()
                break
    report = await fleet.resume(client, JournalOptions(path=journal), abort=None)
    counts = {str(state): number for state, number in report.counts.items() if number}
    assert counts == {"applied": 2, "differs": 1}
    assert server.racks == NAMES | {"r1": "Nord", "r2": "Sud", "r3": "trimmed"}
    with contextlib.closing(read_journal(journal)) as read:
        rows = [(row["operation"], row["rack_id"], row["state"]) for row in result_rows(read)]
    assert rows == [
        ("rack.rename", "r1", "applied"),
        ("rack.rename", "r2", "applied"),
        ("rack.rename", "r3", "differs"),
    ]
    page = tmp_path / "report.html"
    fleet.write_report(journal, page)
    assert "rack.rename" in page.read_text("utf-8")

    back = await fleet.undo(client, journal)
    assert not any(back.lasting.values())
    with back.plan as plan:
        assert (await fleet.apply(client, plan)).ok
    assert server.racks == NAMES


async def test_irreversible_custom_operations_are_reported(client: Client, tmp_path: Path) -> None:
    journal = tmp_path / "run.db"
    with await fleet.plan(client, [CreateRack(rack_id="r7", name="New")]) as plan:
        assert (await fleet.apply(client, plan, journal=journal)).ok
    back = await fleet.undo(client, journal)
    with back.plan as plan:
        assert len(plan) == 0
    assert back.lasting[Lasting.OPERATION] == 1
    assert back.examples[Lasting.OPERATION] == ("CreateRack of r7",)


@attrs.frozen(kw_only=True)
class FullRack:
    """A state that cannot be built from its id and the fields that an operation changes."""

    id: str
    name: str
    height: int


@attrs.frozen(kw_only=True)
class GetFullRack(Operation[FullRack]):
    repeat: ClassVar[Repeat] = Repeat.READ
    answer: ClassVar[Answer[FullRack]] = Answer(key="rack", type=FullRack)
    rack_id: str

    def request(self) -> RequestParts:
        return RequestParts("GET", ("racks", self.rack_id))


@attrs.frozen(kw_only=True)
class RenameFullRack(RenameRack):
    kind: ClassVar[str] = "rack.rename_full"

    def reads(self) -> Any:
        return GetFullRack(rack_id=self.rack_id)


async def test_an_irreversible_state_is_reported_and_blocks_no_other_undo(
    server: RackServer, client: Client, tmp_path: Path
) -> None:
    journal = tmp_path / "run.db"
    server.height = 42
    both = [RenameFullRack(rack_id="r1", name="Nord"), rename("r2", "Sud")]
    with await fleet.plan(client, both) as plan:
        assert (await fleet.apply(client, plan, journal=journal)).ok
    back = await fleet.undo(client, journal)
    assert back.examples[Lasting.OPERATION] == ("name of r1",)
    with back.plan as plan:
        assert (await fleet.apply(client, plan)).ok
    assert server.racks == NAMES | {"r1": "Nord"}


async def test_a_search_is_not_a_state(client: Client) -> None:
    searched = AddRack(name="North")
    with await fleet.plan(client, [searched]) as plan:
        (item,) = plan.items()
    assert (item.verdict, item.before) == (Verdict.CHANGE, None)
    assert (await fleet.apply(client, [searched], check=True)).counts[State.APPLIED] == 1


async def test_a_rack_and_a_device_with_one_id_are_different_targets(client: Client) -> None:
    both = [rename("r1", "Nord"), UpdateDevice(device_id="r1", name="Boiler")]
    report = await fleet.apply(client, both, abort=None)
    assert {str(state): number for state, number in report.counts.items() if number} == {
        "applied": 1,
        "failed": 1,
    }, "a failure of one does not hold up the other"


async def test_a_class_of_version_0_1_is_applied_journalled_and_planned_without_a_difference(
    client: Client, tmp_path: Path
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)

        @attrs.frozen(kw_only=True)
        class OldRename(Operation[Rack]):
            repeat: ClassVar[Repeat] = Repeat.CONVERGENT
            answer: ClassVar[Answer[Rack]] = Answer(key="rack", type=Rack)
            rack_id: str
            name: str

            def request(self) -> RequestParts:
                return RequestParts("PATCH", ("racks", self.rack_id), body={"name": self.name})

            def subject(self) -> str:
                return f"rack {self.rack_id}"

            def holds(self, state: Rack | None) -> bool:
                return state is not None and state.name == self.name

    old = OldRename(rack_id="r1", name="Nord")
    assert (await fleet.apply(client, [old])).ok
    assert (await fleet.apply(client, [old], journal=tmp_path / "run.db")).ok
    with await fleet.plan(client, [old]) as plan:
        (item,) = plan.items()
        assert (item.verdict, item.before) == (Verdict.CHANGE, None)
        assert item.why.startswith("its current state is unknown")
        assert json.loads(list(plan.lines())[1])["operation"]["name"] == "Nord"
        assert (await fleet.apply(client, plan)).ok


async def test_a_backend_names_the_noun_even_from_a_journal(client: Client, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        await client.execute(rename("r9", "Nowhere"))
    assert answer_to(caught.value).problem["title"] == "There is no such rack."
    async with Jobs(client, tmp_path) as jobs:
        job = await jobs.start([rename("r9", "Nowhere")], settings=JobSettings(abort=()))
        await end_of(jobs, job.id)
    async with Jobs(client, tmp_path) as jobs:
        told = await end_of(jobs, job.id)
    ((trouble,),) = (event.data["troubles"] for event in told if event.kind == "troubles")
    assert trouble["message"] == "There is no such rack. (not_found)"
    assert trouble["rack_id"] == "r9"


async def test_an_unknown_create_is_described_in_its_own_words(
    server: RackServer, client: Client
) -> None:
    server.lose = 3
    report = await fleet.apply(client, [AddRack(name="a"), AddRack(name="b")], abort=None)
    assert report.counts[State.UNKNOWN] == 2
    for outcome in report.unknowns:
        assert str(outcome.error).startswith("AddRack may or may not have been done: ")
        assert "None" not in str(outcome.error)
        assert "device" not in f"{outcome.error} {getattr(outcome.error, 'hint', '')}"


def test_a_file_may_mix_custom_and_device_operations(tmp_path: Path) -> None:
    path = tmp_path / "mixed.csv"
    path.write_text(
        "operation,device_id,rack_id,name\n"
        "update,d1,,Boiler\n"
        "device.update,d2,,Pump\n"
        "rack.rename,,r1,Nord\n"
    )
    assert fleet.read_operations(path) == [
        UpdateDevice(device_id="d1", name="Boiler"),
        UpdateDevice(device_id="d2", name="Pump"),
        rename("r1", "Nord"),
    ]
    path.write_text("operation,rack_id,name\nrack.rename,r1,Nord\nrack.rename,,Nord\n")
    with pytest.raises(fleet.InputError, match=r"line 3: rack.rename needs the field rack_id"):
        fleet.read_operations(path)


@attrs.frozen(kw_only=True)
class Label:
    """A state without an id: that of the rack whose label it is."""

    name: str | None = None


@attrs.frozen(kw_only=True)
class GetLabel(GetRack):
    kind: ClassVar[str] = "label.get"
    answer: ClassVar[Answer[Any]] = Answer(key="rack", type=Label)


@attrs.frozen(kw_only=True)
class GetFields(GetRack):
    kind: ClassVar[str] = "fields.get"
    answer: ClassVar[Answer[Any]] = Answer(key="rack", type=dict[str, Any])


@attrs.frozen(kw_only=True)
class Relabel(Operation[Any]):
    kind: ClassVar[str] = "label.set"
    repeat: ClassVar[Repeat] = Repeat.CONVERGENT
    answer: ClassVar[Answer[Any]] = Answer(key="rack", type=Label)
    read: ClassVar[type[GetRack]] = GetLabel

    rack_id: str
    name: str

    def request(self) -> RequestParts:
        return RequestParts("PATCH", ("racks", self.rack_id), body={"name": self.name})

    def target(self) -> Target:
        return Target("label", self.rack_id)

    def changes(self) -> dict[str, str]:
        return {"name": self.name}

    def reads(self) -> GetRack:
        return self.read(rack_id=self.rack_id)


@attrs.frozen(kw_only=True)
class SetFields(Relabel):
    kind: ClassVar[str] = "fields.set"
    answer: ClassVar[Answer[Any]] = Answer(key="rack", type=dict[str, Any])
    read: ClassVar[type[GetRack]] = GetFields

    def target(self) -> Target:
        return Target("fields", self.rack_id)


@pytest.mark.parametrize("kind", [Relabel, SetFields])
async def test_a_state_without_an_id_is_that_of_the_object_asked_for(
    kind: type[Relabel], server: RackServer, client: Client
) -> None:
    asked = [kind(rack_id="r1", name="Nord"), kind(rack_id="r2", name="South")]
    with await fleet.plan(client, asked) as plan:
        told = [(item.verdict, item.device, item.before) for item in plan.items()]
        report = await fleet.apply(client, plan)
    assert told == [
        (Verdict.CHANGE, "r1", {"name": "North"}),
        (Verdict.UNCHANGED, "r2", None),
    ]
    assert (report.counts[State.APPLIED], server.racks["r1"]) == (1, "Nord")
