"""The options of the command line, with values and the effect that each must have."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from enapter_async.emulator import World
from enapter_async.fleet.options import RunOptions
from enapter_async.fleet.planning.drift import GuardMode
from enapter_async.fleet.rollout.abort import parse_criterion
from enapter_async.fleet.rollout.waves import Gate
from enapter_async.logs import CallLog
from enapter_async.operations.device_plans import Change
from enapter_async.operations.device_selection import Template
from tests.cli.commands import COMMANDS
from tests.cli.noun_options import NOUN_OPTIONS, Arrived, Own
from tests.cli.seen import Seen, asked_proxy, most_at_once

# The options for server, token and patience: each with a value and the place where it takes effect.
CONNECTION: Final[Mapping[str, tuple[tuple[str, ...], Arrived]]] = {
    "--base-url": (("{url}",), lambda s: s.client["base_url"] == s.places["url"]),
    "--token-file": (("{folder}/token",), lambda s: s.client["token"] == s.places["token"]),
    "--user": (("ann",), lambda s: s.client["user"] == "ann"),
    "--proxy": (("environment",), lambda s: asked_proxy(s) == "environment"),
    "--allow-insecure-http": ((), lambda s: s.client["allow_insecure_http"] is True),
    "--attempts": (("2",), lambda s: s.client["retry"].attempts == 2),
    "--deadline": (("7.5",), lambda s: s.client["retry"].deadline == 7.5),
    "--max-rate": (("5000",), lambda s: most_at_once(s) == 5000),
    "--json": ((), lambda s: s.rows() is not None),
    "--quiet": ((), lambda s: s.said_nothing()),
    "--verbose": ((), lambda s: any(isinstance(each, CallLog) for each in s.client["hooks"])),
}
ELSEWHERE: Final = (
    "fleet credentials",
    "fleet journal check",
    "fleet journal prepare",
    "fleet rehearse",
    "fleet report",
    "fleet runs",
    "fleet status",
    "fleet stop",
)
"""Commands that ask no server: `--json` is the only one of these options that applies to them."""
CALLING: Final = tuple(
    name
    for name in COMMANDS
    if name not in (*ELSEWHERE, "completion", "demo", "emulator", "profiles use")
)

# The options of a run.
OF_A_RUN: Final[Mapping[str, tuple[tuple[str, ...], Callable[[RunOptions], object]]]] = {
    "--concurrency": (("3",), lambda o: o.concurrency == 3),
    "--check": ((), lambda o: o.check),
    "--again": ((), lambda o: o.again),
    "--waves": (("2,rest",), lambda o: o.rollout and o.rollout.waves[0] == 2),
    "--hold": (("0.01",), lambda o: o.rollout and o.rollout.hold == 0.01),
    "--per-site": (("9",), lambda o: o.rollout and o.rollout.per_group == 9),
    "--health": (
        ("51",),
        lambda o: o.rollout and o.rollout.health and o.rollout.health.most_lost == 51,
    ),
    "--gate": (
        ("alerts(error)",),
        lambda o: o.rollout and o.rollout.gates == (Gate(condition="alerts(error)"),),
    ),
    "--guard": (("each",), lambda o: o.guard is GuardMode.EACH),
    "--abort": (
        ("all:50%:7",),
        lambda o: o.abort == (parse_criterion("all:50%:7"),),
    ),
    "--max-pause": (("77",), lambda o: o.max_pause == 77),
    "--wait": (("7",), lambda o: o.wait == 7),
}


SELECTING: Final[Mapping[str, tuple[str, str]]] = {
    "--site": ("site_ids", "{site}"),
    "--site-name": ("site_names", "Barn"),
    "--name": ("names", "Pump"),
    "--slug": ("slugs", "pump"),
    "--blueprint": ("blueprint_ids", "bp-1"),
    "--type": ("types", "LUA"),
    "--role": ("roles", "OWNER"),
    "--status": ("statuses", "ONLINE"),
    "--profile-of": ("profiles", "energy.battery"),
    "--alert": ("alerts", "overheat"),
    "--property": ("properties", "fw_ver<1.2"),
}
PLANNED: Final = (
    *(word for option, (_, value) in SELECTING.items() for word in (option, value)),
    *("--name-matches", "(a)"),
)


def selected(field: str, value: str) -> Arrived:
    return lambda s: s.values[field] == (value.format_map(s.places),)


SELECTION: Final[Mapping[str, Arrived]] = {
    **{option: selected(field, value) for option, (field, value) in SELECTING.items()},
    "--name-matches": lambda s: s.values["name_matches"] == "(a)",
}


def change(seen: Seen) -> Change:
    (_, asked) = seen.values["plan"]
    assert isinstance(asked, Change)
    return asked


def journal(seen: Seen) -> Any:
    assert seen.run is not None
    return seen.run.journal


def takes_a_slug_twice(world: World) -> bool:
    world.add(attrs.evolve(world.devices[0], id="elsewhere", site_id="elsewhere"))
    return True


OWN: Final = (
    Own(
        "demo",
        (
            *("--devices", "12", "--seed", "7", "--faults", "0.01", "--max-rate", "5000"),
            *("--svg", "{folder}/demo.svg", "--report", "{folder}/demo.html"),
        ),
        {
            "--devices": lambda s: "12 devices" in s.out,
            "--seed": lambda s: "with seed 7" in s.out,
            "--faults": lambda s: "1 % of the requests" in s.out,
            "--max-rate": lambda s: s.client["pacing"].max_rate == 5000,
            "--svg": lambda s: "<svg" in s.file("demo.svg"),
            "--report": lambda s: "<title>Fleet run" in s.file("demo.html"),
        },
    ),
    Own(
        "devices list",
        (*PLANNED, "--output", "json"),
        {**SELECTION, "--output": lambda s: s.rows() == []},
    ),
    Own(
        "devices list",
        ("--limit", "2", "--expand", "connectivity", "--json"),
        {
            "--limit": lambda s: len(s.rows()) == 2,
            "--expand": lambda s: all("connectivity" in row for row in s.rows()),
        },
    ),
    Own(
        "devices get",
        ("{device}", "--expand", "connectivity", "--json"),
        {"--expand": lambda s: "connectivity" in s.rows()[0]},
    ),
    Own(
        "devices get",
        ("{device}", "--every", "0.01"),
        {"--every": lambda s: s.code == 0, "--watch": lambda s: s.code == 0},
    ),
    Own(
        "devices update",
        ("{device}", "--name", "A name", "--slug", "a-slug"),
        {
            "--name": lambda s: s.world.device(s.places["device"]).name == "A name",
            "--slug": lambda s: s.world.device(s.places["device"]).slug == "a-slug",
        },
    ),
    Own("devices delete", ("nobody", "--yes"), {"--yes": lambda s: s.code == 1}),
    Own(
        "devices generate-config",
        ("{device}", "--protocol", "MQTT", "-o", "{folder}/new.jsonl", "--show"),
        {
            "--protocol": lambda s: json.loads(s.file("new.jsonl"))["protocol"] == "MQTT",
            "--output": lambda s: json.loads(s.file("new.jsonl"))["config"] == s.rows()[0],
            "--show": lambda s: "mqtt_credentials" in s.rows()[0],
        },
    ),
    Own(
        "emulator",
        (
            *("--devices", "7", "--seed", "9", "--port", "{port}", "--timestamps", "unix"),
            *("--faults", "0.25", "--lose-answers", "all", "--unique-slugs", "site", "--json"),
        ),
        {
            "--devices": lambda s: len(s.values["world"]) == 7,
            "--seed": lambda s: (
                [each.id for each in s.values["world"]] == [each.id for each in World.seeded(7, 9)]
            ),
            "--port": lambda s: s.values["port"] == int(s.places["port"]),
            "--timestamps": lambda s: s.values["timestamps"] == "unix",
            "--faults": lambda s: s.values["faults"].rate == 0.25 and s.values["faults"].seed == 9,
            "--lose-answers": lambda s: s.values["lost"] == 3,
            "--unique-slugs": lambda s: takes_a_slug_twice(s.values["world"]),
            "--json": lambda s: s.rows()[0]["base_url"].endswith(s.places["port"]),
        },
    ),
    Own(
        "emulator",
        ("--fleet", "{folder}/fleet.json", "--json"),
        {"--fleet": lambda s: [each.id for each in s.values["world"]] == ["dev-1"]},
    ),
    Own(
        "fleet apply",
        (
            *("{folder}/rows.csv", "--credentials", "{folder}/c.jsonl", "--yes", "--power"),
            *("--results", "{folder}/r.csv"),
        ),
        {
            "--credentials": lambda s: "mqtt_credentials" in s.file("c.jsonl"),
            "--yes": lambda s: s.code == 0,
            "--power": lambda s: journal(s).power,
            "--results": lambda s: s.file("r.csv").count("\n") == 5,
        },
    ),
    Own(
        "fleet apply",
        ("{folder}/refused", "--skip-refused"),
        {"--skip-refused": lambda s: s.code == 0},
    ),
    Own(
        "fleet apply",
        (
            *("{folder}/rows.csv", "--yes", "--journal", "{folder}/new", "--by", "3"),
            *("--workers", "0", "--allow-overlap"),
        ),
        {
            "--journal": lambda s: s.values["distribute"][1] == f"{s.places['folder']}/new",
            "--by": lambda s: s.values["by"] == 3,
            "--allow-overlap": lambda s: s.values["force"],
            "--workers": lambda s: s.code == 0 and s.run is None,
        },
    ),
    Own(
        "fleet plan",
        (
            *(*PLANNED, "--set-name", "{{1}}", "--set-slug", "x-{{id}}"),
            *("--assign-blueprint", "bp-2", "--generate-config", "MQTT"),
            *("--execute", "reboot", "--args", "{{}}"),
            *("--set", "network.port=8502", "--set-secret", "network.token=env:T"),
            *("--reset", "network.host"),
        ),
        {
            **SELECTION,
            "--set": lambda s: change(s).settings == {"network": {"port": Template("8502")}},
            "--set-secret": lambda s: change(s).secrets == {"network": {"token": "env:T"}},
            "--reset": lambda s: change(s).reset == {"network": {"host": None}},
            "--set-name": lambda s: change(s).name == Template("{1}"),
            "--set-slug": lambda s: change(s).slug == Template("x-{id}"),
            "--assign-blueprint": lambda s: change(s).blueprint_id == "bp-2",
            "--generate-config": lambda s: change(s).protocol == "MQTT",
            "--execute": lambda s: change(s).execute == "reboot",
            "--args": lambda s: change(s).arguments == "{}",
        },
    ),
    Own(
        "fleet drift",
        ("{folder}/desired.csv", "--output", "{folder}/drift.plan"),
        {"--output": lambda s: s.file("drift.plan").count("\n") == 3 and s.code == 6},
    ),
    Own(
        "fleet export",
        (*PLANNED, "--all", "--output", "{folder}/e.csv"),
        {
            **SELECTION,
            "--all": lambda s: s.code == 0,
            "--output": lambda s: s.file("e.csv").startswith("\ufeffdevice_id,site_id,name"),
        },
    ),
    Own(
        "fleet plan",
        ("--all", "--delete", "--output", "{folder}/all.plan", "--check"),
        {
            "--all": lambda s: change(s).selection.everything,
            "--delete": lambda s: change(s).delete,
            "--output": lambda s: s.file("all.plan").count("\n") == 42,
            "--check": lambda s: s.code == 6,
        },
    ),
    Own(
        "fleet rehearse",
        ("{folder}/plan", "--faults", "0.5", "--seed", "9", "--report", "{folder}/page.html"),
        {
            "--faults": lambda s: s.values["faults"].rate == 0.5,
            "--seed": lambda s: s.values["faults"].seed == 9,
            "--report": lambda s: "<html" in s.file("page.html"),
        },
    ),
    Own(
        "fleet report",
        ("{run}", "--output", "{folder}/page.html"),
        {"--output": lambda s: "<html" in s.file("page.html")},
    ),
    Own(
        "fleet resume",
        (
            *("{run}", "--retry-failed", "--ambiguous", "skip", "--accept-new-token"),
            "--accept-wave",
            "--accept-candidates",
        ),
        {
            "--retry-failed": lambda s: journal(s).retry_failed,
            "--ambiguous": lambda s: journal(s).ambiguous == "skip",
            "--accept-new-token": lambda s: journal(s).accept_new_token,
            "--accept-wave": lambda s: journal(s).accept_wave,
            "--accept-candidates": lambda s: journal(s).accept_candidates,
        },
    ),
    Own(
        "fleet resume",
        ("{job}", "--workers", "0"),
        {"--workers": lambda s: s.code == 0 and s.run is None},
    ),
    Own(
        "fleet template",
        (*PLANNED, "--output", "{folder}/t.csv"),
        {
            **SELECTION,
            "--output": lambda s: s.file("t.csv").startswith("\ufeffoperation"),
        },
    ),
    Own(
        "fleet undo",
        ("{run}", "--output", "{folder}/back"),
        {"--output": lambda s: s.file("back").count("\n") == 5},
    ),
    Own(
        "fleet undo",
        ("{run}", "--output", "{folder}/part", "--state", "applied", "--items", "0,2"),
        {
            "--state": lambda s: s.file("part").count("\n") == 4,
            "--items": lambda s: s.file("part").count("\n") == 4,
        },
    ),
    Own(
        "fleet undo",
        ("{run}", "--output", "{folder}/no-part", "--site", "elsewhere"),
        {"--site": lambda s: "site 'elsewhere'" in s.said},
    ),
    Own("fleet undo", ("{run}", "--rows", "7"), {"--rows": lambda s: "from row 7" in s.said}),
    Own("fleet runs", ("--journal", "postgresql://:1/x"), {"--journal": lambda s: s.code == 1}),
    Own(
        "fleet runs",
        ("--prune", "0", "--yes"),
        {
            "--prune": lambda s: "credentials" not in s.out,
            "--yes": lambda s: s.code == 0,
        },
    ),
    Own(
        "fleet undo",
        (
            *("{run}", "--yes", "--journal", "{folder}/undo", "--by", "3"),
            *("--workers", "0", "--allow-overlap"),
        ),
        {
            "--allow-overlap": lambda s: s.values["force"],
            "--journal": lambda s: s.values["distribute"][1] == f"{s.places['folder']}/undo",
            "--by": lambda s: s.values["by"] == 3,
            "--workers": lambda s: s.code == 0 and s.run is None,
        },
    ),
    Own(
        "fleet undo",
        ("{run}", "--yes"),
        {"--yes": lambda s: s.code == 0 and s.run is not None},
    ),
    Own(
        "fleet watch",
        ("{run}", "--every", "0.1", "--devices-every", "0.1", "--no-devices", "--json"),
        {
            "--every": lambda s: s.code == 0,
            "--devices-every": lambda s: s.code == 0,
            "--no-devices": lambda s: s.rows()[0]["devices_problem"] == "--no-devices was given",
        },
    ),
    Own(
        "fleet watch",
        ("{run}", "--devices", "2", "--json"),
        {"--devices": lambda s: len(s.rows()[-1]["devices"]) == 2},
    ),
    Own(
        "fleet worker",
        (
            *("--journal", "{job}", "--queue", "default", "--slots", "3", "--name", "ann"),
            *("--credentials", "{folder}/kept", "--until-done"),
        ),
        {
            "--journal": lambda s: s.values["Worker"][1] == s.places["job"],
            "--queue": lambda s: s.values["queues"] == ("default",),
            "--slots": lambda s: s.values["slots"] == 3,
            "--name": lambda s: s.values["name"] == "ann",
            "--credentials": lambda s: "mqtt_credentials" in s.file("kept/job-0001.jsonl"),
            "--until-done": lambda s: s.code == 0,
        },
    ),
    Own("profiles", ("--json",), {"--json": lambda s: s.rows()[0]["name"] == "one"}),
    *NOUN_OPTIONS,
)
