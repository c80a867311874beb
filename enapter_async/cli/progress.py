"""Shows a run's progress: a bar on a terminal, otherwise a few lines."""

import sys
import time
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final, Self

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from enapter_async.cli.options import is_quiet, tell
from enapter_async.cli.streams import fancy
from enapter_async.cli.summary import COLOURS
from enapter_async.errors import reason_of
from enapter_async.fleet.outcomes import (
    Outcome,
    RunEvent,
    RunGoesOn,
    RunPaceChanged,
    RunStopped,
    RunWaiting,
    State,
    WaveBegan,
    WavePassed,
)
from enapter_async.fleet.progress import Estimate
from enapter_async.fleet.waits import Wait, minutes
from enapter_async.hooks import AttemptFailed, Event
from enapter_async.operation import Repeat
from enapter_async.text import counted, plain, rfc3339

_PLAIN_STEPS: Final = 10
_NARROW: Final = 70
"""On a terminal of fewer columns, the numbers are shown without a bar and without the pace."""


class Watch:
    """A hook that counts failed attempts by kind of failure."""

    def __init__(self) -> None:
        self.failed: Counter[str] = Counter()

    def __call__(self, event: Event, /) -> None:
        """Count a failed attempt; ignore other events, and reads of what does not exist."""
        if isinstance(event, AttemptFailed):
            attempt = event.attempt
            if attempt.status == HTTPStatus.NOT_FOUND and event.operation.repeat is Repeat.READ:
                return  # an answer: before a creation, this is the expected one
            what = f"HTTP {attempt.status}" if attempt.status else attempt.error_type
            self.failed[f"{what}: {attempt.certainty.value}"] += 1


def tracker(total: int, watch: Watch) -> "Bar | Lines":
    """Return a tracker that suits standard error: a bar on a terminal, otherwise a few lines.

    The lines begin with the time, because they usually go to a log. `--quiet` shows none.
    """
    bar = fancy(sys.stderr) and not is_quiet()
    return Bar(total, watch) if bar else Lines(total, watch)


class Bar:
    """A bar that is redrawn, with the counts; on a narrow terminal, the counts alone."""

    def __init__(self, total: int, watch: Watch) -> None:
        self._total = total
        self._watch = watch
        self._counts: Counter[State] = Counter()
        self._began = time.monotonic()
        self._estimate = Estimate(time.monotonic)
        self._wait: Wait | None = None
        self._pace = ""
        console = Console(stderr=True)
        self._narrow = console.width < _NARROW
        wide = (TextColumn("{task.fields[rate]:>6.0f}/s"), TimeElapsedColumn())
        self._progress = Progress(
            *(() if self._narrow else (SpinnerColumn(), BarColumn(bar_width=32))),
            MofNCompleteColumn(),
            *(() if self._narrow else wide),
            _LiveColumn(self._left),
            _LiveColumn(self._states),
            console=console,
            refresh_per_second=12,
        )
        self._task = self._progress.add_task("", total=total, rate=0.0)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._progress.stop()

    def advance(self, outcome: Outcome[Any]) -> None:
        """Count an outcome."""
        self._counts[outcome.state] += 1
        # Held operations were not executed, so they do not count as finished.
        done = self._counts.total() - self._counts[State.HELD]
        if outcome.state is not State.HELD:
            self._estimate.advance()
        rate = done / max(time.monotonic() - self._began, 1e-6)
        self._progress.update(self._task, completed=done, rate=rate)

    def tell(self, event: RunEvent) -> None:
        """Show an event of the run."""
        if isinstance(event, RunWaiting):
            self._wait = event.wait
            self._estimate.pause()
        elif isinstance(event, RunGoesOn):
            self._wait = None
            self._estimate.go_on()
        elif isinstance(event, RunPaceChanged):
            self._pace = "" if event.pace.rate is None else plain(str(event.pace))
        else:
            self._progress.console.print(event_text(event), markup=False, highlight=False)

    def shown(self) -> RenderableType:
        """Return what is drawn now."""
        return self._progress.get_renderable()

    def _left(self) -> Text:
        """Return the reason for waiting, or the time left; called at each redraw."""
        if self._wait is not None:
            return Text(plain(self._wait.text(time.monotonic())), "yellow")
        seconds = self._estimate.left(self._total - self._counts.total())
        left = "" if seconds is None else f"{minutes(seconds)} left"
        pace = "" if self._narrow else self._pace
        return Text(" · ".join(each for each in (left, pace) if each), "dim")

    def _states(self) -> Text:
        text = Text()
        for state in State:
            if self._counts[state]:
                text.append(f" {self._counts[state]} {state}", style=COLOURS[state])
        failed = self._watch.failed.total()
        if failed and not self._narrow:
            text.append(f" · {counted(failed, 'failed attempt')}", style="dim")
        return text


class _LiveColumn(TextColumn):
    """A column whose text is asked for at each redraw."""

    def __init__(self, text: Callable[[], Text]) -> None:
        super().__init__("")
        self._text = text

    def render(self, task: Any) -> Text:
        return self._text()


class Lines:
    """A few lines for a log: one for each tenth of the operations, and one for each event."""

    def __init__(self, total: int, watch: Watch) -> None:
        self._limited = False
        self._reads = False
        self._total = total
        self._watch = watch
        self._counts: Counter[State] = Counter()
        self._estimate = Estimate(time.monotonic)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def advance(self, outcome: Outcome[Any]) -> None:
        """Count an outcome."""
        self._counts[outcome.state] += 1
        if outcome.state is State.HELD:
            return
        done = self._counts.total() - self._counts[State.HELD]
        left = self._total - self._counts.total()
        self._estimate.advance()
        steps = done * _PLAIN_STEPS // self._total
        if steps > (done - 1) * _PLAIN_STEPS // self._total:
            told = f"{done} of {self._total}: {counts_text(self._counts)}"
            failed = counted(self._watch.failed.total(), "failed attempt")
            tell(with_time(f"{told}, {failed}{self._left(left)}"))

    def tell(self, event: RunEvent) -> None:
        """Show an event of the run."""
        if isinstance(event, RunWaiting):
            self._reads = event.wait.reason.reads
            self._estimate.pause()
        elif isinstance(event, RunGoesOn):
            self._estimate.go_on()
            if self._reads:
                return  # the next line says how it continues
        elif isinstance(event, RunPaceChanged):
            limited = event.pace.rate is not None
            if limited == self._limited:
                return  # a log need not show each step of the rate
            self._limited = limited
        tell(with_time(event_text(event)))

    def _left(self, number: int) -> str:
        seconds = self._estimate.left(number)
        return f", {minutes(seconds)} left" if seconds is not None and number else ""


def with_time(line: str) -> str:
    """Return a line of a log with the time before it."""
    return f"{rfc3339(time.time(), 'seconds')} {line}"


def event_text(event: RunEvent) -> str:
    """Return a run's event as one line."""
    match event:
        case RunWaiting(wait=wait):
            return plain(wait.text(time.monotonic()))
        case RunGoesOn():
            return "continues"
        case RunPaceChanged(pace=pace):
            return plain(str(pace))
        case WaveBegan(number=number, size=size, waves=waves):
            of = "" if waves is None else f" of {waves}"
            of += "" if size is None else f": {counted(size, 'operation')}"
            return f"wave {number}{of}"
        case WavePassed(number=number, read_back=read_back, not_configured=apart, unmet=unmet):
            told = f", {counted(read_back, 'operation')} read back" if read_back else ""
            told += f", {apart} not configured" if apart else ""
            if unmet:
                conditions = ", ".join(f"'{each}'" for each in unmet)
                told += f"; not checked, as no device met it before: {plain(conditions)}"
            return f"wave {number} passed{told}"
        case RunStopped(error=error):
            return f"stopped: {reason_of(error)}"


def counts_text(counts: Any) -> str:
    """Return the counts of states as one line, without those that are 0."""
    return ", ".join(f"{counts[state]} {state}" for state in State if counts[state]) or "none"
