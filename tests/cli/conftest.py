"""The command line in this process, against an emulator in another thread."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from enapter_async.cli.app import cli
from enapter_async.emulator import Emulator, World
from enapter_async.emulator.streams import Streams

Run = Callable[..., Result]


@pytest.fixture
def world() -> World:
    return World.seeded(40, 1, role="OWNER")


@pytest.fixture
def changes(world: World, tmp_path: Path) -> str:
    """Return the path of a file that renames each device."""
    path = tmp_path / "changes.csv"
    rows = [f"update,{device.id},new\n" for device in world]
    path.write_text("operation,device_id,name\n" + "".join(rows))
    return str(path)


def say_something(streams: Streams, kind: str, ids: frozenset[str]) -> None:
    """Let what a stream is about send one thing, so that a command has something to write."""
    for each in ids:
        match kind:
            case "logs":
                streams.log(each, "Bearing hot", severity="warning")
            case "devices" | "telemetry":
                streams.telemetry(each, {"rpm": 900})
            case "rules":
                streams.rule_log(each, "rule ran")


@pytest.fixture
def emulator(world: World) -> Iterator[Emulator]:
    with serving(world) as served:
        yield served


@contextmanager
def serving(world: World) -> Iterator[Emulator]:
    """Start an emulator with its own loop and thread, because commands start their own loop."""
    ready = threading.Event()
    running: list[tuple[Emulator, asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        ending = asyncio.Event()
        async with Emulator(world=world) as served:
            served.streams.when_opened = partial(say_something, served.streams)
            running.append((served, asyncio.get_running_loop(), ending))
            ready.set()
            await ending.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(60)
    served, loop, ending = running[0]
    yield served
    loop.call_soon_threadsafe(ending.set)
    thread.join(10)


@pytest.fixture
def environment(emulator: Emulator, tmp_path: Path) -> dict[str, str]:
    return settings_of(emulator, tmp_path)


def settings_of(emulator: Emulator, folder: Path) -> dict[str, str]:
    """Return the variables with which a command reaches an emulator and uses a folder."""
    config = folder / "config.toml"
    config.touch()
    return {
        "ENAPTER_STATE_DIR": str(folder / "state"),
        "ENAPTER_CONFIG": str(config),
        "ENAPTER_HTTP_API_BASE_URL": emulator.base_url,
        "ENAPTER_HTTP_API_TOKEN": emulator.token,
    }


@pytest.fixture
def run(environment: dict[str, str]) -> Run:
    return command_line(environment)


def command_line(environment: Mapping[str, str]) -> Run:
    """Return a function that runs a command line, and returns its exit code and what it wrote."""

    def run_command(*arguments: str, **options: Any) -> Result:
        return CliRunner(env=environment).invoke(cli, list(arguments), **options)

    return run_command


@pytest.fixture
def leaf(world: World) -> str:
    """A device with its own configuration and no children."""
    return next(device.id for device in world if device.type == "STANDALONE")
