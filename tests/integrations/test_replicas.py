"""Two replicas of a backend, as separate processes on different frameworks, over PostgreSQL."""

import asyncio
import os
import signal
import stat
from collections import Counter
from operator import itemgetter
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from enapter_async.emulator import Emulator
from enapter_async.emulator.faults import Reply
from tests.distributed.jobs import slow_from
from tests.fleet.fleets import uuid
from tests.integrations.test_examples import (
    APPS,
    DEVICES,
    backend,
    begun,
    check_the_log,
    emulator,
    events_of,
    until_effects,
)

__all__ = ["emulator"]


FAILING = uuid(DEVICES - 2)
"""A device of the last wave, to which the server refuses a new name at first."""
REFUSED = Reply(
    status=409,
    body=b'{"errors": [{"code": "already_exists", "message": "taken"}]}',
    content_type="application/json",
)


async def asked(session: aiohttp.ClientSession, method: str, url: str) -> Any:
    status, told = await answered(session, method, url)
    assert status == 200, told
    return told


async def answered(session: aiohttp.ClientSession, method: str, url: str) -> tuple[int, Any]:
    async with session.request(method, url) as response:
        is_json = response.content_type.endswith("json")
        return response.status, await (response.json() if is_json else response.text())


def quick_until(emulator: Emulator, effects: int, *, seconds: float) -> None:
    """Let the job continue at once until it has had this many effects, and slowly from then on."""
    emulator.faults.clear()
    emulator.faults.add(REFUSED, device=FAILING, method="PATCH", times=None)
    slow_from(emulator, effects + 1 - emulator.world.log.count(), seconds)


async def test_any_replica_handles_a_job_even_if_the_one_that_started_it_is_killed(
    emulator: Emulator, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_until(emulator, 12, seconds=1.0)
    monkeypatch.setenv("CREDENTIALS", str(tmp_path / "kept"))
    async with (
        backend(APPS[0], emulator, database, forked=False) as (one, first),
        backend(APPS[1], emulator, database, forked=False) as (two, second),
        aiohttp.ClientSession() as session,
    ):
        job = await begun(session, first)
        watching = asyncio.ensure_future(events_of(session, first, job))
        await until_effects(emulator, 12)
        await asked(session, "PUT", f"{second}/jobs/{job}/stop")
        kind, told = (await watching)[-1]
        assert (kind, told["phase"], told["stopped"]) == ("end", "stopped", "it was stopped")
        assert emulator.world.log.count() < DEVICES // 2
        quick_until(emulator, DEVICES // 3, seconds=0.4)
        # Two people press a different button at the same moment.
        both = await asyncio.gather(
            answered(session, "PUT", f"{first}/jobs/{job}/resume?step=retry_failed"),
            answered(session, "PUT", f"{second}/jobs/{job}/resume?step=skip"),
        )
        (_, resumed), (status, refused) = sorted(both, key=itemgetter(0))
        assert (resumed["active"], status) == (True, 409)
        assert refused["detail"].startswith(f"job {job} is in progress with the options ")
        assert f"-{one.pid}-" in refused["detail"] or f"-{two.pid}-" in refused["detail"]

        # In the last wave, so that an unknown outcome of the kill makes no earlier wave fail.
        await until_effects(emulator, DEVICES // 3)
        [told] = await asked(session, "GET", f"{second}/jobs")
        assert (told["id"], told["active"]) == (job, True)
        [killed] = told["workers"]
        process, other = (one, second) if f"-{one.pid}-" in killed else (two, first)
        watching = asyncio.ensure_future(events_of(session, other, job))
        os.kill(process.pid, signal.SIGKILL)
        async with asyncio.timeout(60):
            events = await watching
        assert [kind for kind, _ in events].count("end") == 1
        kind, told = events[-1]
        assert (kind, told["phase"], told["total"]) == ("end", "ended", DEVICES)
        counts = told["counts"]
        assert (counts["applied"] + counts["unknown"], counts["failed"]) == (DEVICES - 1, 1)
        workers = {each.partition(": ")[0] for each in told["credentials"]}
        assert killed in workers, "what a killed replica stored is still to be found"
        emulator.faults.clear()
        await asked(session, "PUT", f"{other}/jobs/{job}/resume?step=retry_failed")
        counts = (await events_of(session, other, job))[-1][1]["counts"]
        assert (counts["applied"] + counts["unknown"], counts["failed"]) == (DEVICES, 0)
        table = await asked(session, "GET", f"{other}/jobs/{job}/results.csv")
        assert table.count(",applied,") == counts["applied"]
        report = await asked(session, "GET", f"{other}/jobs/{job}/report")
        assert job in report
    check_the_log(emulator)
    files = list((tmp_path / "kept").iterdir())
    assert {stat.S_IMODE(each.stat().st_mode) for each in files} == {0o600}
    stored = "".join(each.read_text("utf-8") for each in files).count("\n")
    minted = Counter(e.device_id for e in emulator.world.log.effects(operation="generate_config"))
    # What was generated at the kill may be lost, and is reported as unknown.
    assert len(minted) - counts["unknown"] <= stored <= len(minted)
