"""The methods for blueprints: `client.blueprints`.

Source: API page, "Blueprints".
"""

import asyncio
import os
from pathlib import Path

import attrs

from enapter_async.api.executor import Executor
from enapter_async.api.packing import pack_blueprint, save_archive
from enapter_async.errors import ConfigurationError
from enapter_async.models.blueprints import Blueprint, BlueprintView
from enapter_async.operations.blueprints import (
    LARGEST_ARCHIVE,
    DownloadBlueprint,
    DownloadDeviceProfiles,
    GetBlueprint,
    GetBlueprintByName,
    UploadBlueprint,
    ValidateBlueprint,
)

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

        Source: API page "Blueprints", `GET blueprints/{blueprint_id}`.
        """
        return await self._executor.execute(GetBlueprint(blueprint_id=blueprint_id))

    async def get_by_name(
        self, name: str, *, namespace: str = "enapter", tag: str = "latest"
    ) -> Blueprint:
        """Read the blueprint with the full name `namespace/name:tag`.

        Raises `NotFoundError` if there is none. Changes nothing; safe to repeat.

        Source: API page "Blueprints", `GET blueprints/{namespace}/{name}/{tag}`.
        """
        return await self._executor.execute(
            GetBlueprintByName(name=name, namespace=namespace, tag=tag)
        )

    async def validate(self, source: Source) -> tuple[str, ...]:
        """Check a blueprint without storing it; return its errors, empty if it is valid.

        Changes nothing; safe to repeat.

        Source: API page "Blueprints", `POST blueprints/validate`.
        """
        archive = await asyncio.to_thread(_archive_of, source)
        return await self._executor.execute(ValidateBlueprint(archive=archive))

    async def upload(self, source: Source) -> Blueprint:
        """Store a blueprint, and return it with its new id.

        Not safe to repeat: each request stores the blueprint under a new id. After an
        `AmbiguousOutcomeError` you can upload it again; at worst an unused blueprint remains.

        Source: API page "Blueprints", `POST blueprints/upload`.
        """
        archive = await asyncio.to_thread(_archive_of, source)
        return await self._executor.execute(UploadBlueprint(archive=archive))

    async def download(
        self,
        blueprint_id: str,
        *,
        view: BlueprintView | str = BlueprintView.ORIGINAL,
        to: str | os.PathLike[str] | None = None,
    ) -> bytes:
        """Return the ZIP archive of a blueprint, as uploaded or as compiled by the API.

        With `to` it is also written to that file, which is replaced only by a complete archive.
        Raises `NotFoundError` if there is none. Changes nothing; safe to repeat.

        Source: API page "Blueprints", `GET blueprints/{blueprint_id}/zip`.
        """
        operation = DownloadBlueprint(blueprint_id=blueprint_id, view=BlueprintView(view))
        return await _saved(await self._executor.execute(operation), to)

    async def download_device_profiles(self, *, to: str | os.PathLike[str] | None = None) -> bytes:
        """Return the ZIP archive of all device profiles; with `to`, also write it to that file.

        Changes nothing; safe to repeat.

        Source: API page "Blueprints", `GET blueprints/device_profiles/download`.
        """
        return await _saved(await self._executor.execute(DownloadDeviceProfiles()), to)


async def _saved(archive: bytes, to: str | os.PathLike[str] | None) -> bytes:
    if to is not None:
        await asyncio.to_thread(save_archive, to, archive)
    return archive


def _archive_of(source: Source) -> bytes:
    """Return the archive of a blueprint, from any kind of source."""
    if isinstance(source, bytes):
        return source
    path = Path(source)
    if path.is_dir():
        return pack_blueprint(path)
    try:
        with path.open("rb") as file:
            return file.read(LARGEST_ARCHIVE + 1)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
