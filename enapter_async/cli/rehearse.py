"""`enapter-async fleet rehearse`: applies a plan to an emulator."""

import asyncio
import tempfile
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import attrs
import click

from enapter_async.cli import completion
from enapter_async.cli.endings import exit_of_report
from enapter_async.cli.exit_codes import Exit
from enapter_async.cli.files import check_output
from enapter_async.cli.options import Settings, faults_option, is_quiet, shared_command, tell
from enapter_async.cli.prompts import force_option
from enapter_async.cli.rehearsal import KINDS, Rehearsal, rehearse
from enapter_async.cli.rows import json_line, report_row
from enapter_async.cli.run_options import CAUTION, CONCURRENCY, WAVES, run_options
from enapter_async.cli.summary import show_report
from enapter_async.emulator.configuration import Configuration
from enapter_async.emulator.faults import FaultProfile
from enapter_async.emulator.server import Emulator
from enapter_async.emulator.state import Device, Site, Timestamps
from enapter_async.emulator.world import World
from enapter_async.errors import ConfigurationError
from enapter_async.fleet.options import RunOptions
from enapter_async.fleet.planning.decisions import Verdict
from enapter_async.fleet.planning.plan import Plan, read_plan
from enapter_async.fleet.planning.plan_file import PlanItem
from enapter_async.fleet.reporting.html import write_report
from enapter_async.operations.devices import DeleteDevice
from enapter_async.text import counted, plain

_NO_SITE: Final = "00000000-0000-4000-8000-000000000001"
_PLANNED_AT: Final = datetime(2025, 1, 1, tzinfo=UTC)


@attrs.frozen(kw_only=True)
class _Planned(Device):
    """A device whose slug is not in the plan; the slug it has internally is not shown."""

    def to_json(
        self,
        *,
        expand: Collection[str] = (),
        timestamps: Timestamps = "rfc3339",
        role: str | None = None,
        site: Any = None,
    ) -> dict[str, Any]:
        """Return the device as the API shows it, without a slug until one is set."""
        shown = Device.to_json(self, expand=expand, timestamps=timestamps, role=role, site=site)
        return {**shown, "slug": ""} if self.slug == self.id else shown


def world_of(plan: Plan) -> World:
    """Make the world in which a plan was made, as far as the plan describes it.

    Its devices are those that the plan changes or finds unchanged, with their fields' values
    before the first change of each. If a deletion follows another one, the device deleted first
    runs on the other.

    Raises:
        ConfigurationError: such a world is impossible, for example because two devices share a
        slug.
    """
    found: dict[str, dict[str, str | None]] = {}
    deleted: dict[int, str] = {}
    upstream: dict[str, str] = {}
    sites: dict[str, PlanItem] = {}
    manifests: dict[str, dict[str, Any]] = {}
    for item in plan.items():
        if item.seq is None or item.operation is None or item.verdict is Verdict.ABSENT:
            continue
        target = item.operation.target()
        if target.noun == "site":
            sites.setdefault(item.device, item)
            continue
        fields = found.setdefault(item.device, {"name": item.name, "site_id": item.site})
        if target.part:
            _declare(manifests.setdefault(item.device, {}), item)
            continue
        for field, value in _before(item).items():
            fields.setdefault(field, value)
        if isinstance(item.operation, DeleteDevice):
            deleted[item.seq] = item.device
            if item.after in deleted:
                upstream[deleted[item.after]] = item.device
    devices = [
        _Planned(
            id=device_id,
            name=fields["name"] or "",
            slug=fields.get("slug") or device_id,
            site_id=fields["site_id"] or _NO_SITE,
            blueprint_id=fields.get("blueprint_id") or "",
            updated_at=_PLANNED_AT,
            authorized_role="OWNER",
            upstream_id=upstream.get(device_id),
            manifest={"configuration": manifests.get(device_id, {})},
        )
        for device_id, fields in found.items()
    ]
    try:
        return World(devices, [_site(site_id, item) for site_id, item in sites.items()])
    except ValueError as error:
        raise ConfigurationError(f"the plan cannot be rehearsed: {error}") from None


def _site(site_id: str, item: PlanItem) -> Site:
    before = _before(item)
    return Site(
        id=site_id,
        name=before.get("name") or item.name or site_id,
        timezone=before.get("timezone") or "Etc/UTC",
        location=before.get("location"),
    )


def _declare(groups: dict[str, Any], item: PlanItem) -> None:
    """Declare the configuration parameters that an item is about, with the defaults it expects."""
    operation: Any = item.operation
    parameters = groups.setdefault(operation.group, {"parameters": {}})["parameters"]
    for name in (*getattr(operation, "set", {}), *(operation.defaults or {})):
        parameters.setdefault(name, {"type": "json"})
    for name in getattr(operation, "secrets", {}):
        parameters.setdefault(name, {"type": "json", "sensitive": True})
    for name in getattr(operation, "reset", ()):
        parameters.setdefault(name, {"type": "json"})
    for name, value in (operation.defaults or {}).items():
        parameters[name]["default"] = value


def values_of(plan: Plan) -> Callable[[Emulator], None]:
    """Return a function that gives an emulated fleet the configurations that the plan found."""
    values: dict[tuple[str, str], dict[str, Any]] = {}
    for item in plan.items():
        operation: Any = item.operation
        if item.seq is not None and operation is not None and operation.target().part:
            kept = values.setdefault((item.device, operation.group), {})
            for name, value in _before(item).items():
                if value is not None and name not in getattr(operation, "secrets", {}):
                    kept.setdefault(name, value)

    def prepare(emulator: Emulator) -> None:
        for (device_id, group), found in values.items():
            emulator.noun(Configuration).prepare(device_id, group, found)

    return prepare


def _before(item: PlanItem) -> Mapping[str, Any]:
    if item.before is not None:
        return item.before
    # An unchanged device already has the requested values.
    return {} if item.operation is None else dict(item.operation.claims())


_LIES_SHOWN: Final = 20


@shared_command("rehearse")
@click.argument("plan", shell_complete=completion.files)
@faults_option(0.05)
@click.option("--seed", type=int, default=1, show_default=True, help="Which faults.")
@run_options(CONCURRENCY, *WAVES, *CAUTION)
@click.option(
    "--report",
    "page",
    metavar="FILE",
    shell_complete=completion.files,
    help="Write an HTML report to this new file.",
)
@force_option
def rehearse_plan(
    settings: Settings,
    *,
    plan: str,
    faults: float,
    seed: int,
    options: RunOptions,
    page: str | None,
    force: bool,
) -> None:
    """Apply PLAN to an emulator on this machine, with faults; no real device is touched.

    The emulator has the devices of the plan, in their state at planning time. The plan is applied
    as by `fleet apply`, while requests are delayed, refused, dropped before or after they took
    effect, or answered only in part. Then each outcome is compared with the emulator's own log. The
    exit code is that of the run, or 1 if any reported outcome is wrong.

    This shows how the plan fares on a bad network, not how the real fleet will respond: other
    devices, roles and rate limits are not in the plan. Options for server, token, attempts and
    deadline have no effect here.
    """
    check_output(page, force=force, source=plan)
    with (
        read_plan(plan) as read,
        tempfile.TemporaryDirectory(prefix="enapter-rehearsal-") as folder,
    ):
        if read.once:
            raise ConfigurationError(
                f"{plain(plan)} has {read.once} once-only operations, such as commands, which "
                f"cannot be rehearsed: the plan does not know how the devices respond"
            )
        number = counted(len(read), "operation")
        tell(f"{number}, rehearsed on this machine; {faults * 100:g} % faults")
        if read.counts[Verdict.REFUSED]:
            tell(f"{read.counts[Verdict.REFUSED]} refused operations are left out")
        profile = FaultProfile(rate=faults, kinds=KINDS, seed=seed) if faults else None
        rehearsed = asyncio.run(
            rehearse(
                world_of(read),
                read,
                options,
                folder=Path(folder),
                faults=profile,
                prepare=values_of(read),
            )
        )
        if page is not None:
            name = f"rehearsal of {Path(plan).name}"
            write_report(Path(folder) / "journal.db", page, name=name)
    _show(rehearsed, as_json=bool(settings.as_json))
    if page is not None:
        tell(f"report: {plain(page)}")
    click.get_current_context().exit(_exit_of(rehearsed))


def _exit_of(rehearsed: Rehearsal) -> Exit:
    if rehearsed.lies:
        return Exit.FAILED
    cut_short = rehearsed.cut_short
    return exit_of_report(rehearsed.report) if cut_short is None else cut_short


def _show(rehearsed: Rehearsal, *, as_json: bool) -> None:
    if as_json:
        row = {
            "requests": rehearsed.requests,
            "faults": dict(rehearsed.faults),
            "lies": list(rehearsed.lies),
        }
        click.echo(json_line({**report_row(rehearsed.report, "rehearsal"), "rehearsal": row}))
        return
    if is_quiet() and not rehearsed.lies:
        return
    show_report(rehearsed.report, rehearsed.causes)
    met = ", ".join(f"{number} {name}" for name, number in sorted(rehearsed.faults.items()))
    click.echo(f"{rehearsed.requests} requests; faults: {met or 'none'}")
    if not rehearsed.lies:
        click.echo(
            "CHECKED: every outcome agrees with the emulator's own log; no real server was "
            "contacted"
        )
        return
    click.echo(f"WRONG: {len(rehearsed.lies)} outcomes")
    for lie in rehearsed.lies[:_LIES_SHOWN]:
        click.echo(f"  {plain(lie)}")
