"""Groups what was not done by its cause, with counts, examples, and rows of the user's file."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import attrs
from rich.console import Console
from rich.text import Text

from enapter_async.errors import reason_of
from enapter_async.fleet.journal.reading import Journal
from enapter_async.fleet.outcomes import Report, State
from enapter_async.fleet.planning.decisions import Verdict
from enapter_async.fleet.planning.plan import Plan
from enapter_async.fleet.reporting.summary import EXAMPLES, NOT_STARTED, generalized, summarize
from enapter_async.fleet.row_numbers import RowNumbers
from enapter_async.fleet.stop import STOPPED_BY
from enapter_async.text import plain

SHOWN: Final = 20
"""How many causes are shown."""
_LINE: Final = 72
"""Longer examples are on a line each, where a terminal does not split their ids."""
_STOPPED: Final = "the run stopped before it was started"
_NUMBERED: Final = re.compile(r"[a-z, ]*?operations? \d+(?: (?:and|comes after operation) \d+)?")
"""The beginning of a reason that names operations by their positions in the input."""
_CAUSE: Final = 5
_MESSAGE: Final = 8
"""The places in a row of the summary: its cause, and its own message."""


@attrs.frozen(kw_only=True)
class Cause:
    """A cause, how many operations share it, and the first of their targets, each with its row."""

    state: str
    why: str
    number: int
    examples: tuple[str, ...]


def causes_in(journal: Journal) -> list[Cause]:
    """Return the causes of what a run has not done, the most frequent first."""
    told = summarize(journal)
    rows = RowNumbers(journal.facts().get("rows", ""))
    # A message is shown without the details of single operations only where these differ.
    messages: dict[int, set[str | None]] = {}
    for row in told["rows"]:
        if len(row) > _MESSAGE:
            messages.setdefault(row[_CAUSE], set()).add(row[_MESSAGE])
    found: dict[tuple[str, str], Cause] = {}
    for index, cause in enumerate(told["causes"]):
        state, why = cause["state"], _why(cause, messages.get(index, set()))
        # Operations that were stopped while waiting share a cause with those never reached.
        if why == NOT_STARTED or (state == State.HELD and why.startswith(STOPPED_BY)):
            why = _STOPPED
        examples = (
            named(address, name, rows.row(item))
            for address, name, item in zip(
                cause["examples"], cause["names"], cause["items"], strict=True
            )
        )
        same = found.get((state, why))
        found[state, why] = Cause(
            state=state,
            why=why,
            number=cause["number"] + (same.number if same else 0),
            examples=(*(same.examples if same else ()), *examples)[:EXAMPLES],
        )
    return sorted((each for each in found.values() if each.number), key=lambda each: -each.number)


def causes_of(report: Report) -> list[Cause]:
    """Return the causes among the outcomes that a report holds, for a journal that is gone."""
    found: list[Cause] = []
    for outcomes in (report.pending, report.differing, report.failures, report.unknowns):
        told = [
            (target.id or "", target.name or target.word, reason_of(outcome.error))
            for outcome in outcomes
            if outcome.error is not None
            for target in (outcome.operation.target(),)
        ]
        state = str(outcomes[0].state) if outcomes else ""
        found += [attrs.evolve(each, state=state) for each in refusals(told)]
    return found


def causes_of_plan(plan: Plan) -> list[Cause]:
    """Return the causes of what a plan refuses, the most frequent first."""
    rows = RowNumbers(plan.header.rows)
    return refusals(
        (item.device, named(item.device, item.name, rows.row(item.line)), in_rows(item.why, rows))
        for item in plan.items()
        if item.verdict is Verdict.REFUSED
    )


def in_rows(why: str, rows: RowNumbers) -> str:
    """Return a plan's reason with rows of the user's file in place of the numbers of operations."""
    found = _NUMBERED.match(why)
    if found is None:
        return why
    numbers = {each: rows.row(int(each)) for each in re.findall(r"\d+", found[0])}
    if None in numbers.values():
        return why
    told = re.sub(r"\d+", lambda number: str(numbers[number[0]]), found[0])
    return told.replace("operation", "row") + why[found.end() :]


def refusals(refused: Iterable[tuple[str, str, str]]) -> list[Cause]:
    """Group a plan's refusals, each an id, a name to show, and a reason; most frequent first."""
    numbers: Counter[str] = Counter()
    messages: dict[str, set[str]] = {}
    examples: dict[str, list[str]] = {}
    for target, name, why in refused:
        cause = generalized(why, target)
        numbers[cause] += 1
        messages.setdefault(cause, set()).add(why)
        kept = examples.setdefault(cause, [])
        if len(kept) < EXAMPLES:
            kept.append(name)
    return [
        Cause(
            state="refused",
            why=cause if len(messages[cause]) > 1 else messages[cause].pop(),
            number=number,
            examples=tuple(examples[cause]),
        )
        for cause, number in numbers.most_common()
    ]


def named(address: str, name: str, row: int | None) -> str:
    """Return a target as text: its id, and in parentheses its name and the row of the file."""
    known = (name, "" if row is None else f"row {row}")
    more = ", ".join(each for each in known if each)
    return f"{address} ({more})" if more else address


def show_causes(
    console: Console,
    causes: Sequence[Cause],
    titles: Mapping[str, tuple[str, str]],
) -> None:
    """Print the causes by state; `titles` maps a state to its title and style, in order."""
    for state, (title, style) in titles.items():
        of_state = [cause for cause in causes if cause.state == state]
        if not of_state:
            continue
        console.print(Text(f"{title}: {sum(each.number for each in of_state)}", style))
        width = len(str(of_state[0].number))
        for cause in of_state[:SHOWN]:
            for line in lines_of(cause, width):
                console.print(Text(line), soft_wrap=True)
        if len(of_state) > SHOWN:
            console.print(f"  and {len(of_state) - SHOWN} more causes")
        console.print()


def lines_of(cause: Cause, width: int) -> Iterator[str]:
    """Yield a cause with its count, padded to `width`, and its examples, on a line if they fit."""
    yield f"  {cause.number:{width}}  {plain(cause.why)}"
    examples = [*map(plain, cause.examples)]
    if examples and cause.number > len(examples):
        examples.append("...")
    line = ", ".join(examples)
    for each in examples if len(line) > _LINE else filter(None, (line,)):
        yield f"  {'':{width}}  {each}"


def _why(cause: Mapping[str, Any], messages: set[str | None]) -> str:
    message = (
        (len(messages) == 1 and next(iter(messages)))
        or cause["message"]
        or cause["error"]
        or "no reason was recorded"
    )
    code = cause["code"]
    return f"{message} ({code})" if code and code not in message else str(message)
