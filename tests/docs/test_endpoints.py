"""The page of endpoints is true: each call and each command reaches its row's endpoint."""

import asyncio
import contextlib
import inspect
import pkgutil
import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import attrs
import pytest
from click.testing import CliRunner

from enapter_async import Client, operations
from enapter_async.cli.app import cli
from enapter_async.emulator import Emulator, World
from enapter_async.emulator.blueprints import Blueprints, zipped
from enapter_async.emulator.routes import NOUNS
from enapter_async.emulator.rules import Rules
from enapter_async.emulator.sites import Sites
from enapter_async.hooks import CallStarted
from enapter_async.operation import Operation
from enapter_async.streaming import Streamed
from tests.cli.conftest import say_something
from tests.docs.shown import ROOT

PAGE = (ROOT / "docs" / "reference" / "endpoints.md").read_text("utf-8")
ROW = re.compile(r"^\| (websocket )?`(?:([A-Z]+) )?([^`]+)` \| (.+) \| (.+) \|$", re.MULTILINE)
CODE = re.compile(r"`([^`]+)`")
"""A cell holds one call or command, or several."""
ENGINE: Final = "sites/{site_id}/rule_engine"
NOON = datetime(2026, 2, 3, 12, tzinfo=UTC)


@attrs.frozen
class Endpoint:
    websocket: bool
    method: str
    path: str
    calls: tuple[str, ...]
    commands: tuple[str, ...]

    def reaches(self, path: str) -> bool:
        """Return whether a path is that of this endpoint."""
        return re.fullmatch(f"/v3/{_pattern(self.path)}", path) is not None

    def twin(self) -> "Endpoint | None":
        """Return the same through a site, or without one for a rule engine."""
        if self.path.startswith("devices"):
            path = f"sites/{{site_id}}/{self.path}"
            calls = (f"{each[:-1]}, site_id=site)".replace("(, ", "(") for each in self.calls)
            return attrs.evolve(self, path=path, calls=tuple(calls), commands=())
        if self.path.startswith(ENGINE):
            path = self.path.replace(ENGINE, "site/rule_engine")
            calls = (re.sub(r"(, )?site_id=site", "", each) for each in self.calls)
            return attrs.evolve(self, path=path, calls=tuple(calls), commands=())
        return None


def _pattern(path: str) -> str:
    return re.sub(r"\{\w+\}|\{\}", "[^/]+", path)


ENDPOINTS = [
    Endpoint(
        websocket=bool(socket),
        method=method or "GET",
        path=path.partition("?")[0],
        calls=tuple(CODE.findall(calls)),
        commands=tuple(CODE.findall(commands)),
    )
    for socket, method, path, calls, commands in ROW.findall(PAGE)
]
BOTH = [each for row in ENDPOINTS for each in (row, row.twin()) if each is not None]


@attrs.frozen(kw_only=True)
class Place:
    """An emulator with one of everything, and the names by which calls and commands refer to it."""

    emulator: Emulator
    names: dict[str, Any]

    def settings(self) -> dict[str, Any]:
        return {"token": self.emulator.token, "base_url": self.emulator.base_url}


@contextmanager
def place(folder: Path) -> Iterator[Place]:
    world = World.seeded(40, 1, role="OWNER")
    standalone = (each for each in world if each.type == "STANDALONE")
    device = next(each for each in standalone if each.connectivity == "ONLINE")
    with Emulator(world=world) as emulator:
        emulator.noun(Rules).gateway_site = device.site_id
        emulator.noun(Sites).gateway_site = device.site_id
        archive = zipped({"manifest.yml": b"blueprint_spec: device/3.0\n"})
        stored = emulator.noun(Blueprints).store(archive, "enapter/pump/latest")
        emulator.streams.when_opened = partial(say_something, emulator.streams)
        names = {
            "device": device.id,
            "site": device.site_id,
            "blueprint": stored.id,
            "rule": emulator.noun(Rules).add(device.site_id, "night"),
            "start": NOON.replace(hour=11),
            "end": NOON,
            "directory": str(folder / "pump"),
            "script": str(folder / "rule.lua"),
            "file": str(folder / "archive.zip"),
        }
        asyncio.run(_add(emulator, device.id, names))
        world.log.clear()
        yield Place(emulator=emulator, names=names)


async def _add(emulator: Emulator, device: str, names: dict[str, Any]) -> None:
    async with Client(emulator.token, base_url=emulator.base_url) as client:
        names["execution"] = await client.commands.create(device, "reboot")
        names["empty_site"] = (await client.sites.create(name="Empty", timezone="Europe/Rome")).id


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pump").mkdir()
    (tmp_path / "pump" / "manifest.yml").write_text("blueprint_spec: device/3.0\n")
    (tmp_path / "rule.lua").write_text("-- nothing")
    (tmp_path / "config.toml").touch()
    return tmp_path


def reached(at: Place) -> tuple[set[tuple[str, str]], bool]:
    arrivals = at.emulator.world.log.arrivals()
    return {(each.method, each.path) for each in arrivals}, bool(at.emulator.streams.count)


def wrong(endpoint: Endpoint, at: Place, what: str, *, reads: bool) -> list[str]:
    """Return what is wrong with what was reached; `reads` allows other reads besides."""
    found, by_socket = reached(at)
    others = {
        (method, path)
        for method, path in found
        if method != endpoint.method or not endpoint.reaches(path)
    }
    exact = all(method == "GET" for method, _ in others) if reads else not others
    if exact and len(found) > len(others) and by_socket is endpoint.websocket:
        return []
    return [f"{what} reached {found}"]


async def _call(at: Place, expression: str, hook: Callable[[Any], None]) -> None:
    async with (
        Client(**at.settings(), hooks=[hook]) as client,
        contextlib.AsyncExitStack() as stack,
    ):
        value: Any = eval(expression, {"client": client, **at.names})  # noqa: S307 - our own page
        if inspect.isawaitable(value):
            await value
        elif hasattr(value, "__aenter__"):
            table = await stack.enter_async_context(value)
            assert [row async for row in table]
        else:
            await anext(await stack.enter_async_context(contextlib.aclosing(value)), None)


def test_each_call_reaches_its_endpoint_and_no_operation_is_left_out(folder: Path) -> None:
    executed: set[str] = set()  # names, because attrs leaves an old class behind for a while

    def take(event: object) -> None:
        if isinstance(event, CallStarted):
            executed.add(type(event.operation).__name__)

    problems = []
    for endpoint, call in ((each, call) for each in BOTH for call in each.calls):
        with place(folder) as at:
            asyncio.run(_call(at, call, take))
            problems += wrong(endpoint, at, call, reads=endpoint.method != "GET")
    assert not problems, "\n".join(problems)
    for module in pkgutil.iter_modules(operations.__path__):
        import_module(f"enapter_async.operations.{module.name}")
    known = {each for each in _subclasses(Operation) if _is_whole(each)}
    assert {each.__name__ for each in known if not issubclass(each, Streamed)} == executed
    sockets = sum(each.websocket for each in ENDPOINTS)
    assert sockets == len({each.__name__ for each in known if issubclass(each, Streamed)})


def _subclasses(kind: type[Any]) -> Iterator[type[Any]]:
    for each in kind.__subclasses__():
        yield each
        yield from _subclasses(each)


def _is_whole(kind: type[Any]) -> bool:
    """Return whether an operation is one that can be executed, and not a base class."""
    is_base = any(map(_is_own, kind.__subclasses__()))
    return _is_own(kind) and attrs.has(kind) and not kind.__name__.startswith("_") and not is_base


def _is_own(kind: type[Any]) -> bool:
    return kind.__module__.startswith("enapter_async.operations.")


def test_each_command_reaches_its_endpoint(folder: Path) -> None:
    problems = []
    asked = ((each, command) for each in ENDPOINTS for command in each.commands)
    for number, (endpoint, command) in enumerate(asked):
        with place(folder) as at:
            at.names["file"] = str(folder / f"archive-{number}.zip")
            environment = {
                "ENAPTER_STATE_DIR": str(folder / "state"),
                "ENAPTER_CONFIG": str(folder / "config.toml"),
                "ENAPTER_HTTP_API_BASE_URL": at.emulator.base_url,
                "ENAPTER_HTTP_API_TOKEN": at.emulator.token,
            }
            words = [_filled(word, at.names) for word in shlex.split(command)]
            ended = CliRunner(env=environment).invoke(cli, words)
            problems += wrong(endpoint, at, command, reads=True)
            if ended.exit_code not in (0, 4):  # 4: --wait 0 leaves an execution pending
                problems.append(f"{command}: {ended.exit_code} {ended.output[-300:]}")
    assert not problems, "\n".join(problems)


def _filled(word: str, names: dict[str, Any]) -> str:
    def value(found: re.Match[str]) -> str:
        known = names.get(found[0].lower(), found[0])
        return known.isoformat() if isinstance(known, datetime) else str(known)

    return re.sub(r"[A-Z_]{3,}", value, word)


def test_the_page_has_each_path_of_the_emulator() -> None:
    shapes = [path for noun in NOUNS for path in noun.paths]
    listed = [each.path.rstrip("/") for each in BOTH]
    missing = [
        shape for shape in shapes if not any(re.fullmatch(_pattern(shape), path) for path in listed)
    ]
    assert not missing
    assert len(ENDPOINTS) == sum(
        line.startswith(("| `", "| websocket")) for line in PAGE.split("\n")
    )
    assert all(each.calls and each.commands for each in ENDPOINTS)
    assert len({(each.websocket, each.method, each.path) for each in BOTH}) == len(BOTH) > 80
