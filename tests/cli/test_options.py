"""Every option of every command takes effect.

The commands and their options come from click, so that a new one must be tried here, too. The tests
observe values where they enter the library: `Client`, `Run`, `plan`, and so on.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import click
import pytest

from enapter_async.cli import (
    doctor,
    emulator,
    fleet_jobs,
    fleet_plan,
    rehearsal,
    rehearse,
    runner,
    selecting,
)
from enapter_async.client import Client
from enapter_async.diagnosis import examination
from enapter_async.emulator import Emulator, World
from enapter_async.fleet.distributed.job import distribute
from enapter_async.fleet.distributed.worker import Worker
from enapter_async.fleet.journal.sqlite.lock import RunLock
from enapter_async.fleet.options import RunOptions
from enapter_async.fleet.planning.planner import plan
from enapter_async.fleet.run import Run as FleetRun
from enapter_async.operations.device_selection import Selection
from tests.cli.commands import COMMANDS, NEW_FILES, commands, prepared
from tests.cli.conftest import Run, command_line, serving, settings_of
from tests.cli.noun_options import NOUN_OPTIONS, Own
from tests.cli.options_table import (
    CALLING,
    CONNECTION,
    ELSEWHERE,
    OF_A_RUN,
    OWN,
)
from tests.cli.seen import Seen

OF_FILES_AND_LISTS = {"--columns", "--force", "--output"}
"""Options of all lists, and of all commands that write a file: tried in test_listing.py."""
MEANS_NOTHING = {("doctor", "--attempts"), ("doctor", "--max-rate"), ("doctor", "--verbose")}
"""`doctor` tries each of its few checks once."""


@pytest.fixture
def seen(run: Run, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Seen:
    return observed(world, prepared(run, world, tmp_path), monkeypatch)


def observed(world: World, places: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Seen:
    """Observe what enters the library, and pass it on."""
    found = Seen(world=world, places=places)

    class SeenClient(Client):
        def __init__(self, token: str | None = None, **settings: Any) -> None:
            found.client = {"token": token, **settings}
            super().__init__(token, **settings)

    class SeenRun(FleetRun[Any]):
        def __init__(self, client: Any, operations: Any, given: RunOptions) -> None:
            found.run = given
            super().__init__(client, operations, given)

    class SeenEmulator(Emulator):
        def __init__(self, **settings: Any) -> None:
            found.values |= settings
            super().__init__(**settings)

    def watched(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            found.values |= {name: given, **named}
            return function(*given, **named)

        return call

    for module in (import_module("enapter_async.cli.connecting"), rehearsal, examination):
        monkeypatch.setattr(module, "Client", SeenClient)
    monkeypatch.setattr(runner, "Run", SeenRun)
    monkeypatch.setattr(emulator, "Emulator", SeenEmulator)
    monkeypatch.setattr(fleet_plan, "plan", watched("plan", plan))
    monkeypatch.setattr(selecting, "Selection", watched("selection", Selection))
    monkeypatch.setattr(rehearse, "rehearse", watched("rehearse", rehearsal.rehearse))
    monkeypatch.setattr(fleet_jobs, "distribute", watched("distribute", distribute))
    monkeypatch.setattr(fleet_jobs, "Worker", watched("Worker", Worker))
    monkeypatch.setattr(doctor, "examine", watched("examine", examination.examine))
    return found


@pytest.fixture
def ask(run: Run, seen: Seen) -> Callable[..., Seen]:
    def ask_with(command: str, *arguments: str, **given: Any) -> Seen:
        words = [*command.split(), *(each.format_map(seen.places) for each in arguments)]
        seen.result = run(*words, **given)
        assert isinstance(seen.result.exception, SystemExit | None), seen.result.exception
        return seen

    return ask_with


def test_every_option_is_tried_here() -> None:
    own = {(each.command, option) for each in OWN for option in each.arrived}
    own |= {("fleet stop", "--wait")}  # tested separately below
    for name, command in commands():
        calls = name in (*CALLING, *ELSEWHERE)
        known = {option for command, option in own if command == name}
        known |= {*CONNECTION, "--profile"} if calls else set()
        known |= set(OF_A_RUN) & {each.opts[-1] for each in command.params}
        given = {each.opts[-1] for each in command.params if isinstance(each, click.Option)}
        known |= OF_FILES_AND_LISTS & given
        assert given == known, name


@attrs.frozen(kw_only=True)
class Shared:
    """An emulator and a folder with what the commands refer to, for several commands."""

    world: World
    environment: Mapping[str, str]
    run: Run
    places: Mapping[str, str]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    with prepare_once(tmp_path_factory.mktemp("shared")) as place:
        yield place


@pytest.fixture(scope="module")
def shared_by_nouns(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    with prepare_once(tmp_path_factory.mktemp("nouns")) as place:
        yield place


@contextmanager
def prepare_once(folder: Path) -> Iterator[Shared]:
    world = World.seeded(40, 1, role="OWNER")
    with serving(world) as served:
        environment = settings_of(served, folder)
        run = command_line(environment)
        places = prepared(run, world, folder)
        places = {**places, "url": served.base_url, "token": served.token}
        (folder / "token").write_text(served.token)
        yield Shared(world=world, environment=environment, run=run, places=places)


@pytest.mark.parametrize("command", CALLING)
def test_options_for_server_token_and_patience_arrive_and_a_profile_is_used(
    shared: Shared, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str
) -> None:
    def ask(*options: str, **environment: str) -> Seen:
        shutil.rmtree(tmp_path / "job", ignore_errors=True)
        job = shutil.copytree(shared.places["job"], tmp_path / "job")  # which a worker carries out
        places = {**shared.places, "job": str(job)}
        for old in Path(shared.places["folder"]).glob(NEW_FILES.get(command, "no such file")):
            old.unlink()
        seen = observed(shared.world, places, monkeypatch)
        words = (each.format_map(places) for each in (*COMMANDS[command], *options))
        seen.result = shared.run(*command.split(), *words, env=environment)
        assert isinstance(seen.result.exception, SystemExit | None), seen.result.exception
        return seen

    given = [word for name, (values, _) in CONNECTION.items() for word in (name, *values)]
    if command == "fleet template":
        given.remove("--json")
    seen = ask(
        *given, ENAPTER_HTTP_API_BASE_URL="http://127.0.0.1:9", ENAPTER_HTTP_API_TOKEN="other"
    )
    for option, (_, arrived) in CONNECTION.items():
        if (command, option) not in MEANS_NOTHING and option in given:
            assert arrived(seen), option
    if command == "doctor":
        assert seen.client["timeouts"].connect == 7.5
        assert seen.values["examine"][1].seconds == 7.5

    profiles = Path(shared.places["folder"], "named.toml")
    profiles.write_text('[profiles.one]\nuser = "bob"\n')
    profiles.chmod(0o600)
    assert ask("--profile", "one", ENAPTER_CONFIG=str(profiles)).client["user"] == "bob"


@pytest.mark.parametrize(
    # `prepare` reports nothing about a database that does not exist.
    "command",
    [each for each in ELSEWHERE if each != "fleet journal prepare"],
)
def test_commands_without_a_server_can_write_json(ask: Callable[..., Seen], command: str) -> None:
    assert ask(command, *COMMANDS[command], "--json").rows()


@pytest.mark.parametrize("command", ["fleet apply", "fleet rehearse", "fleet resume", "fleet undo"])
def test_the_options_of_a_run_arrive(ask: Callable[..., Seen], command: str) -> None:
    known = {each.opts[-1] for each in dict(commands())[command].params}
    tried = {option: each for option, each in OF_A_RUN.items() if option in known}
    given = [word for option, (values, _) in tried.items() for word in (option, *values)]
    seen = ask(command, *COMMANDS[command], *given)
    assert seen.run is not None
    for option, (_, arrived) in tried.items():
        assert arrived(seen.run), option


def named(own: Own) -> str:
    return f"{own.command} {' '.join(own.arrived)}"


# What is created can be created once, and these show what other commands have done.
ALONE = ("provisioning", "commands list", "configuration get", "rules create", "sites list")
TOGETHER = [each for each in NOUN_OPTIONS if not each.command.startswith(ALONE)]


@pytest.mark.parametrize("own", TOGETHER, ids=named)
def test_options_of_a_command_on_one_object_arrive(
    shared_by_nouns: Shared, monkeypatch: pytest.MonkeyPatch, own: Own
) -> None:
    seen = observed(shared_by_nouns.world, shared_by_nouns.places, monkeypatch)
    words = (each.format_map(seen.places) for each in own.arguments)
    seen.result = shared_by_nouns.run(*own.command.split(), *words)
    assert isinstance(seen.result.exception, SystemExit | None), seen.result.exception
    for option, arrived in own.arrived.items():
        assert arrived(seen), (option, seen.result.output)


@pytest.mark.parametrize("own", [each for each in OWN if each not in TOGETHER], ids=named)
def test_options_of_a_single_command_arrive(
    *,
    ask: Callable[..., Seen],
    run: Run,
    seen: Seen,
    environment: Mapping[str, str],
    monkeypatch: pytest.MonkeyPatch,
    own: Own,
) -> None:
    async def serve(served: Emulator, *, as_json: bool) -> None:
        async with served, aiohttp.ClientSession() as session:
            for _ in range(3):
                try:
                    await session.get(f"{served.base_url}/v3/devices")
                except aiohttp.ServerDisconnectedError:
                    seen.values["lost"] = seen.values.get("lost", 0) + 1
            click.echo(json.dumps({"base_url": served.base_url}) if as_json else "")

    monkeypatch.setattr(emulator, "_serve", serve)
    folder = Path(seen.places["folder"])
    Path(environment["ENAPTER_CONFIG"]).write_text("[profiles.one]\n")
    (folder / "fleet.json").write_text('[{"id": "dev-1", "name": "A", "type": "STANDALONE"}]')
    device = seen.places["device"]
    refused = f"operation,device_id,name\nupdate,{device},A\nupdate,nobody,B\n"
    (folder / "refused.csv").write_text(refused)
    run("fleet", "plan", str(folder / "refused.csv"), "-o", str(folder / "refused"))
    ask(own.command, *own.arguments)
    for option, arrived in own.arrived.items():
        assert arrived(seen), (option, seen.result, seen.result and seen.result.output)


def test_stop_waits_as_long_as_requested(ask: Callable[..., Seen], seen: Seen) -> None:
    lock = RunLock.take(Path(seen.places["run"], "journal.db"))
    try:
        ended = ask("fleet stop", "{run}", "--wait", "0.01").result
    finally:
        lock.release()
    assert ended is not None
    assert ended.exit_code == 4
    assert "after 0.01 s" in ended.stderr
