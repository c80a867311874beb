"""The operations on blueprints, whose archives are ZIP files.

Source: API page, "Blueprints".
"""

import io
import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

import attrs

from enapter_async.errors import ArgumentError
from enapter_async.models.blueprints import Blueprint, BlueprintView
from enapter_async.operation import (
    MIB,
    UNSET,
    Answer,
    Operation,
    Repeat,
    RequestParts,
    Target,
    Unset,
)
from enapter_async.operations import arguments, device_arguments
from enapter_async.operations.nouns import Noun, define
from enapter_async.payload import Payload
from enapter_async.streaming import StreamedOperation

LARGEST_ARCHIVE: Final = 64 * MIB
"""The largest archive that is uploaded or downloaded, in bytes."""

_BLUEPRINT: Final[Answer[Blueprint]] = Answer(key="blueprint", type=Blueprint, max_bytes=MIB)
_ZIP_TYPES: Final = ("application/zip", "application/octet-stream")
ZIP_STARTS: Final = (b"PK\x03\x04", b"PK\x05\x06")
"""The first bytes of a ZIP archive; the second form is of an empty one."""
NOT_IN_JOBS: Final = (
    "an upload gives the blueprint an id that no other operation of a job can know; upload it "
    "first, and name its id in the job"
)
_START: Final = 4
_LONGEST_END: Final = 22 + 65_535
"""How many bytes the last record of an archive may have, with its comment."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def _name(value: str) -> str:
    return _name_part("name", value)


def _namespace(value: str) -> str:
    return _name_part("namespace", value)


def _tag(value: str) -> str:
    return _name_part("tag", value)


def _name_part(field: str, value: object) -> str:
    if isinstance(value, str) and _NAME.fullmatch(value):
        return value
    raise ArgumentError(
        f"{field} must be 1 to 128 letters, digits, '.', '_' or '-', starting with a letter or a "
        f"digit; got {arguments.shown(value)}"
    )


def _archive(value: object) -> bytes:
    """Return the bytes of a ZIP archive; refuse anything else."""
    if not isinstance(value, bytes) or not value.startswith(ZIP_STARTS):
        raise ArgumentError(f"archive must be the bytes of a ZIP archive; got {_shown(value)}")
    if len(value) > LARGEST_ARCHIVE:
        raise ArgumentError(f"archive has {len(value)} bytes; the limit is {LARGEST_ARCHIVE}")
    return value


def _shown(value: object) -> str:
    return "other bytes" if isinstance(value, bytes) else arguments.shown(value)


def _view(value: str) -> BlueprintView:
    return arguments.one_of("view", value, BlueprintView)


def _zip_of(reply: Any) -> bytes:
    """Return the archive in an answer; anything that is not an archive is refused."""
    body: bytes = reply.body
    if not zipfile.is_zipfile(io.BytesIO(body)):
        raise ValueError("the response is not a complete ZIP archive")
    return body


class ArchiveReader:
    """Passes on the parts of an archive, and checks that it is a complete archive."""

    def __init__(self) -> None:
        self._size = 0
        self._start = b""
        self._tail = b""

    def feed(self, chunk: bytes) -> Sequence[bytes]:
        """Return this part; raise ValueError if the answer is not an archive, or too large."""
        self._size += len(chunk)
        if self._size > LARGEST_ARCHIVE:
            raise ValueError(f"the archive is larger than {LARGEST_ARCHIVE} bytes")
        self._start = (self._start + chunk[:_START])[:_START]
        if not any(each.startswith(self._start) for each in ZIP_STARTS):
            raise ValueError("the response is not a ZIP archive")
        self._tail = (self._tail + chunk)[-_LONGEST_END:]
        return (chunk,)

    def end(self) -> Sequence[bytes]:
        """Return nothing; raise ValueError if the archive is not complete."""
        if not zipfile.is_zipfile(io.BytesIO(self._tail)):
            raise ValueError("the response is not a complete ZIP archive")
        return ()


@attrs.frozen(kw_only=True)
class GetBlueprint(Operation[Blueprint]):
    """Read what the API knows about a blueprint.

    Changes nothing, so it is safe to repeat.

    Source: API page "Blueprints", `GET blueprints/{blueprint_id}`.
    """

    kind: ClassVar[str] = "blueprint.get"
    repeat: ClassVar[Repeat] = Repeat.READ
    answer: ClassVar[Answer[Blueprint]] = _BLUEPRINT

    blueprint_id: str = attrs.field(converter=device_arguments.blueprint_id)

    def request(self) -> RequestParts:
        """Return the HTTP request of this operation."""
        return RequestParts(method="GET", path=("blueprints", self.blueprint_id))

    def target(self) -> Target:
        """Return the blueprint."""
        return Target("blueprint", self.blueprint_id)

    def accepts(self, result: Blueprint) -> bool:
        """Return whether the answer is about the requested blueprint."""
        return result.id == self.blueprint_id


@attrs.frozen(kw_only=True)
class GetBlueprintByName(Operation[Blueprint]):
    """Read the blueprint with the full name `namespace/name:tag`.

    Changes nothing, so it is safe to repeat.

    Source: API page "Blueprints", `GET blueprints/{namespace}/{name}/{tag}`.
    """

    kind: ClassVar[str] = "blueprint.get_by_name"
    repeat: ClassVar[Repeat] = Repeat.READ
    answer: ClassVar[Answer[Blueprint]] = _BLUEPRINT

    name: str = attrs.field(converter=_name)
    namespace: str = attrs.field(default="enapter", converter=_namespace)
    tag: str = attrs.field(default="latest", converter=_tag)

    def request(self) -> RequestParts:
        """Return the HTTP request of this operation."""
        return RequestParts(method="GET", path=("blueprints", self.namespace, self.name, self.tag))

    def target(self) -> Target:
        """Return the blueprint."""
        return Target("blueprint", f"{self.namespace}/{self.name}:{self.tag}")


@attrs.frozen(kw_only=True)
class ValidateBlueprint(Operation[tuple[str, ...]]):
    """Check a blueprint without storing it; the result is its errors, empty if it is valid.

    Changes nothing, so it is safe to repeat.

    Source: API page "Blueprints", `POST blueprints/validate`.
    """

    kind: ClassVar[str] = "blueprint.validate"
    repeat: ClassVar[Repeat] = Repeat.READ
    answer: ClassVar[Answer[tuple[str, ...]]] = Answer(
        key="validation_errors", type=tuple[str, ...], default=(), max_bytes=MIB
    )

    archive: bytes = attrs.field(converter=_archive, repr=False)

    def request(self) -> RequestParts:
        """Return the HTTP request of this operation."""
        body = Payload(self.archive, "application/zip")
        return RequestParts(method="POST", path=("blueprints", "validate"), body=body)


@attrs.frozen(kw_only=True)
class UploadBlueprint(Operation[Blueprint]):
    """Store a blueprint, and return its id.

    Not safe to repeat: each request that arrives stores a blueprint under a new id. A duplicate
    changes no device, so after an uncertain outcome the blueprint can be uploaded again.

    Source: API page "Blueprints", `POST blueprints/upload`.
    """

    repeat: ClassVar[Repeat] = Repeat.ONCE
    answer: ClassVar[Answer[Blueprint]] = _BLUEPRINT

    archive: bytes = attrs.field(converter=_archive, repr=False)

    def request(self) -> RequestParts:
        """Return the HTTP request of this operation."""
        body = Payload(self.archive, "application/zip")
        return RequestParts(method="POST", path=("blueprints", "upload"), body=body)

    def target(self) -> Target:
        """Return the new blueprint, which has no id yet."""
        return Target("blueprint")

    def when_missing(self, envelope: Mapping[str, Any]) -> Blueprint | Unset:
        """Return the blueprint of an answer without an envelope, as some servers send it."""
        found = envelope.get("id") or envelope.get("blueprint_id")
        if not isinstance(found, str):
            return UNSET
        return Blueprint(id=found, created_at=_time(envelope.get("created_at")))

    def not_in_jobs(self) -> str:
        """Return the reason why no job uploads blueprints."""
        return NOT_IN_JOBS


def _time(value: Any) -> datetime | None:
    try:
        if isinstance(value, int):
            return datetime.fromtimestamp(value, UTC)
        return datetime.fromisoformat(value).astimezone(UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None  # the id is what matters


class _Download(StreamedOperation[bytes]):
    """A read of an archive."""

    __slots__ = ()

    repeat: ClassVar[Repeat] = Repeat.READ
    answer: ClassVar[Answer[bytes]] = Answer(
        type=bytes, max_bytes=LARGEST_ARCHIVE, media=_ZIP_TYPES, decode=_zip_of
    )

    @staticmethod
    def reader(headers: Any) -> ArchiveReader:  # noqa: ARG004 - they say nothing about its parts
        """Return a reader of archives."""
        return ArchiveReader()


@attrs.frozen(kw_only=True)
class DownloadBlueprint(_Download):
    """Read the ZIP archive of a blueprint, of at most 64 MiB; `Client.stream` reads it in parts.

    Changes nothing, so it is safe to repeat.

    Source: API page "Blueprints", `GET blueprints/{blueprint_id}/zip`.
    """

    kind: ClassVar[str] = "blueprint.download"

    blueprint_id: str = attrs.field(converter=device_arguments.blueprint_id)
    view: BlueprintView = attrs.field(default=BlueprintView.ORIGINAL, converter=_view)

    def request(self) -> RequestParts:
        """Return the HTTP request of this operation."""
        path = ("blueprints", self.blueprint_id, "zip")
        return RequestParts(method="GET", path=path, query=(("view", str(self.view)),))

    def target(self) -> Target:
        """Return the blueprint."""
        return Target("blueprint", self.blueprint_id)


@attrs.frozen(kw_only=True)
class DownloadDeviceProfiles(_Download):
    """Read the ZIP archive of all device profiles, of at most 64 MiB.

    Changes nothing, so it is safe to repeat.

    Source: API page "Blueprints", `GET blueprints/device_profiles/download`.
    """

    kind: ClassVar[str] = "blueprint.download_device_profiles"

    def request(self) -> RequestParts:
        """Return the HTTP request of this operation."""
        return RequestParts(method="GET", path=("blueprints", "device_profiles", "download"))

    def target(self) -> Target:
        """Return the device profiles."""
        return Target("blueprint", "device_profiles")


class _BlueprintNoun(Noun[Blueprint]):
    """Blueprints: read one by one, when others need them."""

    __slots__ = ()

    name: ClassVar[str] = "blueprint"
    state: ClassVar[Any] = Blueprint

    def get(self, name: str, expand: Iterable[str] = ()) -> GetBlueprint:
        """Return the operation that reads a blueprint."""
        return GetBlueprint(blueprint_id=name)


define(_BlueprintNoun())
