"""The emulator's endpoints for blueprints (API page "Blueprints")."""

import io
import json
import uuid
import zipfile
from datetime import datetime
from email.parser import BytesParser
from importlib import import_module
from importlib.util import find_spec
from typing import Any, ClassVar, Literal

import attrs

from enapter_async.emulator.request import Call, Noun, Raw, Request, no_endpoint
from enapter_async.emulator.state import Refusal, invalid_parameter, moment, not_found, told
from enapter_async.emulator.world import World

MANIFEST = "manifest.yml"


@attrs.define
class Stored:
    """A blueprint that was uploaded; `full_names` are of the form `namespace/name/tag`."""

    id: str
    archive: bytes
    created_at: datetime
    full_names: tuple[str, ...] = ()


class Blueprints(Noun):
    """The blueprints that were uploaded.

    An archive may be sent as the whole body, or as the field `data` of a form. It is valid if it is
    a ZIP archive with a `manifest.yml` and without entries for folders. Switches for choices that
    the API page leaves open: `envelope` is the form of the answer to an upload. An upload adds the
    id to those that a device may be assigned, if the world limits them. A device gets the manifest
    of the blueprint that it is assigned, as written: JSON, or YAML if PyYAML is installed.
    Compiled, an archive has one more file, `compiled.json`.
    """

    paths: ClassVar[tuple[str, ...]] = (
        "blueprints/validate",
        "blueprints/upload",
        "blueprints/device_profiles/download",
        "blueprints/{blueprint}",
        "blueprints/{blueprint}/zip",
        "blueprints/{namespace}/{name}/{tag}",
    )

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.envelope: Literal["blueprint", "flat", "old"] = "blueprint"
        self.stored: dict[str, Stored] = {}

    def respond(self, call: Call, request: Request) -> dict[str, Any] | Raw:
        """Carry out a request for blueprints."""
        last = call.path.rstrip("/").rpartition("/")[2]
        match call.method, call.ids:
            case "POST", {} if last == "validate" and not call.ids:
                errors = faults_of(archive_of(request))
                return {"validation_errors": errors} if errors else {}
            case "POST", {} if last == "upload" and not call.ids:
                return self._upload(archive_of(request), request)
            case "GET", {"blueprint": found} if last == "zip":
                return _zip(self._download(self._find(found), request.parameter("view")))
            case "GET", {"blueprint": found}:
                return {"blueprint": self._described(found, request)}
            case "GET", {"namespace": space, "name": name, "tag": tag}:
                return {"blueprint": self._show(self._named(f"{space}/{name}/{tag}"), request)}
            case "GET", {} if last == "download" and not call.ids:
                return _zip(zipped({"profiles/energy.pump.yml": b"telemetry: {}\n"}))
        raise no_endpoint()

    def store(self, archive: bytes, *full_names: str) -> Stored:
        """Store a blueprint without a request; `full_names` are `namespace/name/tag`."""
        made = uuid.uuid5(uuid.NAMESPACE_URL, f"blueprint-{len(self.stored)}")
        stored = Stored(str(made), archive, moment(self.world.now()), full_names)
        self.stored[stored.id] = stored
        if self.world.blueprints is not None:
            self.world.blueprints |= {stored.id}
        if manifest := manifest_of(archive):
            self.world.manifests[stored.id] = manifest
        return stored

    def _upload(self, archive: bytes, request: Request) -> dict[str, Any]:
        errors = faults_of(archive)
        if errors:
            raise Refusal(422, "invalid_blueprint", " ".join(errors))
        stored = self.store(archive)
        self.world.log.applied("blueprint.upload", stored.id, {"bytes": len(archive)})
        shown = self._show(stored, request)
        if self.envelope == "blueprint":
            return {"blueprint": shown}
        if self.envelope == "flat":
            return shown
        return {"blueprint_id": stored.id, "created_at": int(stored.created_at.timestamp())}

    def _described(self, blueprint_id: str, request: Request) -> dict[str, Any]:
        """Show a blueprint; one that was not uploaded exists if a device may be assigned it."""
        if blueprint_id in self.stored or not self.world.has_blueprint(blueprint_id):
            return self._show(self._find(blueprint_id), request)
        return {"id": blueprint_id}

    def _find(self, blueprint_id: str) -> Stored:
        if blueprint_id not in self.stored:
            raise not_found("There is no such blueprint.")
        return self.stored[blueprint_id]

    def _named(self, full_name: str) -> Stored:
        for each in self.stored.values():
            if full_name in each.full_names:
                return each
        raise not_found("There is no blueprint of this name.")

    def _show(self, stored: Stored, request: Request) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "id": stored.id,
            "created_at": told(stored.created_at, request.timestamps),
        }
        if stored.full_names:
            parts = [name.split("/") for name in stored.full_names]
            shown["full_names"] = [
                {"namespace": space, "name": name, "tag": tag} for space, name, tag in parts
            ]
        return shown

    def _download(self, stored: Stored, view: str) -> bytes:
        if view not in ("", "ORIGINAL", "COMPILED"):
            raise invalid_parameter("view", "It must be ORIGINAL or COMPILED.")
        if view == "ORIGINAL":
            return stored.archive
        with zipfile.ZipFile(io.BytesIO(stored.archive)) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
        return zipped({**files, "compiled.json": b"{}"})


def archive_of(request: Request) -> bytes:
    """Return the archive in a request: its whole body, or the field `data` of a form."""
    kind = request.content_type
    if not kind.lower().startswith("multipart/form-data"):
        return request.body
    head = f"Content-Type: {kind}\r\n\r\n".encode()
    for part in BytesParser().parsebytes(head + request.body).walk():
        if part.get_param("name", header="content-disposition") == "data":
            data = part.get_payload(decode=True)
            return data if isinstance(data, bytes) else b""
    raise invalid_parameter("data", "The form has no such field.")


def faults_of(archive: bytes) -> list[str]:
    """Return what is wrong with a blueprint; an empty list if nothing is."""
    try:
        names = zipfile.ZipFile(io.BytesIO(archive)).namelist()
    except zipfile.BadZipFile:
        return ["It is not a ZIP archive."]
    folders = [name for name in names if name.endswith("/")]
    errors = [f"{name} is an entry for a folder." for name in folders]
    return errors if MANIFEST in names else [*errors, f"{MANIFEST} is not there."]


def manifest_of(archive: bytes) -> dict[str, Any]:
    """Return the manifest in a blueprint; {} if it cannot be read."""
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as files:
            text = files.read(MANIFEST)
    except (zipfile.BadZipFile, KeyError):
        return {}
    try:
        found = json.loads(text)
    except ValueError:
        found = None if find_spec("yaml") is None else _from_yaml(text)
    return found if isinstance(found, dict) else {}


def _from_yaml(text: bytes) -> Any:
    yaml = import_module("yaml")
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return None


def zipped(files: dict[str, bytes]) -> bytes:
    """Return a ZIP archive of these files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()


def _zip(archive: bytes) -> Raw:
    return Raw(archive, (("Content-Type", "application/zip"),))
