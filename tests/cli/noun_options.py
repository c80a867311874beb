"""Shows where each command on a single object uses its options: one entry per command."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from enapter_async.emulator import Device
from tests.cli.seen import Seen

Arrived = Callable[[Seen], object]


def by_site(seen: Seen) -> bool:
    """Return whether the last request was addressed through the site."""
    return f"/sites/{seen.places['site']}/" in seen.world.log.arrivals()[-1].path


@attrs.frozen
class Own:
    """A command's own options, tested together: its arguments, and where each takes effect."""

    command: str
    arguments: tuple[str, ...]
    arrived: Mapping[str, Arrived]


def through_site(command: str, *arguments: str) -> Own:
    """Try `--site` with a command on one device: its requests use the path of the site."""
    return Own(
        command,
        (*arguments, "--site", "{site}"),
        {"--site": by_site},
    )


def asked_of(seen: Seen) -> Mapping[str, Any]:
    """Return what the last change asked for."""
    return seen.world.log.effects()[-1].set


def provisioned(seen: Seen) -> Device:
    """Return the device that was created last."""
    return seen.world.device(seen.world.log.effects(operation="provision")[-1].device_id)


NOUN_OPTIONS: Final = (
    Own(
        "blueprints device-profiles",
        ("-o", "{folder}/profiles.zip"),
        {"--output": lambda s: s.file("profiles.zip", "latin-1").startswith("PK")},
    ),
    Own(
        "blueprints download",
        ("{blueprint}", "-o", "{folder}/compiled.zip", "--view", "compiled"),
        {
            "--output": lambda s: s.file("compiled.zip", "latin-1").startswith("PK"),
            "--view": lambda s: "compiled.json" in s.file("compiled.zip", "latin-1"),
        },
    ),
    Own(
        "blueprints get-by-name",
        ("pump", "--namespace", "acme", "--tag", "1.0"),
        {
            "--namespace": lambda s: "/acme/pump/" in s.world.log.arrivals()[-1].path,
            "--tag": lambda s: s.world.log.arrivals()[-1].path.endswith("/1.0"),
        },
    ),
    Own(
        "commands execute",
        ("{device}", "reboot", "--blocking", "--yes"),
        {
            "--blocking": lambda s: s.world.log.arrivals()[-1].path.endswith("/execute_command"),
            "--yes": lambda s: s.code != 2,
        },
    ),
    Own(
        "telemetry follow",
        ("{device}", "--site", "{site}", "--limit", "1", "--json"),
        {"--site": by_site, "--limit": lambda s: [row["rpm"] for row in s.rows()] == [900]},
    ),
    Own(
        "telemetry get",
        ("{device}", "flow", "--site", "{site}", "--relevance", "5m"),
        {"--site": by_site, "--relevance": lambda s: s.out.startswith(s.places["device"])},
    ),
    Own(
        "telemetry latest",
        ("{device}=flow", "--relevance", "5m"),
        {"--relevance": lambda s: s.out.endswith("\tflow\t\t\tThere is no such attribute.\n")},
    ),
    Own(
        "telemetry timeseries",
        (
            *("{device}=total_energy", "--from", "2026-02-03T05:00:00Z"),
            *("--to", "2026-02-03T05:30:00Z", "--granularity", "10s"),
            *("--after", "2026-02-03T05:00:30Z", "--aggregation", "max", "--json"),
        ),
        {
            "--from": lambda s: s.rows()[0]["timestamp"].startswith("2026-02-03T05:00"),
            "--to": lambda s: s.rows()[-1]["timestamp"].startswith("2026-02-03T05:29"),
            "--granularity": lambda s: len(s.rows()) > 100,
            "--after": lambda s: s.rows()[0]["timestamp"] > "2026-02-03T05:00:30Z",
            "--aggregation": lambda s: s.code == 0,
        },
    ),
    through_site("devices get", "{device}"),
    through_site("devices manifest", "{device}"),
    through_site("devices update", "{device}", "--name", "B"),
    through_site("devices delete", "nobody", "--yes"),
    through_site("devices assign-blueprint", "{device}", "bp-2"),
    through_site("devices generate-config", "{device}", "--show"),
    through_site("commands get", "{device}", "{execution}"),
    Own(
        "commands follow",
        ("{device}", "{execution}", "--wait", "0", "--site", "{site}"),
        {"--wait": lambda s: s.code in (0, 4), "--site": by_site},
    ),
    Own(
        "commands get",
        ("{device}", "{execution}", "--log", "--json"),
        {"--log": lambda s: isinstance(s.rows()[0]["log"], list)},
    ),
    Own(
        "commands execute",
        (
            *("{device}", "set_interval", "--args", '{{"seconds": 9}}', "--wait", "0"),
            *("--site", "{site}"),
        ),
        {
            "--args": lambda s: s.world.log.effects()[-1].set["arguments"] == '{"seconds": 9}',
            "--wait": lambda s: s.code == 4,
            "--site": by_site,
        },
    ),
    Own(
        "commands list",
        (
            *("--site", "{site}", "--state", "new", "--state", "success", "--limit", "1"),
            *("--name", "reboot"),
            *("--since", "2020-01-01T00:00:00Z", "--until", "2200-01-01T00:00:00+02:00"),
            *("--newest-first", "--json"),
        ),
        {
            **dict.fromkeys(
                ("--site", "--state", "--name", "--limit", "--since", "--until", "--newest-first"),
                lambda s: [row["id"] for row in s.rows()] == [s.places["execution"]],
            ),
        },
    ),
    Own(
        "configuration get",
        (
            "{device}",
            "network",
            "--site",
            "{site}",
            "--names",
            "port",
            "--show-sensitive",
            "--json",
        ),
        {
            "--site": by_site,
            "--names": lambda s: s.rows() == [{"port": 502}],
            "--show-sensitive": lambda s: "manifest" not in s.world.log.arrivals()[-1].path,
        },
    ),
    Own(
        "configuration update",
        (
            *("{device}", "network", "--site", "{site}", "--set", "port=8502"),
            *("--set-secret", "token=file:{folder}/rows.csv", "--reset", "host"),
        ),
        {
            "--site": by_site,
            "--set": lambda s: asked_of(s)["set"]["port"] == 8502,
            "--set-secret": lambda s: asked_of(s)["set"]["token"] == "***",
            "--reset": lambda s: asked_of(s)["reset"] == ["host"],
        },
    ),
    through_site("configuration reset-all", "{device}", "network"),
    Own(
        "provisioning standalone",
        ("New", "--slug", "a-slug", "--site", "{site}"),
        {
            "--slug": lambda s: s.world.device("a-slug").name == "New",
            "--site": lambda s: s.world.device("a-slug").site_id == s.places["site"],
        },
    ),
    Own(
        "provisioning lua-device",
        ("New", "--slug", "a-slug", "--runtime", "{device}", "--blueprint", "bp-7"),
        {
            "--slug": lambda s: s.world.device("a-slug").name == "New",
            "--runtime": lambda s: s.world.device("a-slug").upstream_id == s.places["device"],
            "--blueprint": lambda s: s.world.device("a-slug").blueprint_id == "bp-7",
        },
    ),
    Own(
        "provisioning vucm",
        ("New", "--hardware-id", "V1", "--site", "{site}"),
        {
            "--hardware-id": lambda s: provisioned(s).hardware_id == "V1",
            "--site": lambda s: provisioned(s).site_id == s.places["site"],
        },
    ),
    Own(
        "provisioning ucm",
        (
            *("New", "--hardware-id", "A1", "--site", "{site}", "--protocol", "MQTT"),
            *("-o", "{folder}/ucm.jsonl", "--show"),
        ),
        {
            "--hardware-id": lambda s: provisioned(s).hardware_id == "A1",
            "--site": lambda s: provisioned(s).site_id == s.places["site"],
            "--protocol": lambda s: s.rows()[0]["mqtt_protocol"] == "MQTT",
            "--output": lambda s: json.loads(s.file("ucm.jsonl"))["config"] == s.rows()[0],
            "--show": lambda s: "mqtt_credentials" in s.rows()[0],
        },
    ),
    Own(
        "provisioning ucm",
        ("New", "--hardware-id", "A2", "--site", "{site}", "--show", "--format", "env"),
        {"--format": lambda s: s.out.startswith("ENAPTER_STANDALONE_")},
    ),
    Own(
        "devices generate-config",
        ("{device}", "--show", "--format", "env"),
        {"--format": lambda s: s.out.startswith("ENAPTER_STANDALONE_")},
    ),
    Own(
        "fleet credentials",
        ("{credentials}", "--format", "env", "-o", "{folder}/env"),
        {
            "--format": lambda s: s.file(f"env/{s.places['device']}.env").startswith("ENAPTER_"),
            "--output": lambda s: s.file(f"env/{s.places['device']}.env"),
        },
    ),
    Own(
        "logs list",
        (
            *("{device}", "--site", "{site}", "--severity", "WARNING", "--show", "persisted_only"),
            *("--since", "2020-01-01T00:00:00Z", "--until", "2200-01-01T00:00:00+02:00"),
            *("--newest-first", "--limit", "1", "--json"),
        ),
        {
            "--site": by_site,
            **dict.fromkeys(
                ("--severity", "--show", "--since", "--until", "--newest-first", "--limit"),
                lambda s: [row["message"] for row in s.rows()] == ["Bearing hot"],
            ),
        },
    ),
    Own(
        "logs follow",
        (
            *("{device}", "--site", "{site}", "--severity", "WARNING", "--show", "persisted_only"),
            *("--limit", "1", "--json"),
        ),
        {
            "--site": by_site,
            **dict.fromkeys(
                ("--severity", "--show", "--limit"),
                lambda s: [row["severity"] for row in s.rows()] == ["WARNING"],
            ),
        },
    ),
    Own(
        "devices watch",
        ("{device}", "--site", "{site}", "--limit", "1", "--live", "--json"),
        {
            "--site": by_site,
            "--live": lambda s: s.rows(),  # drawn only on a terminal: see test_watch.py
            "--limit": lambda s: [row["telemetry"] for row in s.rows()] == [{"rpm": 900}],
        },
    ),
    Own(
        "rules logs",
        ("{rule}", "--site", "{site}", "--limit", "1", "--json"),
        {
            "--site": by_site,
            "--limit": lambda s: [row["message"] for row in s.rows()] == ["rule ran"],
        },
    ),
    Own(
        "rules create",
        (
            *("new", "--site", "{site}", "--script", "{folder}/rows.csv", "--runtime", "V1"),
            *("--interval", "1m", "--disabled", "--json"),
        ),
        {
            "--site": by_site,
            "--script": lambda s: s.rows()[0]["rule"]["script"]["text"] == s.file("rows.csv"),
            "--runtime": lambda s: asked_of(s)["script"]["runtime_version"] == "V1",
            "--interval": lambda s: asked_of(s)["script"]["exec_interval"] == "1m",
            "--disabled": lambda s: asked_of(s)["disabled"] is True,
        },
    ),
    Own(
        "rules update-script",
        (
            *("{rule}", "--site", "{site}", "--script", "{folder}/rows.csv", "--runtime", "V1"),
            *("--interval", "1m", "--json"),
        ),
        {
            "--site": by_site,
            "--script": lambda s: s.rows()[0]["rule"]["script"]["text"] == s.file("rows.csv"),
            "--runtime": lambda s: asked_of(s)["script"]["runtime_version"] == "V1",
            "--interval": lambda s: asked_of(s)["script"]["exec_interval"] == "1m",
        },
    ),
    Own(
        "rules get",
        ("{rule}", "--site", "{site}", "--code"),
        {
            "--site": by_site,
            "--code": lambda s: s.out == s.file("rows.csv"),
        },
    ),
    Own(
        "rules list",
        ("--site", "{site}", "--limit", "1", "--json"),
        {
            "--site": by_site,
            "--limit": lambda s: [row["id"] for row in s.rows()] == [s.places["rule"]],
        },
    ),
    through_site("rules engine"),
    through_site("rules suspend"),
    through_site("rules resume"),
    through_site("rules rename", "{rule}", "new"),
    through_site("rules enable", "{rule}"),
    through_site("rules disable", "{rule}"),
    Own(
        "rules delete",
        ("nothing", "--site", "{site}", "--yes"),
        {
            "--site": by_site,
            "--yes": lambda s: s.code == 1,
        },
    ),
    Own(
        "sites list",
        ("--name", "Barn", "--mine", "--limit", "1", "--json"),
        {
            "--name": lambda s: [row["name"] for row in s.rows()] == ["Barn"],
            "--mine": lambda s: s.world.log.arrivals()[-1].path == "/v3/users/me/sites",
            "--limit": lambda s: len(s.rows()) == 1,
        },
    ),
    Own(
        "sites create",
        (
            *("--name", "New", "--timezone", "Europe/Rome", "--place", "Rome"),
            *("--latitude", "41.9", "--longitude", "12.5"),
        ),
        {
            "--name": lambda s: asked_of(s)["name"] == "New",
            "--timezone": lambda s: asked_of(s)["timezone"] == "Europe/Rome",
            "--place": lambda s: asked_of(s)["location"]["name"] == "Rome",
            "--latitude": lambda s: asked_of(s)["location"]["latitude"] == 41.9,
            "--longitude": lambda s: asked_of(s)["location"]["longitude"] == 12.5,
        },
    ),
    Own(
        "sites update",
        (
            *("{site}", "--name", "New", "--timezone", "Europe/Rome", "--place", "Rome"),
            *("--latitude", "0", "--longitude", "-12.5"),
        ),
        {
            "--name": lambda s: asked_of(s)["name"] == "New",
            "--timezone": lambda s: asked_of(s)["timezone"] == "Europe/Rome",
            "--place": lambda s: asked_of(s)["location"]["name"] == "Rome",
            "--latitude": lambda s: asked_of(s)["location"]["latitude"] == 0,
            "--longitude": lambda s: asked_of(s)["location"]["longitude"] == -12.5,
        },
    ),
    Own("sites delete", ("nowhere", "--yes"), {"--yes": lambda s: s.code == 1}),
)
