"""What the fleet should be: exported, edited, compared, and brought about by a plan."""

import json
from pathlib import Path
from typing import Any

import pytest

from enapter_async import fleet
from enapter_async.client import Client
from enapter_async.emulator import Emulator, World
from enapter_async.emulator.configuration import Configuration
from enapter_async.errors import ConfigurationError
from enapter_async.fleet import Export, Selection, Verdict
from enapter_async.fleet.desired_files import parse_desired
from enapter_async.fleet.spreadsheets import row_writer
from enapter_async.operations.configuration import UpdateConfiguration
from enapter_async.operations.devices import AssignBlueprint, UpdateDevice

TYPES = {
    "text": {"type": "string"},
    "whole": {"type": "integer", "default": 502},
    "real": {"type": "float"},
    "on": {"type": "boolean"},
    "names": {"type": "array_of_strings"},
    "any": {"type": "json"},
    "newer": {"type": "moment"},
    "key": {"type": "string", "sensitive": True},
}
VALUES: dict[str, Any] = {
    "text": "8502",
    "real": 1.5,
    "on": False,
    "names": ["a", "=b"],
    "any": {"a": [None, 1]},
    "newer": "8502",
    "key": "S3CRET",
}


@pytest.fixture
def world() -> World:
    world = World.seeded(70, 3, role="OWNER")
    for device in world:
        world.change(device.id, manifest={"configuration": {"net": {"parameters": TYPES}}})
    return world


async def exported(client: Client, path: Path, selection: Selection) -> int:
    rows = [dict(row) async for row in fleet.export(client, Export(selection=selection))]
    columns = dict.fromkeys(name for row in rows for name in row)
    with path.open("w", encoding="utf-8", newline="") as file:
        write = row_writer(file, columns)
        for row in rows:
            write(row)
    return len(rows)


async def test_what_was_exported_is_as_it_should_be(
    emulator: Emulator, client: Client, tmp_path: Path
) -> None:
    first = emulator.world.devices[0]
    emulator.world.change(first.id, name="=1+1, 'quoted' ")
    secret = {"key": VALUES["key"]}
    given = {name: value for name, value in VALUES.items() if name != "key"}
    await client.configuration.update(first.id, "net", set=given, secrets=secret)
    path = tmp_path / "desired.csv"
    assert await exported(client, path, Selection()) == 70
    assert b"S3CRET" not in path.read_bytes()
    effects = len(emulator.world.log.effects())
    with await fleet.plan(client, fleet.read_desired(path)) as plan:
        assert plan.counts[Verdict.UNCHANGED] == sum(plan.counts.values()) == 70 * 3
    assert len(emulator.world.log.effects()) == effects


async def test_a_difference_is_planned_and_removed(
    emulator: Emulator, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NET_KEY", "S3CRET")
    first, second, *_ = emulator.world.devices
    wanted = (
        "slug,name,blueprint_id,net.whole,net.text,net.key,comment\n"
        f"{first.slug},New,bp-9,8502,8502,env:NET_KEY,mine\n"
        f"{second.slug},,,high,,,\n"
        "nobody,N,,,,,\n"
    )
    ignored: list[str] = []
    asked = parse_desired(wanted.encode(), source="w.csv", on_ignored=ignored.extend)
    assert ignored == ["comment"]
    with await fleet.plan(client, asked) as plan:
        told = {(item.line, item.verdict, item.why) for item in plan.items()}
        refused = (5, Verdict.REFUSED, "whole must be of type integer, not string")
        assert refused in told
        assert plan.counts[Verdict.CHANGE] == 3
    good = parse_desired(wanted.rpartition("\nnobody")[0].encode(), source="w.csv")[:3]
    with await fleet.plan(client, good) as plan:
        await fleet.apply(client, plan)
    device = emulator.world.device(first.id)
    assert (device.name, device.blueprint_id) == ("New", "bp-9")
    values = emulator.noun(Configuration).values(device, "net")
    assert values == {"whole": 8502, "text": "8502", "key": "S3CRET"}
    with await fleet.plan(client, good) as plan:
        assert plan.counts[Verdict.UNCHANGED] == 3


async def test_a_device_that_cannot_be_read_is_exported_without_its_configuration(
    emulator: Emulator, client: Client
) -> None:
    emulator.noun(Configuration).refuse_offline = True
    offline = [each.id for each in emulator.world if each.connectivity == "OFFLINE"]
    unread: list[str] = []
    chosen = Export(selection=Selection(statuses="OFFLINE"))
    rows = [
        row
        async for row in fleet.export(
            client, chosen, on_unread=lambda device, _: unread.append(device)
        )
    ]
    assert sorted(unread) == sorted(row["device_id"] for row in rows) == offline
    assert all("net.whole" not in row for row in rows)


def test_rows_become_operations() -> None:
    rows = [
        {"device_id": "d1", "name": "N", "net.Port": "1", "wifi.ssid": "x", "site_id": "s1"},
        {"slug": "pump", "blueprint_id": "bp-1"},
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    assert parse_desired(text.encode(), source="w.jsonl") == [
        UpdateDevice(device_id="d1", site_id="s1", name="N"),
        UpdateConfiguration(
            device_id="d1", site_id="s1", group="net", set={"Port": "1"}, untyped=True
        ),
        UpdateConfiguration(
            device_id="d1", site_id="s1", group="wifi", set={"ssid": "x"}, untyped=True
        ),
        UpdateDevice(device_id="pump", slug="pump"),
        AssignBlueprint(device_id="pump", blueprint_id="bp-1"),
    ]
    with pytest.raises(ConfigurationError, match="plan it, and apply the plan"):
        UpdateConfiguration(device_id="d", group="g", set={"a": "1"}, untyped=True).request()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("device_id,nmae\nd1,x\n", "line 2: unknown column 'nmae'; rename it to name"),
        ("name\nx\n", "line 2: a row needs a device_id or a slug"),
        ('{"device_id": "d1", "net.port": 5}\n', "line 1: net.port must be a string"),
        ("device_id,net.1\nd1,5\n", "line 2: each name in set must be a name of letters"),
        ("device_id,a,a\nd1,1,2\n", "the header has a twice"),
        ("", "it is empty"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_the_line(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        parse_desired(text.encode(), source="w.csv")
