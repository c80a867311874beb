"""The methods for blueprints: `client.blueprints`.

Source: API page, "Blueprints".
"""

import asyncio
import os
from pathlib import Path

import attrs

from enapter_async._http.retry import backoff
from enapter_async._http.streaming import LOST, Stream
from enapter_async.api.executor import Executor
from enapter_async.api.packing import new_file, pack_blueprint
from enapter_async.errors import ConfigurationError, StreamBrokenError
from enapter_async.models.blueprints import Blueprint, BlueprintView
from enapter_async.operations.blueprints import (
    LARGEST_ARCHIVE,
    ZIP_STARTS,
    DownloadBlueprint,
    DownloadDeviceProfiles,
    GetBlueprint,
    GetBlueprintByName,
    UploadBlueprint,
    ValidateBlueprint,
)
from enapter_async.streaming import StreamedOperation

Source = bytes | str | os.PathLike[str]
"""A blueprint to send: the path of a directory or of a ZIP archive, or the archive's bytes."""


@attrs.frozen
class Blueprints:
    """The methods for blueprints; each executes one operation, and raises the errors of `Devices`.

    A blueprint to validate or upload is the path of a directory, which `pack_blueprint` packs, the
    path of a ZIP archive, or the bytes of an archive.
    """

    _executor: Executor

    async def get(self, blueprint_id: str) -> Blueprint:
        """Read what the API knows about a blueprint.

        Raises `NotFoundError` if there is none. Changes nothing; safe to repeat.
        """
        return await self._executor.execute(GetBlueprint(blueprint_id=blueprint_id))

    async def get_by_name(
        self, name: str, *, namespace: str = "enapter", tag: str = "latest"
    ) -> Blueprint:
        """Read the blueprint with the full name `namespace/name:tag`.

        Raises `NotFoundError` if there is none. Changes nothing; safe to repeat.
        """
        return await self._executor.execute(
            GetBlueprintByName(name=name, namespace=namespace, tag=tag)
        )

    async def validate(self, source: Source) -> tuple[str, ...]:
        """Check a blueprint without storing it; return its errors, empty if it is valid.

        Changes nothing; safe to repeat.
        """
        archive = await asyncio.to_thread(_archive_of, source)
        return await self._executor.execute(ValidateBlueprint(archive=archive))

    async def upload(self, source: Source) -> Blueprint:
        """Store a blueprint, and return it with its new id.

        Not safe to repeat: each request stores the blueprint under a new id. After an
        `AmbiguousOutcomeError` you can upload it again; at worst an unused blueprint remains.
        """
        archive = await asyncio.to_thread(_archive_of, source)
        return await self._executor.execute(UploadBlueprint(archive=archive))

    async def download(
        self, blueprint_id: str, *, view: BlueprintView | str = BlueprintView.ORIGINAL
    ) -> bytes:
        """Return the ZIP archive of a blueprint, as uploaded or as compiled by the API.

        Raises `NotFoundError` if there is none. Changes nothing; safe to repeat.
        """
        operation = DownloadBlueprint(blueprint_id=blueprint_id, view=BlueprintView(view))
        archive: bytes = await self._executor.execute(operation)
        return archive

    async def save(
        self,
        blueprint_id: str,
        path: str | os.PathLike[str],
        *,
        view: BlueprintView | str = BlueprintView.ORIGINAL,
    ) -> int:
        """Write the archive that `download` returns to a file, and return its size in bytes.

        It is written as it arrives, so its size in memory is small. The file is replaced only by a
        complete archive; one that breaks off is requested again, as often as the client tries. It
        also raises `StreamBrokenError`, and `ConfigurationError` if the file cannot be written.
        """
        operation = DownloadBlueprint(blueprint_id=blueprint_id, view=BlueprintView(view))
        return await self._save(operation, path)

    async def download_device_profiles(self) -> bytes:
        """Return the ZIP archive of all device profiles.

        Changes nothing; safe to repeat.
        """
        archive: bytes = await self._executor.execute(DownloadDeviceProfiles())
        return archive

    async def save_device_profiles(self, path: str | os.PathLike[str]) -> int:
        """Write the archive of all device profiles to a file as `save` does; return its size."""
        return await self._save(DownloadDeviceProfiles(), path)

    async def _save(self, operation: StreamedOperation[bytes], path: str | os.PathLike[str]) -> int:
        retry, clock = self._executor.retry, self._executor.clock
        failures = 0
        while True:
            try:
                async with self._executor.streams((operation,)) as (stream,):
                    return await _written(stream, path)
            except StreamBrokenError:
                failures += 1
                if failures >= retry.attempts:
                    raise
                await clock.sleep(backoff(retry, LOST, failures, clock.uniform))


async def _written(stream: Stream[bytes], path: str | os.PathLike[str]) -> int:
    """Write the parts of an archive to a file; return its size."""
    size = 0
    with new_file(path) as file:
        async for parts in stream.batches():
            for part in parts:
                size += await asyncio.to_thread(file.write, part)
    return size


def _archive_of(source: Source) -> bytes:
    """Return the archive of a blueprint, from any kind of source."""
    if isinstance(source, bytes):
        return source
    path = Path(source)
    if path.is_dir():
        return pack_blueprint(path)
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_ARCHIVE + 1)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    if not data.startswith(ZIP_STARTS):
        raise ConfigurationError(f"{path} is neither a directory nor a ZIP archive")
    return data
