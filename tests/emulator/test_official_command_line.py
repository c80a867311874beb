"""The official command line and ours, side by side on one emulator: both see the same."""

import asyncio
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import CliRunner
from enapter.cli.app import App

from enapter_async.cli.app import cli
from enapter_async.emulator import Emulator
from enapter_async.emulator.sites import Sites
from tests.emulator.fleets import BARN, METER, PUMP, small_world

Command = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    with Emulator(world=small_world()) as running:
        monkeypatch.setenv("ENAPTER_HTTP_API_BASE_URL", running.base_url)
        monkeypatch.setenv("ENAPTER_HTTP_API_TOKEN", running.token)
        yield running


def rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


@pytest.fixture
def official(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    def run(*words: str) -> list[dict[str, Any]]:
        monkeypatch.setattr(sys, "argv", ["enapter", "http", "api", *words])
        capsys.readouterr()
        asyncio.run(App.new().run())
        return rows(capsys.readouterr().out)

    return run


@pytest.fixture
def ours() -> Command:
    def run(*words: str) -> list[dict[str, Any]]:
        ended = CliRunner().invoke(cli, [*words, "--json"])
        assert ended.exit_code == 0, ended.output
        return rows(ended.stdout)

    return run


def assert_same(theirs: list[dict[str, Any]], our: list[dict[str, Any]]) -> None:
    """Compare what both show; ours leaves out what the server left out."""
    told = [{key: value for key, value in row.items() if value is not None} for row in theirs]
    assert len(told) == len(our) > 0
    pairs = zip(our, told, strict=True)
    shown = [{key: row[key] for key in row if key in other} for row, other in pairs]
    for row in (*told, *shown):
        row.pop("updated_at", None)
    assert shown == told


@pytest.mark.usefixtures("emulator")
def test_both_read_the_same(official: Command, ours: Command) -> None:
    assert_same(official("site", "list"), ours("sites", "list"))
    assert_same(official("site", "get", BARN), ours("sites", "get", BARN))
    assert_same(official("device", "list"), ours("devices", "list"))
    assert_same(official("device", "get", PUMP), ours("devices", "get", PUMP))


def test_both_change_the_same(emulator: Emulator, official: Command, ours: Command) -> None:
    (made,) = official("site", "create", "New", "-t", "Europe/Rome")
    assert_same([made], ours("sites", "get", made["id"]))
    place = ("--place", "Rome", "--latitude", "41.9", "--longitude", "12.5")
    ours("sites", "update", made["id"], "--name", "Ours", *place)
    (told,) = official("site", "update", made["id"], "-t", "Europe/Riga")
    assert (told["name"], told["timezone"]) == ("Ours", "Europe/Riga")
    assert_same([told], ours("sites", "get", made["id"]))
    official("site", "delete", made["id"])
    ours("devices", "update", PUMP, "--name", "Ours")
    (told,) = official("device", "update", PUMP, "--slug", "theirs")
    assert (told["name"], told["slug"]) == ("Ours", "theirs")
    official("device", "delete", METER)
    emulator.noun(Sites).gateway_site = BARN
    assert_same(official("site", "get"), ours("sites", "get"))
    operations = [each.operation for each in emulator.world.log.effects()]
    assert operations == [
        *("site.create", "site.update", "site.update", "site.delete"),
        *("update", "update", "delete"),
    ]
