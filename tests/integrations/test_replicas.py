"""Two replicas of a backend, as separate processes on different frameworks, over PostgreSQL."""

import asyncio
import os
import signal
import stat
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from enapter_async.emulator import Emulator
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
from tests.integrations.test_workers import slowed

__all__ = ["emulator"]


async def asked(session: aiohttp.ClientSession, method: str, url: str) -> Any:
    async with session.request(method, url) as response:
        assert response.status == 200, await response.text()
        return await (
            response.json() if response.content_type.endswith("json") else response.text()
        )


async def test_a_replica_takes_over_the_job_of_one_that_was_killed(
    emulator: Emulator, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slowed(emulator, 0.25)
    monkeypatch.setenv("CREDENTIALS", str(tmp_path / "kept"))
    async with (
        backend(APPS[0], emulator, database) as (one, first),
        backend(APPS[1], emulator, database) as (two, second),
        aiohttp.ClientSession() as session,
    ):
        job = await begun(session, first)
        # In the last wave, so that an unknown outcome of the kill makes no earlier wave fail.
        await until_effects(emulator, DEVICES // 3)
        [told] = await asked(session, "GET", f"{second}/jobs")
        assert (told["id"], told["active"]) == (job, True)
        [killed] = told["workers"]
        process, other = (one, second) if f"-{one.pid}-" in killed else (two, first)
        watching = asyncio.ensure_future(events_of(session, other, job))
        os.kill(process.pid, signal.SIGKILL)
        async with asyncio.timeout(30):
            events = await watching
        assert [kind for kind, _ in events].count("end") == 1
        kind, told = events[-1]
        assert (kind, told["phase"], told["total"]) == ("end", "ended", DEVICES)
        counts = told["counts"]
        assert counts["applied"] + counts["unknown"] == DEVICES
        workers = {each.partition(": ")[0] for each in told["credentials"]}
        assert killed in workers, "what a killed replica stored is still to be found"
        assert len(workers) == 2
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
