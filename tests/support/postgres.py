"""A real PostgreSQL server for the tests, which can crash and be started again."""

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Self

from tests.support.ports import free_port

USER: Final = "nobody"
"""PostgreSQL refuses to run as root."""
READY_S: Final = 60.0
_FOLDERS: Final = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


def program(name: str) -> str | None:
    """Find a program of PostgreSQL, on PATH or where Debian keeps it."""
    places = os.pathsep.join([os.environ.get("PATH", ""), *map(str, _FOLDERS)])
    return shutil.which(name, path=places)


def is_installed() -> bool:
    """Return whether a server can be started, and talked to."""
    driver = importlib.util.find_spec("psycopg")
    return bool(driver and program("initdb") and program("postgres"))


class PostgresServer:
    """One server in a temporary folder, on its own port."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        self._port = port
        self._user = USER if os.getuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0
        self._shared: str | None = None

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[Self]:
        """Start a server; remove it and its data at the end."""
        folder = Path(tempfile.mkdtemp(prefix="enapter-postgres-"))
        server = cls(folder, free_port())
        try:
            server._create()
            server.start()
            yield server
        finally:
            server.crash()
            shutil.rmtree(folder, ignore_errors=True)

    def _create(self) -> None:
        if self._user is not None:
            shutil.chown(self._folder, self._user)
        subprocess.run(  # noqa: S603 - a program of this machine
            [
                str(program("initdb")), "--auth=trust", "--username=fleet", "--no-sync",
                "--encoding=UTF8", "--locale=C", "--pgdata", str(self._folder / "data"),
            ],
            user=self._user, cwd=self._folder, check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip

    def start(self, *, fsync: str = "off") -> None:
        """Start it, and wait until it answers.

        By default it does not wait for the disk, since the machine does not lose its power.
        """
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self._port,
            "unix_socket_directories": self._folder,
            "fsync": fsync,
            "max_connections": 60,
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - a program of this machine
                [str(program("postgres")), "-D", str(self._folder / "data"), *options],
                user=self._user, cwd=self._folder, stdout=log, stderr=log,
            )  # fmt: skip
        import psycopg  # noqa: PLC0415 - it is optional, and this file is imported without it

        until = time.monotonic() + READY_S
        while True:
            try:
                psycopg.connect(self.address("postgres"), connect_timeout=2).close()
            except psycopg.OperationalError:
                if time.monotonic() > until or self._process.poll() is not None:
                    raise
                time.sleep(0.02)
            else:
                return

    def crash(self) -> None:
        """Kill it and all its connections at once; the next start recovers. Safe to repeat."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGQUIT)
            process.wait(READY_S)

    def freeze(self) -> None:
        """Stop all its processes: connections stay open, but nothing is answered."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let its processes continue."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        for pid in map(int, children.read_text().split()):
            with suppress(ProcessLookupError):  # such as a worker that has just ended by itself
                os.kill(pid, number)
        os.kill(self._process.pid, number)

    @contextmanager
    def replica(self) -> Iterator["PostgresServer"]:
        """Start a replica, which receives what this server writes, but is not waited for."""
        replica = type(self)(self._folder / "replica", free_port())
        replica._folder.mkdir()
        if self._user is not None:
            shutil.chown(replica._folder, self._user)
        self._execute(
            "pg_basebackup", "--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast",
            "--no-sync", "--pgdata", str(replica._folder / "data"),
            "--dbname", self.address("postgres"),
        )  # fmt: skip
        try:
            replica.start()
            yield replica
        finally:
            replica.crash()

    def promote(self) -> None:
        """Let a replica take over."""
        self._execute("pg_ctl", "promote", "--wait", "--pgdata", str(self._folder / "data"))

    def _execute(self, name: str, *arguments: str) -> None:
        subprocess.run(  # noqa: S603 - a program of this machine
            [str(program(name)), *arguments],
            user=self._user, cwd=self._folder, check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip

    def address(self, database: str) -> str:
        return f"postgresql://fleet@127.0.0.1:{self._port}/{database}"

    def new_database(self) -> str:
        """Create an empty database, and return its address."""
        self._databases += 1
        name = f"test_{self._databases}"
        self._ask("postgres", f"CREATE DATABASE {name}")
        return self.address(name)

    def empty_database(self) -> str:
        """Return the address of a database that is emptied; each call returns the same.

        A new one for each test would be hundreds of files each.
        """
        if self._shared is None:
            self._shared = self.new_database()
            return self._shared
        name = self._shared.rpartition("/")[2]
        self._ask(
            name,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()",
            "DROP SCHEMA IF EXISTS enapter_fleet CASCADE",
            "DROP SCHEMA public CASCADE",
            "CREATE SCHEMA public",
            f"ALTER DATABASE {name} RESET ALL",
        )
        return self._shared

    def _ask(self, database: str, *statements: str) -> None:
        import psycopg  # noqa: PLC0415 - it is optional, and this file is imported without it

        with psycopg.connect(self.address(database), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())
