"""Decides which items may start, given the order per device, `after`, and the limit per group."""

from collections import deque

from enapter_async.fleet.inputs import WorkItem
from enapter_async.fleet.outcomes import State


class Ordering:
    """Parks an item behind an earlier item for the same device, or behind the item it follows.

    This class does not handle tasks. Reads and operations on new objects are not ordered. Once an
    item has ended badly, `blocked_by` describes it. Each such device takes one small entry, which
    is kept for the whole run: without it, later items would run. The id and the slug of one device
    count as two devices.
    """

    def __init__(self) -> None:
        self._parked: dict[tuple[str, str], deque[WorkItem] | None] = {}
        """Targets with an item in flight, each with the items waiting behind it."""
        self._unfinished: dict[int, tuple[str, str] | None] = {}
        """The target of each item that was admitted and has not finished."""
        self._followers: dict[int, list[WorkItem]] = {}
        self._blocked: dict[tuple[str, str], str] = {}
        self._bad = bytearray()
        """One bit for each seq, set if the item ended badly."""
        self.block_any = False
        """Whether any item ended badly, so that `blocked_by` must be checked."""

    def block(self, item: WorkItem, state: State) -> None:
        """Record an item that ended badly, in this or an earlier session."""
        self.block_any = True
        thing = item.operation.writes_to()
        place, bit = divmod(item.seq, 8)
        self._bad.extend(bytes(max(0, place + 1 - len(self._bad))))
        self._bad[place] |= 1 << bit
        if thing is not None:
            self._blocked.setdefault(
                thing,
                f"an earlier operation on {thing[1]} in this run, number {item.seq}, has the "
                f"outcome '{state}'",
            )

    def admit(self, item: WorkItem) -> bool:
        """Return whether the item may start at once; otherwise park it."""
        thing = self._unfinished[item.seq] = item.operation.writes_to()
        if thing is not None:
            if thing in self._parked:
                queue = self._parked[thing]
                if queue is None:
                    queue = self._parked[thing] = deque()
                queue.append(item)
                return False
            self._parked[thing] = None
        return item.after is None or self._may_start(item)

    def release(self, item: WorkItem, badly: State | None = None) -> list[WorkItem]:
        """Record that an item finished (`badly` names a bad end); return items that may start."""
        thing = self._unfinished.pop(item.seq)
        if badly is not None:
            self.block(item, badly)
        freed = self._followers.pop(item.seq, []) if self._followers else []
        if thing is not None:
            queue = self._parked.pop(thing)
            if queue:
                self._parked[thing] = queue
                if self._may_start(following := queue.popleft()):
                    freed.append(following)
        return freed

    def blocked_by(self, item: WorkItem) -> str:
        """Describe the earlier item that blocks this one, and how it ended; "" if there is none."""
        if item.after is not None and self._ended_badly(item.after):
            return f"number {item.after}, which must be done first, was not done successfully"
        thing = item.operation.writes_to()
        return "" if thing is None else self._blocked.get(thing, "")

    def _ended_badly(self, seq: int) -> bool:
        place, bit = divmod(seq, 8)
        return place < len(self._bad) and bool(self._bad[place] >> bit & 1)

    def _may_start(self, item: WorkItem) -> bool:
        if item.after is None or item.after not in self._unfinished:
            return True
        self._followers.setdefault(item.after, []).append(item)
        return False


class GroupLimit:
    """Limits how many items of one group are in flight together; does not handle tasks.

    Items without a group are not limited.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._busy: dict[str, int] = {}
        self._parked: dict[str, deque[WorkItem]] = {}

    def admit(self, item: WorkItem) -> bool:
        """Return whether the item may start at once; otherwise park it."""
        if not item.group:
            return True
        busy = self._busy.get(item.group, 0)
        if busy >= self._most:
            self._parked.setdefault(item.group, deque()).append(item)
            return False
        self._busy[item.group] = busy + 1
        return True

    def release(self, item: WorkItem) -> WorkItem | None:
        """Record that an admitted item finished; return the item that may start in its place."""
        if not item.group:
            return None
        parked = self._parked.get(item.group)
        if parked:
            following = parked.popleft()
            if not parked:
                del self._parked[item.group]
            return following
        self._busy[item.group] -= 1
        if not self._busy[item.group]:
            del self._busy[item.group]
        return None
