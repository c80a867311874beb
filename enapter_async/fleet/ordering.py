"""What may start now: items of one device in order, after what they follow, few of a group."""

from collections import deque

from enapter_async.fleet.inputs import WorkItem
from enapter_async.fleet.outcomes import State


class Ordering:
    """Parks an item behind an earlier one of the same device, or the one that it follows.

    It knows no tasks. A read, or an operation on a new thing, has no order. Once an item did
    not end well, `blocked_by` names how; that memory grows with such devices only, one
    small entry each, because forgetting one would let later items run. Two spellings of one
    device, its id and its slug, are two things.
    """

    def __init__(self) -> None:
        self._parked: dict[tuple[str, str], deque[WorkItem] | None] = {}
        """Whose item is in flight, with those that wait behind it, if any ever did."""
        self._unfinished: dict[int, tuple[str, str] | None] = {}
        """The thing of each item that was admitted and has not ended."""
        self._followers: dict[int, list[WorkItem]] = {}
        self._blocked: dict[tuple[str, str], str] = {}
        self._bad = bytearray()
        """One bit for each seq, set where the item did not end well."""
        self.block_any = False
        """Whether an item did not end well, so that `blocked_by` may name it."""

    def block(self, item: WorkItem, state: State) -> None:
        """Take note of an item that did not end well, also in an earlier session."""
        self.block_any = True
        thing = item.operation.writes_to()
        place, bit = divmod(item.seq, 8)
        self._bad.extend(bytes(max(0, place + 1 - len(self._bad))))
        self._bad[place] |= 1 << bit
        if thing is not None:
            self._blocked.setdefault(
                thing,
                f"an earlier operation of {thing[1]} in this run ended as '{state}': "
                f"number {item.seq}",
            )

    def admit(self, item: WorkItem) -> bool:
        """Say whether the item may start at once; otherwise park it."""
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
        """Take note that an admitted item ended, how if `badly`; give those that may start."""
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
        """Tell which earlier item keeps this one from starting, and how it ended; or ""."""
        if item.after is not None and self._ended_badly(item.after):
            return f"number {item.after}, which must be done before it, did not end well"
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
    """Bounds how many items of one group may be in flight together. It knows no tasks.

    An item without a group has no such bound.
    """

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._busy: dict[str, int] = {}
        self._parked: dict[str, deque[WorkItem]] = {}

    def admit(self, item: WorkItem) -> bool:
        """Say whether the item may start at once; otherwise park it."""
        if self._most is None or not item.group:
            return True
        busy = self._busy.get(item.group, 0)
        if busy >= self._most:
            self._parked.setdefault(item.group, deque()).append(item)
            return False
        self._busy[item.group] = busy + 1
        return True

    def release(self, item: WorkItem) -> WorkItem | None:
        """Take note that an admitted item ended; give the one that may start in its place."""
        if self._most is None or not item.group:
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
