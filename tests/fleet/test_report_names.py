"""Names of devices in a report: those that a plan read, and those that a run learned."""

import json
from pathlib import Path

from enapter_async import Client, RetryPolicy, UpdateDevice, fleet
from enapter_async.converter import unstructure
from enapter_async.emulator import Drop, Emulator, Reply, World
from tests.fleet.fleets import device, running, uuid
from tests.fleet.pages import page_of, rename


async def test_devices_that_a_plan_read_have_names_and_cluster_by_site_and_type(
    tmp_path: Path,
) -> None:
    path, conflict = tmp_path / "run.db", Reply(status=409)
    kinds = ("LUA", "STANDALONE", "NATIVE")
    devices = [device(n, type=kinds[n % 3], site_id=f"site-{n % 2}") for n in range(12)]
    async with running(devices) as (emulator, client):
        for number in (0, 3, 1):  # two LUA devices and a STANDALONE; sites 0, 1 and 1
            emulator.faults.add(conflict, device=uuid(number), method="PATCH")
        with await fleet.plan(client, [rename(n) for n in range(12)]) as plan:
            rows = fleet.JournalOptions(path=path, facts={"rows": "0:7"})
            await fleet.apply(client, plan, journal=rows, abort=None)
    data = page_of(path)
    assert data["about"] == {
        "0": ["site-0", "Device 0", "LUA", 7],
        "1": ["site-1", "Device 1", "STANDALONE", 8],
        "3": ["site-1", "Device 3", "LUA", 10],
    }
    failed = {
        word: {name: counts["failed"] for name, counts in found["groups"]}
        for word, found in data["clusters"].items()
    }
    assert failed == {"site": {"site-1": 2, "site-0": 1}, "type": {"LUA": 2, "STANDALONE": 1}}
    assert [data["clusters"][word]["of"] for word in ("site", "type")] == [2, 3]
    assert sum(data["clusters"]["type"]["groups"][0][1].values()) == 4


async def test_a_run_without_a_plan_shows_the_names_that_it_learned(tmp_path: Path) -> None:
    path, quick = tmp_path / "run.db", RetryPolicy(attempts=1)
    shown = unstructure(device(2, name="Trimmed"))
    async with (
        Emulator(world=World(device(n) for n in range(3))) as emulator,
        Client(emulator.token, base_url=emulator.base_url, retry=quick) as client,
    ):
        emulator.faults.add(Reply(status=409), device=uuid(0), method="PATCH", times=2)
        emulator.faults.add(Drop(), device=uuid(1), method="PATCH", times=None)
        answer = json.dumps({"device": shown}).encode()
        differing = Reply(body=answer, content_type="application/json")
        emulator.faults.add(differing, device=uuid(2), method="PATCH")
        works = [UpdateDevice(device_id=uuid(n), name="New", slug=f"new-{n}") for n in range(3)]
        await fleet.apply(client, works, journal=path, abort=None)
        names = {row: about[1] for row, about in page_of(path)["about"].items()}
        assert names == {"0": "", "1": "Device 1", "2": "Trimmed"}
        reads = len(emulator.world.log.arrivals()) - 3
        assert reads == 1, "only the operation without an answer is read back"
        again = fleet.JournalOptions(path=path, retry_failed=True)
        await fleet.resume(client, again, check=True, abort=None)
    assert page_of(path)["about"]["0"][1] == "Device 0"
