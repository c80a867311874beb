"""`client.blueprints` against the emulator, and against answers that are not archives."""

import random
import tracemalloc
from pathlib import Path
from typing import Any, Literal

import pytest
from aiohttp import web

from enapter_async.client import Client
from enapter_async.emulator import Emulator
from enapter_async.emulator.blueprints import Blueprints, zipped
from enapter_async.errors import (
    ConfigurationError,
    NotFoundError,
    ResponseError,
    StreamBrokenError,
    UnprocessableError,
)
from enapter_async.models.blueprints import BlueprintName
from enapter_async.operations.blueprints import DownloadBlueprint, UploadBlueprint
from tests.support.replies import answer, html, message, raw
from tests.support.rig import TransportKind, open_rig
from tests.support.server import FaultServer, ignored

ARCHIVE = zipped({"manifest.yml": b"blueprint_spec: device/3.0\n"})
DOWNLOAD = DownloadBlueprint(blueprint_id="bp-1")


@pytest.mark.parametrize("envelope", ["blueprint", "flat", "old"])
async def test_a_directory_is_uploaded_and_comes_back(
    emulator: Emulator,
    client: Client,
    tmp_path: Path,
    envelope: Literal["blueprint", "flat", "old"],
) -> None:
    emulator.noun(Blueprints).envelope = envelope
    source = tmp_path / "pump"
    source.mkdir()
    (source / "manifest.yml").write_text("blueprint_spec: device/3.0\n")
    assert await client.blueprints.validate(source) == ()
    made = await client.blueprints.upload(source)
    read = await client.blueprints.get(made.id)
    assert read.created_at is not None
    assert made.created_at is not None
    assert made.created_at.replace(microsecond=0) == read.created_at.replace(microsecond=0)
    original = await client.blueprints.download(made.id)
    assert await client.blueprints.save(made.id, tmp_path / "original.zip") == len(original)
    assert (tmp_path / "original.zip").read_bytes() == original
    assert await client.blueprints.upload(tmp_path / "original.zip") != made
    compiled = await client.blueprints.download(made.id, view="compiled")
    assert b"compiled.json" in compiled
    assert emulator.world.log.count("blueprint.upload") == 2


async def test_an_invalid_blueprint_is_reported_and_not_stored(
    emulator: Emulator, client: Client, tmp_path: Path
) -> None:
    empty = zipped({"other.yml": b""})
    assert await client.blueprints.validate(empty) == ("manifest.yml is not there.",)
    with pytest.raises(UnprocessableError, match=r"manifest.yml is not there"):
        await client.blueprints.upload(empty)
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        await client.blueprints.upload(tmp_path / "none.zip")
    assert emulator.world.log.effects() == ()


async def test_a_blueprint_is_found_by_its_full_name(
    emulator: Emulator, client: Client, tmp_path: Path
) -> None:
    stored = emulator.noun(Blueprints).store(ARCHIVE, "enapter/pump/latest", "acme/pump/1.0")
    for found in (
        await client.blueprints.get_by_name("pump"),
        await client.blueprints.get_by_name("pump", namespace="acme", tag="1.0"),
    ):
        assert found.id == stored.id
        assert found.full_names[1] == BlueprintName(namespace="acme", name="pump", tag="1.0")
    with pytest.raises(NotFoundError):
        await client.blueprints.get_by_name("pump", tag="2.0")
    profiles = await client.blueprints.download_device_profiles()
    assert profiles.startswith(b"PK")
    assert await client.blueprints.save_device_profiles(tmp_path / "all.zip") == len(profiles)
    assert (tmp_path / "all.zip").read_bytes() == profiles


def archive(body: bytes = ARCHIVE, media_type: str = "application/zip") -> Any:
    return answer(200, body, media_type=media_type)


async def test_an_archive_is_requested_and_sent_as_such(
    transport: TransportKind, server: FaultServer
) -> None:
    server.script(ignored(archive()), ignored(answer(200, {"id": "bp-2"})))
    async with open_rig(transport, server) as rig:
        assert await rig.run(DOWNLOAD) == ARCHIVE
        assert (await rig.run(UploadBlueprint(archive=ARCHIVE))).id == "bp-2"
    got, sent = server.arrivals
    assert got.header("Accept") == "application/zip, application/octet-stream"
    assert (sent.header("Accept"), sent.header("Content-Type")) == (
        "application/json",
        "application/zip",
    )
    assert sent.body == ARCHIVE


@pytest.mark.parametrize(
    "reply",
    [
        html(200, text="Please log in"),
        answer(200, {"errors": []}),
        archive(b"manifest"),
        archive(b""),
        raw(message(200, ARCHIVE, media_type="application/zip")[:-9], "fin"),
    ],
    ids=["portal", "json", "no-archive", "nothing", "half"],
)
async def test_what_is_not_an_archive_is_requested_again(
    transport: TransportKind, server: FaultServer, reply: Any
) -> None:
    server.script(ignored(reply), ignored(archive(media_type="application/octet-stream")))
    async with open_rig(transport, server) as rig:
        assert await rig.run(DOWNLOAD) == ARCHIVE
        server.always(ignored(reply))
        assert isinstance(await rig.fails(DOWNLOAD), ResponseError)


LARGE = zipped({"manifest.yml": b"x", "firmware.bin": random.Random(1).randbytes(300_000)})
CUT = {
    "cut": raw(message(200, LARGE, media_type="application/zip")[:-100_000], "fin"),
    "reset": raw(message(200, LARGE, media_type="application/zip")[:-100_000], "rst"),
    "no end of an archive": archive(LARGE[:-30] + b"x" * 30),
}


def names_in(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir()]


@pytest.mark.parametrize("reply", CUT.values(), ids=CUT)
async def test_a_file_is_written_whole_or_stays_as_it_is(
    transport: TransportKind, server: FaultServer, tmp_path: Path, reply: Any
) -> None:
    path = tmp_path / "pump.zip"
    path.write_bytes(b"old")
    server.always(ignored(reply))
    async with open_rig(transport, server) as rig:
        with pytest.raises(StreamBrokenError):
            await rig.client.blueprints.save("bp-1", path)
        assert server.seen == ["GET"] * 4
        assert names_in(tmp_path) == ["pump.zip"]
        assert path.read_bytes() == b"old"
        server.script(ignored(reply), ignored(archive(LARGE)))
        assert await rig.client.blueprints.save("bp-1", path) == len(LARGE)
        assert path.read_bytes() == LARGE
        server.always(ignored(archive(LARGE)))
        with pytest.raises(ConfigurationError, match="cannot be written: No such file"):
            await rig.client.blueprints.save("bp-1", tmp_path / "nowhere" / "pump.zip")
    assert names_in(tmp_path) == ["pump.zip"]


async def test_a_large_archive_takes_little_memory(tmp_path: Path) -> None:
    parts, size = 256, 64 * 1024
    ending = zipped({"manifest.yml": b""})[-22:]

    async def serve(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_type = "application/zip"
        response.content_length = 4 + parts * size + len(ending)
        await response.prepare(request)
        await response.write(b"PK\x03\x04")
        for _ in range(parts):
            await response.write(bytes(size))
        await response.write(ending)
        return response

    application = web.Application()
    application.router.add_get("/v3/blueprints/bp-1/zip", serve)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        address = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with Client("a-token", base_url=address) as client:
            tracemalloc.start()
            try:
                saved = await client.blueprints.save("bp-1", tmp_path / "large.zip")
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
    finally:
        await runner.cleanup()
    assert saved == (tmp_path / "large.zip").stat().st_size == 4 + parts * size + len(ending)
    assert peak < saved / 8
