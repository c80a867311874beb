"""Migrating from the official SDK: both names of each row exist, and no public name is missing."""

import argparse
import dataclasses
import enum
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

import attrs
import click
import enapter
import pytest
from enapter.cli import http

import enapter_async
from enapter_async import Client
from enapter_async.api.blueprints import Blueprints
from enapter_async.api.commands import Commands
from enapter_async.api.devices import Devices
from enapter_async.api.provisioning import Provisioning
from enapter_async.api.rules import Rules
from enapter_async.api.sites import Sites
from enapter_async.api.telemetry import Telemetry
from enapter_async.cli.app import cli
from enapter_async.models.enumerations import OpenEnum
from enapter_async.operations.device_arguments import EXPANDABLE
from tests.docs.shown import ROOT

PAGE = (ROOT / "docs" / "howto" / "migrating.md").read_text("utf-8")
ROWS = re.findall(r"^\| `([^`]+)` \| (?:`([^`]+)`|—) \| (.*?) *\|$", PAGE, re.MULTILINE)
NOUNS = {
    "devices": Devices,
    "sites": Sites,
    "commands": Commands,
    "rule_engine": Rules,
    "blueprints": Blueprints,
    "telemetry": Telemetry,
}
OURS = {**NOUNS, "provisioning": Provisioning, "rules": Rules}
"""The nouns of both SDKs, and the class of our methods for each."""
COMMANDS = [(old, new) for old, new, _ in ROWS if " " in old]
NAMES = [(old, new, note) for old, new, note in ROWS if " " not in old]
NOWHERE = ""

_NAME = re.compile(r"([\w.]+?)(?:\((\w+)=\))?")


def found(path: str, argument: str | None, start: Any) -> Any:
    """Resolve a dotted name, and check that it takes the argument."""
    thing = start
    for name in path.split("."):
        fields = {each.name for each in dataclasses.fields(thing)} if is_shape(thing) else ()
        if isinstance(thing, ModuleType) and not hasattr(thing, name):
            thing = import_module(f"{thing.__name__}.{name}")
        elif name in fields and not hasattr(thing, name):
            thing = fields
        else:
            thing = getattr(thing, name)
    if argument is not None:
        assert argument in inspect.signature(thing).parameters, f"{path} takes no {argument}"
    return thing


def is_shape(thing: Any) -> bool:
    return isinstance(thing, type) and dataclasses.is_dataclass(thing)


def official(name: str) -> Any:
    parsed = _NAME.fullmatch(name)
    assert parsed is not None, name
    return found(parsed[1], parsed[2], enapter)


def ours(name: str) -> Any:
    parsed = _NAME.fullmatch(name)
    assert parsed is not None, name
    path = parsed[1]
    if path.startswith("client."):
        _, noun, *verb = path.split(".")
        return found(verb[0], parsed[2], OURS[noun]) if verb else getattr(Client("token"), noun)
    return found(path, parsed[2], enapter_async)


def test_the_page_covers_the_version_that_is_tested() -> None:
    assert f"`enapter`, here {enapter.__version__}" in PAGE
    assert len(NAMES) > 70
    assert len({old for old, _, _ in ROWS}) == len(ROWS)


@pytest.mark.parametrize(("old", "new", "note"), NAMES, ids=[old for old, _, _ in NAMES])
def test_both_names_exist(old: str, new: str, note: str) -> None:
    thing = official(old)
    if new == NOWHERE:
        return
    here = ours(new)
    assert here is not None
    if inspect.isclass(thing) and issubclass(thing, enum.Enum):
        assert issubclass(here, OpenEnum)
        assert set(thing.__members__) <= set(here.known())
    elif is_shape(thing) and attrs.has(here):
        fields = {each.name for each in dataclasses.fields(thing)}
        assert fields <= {each.name for each in attrs.fields(here)}
    expanded = re.search(r"devices\.\S+\(expand_(\w+)=\)", old)
    if expanded is not None:
        assert expanded[1] in EXPANDABLE
        assert not note or f'expand=["{expanded[1]}"]' in note or "as for" in note


def public(module: ModuleType, path: str) -> set[str]:
    return {f"{path}.{name}" for name in module.__all__ if hasattr(module, name)}


def test_no_public_name_of_the_official_sdk_is_missing() -> None:
    api = enapter.http.api
    verbs = {
        f"http.api.{noun}.Client.{name}": method
        for noun in NOUNS
        for name, method in inspect.getmembers(getattr(api, noun).Client, inspect.isfunction)
        if not name.startswith("_")
    }
    nouns = {name for name in dir(api.Client) if not name.startswith("_")}
    wanted = {
        *(set(enapter.__all__) - {"http", "__version__"}),
        *(public(api, "http.api") - {"http.api.devices"}),
        *(name for noun in NOUNS for name in public(getattr(api, noun), f"http.api.{noun}")),
        *(f"http.api.Client.{name}" for name in nouns),
        *verbs,
    }
    told = {old for old, _, _ in NAMES}
    assert wanted <= told, wanted - told
    moved = {old for old, new, _ in NAMES if new != NOWHERE}
    for verb, method in verbs.items():
        arguments = set(inspect.signature(method).parameters) - {"self"}
        if verb in moved:
            missing = {f"{verb}({name}=)" for name in arguments} - told
            assert not missing


def official_commands() -> set[str]:
    """The commands about our nouns, as its own parser knows them."""
    parser = argparse.ArgumentParser()
    http.Command.register(parser.add_subparsers())
    for name in ("http", "api"):
        parser = choices(parser)[name]
    nouns = {noun.removesuffix("s").replace("_", "-") for noun in NOUNS}
    return {words for noun in nouns for words in leaves(choices(parser)[noun], noun)}


def leaves(parser: argparse.ArgumentParser, words: str) -> Iterator[str]:
    """Yield each command below a parser, with all its words."""
    if not any(isinstance(action.choices, dict) for action in parser._actions):
        yield words
        return
    for name, verb in choices(parser).items():
        yield from leaves(verb, f"{words} {name}")


def choices(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    found: dict[str, argparse.ArgumentParser] = next(
        action.choices for action in parser._actions if isinstance(action.choices, dict)
    )
    return found


def test_both_commands_exist() -> None:
    assert {old for old, _ in COMMANDS} == official_commands()
    for _, new in COMMANDS:
        command: click.Command = cli
        for name in new.split():
            assert isinstance(command, click.Group)
            found = command.get_command(click.Context(command), name)
            assert found is not None, new
            command = found
