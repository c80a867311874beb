"""The file of credentials: its mode, its owner, its lines."""

import asyncio
import gc
import json
import os
import stat
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from enapter_async.clock import Clock
from enapter_async.concealment import RawAnswer
from enapter_async.errors import ConfigurationError
from enapter_async.fleet import CredentialsFile
from enapter_async.fleet.credentials import ROOM_BYTES
from enapter_async.models.configs import (
    CommunicationConfig,
    MQTTProtocol,
    MQTTSCredentials,
)
from enapter_async.operations.devices import GenerateConfig

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX file modes")

OPERATION = GenerateConfig(device_id="dev-1", protocol="MQTTS")
CONFIG = CommunicationConfig(
    mqtt_host="mqtt.example",
    mqtt_port=8883,
    mqtt_protocol=MQTTProtocol.MQTTS,
    mqtt_credentials=MQTTSCredentials(private_key="key\nké\n", certificate="cert"),
)
CLOCK = Clock(wall=lambda: 1735689600.0)


async def test_a_line_holds_what_the_device_needs(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    async with CredentialsFile(path, clock=CLOCK) as file:
        await file.store(OPERATION, CONFIG)
    assert json.loads(path.read_text(encoding="utf-8")) == {
        "device_id": "dev-1",
        "protocol": "MQTTS",
        "generated_at": "2025-01-01T00:00:00Z",
        "config": {
            "mqtt_host": "mqtt.example",
            "mqtt_port": 8883,
            "mqtt_protocol": "MQTTS",
            "mqtt_credentials": {"private_key": "key\nké\n", "certificate": "cert"},
        },
    }


async def test_the_mode_is_0600_whatever_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    before = os.umask(0)
    try:
        async with CredentialsFile(path):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        os.umask(before)


async def test_concurrent_writes_are_complete_lines(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    async with CredentialsFile(path) as file:
        await asyncio.gather(*(file.store(OPERATION, CONFIG) for _ in range(200)))
        lines = path.read_text(encoding="utf-8").splitlines()
        assert len(lines) == 200
    assert {json.loads(line)["device_id"] for line in lines} == {"dev-1"}


async def test_an_existing_file_of_ours_is_continued(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    for _ in range(2):
        async with CredentialsFile(path) as file:
            await file.store(OPERATION, CONFIG)
    assert len(path.read_text(encoding="utf-8").splitlines()) == 2


async def test_half_a_line_of_a_killed_run_does_not_spoil_the_next(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text('{"device_id": "dev-0", "conf')
    async with CredentialsFile(path) as file:
        await file.store(OPERATION, CONFIG)
    first, second = path.read_text(encoding="utf-8").splitlines()
    assert first == '{"device_id": "dev-0", "conf'
    assert json.loads(second)["device_id"] == "dev-1"


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o700, 0o400])
async def test_a_file_with_another_mode_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "c.jsonl"
    path.write_text("kept")
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match="jsonl"):
        await CredentialsFile(path).__aenter__()
    path.chmod(0o600)
    assert path.read_text() == "kept"


async def test_links_and_non_files_are_refused(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.touch(mode=0o600)
    symbolic, hard = tmp_path / "symbolic", tmp_path / "hard"
    symbolic.symlink_to(target)
    hard.hardlink_to(target)
    for path in (symbolic, hard, tmp_path, tmp_path / "no" / "folder"):
        with pytest.raises(ConfigurationError):
            await CredentialsFile(path).__aenter__()
    assert target.read_text() == ""


async def test_a_dangling_link_is_not_followed(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError):
        await CredentialsFile(link).__aenter__()
    assert not (tmp_path / "elsewhere").exists()


async def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    async with CredentialsFile(path):
        with pytest.raises(ConfigurationError, match="in use"):
            await CredentialsFile(path).__aenter__()


async def test_it_works_only_while_it_is_open(tmp_path: Path) -> None:
    file = CredentialsFile(tmp_path / "c.jsonl")
    with pytest.raises(ConfigurationError, match="async with"):
        await file.store(OPERATION, CONFIG)


async def test_a_cancelled_store_is_written_before_the_file_closes(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    async with CredentialsFile(path) as file:
        storing = asyncio.create_task(file.store(OPERATION, CONFIG))
        await asyncio.sleep(0)
        storing.cancel()
    assert storing.cancelled()
    assert len(path.read_text(encoding="utf-8").splitlines()) == 1


async def test_reserved_space_that_is_no_longer_needed_is_released_at_the_end(
    tmp_path: Path,
) -> None:
    path, reserve = tmp_path / "c.jsonl", str(tmp_path / "c.jsonl.reserve")
    with ThreadPoolExecutor(max_workers=1) as threads:
        asyncio.get_running_loop().set_default_executor(threads)
        async with CredentialsFile(path, in_flight=100) as file:
            making = asyncio.create_task(file.make_room())
            for _ in range(100_000):
                await asyncio.sleep(0)
                if os.access(reserve, os.F_OK):
                    break
            # A run that stops does this: it ends no thread.
            making.cancel()
            await asyncio.gather(making, return_exceptions=True)
        # The only thread does this after everything that was queued before.
        assert not await asyncio.to_thread(os.access, reserve, os.F_OK)


async def test_one_thread_at_a_time_reserves_space(tmp_path: Path) -> None:
    async with CredentialsFile(tmp_path / "c.jsonl") as file:
        first = asyncio.create_task(file.make_room())
        await asyncio.sleep(0)
        second = asyncio.create_task(file.make_room())
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        await second
        assert (tmp_path / "c.jsonl.reserve").stat().st_size == ROOM_BYTES
    assert not (tmp_path / "c.jsonl.reserve").exists()


async def test_space_that_cannot_be_reserved_leaves_no_unseen_exception(
    tmp_path: Path,
) -> None:
    unseen: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unseen.append(context))
    (tmp_path / "c.jsonl.reserve").mkdir()
    async with CredentialsFile(tmp_path / "c.jsonl") as file:
        making = asyncio.create_task(file.make_room())
        await asyncio.sleep(0)
        making.cancel()
        await asyncio.gather(making, return_exceptions=True)
    del file, making
    gc.collect()
    assert unseen == []


async def test_a_write_during_a_check_is_no_truncation() -> None:
    """On one core and without a disk, writes end while the check asks for the file's size."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        try:
            async with CredentialsFile(Path(folder) / "kept.jsonl") as file:
                await file.make_room()

                async def store() -> None:
                    for _ in range(3000):
                        await file.store(OPERATION, RawAnswer(b"x"))

                writers = [asyncio.create_task(store()) for _ in range(4)]
                checks = 0
                while not all(each.done() for each in writers):
                    await file.make_room()
                    checks += 1
                    if checks % 5 == 0:
                        await asyncio.sleep(0)
                await asyncio.gather(*writers)
        finally:
            os.sched_setaffinity(0, cores)
