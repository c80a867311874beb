"""Plans: what operations would do to a fleet, in order, to review first and then apply."""

import enum
import json
import os
import sqlite3
from abc import abstractmethod
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Self

import attrs

from enapter_async.client import Client
from enapter_async.converter.operations import operation_from_json
from enapter_async.fleet.errors import RunRefusedError
from enapter_async.fleet.inputs import WorkItem
from enapter_async.fleet.planning.decisions import Verdict
from enapter_async.fleet.planning.plan_file import (
    EXECUTED,
    PlanHeader,
    PlanItem,
    digest_of,
    plan_lines,
    read_header,
    read_items,
)
from enapter_async.fleet.planning.snapshot import BATCH
from enapter_async.fleet.private_files import written_whole
from enapter_async.operation import Operation, Repeat


# `Any` rather than items, so that type checkers accept a plan in place of operations.
class Plan(Collection[Any]):
    """The planned operations, in order; iterating yields the items that `fleet.apply` accepts.

    `len` is their number; `items` returns all requested operations with their verdicts;
    `counts` maps each verdict to a number. `deletions`, `configurations` and `once`
    (all other once-only operations, such as commands) are the numbers of changes that cannot be
    undone. Use it in a `with` statement, which removes its scratch file.
    """

    header: PlanHeader

    def __init__(self, header: PlanHeader) -> None:
        self.header = header
        found = self._count()
        counts = dict.fromkeys(Verdict, 0)
        for (verdict, _), number in found.items():
            counts[verdict] += number
        self.counts: Mapping[Verdict, int] = counts
        self.deletions = found[Verdict.CHANGE, Kind.REMOVES]
        self.configurations = found[Verdict.CHANGE, Kind.SECRET]
        self.once = found[Verdict.CHANGE, Kind.ONCE]

    def _count(self) -> Counter[tuple[Verdict, "Kind"]]:
        """Count the items by verdict and by kind."""
        return Counter((item.verdict, kind_of(item.operation)) for item in self.items())

    @abstractmethod
    def items(self) -> Iterator[PlanItem]:
        """Return all requested items: first those to execute, in order, then the others.

        Each call starts from the beginning. Raises `PlanFileError` if the plan's file was changed.
        """

    def __iter__(self) -> Iterator[WorkItem]:
        """Yield the items to execute, in order."""
        for item in self.items():
            if item.operation is None or item.seq is None:
                continue  # the file is read to its end, where the checksum is
            yield WorkItem(
                seq=item.seq,
                operation=item.operation,
                before=None if item.before is None else dict(item.before),
                group=item.site,
                unit=item.unit,
                after=item.after,
                unchanged=item.verdict is not Verdict.CHANGE,
                plan=self.header.id,
                name=item.name,
                type=item.type,
            )

    def __len__(self) -> int:
        """Return the number of items to execute."""
        return sum(self.counts[verdict] for verdict in EXECUTED)

    def __contains__(self, item: object) -> bool:
        """Return whether an item is part of the plan, by comparing it with each item."""
        return any(each == item for each in self)

    def lines(self) -> Iterator[bytes]:
        """Return the lines of the plan's file."""
        return plan_lines(self.header, self.items())

    def write(self, path: str | os.PathLike[str], *, replace: bool = False) -> None:
        """Write the plan to a new file, readable by its owner only; `read_plan` reads it.

        With `replace`, an existing file is replaced once the plan is written completely.

        Raises:
            ConfigurationError: the file already exists, or cannot be created.
            OSError: the file could not be written completely.
        """
        with written_whole(path, new=not replace) as file:
            for line in self.lines():
                file.write(line.decode())

    def check_server(self, client: Client) -> None:
        """Refuse a client of a server other than the plan's.

        Raises:
            RunRefusedError: the servers differ; the message names both.
        """
        if str(client.base_url) != self.header.base_url:
            raise RunRefusedError(
                f"the plan was made for {self.header.base_url}, not for {client.base_url}"
            )

    @abstractmethod
    def close(self) -> None:
        """Release the plan's resources; safe to repeat."""

    def __enter__(self) -> Self:
        """Return the plan."""
        return self

    def __exit__(self, *_: object) -> None:
        """Release the plan's resources."""
        self.close()


class _FiledPlan(Plan):
    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = path
        super().__init__(read_header(path))
        if (self.configurations or self.once) and not self.header.id:
            self.header = attrs.evolve(self.header, id=digest_of(path))

    def items(self) -> Iterator[PlanItem]:
        return read_items(self._path)

    def close(self) -> None:
        """Do nothing, since the file is open only while being read."""


def read_plan(path: str | os.PathLike[str]) -> Plan:
    """Read a whole plan file, and check that it was not changed after it was written.

    The file is read and checked again when the plan is applied.

    Raises:
        PlanFileError: the file is not a plan, was cut or changed, or has a different version.
        ConfigurationError: the file cannot be read.
    """
    return _FiledPlan(path)


class ScratchPlan(Plan):
    """A plan that was just made, stored in its planner's scratch file."""

    def __init__(self, scratch: sqlite3.Connection, header: PlanHeader) -> None:
        self._scratch = scratch
        super().__init__(header)
        if not (self.configurations or self.once):
            self.header = attrs.evolve(header, id="")

    def items(self) -> Iterator[PlanItem]:
        """Yield everything that was requested, as `Plan.items` does."""
        columns = (
            "line, verdict, address, seq, ifnull(name, ''), ifnull(type, ''), grp, operation, "
            "before, why, follows, unit"
        )
        # Reads in pages rather than in one query: a plan may be iterated twice at once.
        for order, key, clause in (("seq", 3, "seq > ?"), ("line", 0, "seq IS NULL AND line > ?")):
            last = -1
            sql = f"SELECT {columns} FROM step WHERE {clause} ORDER BY {order} LIMIT {BATCH}"
            while rows := self._scratch.execute(sql, (last,)).fetchall():
                last = rows[-1][key]
                yield from map(_item, rows)

    def _count(self) -> Counter[tuple[Verdict, "Kind"]]:
        rows = self._scratch.execute("SELECT verdict, kind, count(*) FROM step GROUP BY 1, 2")
        return Counter({(Verdict(row[0]), Kind(row[1])): row[2] for row in rows})

    def close(self) -> None:
        """Remove the scratch file."""
        self._scratch.close()


def _item(row: tuple[Any, ...]) -> PlanItem:
    line, verdict, device, seq, name, type_, site, operation, before, why, follows, unit = row
    return PlanItem(
        line=line,
        verdict=Verdict(verdict),
        device=device,
        seq=seq,
        name=name,
        type=type_,
        site=site,
        operation=None if operation is None else operation_from_json(json.loads(operation)),
        before=None if before is None else json.loads(before),
        why=why,
        after=follows,
        unit=unit,
    )


def removes(operation: Operation[Any] | None) -> bool:
    """Return whether an operation deletes its target."""
    return operation is not None and operation.holds(None)


class Kind(enum.IntEnum):
    """The kinds of operations, by the reason why they cannot be undone."""

    USUAL = 0
    REMOVES = 1
    SECRET = 2
    """It returns a secret, as a new configuration does."""
    ONCE = 3
    """It does something new each time, such as a command."""


def kind_of(operation: Operation[Any] | None) -> Kind:
    """Return the kind of an operation."""
    if operation is None:
        return Kind.USUAL
    if operation.holds(None):
        return Kind.REMOVES
    if operation.answer.secret:
        return Kind.SECRET
    return Kind.ONCE if operation.repeat is Repeat.ONCE else Kind.USUAL
