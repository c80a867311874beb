"""What may start now: works of one device in order, after what they follow, few of a group."""

from collections import deque

from enapter_async.fleet.inputs import Work
from enapter_async.fleet.outcomes import State


class Lanes:
    """Parks a work behind an earlier one of the same device, or the one that it follows.

    It knows no tasks. An operation without a subject (a read) has no lane. Once a work did
    not end well, `blocked_by` names how; that memory grows with such devices only, one
    small entry each, because forgetting one would let later works run. Two spellings of one
    device, its id and its slug, are two subjects.
    """

    def __init__(self) -> None:
        self._parked: dict[str, deque[Work] | None] = {}
        """Whose work is under way, with those that wait behind it, if any ever did."""
        self._unfinished: dict[int, str | None] = {}
        """The subject of each work that was admitted and has not ended."""
        self._followers: dict[int, list[Work]] = {}
        self._blocked: dict[str, str] = {}
        self._bad = bytearray()
        """One bit for each seq, set where the work did not end well."""
        self.block_any = False
        """Whether a work did not end well, so that `blocked_by` may name it."""

    def block(self, work: Work, state: State) -> None:
        """Take note of a work that did not end well, also in an earlier session."""
        self.block_any = True
        subject = work.operation.subject()
        place, bit = divmod(work.seq, 8)
        self._bad.extend(bytes(max(0, place + 1 - len(self._bad))))
        self._bad[place] |= 1 << bit
        if subject is not None:
            self._blocked.setdefault(
                subject,
                f"an earlier operation of {subject} in this run is {state}: number {work.seq}",
            )

    def admit(self, work: Work) -> bool:
        """Say whether the work may start at once; otherwise park it."""
        subject = self._unfinished[work.seq] = work.operation.subject()
        if subject is not None:
            if subject in self._parked:
                lane = self._parked[subject]
                if lane is None:
                    lane = self._parked[subject] = deque()
                lane.append(work)
                return False
            self._parked[subject] = None
        return work.after is None or self._may_start(work)

    def release(self, work: Work, badly: State | None = None) -> list[Work]:
        """Take note that an admitted work ended, how if `badly`; give those that may start."""
        subject = self._unfinished.pop(work.seq)
        if badly is not None:
            self.block(work, badly)
        freed = self._followers.pop(work.seq, []) if self._followers else []
        if subject is not None:
            lane = self._parked.pop(subject)
            if lane:
                self._parked[subject] = lane
                if self._may_start(following := lane.popleft()):
                    freed.append(following)
        return freed

    def blocked_by(self, work: Work) -> str:
        """Tell which earlier work keeps this one from starting, and how it ended; or ""."""
        if work.after is not None and self._ended_badly(work.after):
            return f"number {work.after}, which must be done before it, did not end well"
        subject = work.operation.subject()
        return "" if subject is None else self._blocked.get(subject, "")

    def _ended_badly(self, seq: int) -> bool:
        place, bit = divmod(seq, 8)
        return place < len(self._bad) and bool(self._bad[place] >> bit & 1)

    def _may_start(self, work: Work) -> bool:
        if work.after is None or work.after not in self._unfinished:
            return True
        self._followers.setdefault(work.after, []).append(work)
        return False


class Groups:
    """Bounds how many works of one group may be under way together. It knows no tasks.

    A work without a group has no such bound.
    """

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._busy: dict[str, int] = {}
        self._parked: dict[str, deque[Work]] = {}

    def admit(self, work: Work) -> bool:
        """Say whether the work may start at once; otherwise park it."""
        if self._most is None or not work.group:
            return True
        busy = self._busy.get(work.group, 0)
        if busy >= self._most:
            self._parked.setdefault(work.group, deque()).append(work)
            return False
        self._busy[work.group] = busy + 1
        return True

    def release(self, work: Work) -> Work | None:
        """Take note that an admitted work ended; give the one that may start in its place."""
        if self._most is None or not work.group:
            return None
        parked = self._parked.get(work.group)
        if parked:
            following = parked.popleft()
            if not parked:
                del self._parked[work.group]
            return following
        self._busy[work.group] -= 1
        if not self._busy[work.group]:
            del self._busy[work.group]
        return None
