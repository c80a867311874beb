"""Every command, with arguments that work and a folder that they refer to."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import click

from enapter_async.cli.app import cli
from enapter_async.emulator import World
from tests.cli.conftest import Run
from tests.support.ports import free_port

COMMANDS: Final[Mapping[str, tuple[str, ...]]] = {
    "blueprints device-profiles": ("-o", "{folder}/profiles.zip"),
    "blueprints download": ("{blueprint}", "-o", "{folder}/blueprint.zip"),
    "blueprints get": ("{blueprint}",),
    "blueprints get-by-name": ("pump",),
    "blueprints upload": ("{folder}/pump",),
    "blueprints validate": ("{folder}/pump",),
    "commands execute": ("{device}", "reboot"),
    "commands follow": ("{device}", "{execution}"),
    "commands get": ("{device}", "{execution}"),
    "commands list": ("{device}",),
    "completion": ("zsh",),
    "configuration get": ("{device}", "network"),
    "configuration reset-all": ("{device}", "network"),
    "configuration update": ("{device}", "network", "--set", "port=8502"),
    "demo": ("--devices", "10", "--faults", "0", "--max-rate", "100000"),
    "devices list": ("--limit", "3"),
    "devices get": ("{device}",),
    "devices manifest": ("{device}",),
    "devices watch": ("{device}", "--limit", "1"),
    "devices update": ("{device}", "--name", "new"),
    "devices delete": ("nobody", "--yes"),
    "devices generate-config": ("{device}", "-o", "{folder}/one.jsonl"),
    "devices assign-blueprint": ("{device}", "bp-1"),
    "doctor": (),
    "emulator": ("--devices", "5", "--port", "{port}"),
    "fleet credentials": ("{credentials}", "-o", "{folder}/settings"),
    "fleet apply": ("{folder}/rows.csv", "--yes"),
    "fleet journal check": ("postgresql://ops@127.0.0.1:{port}/ops",),
    "fleet journal prepare": ("postgresql://ops@127.0.0.1:{port}/ops",),
    "fleet drift": ("{folder}/desired.csv",),
    "fleet export": ("--all", "-o", "{folder}/exported.csv"),
    "fleet plan": ("{folder}/rows.csv",),
    "fleet rehearse": ("{folder}/plan", "--faults", "0"),
    "fleet report": ("{run}",),
    "fleet resume": ("{run}",),
    "fleet runs": (),
    "fleet status": ("{run}",),
    "fleet stop": ("{run}",),
    "fleet template": (),
    "fleet undo": ("{run}", "--yes"),
    "fleet watch": ("{run}",),
    "fleet worker": ("--journal", "{job}", "--until-done", "--credentials", "{folder}/kept"),
    "logs follow": ("{device}", "--limit", "1"),
    "logs list": ("{device}",),
    "profiles use": ("one",),
    "provisioning lua-device": (
        *("New", "--slug", "new-lua", "--runtime", "{device}", "--blueprint", "bp-1"),
    ),
    "provisioning standalone": ("New", "--slug", "new-device", "--site", "{site}"),
    "provisioning ucm": ("New", "--hardware-id", "A1", "--site", "{site}", "--show"),
    "provisioning vucm": ("New", "--hardware-id", "V1", "--site", "{site}"),
    "rules create": ("new", "--script", "{folder}/rows.csv", "--site", "{site}"),
    "rules delete": ("nothing", "--site", "{site}", "--yes"),
    "rules disable": ("{rule}", "--site", "{site}"),
    "rules enable": ("{rule}", "--site", "{site}"),
    "rules engine": ("--site", "{site}"),
    "rules get": ("{rule}", "--site", "{site}"),
    "rules list": ("--site", "{site}"),
    "rules logs": ("{rule}", "--site", "{site}", "--limit", "1"),
    "rules rename": ("{rule}", "renamed", "--site", "{site}"),
    "rules resume": ("--site", "{site}"),
    "rules suspend": ("--site", "{site}"),
    "rules update-script": ("{rule}", "--script", "{folder}/rows.csv", "--site", "{site}"),
    "sites create": ("--name", "New", "--timezone", "Europe/Rome"),
    "sites delete": ("nowhere", "--yes"),
    "sites get": ("{site}",),
    "sites list": (),
    "sites update": ("{site}", "--name", "New"),
    "telemetry follow": ("{device}", "--limit", "1"),
    "telemetry get": ("{device}", "power"),
    "telemetry latest": ("{device}=power",),
    "telemetry timeseries": (
        "{device}=power",
        *("--from", "2026-02-03T05:00:00Z", "--to", "2026-02-03T06:00:00Z"),
    ),
}

NEW_FILES: Final[Mapping[str, str]] = {
    "blueprints device-profiles": "profiles*",
    "blueprints download": "blueprint.zip",
    "fleet credentials": "settings/*.json",
    "fleet export": "exported.csv",
}
"""Files that a command must not find, since it replaces none."""


def commands(command: click.Command = cli, name: str = "") -> Iterator[tuple[str, click.Command]]:
    """Yield each command with its full name, as click knows them."""
    if not isinstance(command, click.Group):
        yield name.strip(), command
        return
    context = click.Context(command)
    for each in command.list_commands(context):
        found = command.get_command(context, each)
        assert found is not None
        yield from commands(found, f"{name} {each}")


def prepared(run: Run, world: World, folder: Path) -> Mapping[str, str]:
    """Write the files that the commands name; return the values of their placeholders."""
    standalone = (each for each in world if each.type == "STANDALONE")
    device = next(each.id for each in standalone if each.connectivity == "ONLINE")
    others = [each.id for each in world if each.id != device][:3]
    (folder / "desired.csv").write_text(f"device_id,name\n{device},Wanted\n")
    rows = folder / "rows.csv"
    rows.write_text(
        "operation,device_id,name,protocol\n"
        + "".join(f"update,{each},Name of {each[:4]},\n" for each in others)
        + f"generate_config,{device},,MQTT\n"
    )
    assert run("fleet", "plan", str(rows), "-o", str(folder / "plan")).exit_code == 0
    assert run("fleet", "apply", str(folder / "plan"), "--yes").exit_code == 0
    job = folder / "job"
    submitted = ("--journal", str(job), "--workers", "0", "--yes")
    assert run("fleet", "apply", str(rows), *submitted).exit_code == 0
    (made,) = (folder / "state" / "runs").glob("*-*")
    port = str(free_port())
    site = world.devices[0].site_id
    created = run("commands", "execute", device, "reboot", "--wait", "0", "--json")
    execution = json.loads(created.stdout)["execution"]["id"]
    made_rule = run("rules", "create", "night", "--script", str(rows), "--site", site, "--json")
    rule = json.loads(made_rule.stdout)["rule"]["id"]
    (folder / "pump").mkdir()
    (folder / "pump" / "manifest.yml").write_text("blueprint_spec: device/3.0\n")
    uploaded = run("blueprints", "upload", str(folder / "pump"), "--json")
    run("logs", "follow", device, "--limit", "1")  # the emulator writes one log
    return {
        "blueprint": json.loads(uploaded.stdout)["id"],
        "rule": rule,
        "execution": execution,
        "credentials": str(made / "credentials.jsonl"),
        "device": device,
        "site": site,
        "folder": str(folder),
        "run": str(made),
        "job": str(job),
        "port": port,
    }
