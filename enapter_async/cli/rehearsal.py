"""Executes operations against an emulator, and compares each outcome with the emulator's log."""

import contextlib
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from enapter_async._http.retry import RetryPolicy
from enapter_async.cli.causes import Cause, causes_in
from enapter_async.cli.exit_codes import Exit
from enapter_async.cli.options import typed
from enapter_async.cli.progress import Watch, tracker
from enapter_async.cli.runner import run_job
from enapter_async.client import Client
from enapter_async.emulator.faults import ROUGH, FaultProfile, Faults, TooManyRequests
from enapter_async.emulator.log import cause_of
from enapter_async.emulator.server import Emulator
from enapter_async.emulator.world import World
from enapter_async.errors import ConfigurationError
from enapter_async.fleet.inputs import Input
from enapter_async.fleet.journal.names import read_journal
from enapter_async.fleet.journal.options import JournalOptions
from enapter_async.fleet.options import RunOptions
from enapter_async.fleet.outcomes import Outcome, Report, State
from enapter_async.limits.pacing import Pacing
from enapter_async.logs import asked_for
from enapter_async.operation import Operation, Repeat, described
from enapter_async.payload import Payload

KINDS: Final = tuple(each for each in ROUGH if not isinstance(each, TooManyRequests))
"""The faults that requests may meet. No 429: rate limits depend on the rate, not on chance."""

# Short delays, because the emulator is local.
_POLICY: Final = RetryPolicy(attempts=5, base_delay=0.02, max_delay=0.3, deadline=10.0)


@attrs.frozen(kw_only=True)
class Rehearsal:
    """The result of a rehearsal. `lies` are outcomes that the emulator's own log contradicts.

    `faults` counts the faults that affected requests; `failed` counts the failed attempts by kind
    of failure and by what is known about the effect. `outcomes` do not include results.
    """

    report: Report
    causes: tuple[Cause, ...]
    outcomes: tuple[Outcome[Any], ...]
    cut_short: Exit | None
    requests: int
    seconds: float
    faults: Mapping[str, int]
    failed: Mapping[str, int]
    lies: tuple[str, ...]


async def rehearse(
    world: World,
    operations: Collection[Any],
    options: RunOptions,
    *,
    folder: Path,
    faults: FaultProfile | Faults | None,
    prepare: Callable[[Emulator], None] = lambda _: None,
    max_rate: float | None = None,
) -> Rehearsal:
    """Execute operations in an emulated world on this machine only.

    `prepare` completes the emulator before anything is sent. The journal (`journal.db`) and new
    credentials (`credentials.jsonl`) are written to `folder`.
    """
    items = [item.operation for item in Input(operations).items()]
    credentials = folder / "credentials.jsonl"
    watch = Watch()
    outcomes: list[Outcome[Any]] = []
    began = time.monotonic()
    async with Emulator(world=world, faults=faults) as emulator:
        prepare(emulator)
        client = Client(
            emulator.token,
            base_url=emulator.base_url,
            retry=_POLICY,
            pacing=Pacing(max_in_flight=options.concurrency, max_rate=max_rate),
            hooks=[watch, *asked_for(os.environ)],
        )
        async with client:
            with tracker(max(len(items), 1), watch) as tracking:

                def on_outcome(outcome: Outcome[Any]) -> None:
                    outcomes.append(attrs.evolve(outcome, result=None))
                    tracking.advance(outcome)

                facts = {"source": "rehearsal", "command": typed()}
                chosen = attrs.evolve(
                    options,
                    journal=JournalOptions(path=folder / "journal.db", facts=facts),
                    credentials=credentials if any(each.answer.secret for each in items) else None,
                    on_event=tracking.tell,
                    again=True,
                )
                report, cut_short = await run_job(client, operations, chosen, on_outcome=on_outcome)
    with contextlib.closing(read_journal(folder / "journal.db")) as journal:
        causes = () if report.ok else tuple(causes_in(journal))
    return Rehearsal(
        report=report,
        causes=causes,
        outcomes=tuple(outcomes),
        cut_short=cut_short,
        requests=world.log.count_arrivals(),
        seconds=time.monotonic() - began,
        faults=world.log.fault_counts(),
        failed=watch.failed,
        lies=tuple(lies(emulator, items, outcomes, credentials)),
    )


def _cause(operation: Operation[Any]) -> str:
    """Return what the emulator's log shows for an effect of this operation's request."""
    try:
        parts = operation.request()
    except ConfigurationError:
        return ""  # it cannot be sent, so it has no effect
    body = parts.body.data if isinstance(parts.body, Payload) else json.dumps(parts.body).encode()
    path = "/".join(("", "v3", *parts.path))
    return cause_of(parts.method, path, b"" if parts.body is None else body)


def lies(
    emulator: Emulator,
    operations: Iterable[Operation[Any]],
    outcomes: Iterable[Outcome[Any]],
    credentials: Path,
) -> Iterator[str]:
    """Yield each false claim in the outcomes; yield nothing if all are true.

    Each operation must have one outcome. Nobody else uses this emulator, so applied operations must
    have been done, and failed, held or unchanged ones must not. Absent devices must not exist. No
    once-only operation may have been done twice. The credentials file must contain those of each
    applied configuration, once.
    """
    effects = Counter(each.cause for each in emulator.world.log.effects())
    told = Counter(map(described, operations))
    generated: Counter[str] = Counter()
    for outcome in outcomes:
        operation = outcome.operation
        told[described(operation)] -= 1
        gone = outcome.state is State.ABSENT or (outcome.settled and operation.holds(None))
        look = operation.reads() if gone else None
        found = look is not None and emulator.has("/".join(("", "v3", *look.request().path)))
        done = effects[_cause(operation)] or (outcome.settled and look is not None and not found)
        if problem := _problem(outcome, done, is_there=found):
            yield f"{described(operation)} was reported as {outcome.state}: {problem}"
        if operation.answer.secret and outcome.state in (State.APPLIED, State.DIFFERS):
            generated[operation.subject() or ""] += 1
    for name, missing in told.items():
        if missing:
            yield f"{name}: {'no outcome' if missing > 0 else 'two outcomes'}"
    if kept(credentials) != generated:
        yield "the credentials file does not contain each applied configuration exactly once"


def _problem(outcome: Outcome[Any], done: int, *, is_there: bool) -> str:
    if outcome.operation.repeat is Repeat.ONCE and done > 1:
        return f"it was done {done} times, but may be done only once"
    if outcome.state in (State.APPLIED, State.DIFFERS):
        return "" if done else "it was not done"
    if outcome.state is State.ABSENT:
        return "it exists" if is_there else ""
    return "it was done" if done and outcome.state is not State.UNKNOWN else ""


def kept(credentials: Path) -> Counter[str]:
    """Count the configurations per device in a credentials file; a missing file has none."""
    if not credentials.exists():
        return Counter()
    with credentials.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    # A response that could not be parsed is kept as received, and its outcome is unknown.
    return Counter(row["device_id"] for row in rows if "config" in row)
