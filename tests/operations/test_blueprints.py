"""The operations on blueprints: their requests, their arguments, and the forms of their answers."""

from datetime import UTC, datetime
from typing import Any

import pytest

from enapter_async.emulator.blueprints import zipped
from enapter_async.errors import ConfigurationError
from enapter_async.models.blueprints import Blueprint, BlueprintView
from enapter_async.operation import UNSET, Operation, Repeat, RequestParts, Settles, Target
from enapter_async.operations.blueprints import (
    LARGEST_ARCHIVE,
    DownloadBlueprint,
    DownloadDeviceProfiles,
    GetBlueprint,
    GetBlueprintByName,
    UploadBlueprint,
    ValidateBlueprint,
)
from enapter_async.payload import Payload

ARCHIVE = zipped({"manifest.yml": b"blueprint_spec: device/3.0\n"})
SENT = Payload(ARCHIVE, "application/zip")

REQUESTS: list[tuple[Operation[Any], RequestParts]] = [
    (GetBlueprint(blueprint_id="bp-1"), RequestParts("GET", ("blueprints", "bp-1"))),
    (
        GetBlueprintByName(name="pump"),
        RequestParts("GET", ("blueprints", "enapter", "pump", "latest")),
    ),
    (
        GetBlueprintByName(name="pump", namespace="acme", tag="1.2.0"),
        RequestParts("GET", ("blueprints", "acme", "pump", "1.2.0")),
    ),
    (
        ValidateBlueprint(archive=ARCHIVE),
        RequestParts("POST", ("blueprints", "validate"), (), SENT),
    ),
    (UploadBlueprint(archive=ARCHIVE), RequestParts("POST", ("blueprints", "upload"), (), SENT)),
    (
        DownloadBlueprint(blueprint_id="bp-1"),
        RequestParts("GET", ("blueprints", "bp-1", "zip"), (("view", "ORIGINAL"),)),
    ),
    (
        DownloadBlueprint(blueprint_id="bp-1", view=BlueprintView("compiled")),
        RequestParts("GET", ("blueprints", "bp-1", "zip"), (("view", "COMPILED"),)),
    ),
    (
        DownloadDeviceProfiles(),
        RequestParts("GET", ("blueprints", "device_profiles", "download")),
    ),
]


@pytest.mark.parametrize(("operation", "request_parts"), REQUESTS)
def test_an_operation_sends_the_request_of_the_api_page(
    operation: Operation[Any], request_parts: RequestParts
) -> None:
    assert operation.request() == request_parts
    assert operation.target().noun == "blueprint"


def test_an_archive_is_never_shown() -> None:
    upload = UploadBlueprint(archive=ARCHIVE)
    for shown in (repr(upload), repr(upload.request()), repr(ValidateBlueprint(archive=ARCHIVE))):
        assert "manifest" not in shown
    assert f"<{len(ARCHIVE)} bytes>" in repr(upload.request())


def test_an_upload_is_done_once_and_never_settled() -> None:
    upload = UploadBlueprint(archive=ARCHIVE)
    assert (upload.repeat, upload.settles) == (Repeat.ONCE, Settles.NEVER)
    assert upload.target() == Target("blueprint")
    assert "upload it first" in upload.not_in_jobs()


@pytest.mark.parametrize(
    ("envelope", "expected"),
    [
        (
            {"id": "bp-1", "created_at": "2026-01-01T00:00:00.5Z"},
            Blueprint(id="bp-1", created_at=datetime(2026, 1, 1, 0, 0, 0, 500_000, UTC)),
        ),
        (
            {"blueprint_id": "bp-1", "created_at": 1767225600},
            Blueprint(id="bp-1", created_at=datetime(2026, 1, 1, tzinfo=UTC)),
        ),
        ({"id": "bp-1", "created_at": "soon"}, Blueprint(id="bp-1")),
        ({"id": 5}, UNSET),
        ({}, UNSET),
    ],
)
def test_the_answer_to_an_upload_may_lack_its_envelope(
    envelope: dict[str, Any], expected: Any
) -> None:
    assert UploadBlueprint(archive=ARCHIVE).when_missing(envelope) == expected


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        (GetBlueprint, {"blueprint_id": "../x"}, "blueprint_id must be 1 to 128 letters"),
        (GetBlueprintByName, {"name": "a/b"}, "name must be 1 to 128 letters"),
        (GetBlueprintByName, {"name": "a", "tag": ".."}, "tag must be 1 to 128 letters"),
        (
            UploadBlueprint,
            {"archive": b"manifest"},
            "must be the bytes of a ZIP archive; got other",
        ),
        (ValidateBlueprint, {"archive": "zip"}, "must be the bytes of a ZIP archive; got 'zip'"),
        (
            UploadBlueprint,
            {"archive": ARCHIVE + bytes(LARGEST_ARCHIVE)},
            "the limit is",
        ),
        (
            DownloadBlueprint,
            {"blueprint_id": "b", "view": "RAW"},
            "view must be one of ORIGINAL, COMPILED",
        ),
    ],
)
def test_a_wrong_argument_is_refused_before_anything_is_sent(
    kind: Any, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        kind(**fields)


def test_too_large_an_archive_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="the limit is 67108864"):
        UploadBlueprint(archive=ARCHIVE + bytes(LARGEST_ARCHIVE))
