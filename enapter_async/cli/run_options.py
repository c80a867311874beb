"""The command-line options of a run and of a job, and the values that they become."""

import contextlib
import functools
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs
import click
from click.core import ParameterSource

from enapter_async.api import accepted
from enapter_async.cli.groups import Decorator, together
from enapter_async.cli.options import Settings, seconds_option
from enapter_async.errors import ConfigurationError
from enapter_async.fleet.distributed.partitions import By
from enapter_async.fleet.obstacles import MAX_PAUSE
from enapter_async.fleet.options import RunKeywords, RunOptions
from enapter_async.fleet.planning.drift import GuardMode
from enapter_async.fleet.rollout.abort import parse_criterion
from enapter_async.fleet.rollout.waves import HealthGate, Rollout

NONE: Final = "none"

_OF_WAVES: Final = ("waves", "hold", "per_site", "health", "gates")
_NAMES: Final = frozenset(RunKeywords.__annotations__) | {"criteria", *_OF_WAVES}


CONCURRENCY: Final = click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    help="How many devices to change at the same time.",
)
CHECK: Final = click.option(
    "--check", is_flag=True, help="Read each device first; write only what differs."
)
WAIT: Final = seconds_option(
    "--wait",
    "Follow each command for this long; one that has not ended by then is pending, and a resume "
    "continues to follow it.",
    accepted.WAIT,
)
_GUARD: Final = click.option(
    "--guard",
    type=click.Choice([str(mode) for mode in GuardMode]),
    default=str(GuardMode.AUTO),
    show_default=True,
    help="How to check that devices are still as planned: `each` reads a device just before its "
    "change, `wave` reads the fleet before each wave, `none` does not check; `auto` means "
    "`each` for deletions, configurations and the first two waves, and `wave` for the rest.",
)
AGAIN: Final = click.option(
    "--again",
    is_flag=True,
    help="Apply a plan that an earlier run has already carried out: its configurations are "
    "generated again.",
)
CAUTION: Final = (
    _GUARD,
    click.option(
        "--abort",
        "criteria",
        multiple=True,
        metavar="TYPE:PERCENT:LEAST",
        help="Stop starting operations once PERCENT of those executed ended this way, after at "
        "least LEAST; TYPE is all, failed, unknown, differs or timed-out. May be given several "
        "times; 'none' sets no limit.  [default: all:5%:50 unknown:1%:20]",
    ),
    seconds_option(
        "--max-pause",
        "Stop if the server lets no request through for this long.",
        MAX_PAUSE,
        zero=False,
    ),
)

WAVES: Final = (
    click.option(
        "--waves",
        default="1,10,1%,10%,rest",
        show_default=True,
        metavar="SIZES",
        help="Start with few devices and continue with more, spread over sites. The first two "
        "waves are read back and must have no faults. 'none' changes all devices in one wave.",
    ),
    seconds_option("--hold", "Wait this long between two waves.", 0.0),
    click.option(
        "--per-site",
        type=click.IntRange(min=1),
        metavar="N",
        help="Change at most N devices of one site at the same time.",
    ),
    click.option(
        "--health",
        type=click.FloatRange(min=0, max=100, max_open=True),
        metavar="PERCENT",
        help="After the hold, check up to 200 devices of the wave that were online before it, and "
        "stop if more than PERCENT of them are no longer online.",
    ),
    click.option(
        "--gate",
        "gates",
        multiple=True,
        metavar="CONDITION",
        help="After the hold, stop if more than 5 % of up to 200 devices of the wave that met this "
        "before it no longer do: 'alerts' or 'alerts(error)' for no alert (of that severity or "
        "above), a condition on a property, such as 'status=ok', or one on telemetry with a time "
        "for which it must hold, such as 'power>0 for 5m'.",
    ),
)


def run_options(*added: Decorator) -> Decorator:
    """Add options of a run to a command, which receives them as `options`."""

    def with_options(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def with_run_options(*given: Any, **arguments: Any) -> Any:
            told = {name: arguments.pop(name) for name in _NAMES if name in arguments}
            return command(*given, options=_options(told), **arguments)

        return together(*added)(with_run_options)

    return with_options


def given_run_options() -> list[str]:
    """Return the names of the options of a run that were given to the present command."""
    context = click.get_current_context()
    return [
        option.opts[0]
        for option in context.command.params
        if option.name in _NAMES
        and context.get_parameter_source(option.name) is ParameterSource.COMMANDLINE
    ]


def _options(told: dict[str, Any]) -> RunOptions:
    try:
        if criteria := told.pop("criteria", ()):
            told["abort"] = [parse_criterion(each) for each in criteria if each != NONE]
        if "waves" in told:
            waves = {name: told.pop(name) for name in _OF_WAVES}
            told["rollout"] = _rollout(waves)
        return RunOptions(**told)
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from None


def _rollout(told: dict[str, Any]) -> Rollout | None:
    if told["waves"] == NONE:
        if told["hold"] or told["per_site"] or told["health"] is not None or told["gates"]:
            raise click.UsageError("--hold, --per-site, --health and --gate need waves")
        return None
    sizes = tuple(_size(each.strip()) for each in told["waves"].split(","))
    health = None if told["health"] is None else HealthGate(most_lost=told["health"])
    return Rollout(
        waves=sizes,
        hold=told["hold"],
        per_group=told["per_site"],
        health=health,
        gates=told["gates"],
    )


def _size(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() else text


def pace_facts(settings: Settings, concurrency: int) -> dict[str, str]:
    """Return the facts to journal about a run's pace: its concurrency and maximum rate."""
    facts = {"concurrency": str(concurrency)}
    if settings.max_rate is not None:
        facts["max_rate"] = repr(settings.max_rate)
    return facts


def paced_as_begun(
    settings: Settings, options: RunOptions, facts: Mapping[str, str]
) -> tuple[Settings, RunOptions]:
    """Return the settings and options; if they set no pace, with the one the run started with."""
    context = click.get_current_context()
    given = context.get_parameter_source("concurrency")
    if given is ParameterSource.DEFAULT and facts.get("concurrency", "").isdecimal():
        options = attrs.evolve(options, concurrency=max(1, int(facts["concurrency"])))
    if settings.max_rate is None and "max_rate" in facts:
        with contextlib.suppress(ValueError):
            settings = attrs.evolve(settings, max_rate=float(facts["max_rate"]))
    return settings, options


def _by(text: str) -> By:
    """Return how to divide a job.

    Raises:
        click.UsageError: it is neither "site" nor a number.
    """
    if text == "site":
        return "site"
    if text.isascii() and text.isdigit() and int(text):
        return int(text)
    raise click.UsageError(f"--by is {text!r}; use 'site', or a number of operations of at least 1")


WORKERS: Final = click.option(
    "--workers",
    type=click.IntRange(min=0),
    metavar="N",
    help="Carry out the job with N processes of this machine; 0 only submits it. [default: 1]",
)
_CREATION: Final = together(
    click.option(
        "--journal",
        "place",
        metavar="PLACE",
        help="Create a job for several workers in PLACE: a new folder, for processes of this "
        "machine, or postgresql://USER@HOST/DATABASE#NAME, for workers on any machine.",
    ),
    click.option(
        "--by",
        type=_by,
        metavar="N|site",
        help="Divide the job into partitions of N operations, or of one site each, which only "
        "workers of the queue site:ID take. [default: 2000]",
    ),
    WORKERS,
    click.option(
        "--allow-overlap",
        is_flag=True,
        help="Submit the job even if another, unfinished one changes the same objects.",
    ),
)


@attrs.frozen
class NewJob:
    """Where to create a job for several workers, and how to divide it and carry it out."""

    place: str
    by: By | None
    workers: int | None
    allow_overlap: bool


def job_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a new job to a command, which receives it as `new_job`, or None."""

    @functools.wraps(command)
    def with_job(*given: Any, **arguments: Any) -> Any:
        place, by, workers, overlap = (arguments.pop(name) for name in attrs.fields_dict(NewJob))
        if place is None and (by is not None or workers is not None or overlap):
            raise click.UsageError("--by, --workers and --allow-overlap need --journal")
        new_job = None if place is None else NewJob(place, by, workers, overlap)
        return command(*given, new_job=new_job, **arguments)

    return _CREATION(with_job)
