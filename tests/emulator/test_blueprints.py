"""The emulator's blueprints: sent as a whole body or in a form, and refused if not valid."""

from importlib.util import find_spec
from typing import Any

import pytest

from enapter_async.emulator.blueprints import Blueprints, zipped
from enapter_async.emulator.request import Raw
from enapter_async.emulator.routes import Routes, parse
from enapter_async.emulator.world import World
from tests.emulator.test_routes import TOKEN, ask, code_of

ARCHIVE = zipped({"manifest.yml": b"a: 1\n\x00\xff\r\n"})
FORM = (
    b"--b\r\nContent-Disposition: form-data; name=data; filename=b.zip\r\n"
    b"Content-Type: application/zip\r\n\r\n" + ARCHIVE + b"\r\n--b--\r\n"
)


def test_an_archive_is_the_whole_body_or_a_field_of_a_form(routes: Routes) -> None:
    for body, content_type in ((ARCHIVE, ""), (FORM, "multipart/form-data; boundary=b")):
        call = parse("POST", "/v3/blueprints/upload")
        status, shown = routes.respond(call, token=TOKEN, body=body, content_type=content_type)
        assert status == 200
        stored = routes.noun(Blueprints).stored[shown["blueprint"]["id"]]
        assert stored.archive == ARCHIVE
    path = f"/v3/blueprints/{stored.id}/zip"
    query = (("view", "ORIGINAL"),)
    sent: Any = Raw(ARCHIVE, (("Content-Type", "application/zip"),))
    assert ask("GET", path, query=query, routes=routes) == (200, sent)
    compiled: Any = ask("GET", path, routes=routes)[1]
    assert b"compiled.json" in compiled.body
    assert routes.noun(Blueprints).world.log.count("blueprint.upload") == 2


def test_what_is_not_a_blueprint_is_refused(routes: Routes) -> None:
    validate = "/v3/blueprints/validate"
    folder = zipped({"manifest.yml": b"", "lua/": b""})
    for body, errors in (
        (ARCHIVE, None),
        (b"manifest", ["It is not a ZIP archive."]),
        (folder, ["lua/ is an entry for a folder."]),
    ):
        answer = ask("POST", validate, body, routes=routes)
        assert answer == (200, {} if errors is None else {"validation_errors": errors})
    upload = ask("POST", "/v3/blueprints/upload", folder, routes=routes)
    assert code_of(upload) == (422, "invalid_blueprint")
    view = ask("GET", "/v3/blueprints/none/zip", routes=routes)
    assert code_of(view) == (404, "not_found")
    stored = routes.noun(Blueprints).store(ARCHIVE)
    wrong = ask("GET", f"/v3/blueprints/{stored.id}/zip", query=(("view", "RAW"),), routes=routes)
    assert code_of(wrong) == (400, "invalid_parameter")
    assert code_of(ask("DELETE", f"/v3/blueprints/{stored.id}", routes=routes))[0] == 404


def test_a_device_declares_what_its_blueprint_declares() -> None:
    manifest: dict[str, Any] = {"commands": {"reboot": {}}}
    world = World.from_json(
        [{"id": "old", "blueprint_id": "bp-1", "manifest": manifest}, {"id": "new"}]
    )
    world.assign_blueprint("new", blueprint_id="bp-1")
    assert world.get("new").manifest == manifest
    world.assign_blueprint("new", blueprint_id="bp-2")
    assert world.get("new").manifest == manifest, "nothing is known about bp-2"


@pytest.mark.parametrize(
    "text", [b'{"commands": {"fly": {}}}', b"commands:\n  fly: {}\n"], ids=["json", "yaml"]
)
def test_a_device_gets_the_manifest_of_an_uploaded_blueprint(text: bytes) -> None:
    world = World.from_json([{"id": "one", "manifest": {"commands": {"old": {}}}}])
    blueprint = Blueprints(world).store(zipped({"manifest.yml": text}))
    world.assign_blueprint("one", blueprint_id=blueprint.id)
    known: dict[str, Any] = {"commands": {"fly": {}}}
    if text[:1] != b"{" and find_spec("yaml") is None:
        known = {"commands": {"old": {}}}
    assert world.get("one").manifest == known
