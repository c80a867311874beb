"""The operations except those on devices, with the API page's statements on repeating them.

Operations that differ only in one word of their path are represented by one of them.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import attrs

from enapter_async.emulator import Emulator
from enapter_async.emulator.blueprints import Blueprints, zipped
from enapter_async.emulator.rules import Rules
from enapter_async.models.telemetry import TelemetrySelector
from enapter_async.operation import Operation
from enapter_async.operations.blueprints import (
    DownloadBlueprint,
    DownloadDeviceProfiles,
    GetBlueprint,
    GetBlueprintByName,
    UploadBlueprint,
    ValidateBlueprint,
)
from enapter_async.operations.configuration import (
    GetConfiguration,
    ResetConfiguration,
    UpdateConfiguration,
)
from enapter_async.operations.devices import GetManifest
from enapter_async.operations.logs import ListLogs
from enapter_async.operations.rule_engine import (
    SuspendRuleEngine,
)
from enapter_async.operations.rules import (
    CreateRule,
    DeleteRule,
    DisableRule,
    ListRules,
    RenameRule,
    UpdateRuleScript,
)
from enapter_async.operations.sites import CreateSite, DeleteSite, GetSite, ListSites, UpdateSite
from enapter_async.operations.telemetry import (
    GetDeviceTelemetry,
    GetLatestTelemetry,
    QueryTimeseries,
)


@attrs.frozen
class Tried:
    """One operation: its preparation, and its correct behaviour.

    `effect` is its name in the emulator's log, or None if it changes nothing; `convergent` says
    that it may be repeated; `keyed` that a lost answer is settled by the new object's key;
    `candidates` is the number that a search finds after it was done.
    """

    name: str
    prepare: Callable[[Emulator], Operation[Any]]
    effect: str | None = None
    convergent: bool = False
    keyed: bool = False
    candidates: int = 0


ARCHIVE = zipped({"manifest.yml": b"blueprint_spec: device/3.0\n"})


def a_blueprint(emulator: Emulator) -> str:
    return emulator.noun(Blueprints).store(ARCHIVE).id


def a_name(emulator: Emulator) -> str:
    emulator.noun(Blueprints).store(ARCHIVE, "enapter/pump/latest")
    return "pump"


def a_device(emulator: Emulator) -> str:
    return emulator.world.devices[-1].id


def a_site(emulator: Emulator) -> str:
    return emulator.world.sites[0].id


def an_empty_site(emulator: Emulator) -> str:
    emulator.world.put_site(attrs.evolve(emulator.world.sites[0], id="empty"))
    return "empty"


def at_a_rule(kind: Callable[..., Operation[Any]], **fields: Any) -> Callable[..., Any]:
    def prepare(emulator: Emulator) -> Operation[Any]:
        site_id = a_site(emulator)
        rule_id = emulator.noun(Rules).add(site_id, "night")
        return kind(rule_id=rule_id, site_id=site_id, **fields)

    return prepare


OPERATIONS = (
    Tried(
        "telemetry.latest",
        lambda e: GetLatestTelemetry(attributes_by_device={a_device(e): ("power",)}),
    ),
    Tried("telemetry.get", lambda e: GetDeviceTelemetry(device_id=a_device(e))),
    Tried(
        "telemetry.query_timeseries",
        lambda e: QueryTimeseries(
            selectors=[TelemetrySelector(a_device(e), ["power"])],
            from_=datetime(2026, 2, 3, tzinfo=UTC),
            to=datetime(2026, 2, 4, tzinfo=UTC),
        ),
    ),
    Tried(
        "rule_engine.suspend",
        lambda e: SuspendRuleEngine(site_id=a_site(e)),
        "rule_engine.suspend",
        convergent=True,
    ),
    Tried("log.list", lambda e: ListLogs(device_id=a_device(e), severity="error")),
    Tried("rule.list", lambda e: ListRules(site_id=a_site(e))),
    Tried(
        "rule.create",
        lambda e: CreateRule(slug="new", script="x = 1", site_id=a_site(e)),
        "rule.create",
        keyed=True,
    ),
    Tried("rule.rename", at_a_rule(RenameRule, slug="new"), "rule.rename", convergent=True),
    Tried(
        "rule.update_script",
        at_a_rule(UpdateRuleScript, script="x = 2"),
        "rule.update_script",
        convergent=True,
    ),
    Tried("rule.disable", at_a_rule(DisableRule), "rule.disable", convergent=True),
    Tried("rule.delete", at_a_rule(DeleteRule), "rule.delete", convergent=True),
    Tried("blueprint.get", lambda e: GetBlueprint(blueprint_id=a_blueprint(e))),
    Tried(
        "blueprint.get_by_name",
        lambda e: GetBlueprintByName(name=a_name(e)),
    ),
    Tried("blueprint.validate", lambda _: ValidateBlueprint(archive=ARCHIVE)),
    Tried("blueprint.upload", lambda _: UploadBlueprint(archive=ARCHIVE), "blueprint.upload"),
    Tried("blueprint.download", lambda e: DownloadBlueprint(blueprint_id=a_blueprint(e))),
    Tried("blueprint.download_device_profiles", lambda _: DownloadDeviceProfiles()),
    Tried("device.get_manifest", lambda e: GetManifest(device_id=a_device(e))),
    Tried(
        "configuration.get",
        lambda e: GetConfiguration(device_id=a_device(e), group="network"),
    ),
    Tried(
        "configuration.update",
        lambda e: UpdateConfiguration(
            device_id=a_device(e), group="network", set={"port": 8502}, reset=["host"]
        ),
        "configuration.update",
        convergent=True,
    ),
    Tried(
        "configuration.reset",
        lambda e: ResetConfiguration(
            device_id=a_device(e), group="network", defaults={"port": 502}
        ),
        "configuration.reset",
        convergent=True,
    ),
    Tried("site.get", lambda e: GetSite(site_id=a_site(e))),
    Tried("site.list", lambda _: ListSites()),
    Tried(
        "site.create",
        lambda _: CreateSite(name="New", timezone="Europe/Rome"),
        "site.create",
        candidates=1,
    ),
    Tried(
        "site.update",
        lambda e: UpdateSite(site_id=a_site(e), name="New"),
        "site.update",
        convergent=True,
    ),
    Tried(
        "site.delete",
        lambda e: DeleteSite(site_id=an_empty_site(e)),
        "site.delete",
        convergent=True,
    ),
)
