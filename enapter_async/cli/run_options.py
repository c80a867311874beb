"""Options about how a run goes on: in which waves, when it stops, how long it waits."""

import functools
from collections.abc import Callable
from typing import Any, Final

import attrs
import click

from enapter_async.errors import ConfigurationError
from enapter_async.fleet.pacing.controller import MAX_PAUSE
from enapter_async.fleet.planning.drift import GuardMode
from enapter_async.fleet.rollout.abort import DEFAULT_ABORT, AbortCriterion, parse_criterion
from enapter_async.fleet.rollout.waves import HealthGate, Rollout

NONE: Final = "none"


@attrs.frozen(kw_only=True)
class Staging:
    """How a run goes on. `rollout` None: all at once, or as the run was begun."""

    rollout: Rollout | None = None
    abort: tuple[AbortCriterion, ...] = DEFAULT_ABORT
    max_pause: float = MAX_PAUSE


ALL_AT_ONCE: Final = Staging()
NEVER_STOP: Final = Staging(abort=())

_CAUTION: Final = (
    click.option(
        "--abort",
        "criteria",
        multiple=True,
        metavar="TYPE:PERCENT:LEAST",
        help="Start nothing more once PERCENT of what was carried out ended so, of at least "
        "LEAST; TYPE is all, failed, unknown, differs or timed-out. May be given several times; "
        "'none' for no such rule.  [default: all:5%:50 unknown:1%:20]",
    ),
    click.option(
        "--max-pause",
        type=click.FloatRange(min=0, min_open=True),
        default=MAX_PAUSE,
        show_default=True,
        metavar="SECONDS",
        help="Stop when the server lets nothing through for so long.",
    ),
)

_WAVES: Final = (
    click.option(
        "--waves",
        default="1,10,1%,10%,rest",
        show_default=True,
        metavar="SIZES",
        help="Begin with few devices and go on with more, spread over sites. The first two waves "
        "are read back, and must be without a fault. 'none' for all at once.",
    ),
    click.option(
        "--hold",
        type=click.FloatRange(min=0),
        default=0.0,
        metavar="SECONDS",
        help="Wait so long between two waves.",
    ),
    click.option(
        "--per-site",
        type=click.IntRange(min=1),
        metavar="N",
        help="Change at most N devices of one site at once.",
    ),
    click.option(
        "--health",
        type=click.FloatRange(min=0, max=100, max_open=True),
        metavar="PERCENT",
        help="After the hold look at up to 200 devices of the wave that were online before it, "
        "and stop if more than PERCENT of them are not any more.",
    ),
)


def caution_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that each session of a run may set anew; the command gets `staging`."""
    return _with(command, _CAUTION)


def staging_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add those, and the options about waves; the command gets `staging`."""
    return _with(command, (*_WAVES, *_CAUTION))


def _with(command: Callable[..., Any], options: tuple[Any, ...]) -> Callable[..., Any]:
    @functools.wraps(command)
    def with_staging(*given: Any, **arguments: Any) -> Any:
        names = ("waves", "hold", "per_site", "health", "criteria", "max_pause")
        told = {name: arguments.pop(name) for name in names if name in arguments}
        return command(*given, staging=_staging(told), **arguments)

    for option in reversed(options):
        with_staging = option(with_staging)
    return with_staging


def _staging(told: dict[str, Any]) -> Staging:
    criteria = told["criteria"]
    try:
        abort = tuple(parse_criterion(each) for each in criteria if each != NONE)
        rollout = _rollout(told) if "waves" in told else None
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from None
    return Staging(
        rollout=rollout, abort=abort if criteria else DEFAULT_ABORT, max_pause=told["max_pause"]
    )


def _rollout(told: dict[str, Any]) -> Rollout | None:
    if told["waves"] == NONE:
        if told["hold"] or told["per_site"] or told["health"] is not None:
            raise click.UsageError("--hold, --per-site and --health need waves")
        return None
    sizes = tuple(_size(each.strip()) for each in told["waves"].split(","))
    health = None if told["health"] is None else HealthGate(most_lost=told["health"])
    return Rollout(waves=sizes, hold=told["hold"], per_group=told["per_site"], health=health)


def _size(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() else text


guard_option = click.option(
    "--guard",
    type=click.Choice([str(mode) for mode in GuardMode]),
    default=str(GuardMode.AUTO),
    show_default=True,
    help="How to see that devices are still as planned: read each directly before its change, "
    "read the fleet before each wave, or not at all; auto reads each for deletions, "
    "configurations and the first two waves.",
)
