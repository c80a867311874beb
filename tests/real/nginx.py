"""nginx as a test runs it: its own process and folder, on 127.0.0.1 only.

Its access log shows what the client sent, whatever nginx then did with it.
"""

import asyncio
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import attrs

from benchmarks.server import find_nginx
from tests.support.ports import free_port

PROGRAM = find_nginx()
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
PATIENCE = 60.0
STARTS = 3


@attrs.frozen
class Line:
    """One request of the access log: its source, target and result.

    `upstream` lists the statuses of the upstreams in turn, "-" if none was asked.
    """

    method: str
    path: str
    status: int
    connection: int
    upstream: str


@attrs.define(eq=False)
class Nginx:
    """One nginx; `http` goes into its http block, `server` into its server block.

    With `certificate` (a chain and its key) it speaks TLS.
    """

    folder: Path
    server: str
    http: str = ""
    certificate: tuple[Path, Path] | None = None
    port: int = 0
    _status_port: int = 0
    _process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        for _ in range(STARTS):
            self.port, self._status_port = free_port(), free_port()
            if await self.start():
                return self
        raise AssertionError(f"nginx did not start: {self._said()}")

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> bool:
        """Start it, and return whether it listens; another process may have taken its port."""
        assert PROGRAM is not None
        assert self._process is None
        file = self.folder / "nginx.conf"
        file.write_text(self._configuration(), "utf-8")
        with (self.folder / "said").open("ab") as said:
            command = (PROGRAM, "-p", str(self.folder), "-c", str(file), "-e", "stderr")
            nothing = asyncio.subprocess.DEVNULL
            self._process = process = await asyncio.create_subprocess_exec(
                *command, stdin=nothing, stdout=said, stderr=said
            )
        end = time.monotonic() + PATIENCE
        while process.returncode is None and time.monotonic() < end:
            # nginx writes its pid once it listens.
            if (self.folder / "pid").is_file():
                return True
            await asyncio.sleep(0.002)
        await self.stop(well=False)
        return False

    async def stop(self, *, well: bool = True) -> None:
        """End it at once, and check that it ran well."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(PATIENCE):
                code = await process.wait()
        except TimeoutError:
            process.kill()
            code = await process.wait()
        assert code == 0 or not well, f"nginx ended with {code}: {self._said()}"

    async def seen(self) -> list[Line]:
        """Wait until all clients have gone, and return their requests."""
        end = time.monotonic() + PATIENCE
        while await self._connections() > 1:
            assert time.monotonic() < end, "a connection was left open"
            await asyncio.sleep(0.002)
        lines = []
        for text in (self.folder / "access.log").read_text("utf-8").splitlines():
            method, path, status, connection, upstream = text.split("|")
            lines.append(Line(method, path, int(status), int(connection), upstream or "-"))
        return lines

    async def _connections(self) -> int:
        """Count the open connections from clients, including this one."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._status_port)
        try:
            writer.write(b"GET / HTTP/1.0\r\n\r\n")
            told = (await reader.read()).decode()
        finally:
            writer.close()
        return int(told.partition("Active connections: ")[2].split()[0])

    def _said(self) -> str:
        return (self.folder / "said").read_text("utf-8", "replace")

    def _configuration(self) -> str:
        folder = self.folder
        paths = "\n".join(f'    {name}_temp_path "{folder / name}";' for name in TEMPORARY)
        tls = ""
        if self.certificate:
            chain, key = self.certificate
            tls = f'ssl_certificate "{chain}"; ssl_certificate_key "{key}";'
        return f"""\
daemon off;
master_process off;
worker_processes 1;
pid "{folder}/pid";
error_log stderr crit;
events {{ worker_connections 512; }}
http {{
{paths}
    log_format seen '$request_method|$uri|$status|$connection|$upstream_status';
    access_log "{folder}/access.log" seen;
    default_type text/html;
    server {{
        listen 127.0.0.1:{self._status_port};
        access_log off;
        location / {{ stub_status; }}
    }}
{self.http}
    server {{
        listen 127.0.0.1:{self.port}{" ssl" if tls else ""};
        {tls}
{self.server}
    }}
}}
"""
