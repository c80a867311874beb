"""Hands minted credentials to where they are kept: a file, or the caller's own function."""

import inspect
from typing import Any

from enapter_async.fleet.credentials.file import CredentialsFile, CredentialsSink
from enapter_async.fleet.journal.pages import Page
from enapter_async.operation import Operation


class FileKeeper:
    """Keeps results in a file; in a run with a journal, with the item that each belongs to."""

    def __init__(self, file: CredentialsFile, run: str) -> None:
        self._file = file
        self._run = run

    async def make_room(self) -> None:
        """See to it that what is in flight can be written; raises `OSError` where not."""
        await self._file.make_room()

    async def keep(self, operation: Operation[Any], result: Any, page: Page | None) -> None:
        """Write a result, and return once it is on the disk."""
        mark = None
        if page is not None:
            mark = {"run": self._run, "item": page.work.seq, "intent": page.number}
        await self._file.store(operation, result, mark)


class SinkKeeper:
    """Keeps results by a function of the caller's."""

    def __init__(self, sink: CredentialsSink) -> None:
        self._sink = sink

    async def make_room(self) -> None:
        """Do nothing: whether there is room is the caller's knowledge."""

    async def keep(self, operation: Operation[Any], result: Any, page: Page | None) -> None:
        """Hand a result to the function, and wait for what it returns."""
        waiting = self._sink(operation, result)
        if inspect.isawaitable(waiting):
            await waiting
