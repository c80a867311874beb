"""Shows what is watched: drawn on a terminal, otherwise lines, or one JSON object at a time."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Final

import attrs
import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from enapter_async.cli.options import is_quiet
from enapter_async.cli.progress import with_time
from enapter_async.cli.rows import json_line
from enapter_async.cli.streams import fancy
from enapter_async.cli.summary import COLOURS, output_console
from enapter_async.cli.watched_devices import DevicesLook
from enapter_async.cli.watched_run import Look
from enapter_async.converter import unstructure
from enapter_async.errors import reason_of
from enapter_async.fleet.outcomes import State, outcome_row
from enapter_async.fleet.reporting.status import Trouble
from enapter_async.fleet.waits import minutes
from enapter_async.models.logs import LogRecord
from enapter_async.text import plain, rfc3339

NARROW: Final = 60
"""Below this many columns, an entry takes three lines, so that its id stays whole."""
BAR: Final = 40
SHOWN: Final = 4
SHOWN_NARROW: Final = 2
"""How many entries of each kind are shown."""
_STATES_OF_DEVICES: Final = {"online": "green", "offline": "red"}
_SEVERITIES: Final = {"ERROR": "red", "WARNING": "yellow"}


Show = Callable[[Look, DevicesLook], None]
"""Shows a `Look`, and what was read of devices."""


@contextlib.contextmanager
def showing(*, as_json: bool) -> Iterator[Show]:
    """Open a view that suits standard output."""
    if as_json:
        yield lambda *told: click.echo(json_line(_row(*told)))
    elif fancy(sys.stdout) and not is_quiet():
        console = output_console()
        with Live(console=console, auto_refresh=False) as live:
            yield lambda look, devices: live.update(drawn(look, devices, console), refresh=True)
    else:
        yield _Lines().show


def _row(look: Look, devices: DevicesLook) -> dict[str, Any]:
    """Return a `Look` as one JSON object: the fields of `fleet status`, and what is watched."""
    return {
        **look.row,
        "rate": None if look.rate is None else round(look.rate, 2),
        "not_done": [
            {**outcome_row(each.outcome), "at": _time(each.at_ms)} for each in look.troubles
        ],
        "devices": [attrs.asdict(each) for each in devices.devices],
        "logs": [{"device_id": name, **unstructure(log)} for name, log in devices.logs],
        "devices_problem": devices.problem or None,
    }


class _Lines:
    def __init__(self) -> None:
        self._told: set[tuple[int, str]] = set()
        self._problem = ""

    def show(self, look: Look, devices: DevicesLook) -> None:
        """Write one line, and one for each operation newly found not done."""
        if is_quiet():
            return
        if devices.problem not in ("", self._problem):
            click.echo(f"devices: {devices.problem}")
        self._problem = devices.problem
        for each in reversed(look.troubles):
            known = (each.at_ms, _name(each))
            if known not in self._told:
                self._told.add(known)
                click.echo(f"{_time(each.at_ms)} {each.outcome.state} {known[1]}: {_why(each)}")
        told = [f"{look.ended} of {look.total}: {_counts(look).plain}", *_facts(look)]
        if devices.devices:
            told.append(f"devices {_summary(devices).plain}")
        click.echo(with_time("; ".join(told)))
        for line in _next(look):
            click.echo(line)


def drawn(look: Look, devices: DevicesLook, console: Console) -> Group:
    """Return a `Look` as it is drawn on a terminal; ids are whole, other lines may be cut."""
    width = console.width
    parts: list[RenderableType] = [
        _line(Text(look.title, "bold")),
        _bar(look, width),
        _counts(look),
        *(_line(Text(fact, "dim")) for fact in _facts(look)),
    ]
    if look.troubles:
        parts += [Text(), Text("Not done, latest first", "bold")]
        for each in look.troubles[: _shown(width)]:
            state = each.outcome.state
            head = (_clock(each.at_ms), str(state), _name(each))
            parts += _entry(head, _why(each), COLOURS[state], width)
    if devices.devices:
        parts += [Text(), *_of_devices(devices, width)]
    elif devices.problem:
        parts += [Text(), Text(f"The devices are not shown: {devices.problem}", "dim")]
    parts += [Text(each, overflow="fold") for each in _next(look)]
    return Group(*parts)


def _bar(look: Look, width: int) -> RenderableType:
    left = None if not look.rate else (look.total - look.ended) / look.rate
    told = f"{look.ended}/{look.total}"
    if look.running and look.rate is not None:
        told += f" {look.rate:.0f}/s"
    if look.running and left is not None:
        told += f" {minutes(left)} left"
    if not look.running:
        told += " not running"
    room = min(BAR, width - len(told) - 1)
    grid = Table.grid(padding=(0, 1, 0, 0))
    if room < BAR // 4:
        return _line(Text(told))
    grid.add_row(
        ProgressBar(total=max(look.total, 1), completed=look.ended, width=room), Text(told)
    )
    return grid


def _counts(look: Look) -> Text:
    """Return how many operations are in each state."""
    pieces = [
        Text(f"{look.counts[state]} {state}", COLOURS[state])
        for state in State
        if look.counts[state]
    ]
    for number, words in ((look.in_flight, "in flight"), (look.waiting, "waiting")):
        if number:
            pieces.append(Text(f"{number} {words}", "dim"))
    return Text(", ").join(pieces) if pieces else Text("nothing yet", "dim")


def _facts(look: Look) -> Iterator[str]:
    if look.waves > 1:
        yield f"wave {look.wave} of {look.waves}"
    if look.pace:
        yield look.pace
    if look.workers:
        yield f"workers: {', '.join(look.workers)}"
    if look.stopped:
        yield f"stopped: {look.stopped}"


def _next(look: Look) -> Iterator[str]:
    """Yield the commands that continue a run that has ended, whole, so that they can be copied."""
    for words, command in look.ways_on:
        yield f"{words}: {command}"


def _of_devices(devices: DevicesLook, width: int) -> Iterator[RenderableType]:
    yield Text("Devices ", "bold").append_text(_summary(devices))
    if devices.problem:
        yield Text(f"some could not be read: {devices.problem}", "yellow")
    remarkable = [each for each in devices.devices if each.alerts or each.state != "online"]
    for each in remarkable[: _shown(width)]:
        alerts = ", ".join(map(plain, each.alerts or ()))
        colour = _STATES_OF_DEVICES.get(each.state, "yellow")
        yield from _entry(("", each.state, plain(each.name)), alerts, colour, width)
    if len(remarkable) > _shown(width):
        yield _line(Text(f"  and {len(remarkable) - _shown(width)} more", "dim"))
    if devices.logs:
        yield Text()
        yield Text("Latest logs of what was not done", "bold")
        for name, log in devices.logs[: _shown(width)]:
            colour = _SEVERITIES.get(str(log.severity), "")
            head = (_log_clock(log), plain(log.severity or ""), plain(name))
            yield from _entry(head, plain(log.message), colour, width)


def _summary(devices: DevicesLook) -> Text:
    """Return how many of the devices that were read are in each state, and raise each alert."""
    text = Text(", ").join(
        Text(f"{number} {state}", _STATES_OF_DEVICES.get(state, "yellow"))
        for state, number in devices.states.most_common()
    )
    alerts = ", ".join(f"{plain(name)} ({number})" for name, number in devices.alerts.most_common())
    of = Text(f"({len(devices.devices)} looked at): ").append_text(text)
    return of.append(f"; alerts: {alerts}" if alerts else "")


def _shown(width: int) -> int:
    return SHOWN_NARROW if width < NARROW else SHOWN


def _entry(head: tuple[str, str, str], rest: str, colour: str, width: int) -> Iterator[Text]:
    """Yield the lines of an entry: its time, a word, a name, and what more is known."""
    time, word, name = head
    first = Text("  ").append(f"{time} " if time else "", "dim").append(word, colour)
    if width >= NARROW:
        yield _line(first.append(f" {name}").append(f": {rest}" if rest else ""))
        return
    yield _line(first)
    yield Text(f"  {name}", overflow="fold")
    if rest:
        yield _line(Text(f"    {rest}"))


def _line(text: Text) -> Text:
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _name(trouble: Trouble) -> str:
    target = trouble.outcome.operation.target()
    return plain(target.name or target.word)


def _why(trouble: Trouble) -> str:
    error = trouble.outcome.error
    return "" if error is None else reason_of(error)


def _time(at_ms: int) -> str:
    return rfc3339(at_ms / 1000, "seconds")


def _clock(at_ms: int) -> str:
    """Return the local time of day; a run is watched while it lasts."""
    return datetime.fromtimestamp(at_ms / 1000).astimezone().strftime("%H:%M:%S")


def _log_clock(log: LogRecord) -> str:
    moment = log.received_at or log.timestamp
    return "" if moment is None else moment.astimezone().strftime("%H:%M:%S")
