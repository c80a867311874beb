"""The commands of a run that is in PostgreSQL, which they name by its address."""

import asyncio
import json
from pathlib import Path

import pytest

from enapter_async import Client, fleet
from enapter_async.cli.exit_codes import Exit
from enapter_async.emulator import Emulator, Latency, World
from enapter_async.fleet import JournalOptions, RunRefusedError
from enapter_async.fleet.journal.options import LEAST_LEASE
from enapter_async.operations.devices import GenerateConfig, UpdateDevice
from tests.cli.conftest import Run

PASSWORD = "s3cr3t-word"


async def begin(emulator: Emulator, journal: str, *, after: int) -> None:
    """Begin a run, and stop it after some outcomes, without its credentials on this machine."""
    operations: list[UpdateDevice | GenerateConfig] = [
        UpdateDevice(device_id=each.id, name=f"New {number}")
        for number, each in enumerate(emulator.world)
    ]
    async with Client(emulator.token, base_url=emulator.base_url) as client:
        with await fleet.plan(client, operations) as plan:
            async with fleet.Run(client, plan, journal=journal, concurrency=1) as run:
                async for _ in run:
                    after -= 1
                    if not after:
                        run.stop()


def test_a_run_is_shown_resumed_reported_and_undone_by_its_address(
    run: Run, emulator: Emulator, world: World, postgres: str
) -> None:
    address = postgres.replace("fleet@", f"fleet:{PASSWORD}@") + "#rename/0007"
    shown = f"{postgres}#rename/0007"
    refused = run("fleet", "status", address)
    assert refused.exit_code == Exit.USAGE
    assert "enapter-async fleet journal prepare" in refused.stderr
    results = [
        refused,
        run("fleet", "journal", "prepare", address, "--json"),
        run("fleet", "journal", "prepare", address),
        run("fleet", "journal", "check", address),
    ]
    assert json.loads(results[1].stdout) == {"address": postgres, "created": True}
    assert "already has the tables" in results[2].stderr
    assert results[3].exit_code == Exit.DONE
    assert "synchronous replication is off" in results[3].stdout
    names = [each.name for each in world]
    asyncio.run(begin(emulator, address, after=3))
    status = run("fleet", "status", address, "--json")
    assert status.exit_code == Exit.STOPPED
    told = json.loads(status.stdout)
    assert told["run"] == f"'{shown}'"  # as a shell takes it
    assert told["next"][0] == f"enapter-async fleet resume '{shown}'"
    assert 0 < told["counts"]["applied"] < len(names)
    results += [
        status,
        run("fleet", "status", address),
        run("fleet", "watch", address),
        run("fleet", "stop", address),
        run("fleet", "resume", address),
        run("fleet", "report", address),
    ]
    watched = results[-4]
    assert watched.exit_code == Exit.STOPPED
    assert f" of {len(names)}: {told['counts']['applied']} applied" in watched.stdout
    assert [each.exit_code for each in results[-3:]] == [Exit.DONE] * 3
    assert "is not running" in results[-3].stderr
    assert world.count("update") == len(names)
    page = results[-1].stdout.strip()
    assert page.endswith("report.html")
    results.append(run("fleet", "undo", address, "--yes"))
    assert results[-1].exit_code == Exit.DONE
    assert [each.name for each in world] == names
    for each in results:
        assert PASSWORD not in each.stdout + each.stderr


def test_stop_reaches_a_session_on_another_machine(
    run: Run, emulator: Emulator, world: World, database: str
) -> None:
    address = f"{database}#run"
    emulator.faults.add(Latency(seconds=0.3), times=None)

    async def session() -> fleet.Report:
        options = JournalOptions(path=address, lease=LEAST_LEASE)
        operations = [UpdateDevice(device_id=each.id, name="New") for each in world]
        async with Client(emulator.token, base_url=emulator.base_url) as client:
            stopping = None
            async with fleet.Run(client, operations, journal=options, concurrency=1) as running:
                async for _ in running:
                    if stopping is None:
                        stopping = asyncio.create_task(
                            asyncio.to_thread(run, "fleet", "stop", address)
                        )
            assert stopping is not None
            assert (await stopping).exit_code == Exit.DONE
            return running.report

    report = asyncio.run(session())
    assert 0 < report.counts[fleet.State.HELD] < len(world)


def test_a_resume_keeps_new_credentials_on_its_own_machine(
    run: Run, emulator: Emulator, database: str, leaf: str
) -> None:
    address, elsewhere = f"{database}#run", "elsewhere:/srv/credentials.jsonl"

    async def session() -> None:
        options = JournalOptions(path=address, facts={f"credentials@{elsewhere}": "x"})
        async with Client(emulator.token, base_url=emulator.base_url) as client:
            operations = [GenerateConfig(device_id=leaf, protocol="MQTT")]
            async with fleet.Run(client, operations, journal=options) as running:
                running.stop()
                async for _ in running:
                    pass
            with pytest.raises(RunRefusedError, match=f"in {elsewhere}: name a file on this"):
                await fleet.resume(client, address)

    asyncio.run(session())
    ended = run("fleet", "resume", address)
    assert ended.exit_code == Exit.DONE, ended.stderr
    status = json.loads(run("fleet", "status", address, "--json").stdout)
    assert status["credentials_elsewhere"] == [elsewhere]
    assert status["credentials_kept"] == 1
    assert leaf in Path(status["credentials"]).read_text("utf-8")
