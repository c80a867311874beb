"""The report and the results of a fleet job, as files that a browser shows or downloads."""

import asyncio
import contextlib
import io
import tempfile
from collections.abc import AsyncGenerator, Callable, Mapping
from types import MappingProxyType
from typing import IO, Final, TextIO

import attrs

from enapter_async.clock import Clock
from enapter_async.fleet.journal.names import read_journal
from enapter_async.fleet.reporting.html import report_page
from enapter_async.fleet.reporting.results import write_rows

FORMS: Final[Mapping[str, str]] = MappingProxyType(
    {"csv": "text/csv; charset=utf-8", "jsonl": "application/x-ndjson"}
)
"""The media type of results in each form."""

_PIECE_BYTES: Final = 64 * 1024
_IN_MEMORY_BYTES: Final = 1024 * 1024
# The page's own policy lets only its own script run; in a sandbox, not even that script could act
# with the cookies of the person who looks at it.
_SANDBOX: Final = "sandbox allow-scripts allow-downloads"


@attrs.frozen(kw_only=True)
class Download:
    """A file for a browser: `name` is its name, `inline` whether the browser shows it.

    `file` has no name on disk, and is closed after it was read.
    """

    name: str
    media_type: str
    size: int
    inline: bool
    file: IO[bytes] = attrs.field(repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the response; it is never cached."""
        headers = {
            "Content-Type": self.media_type,
            "Content-Length": str(self.size),
            "Content-Disposition": f"{'inline' if self.inline else 'attachment'}; "
            f'filename="{self.name}"',
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        }
        if self.inline:
            headers["Content-Security-Policy"] = _SANDBOX
        return headers

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Yield the contents; a piece is read on a thread."""
        with self.file:
            while piece := await asyncio.to_thread(self.file.read, _PIECE_BYTES):
                yield piece


def report(journal: str, job: str, results: list[tuple[str, str]], clock: Clock) -> Download:
    """Return a job's report; `results` are the name and the link of each file. Blocking."""
    page = report_page(journal, name=job, results=results, clock=clock)
    return _download(
        f"{job}.html", "text/html; charset=utf-8", lambda file: file.write(page), inline=True
    )


def results(journal: str, job: str, form: str) -> Download:
    """Return a job's results, one row for each operation. Blocking."""
    with contextlib.closing(read_journal(journal)) as opened:
        return _download(
            f"{job}.{form}", FORMS[form], lambda file: write_rows(opened, file, form), inline=False
        )


def _download(
    name: str, media_type: str, write: Callable[[TextIO], object], *, inline: bool
) -> Download:
    file = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115 - closed once it is read
    try:
        text = io.TextIOWrapper(file, encoding="utf-8", errors="backslashreplace", newline="")
        write(text)
        text.flush()
        text.detach()
        size = file.tell()
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return Download(name=name, media_type=media_type, size=size, inline=inline, file=file)
