"""Runs through PgBouncer, which lends connections for one transaction each."""

import asyncio
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from enapter_async import Client, fleet
from enapter_async.diagnosis.journals import examine_journals
from enapter_async.emulator import Emulator, World
from enapter_async.fleet import State
from enapter_async.fleet.journal.names import read_journal
from enapter_async.operations.devices import UpdateDevice
from tests.support.ports import free_port
from tests.support.postgres import USER

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")
SESSIONS = 4


@pytest.fixture
def pooled(database: str, tmp_path: Path) -> Iterator[str]:
    """The address of a pool of two connections to an empty database."""
    if PGBOUNCER is None:
        pytest.skip("pgbouncer is not installed")
    there, port = urlsplit(database), free_port()
    settings = tmp_path / "pgbouncer.ini"
    settings.write_text(
        "[databases]\n"
        f"* = host={there.hostname} port={there.port} user={there.username}\n"
        "[pgbouncer]\n"
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        "auth_type = any\npool_mode = transaction\ndefault_pool_size = 2\n"
    )
    for folder in (tmp_path, *tmp_path.parents):
        if folder == Path(tempfile.gettempdir()):
            break
        folder.chmod(0o755)
    address = there._replace(netloc=f"{there.username}@127.0.0.1:{port}").geturl()
    with subprocess.Popen(  # noqa: S603 - a program of this machine
        [PGBOUNCER, "-q", str(settings)],
        user=USER if os.getuid() == 0 else None,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            _wait_for(address)
            yield address
        finally:
            process.kill()


def _wait_for(address: str) -> None:
    until = time.monotonic() + 10
    while True:
        try:
            psycopg.connect(address, connect_timeout=2).close()
        except psycopg.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)  # the start of a pooler is polled
        else:
            return


async def test_more_sessions_than_connections_keep_their_journals_through_a_pool(
    pooled: str,
) -> None:
    pooling = next(each for each in examine_journals(pooled) if each.check == "pooling")
    assert pooling.said == "connected through a pooler that keeps transactions whole"
    world = World.seeded(SESSIONS * 20, 1, role="OWNER")
    names = [f"{pooled}#run/{number}" for number in range(SESSIONS)]

    async def session(client: Client, number: int) -> fleet.Report:
        operations = [
            UpdateDevice(device_id=each.id, name="New") for each in world.devices[number::SESSIONS]
        ]
        return await fleet.apply(client, operations, journal=names[number])

    async with (
        Emulator(world=world) as emulator,
        Client(emulator.token, base_url=emulator.base_url) as client,
    ):
        reports = await asyncio.gather(*(session(client, each) for each in range(SESSIONS)))
        again = await fleet.resume(client, names[0])
    assert [each.stopped for each in reports] == [None] * SESSIONS
    assert again.counts[State.APPLIED] == 20
    for name in names:
        assert fleet.status(name).counts[State.APPLIED] == 20
        with closing(read_journal(name)) as journal:
            assert len(list(journal.ends())) == 20
