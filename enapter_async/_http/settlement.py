"""The end of a call whose attempts all failed: it is settled by reading back, or reported."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import attrs

from enapter_async._http.call import Call, ambiguous, doubt
from enapter_async._http.evidence import Evidence
from enapter_async._http.keyed_lock import within
from enapter_async._http.message import Failure
from enapter_async._http.searching import ids_of, searched
from enapter_async._http.wire import Wire
from enapter_async.clock import Clock
from enapter_async.errors import Certainty, EnapterError, NotFoundError
from enapter_async.operation import Operation, Repeat, Settles

_GONE: Final = (404, 410)
"""The statuses by which a server reports that there is no such object, or no longer."""


@attrs.frozen(kw_only=True)
class Settlement:
    """Settles the calls of one client; `read` executes a read on behalf of a call."""

    read: Callable[[Call, Operation[Any]], Awaitable[Any]]
    evidence: Evidence
    clock: Clock
    wire: Wire

    async def look_before(self, call: Call) -> None:
        """Record what exists before the first attempt, so that it is not taken for a new object."""
        operation = call.operation
        if operation.settles is Settles.KEY and (look := operation.reads()) is not None:
            found = await self.state(call, look)
            older: Any = () if found is None else (found,)
        else:
            found = await self._searched(call)
            older = found if isinstance(found, Failure) else operation.candidates(found)
        call.record.there = None if isinstance(found, Failure) else ids_of(older)

    async def _searched(self, call: Call) -> Any | Failure:
        return await searched(call.operation, lambda page: self.read(call, page))

    async def conclude(self, call: Call, last: Failure) -> Any | Failure:
        """Return the result of a call that could be settled, or else its failure."""
        operation = call.operation
        uncertain = [each for each in call.record.attempts if each.certainty.uncertain]
        if operation.repeat is Repeat.READ or not uncertain:
            return await self._judged(call, last)
        found = "it cannot be read back"
        reading = operation.reads()
        if last.absent and operation.holds(None):
            if await self._lives(call):
                call.record.already_absent = True
                return operation.result_of(None)
            why = self._why_unproven(call, last)
            found = f"the last response proves nothing ({last.error}; {why})"
        elif operation.settles is not Settles.NEVER and reading is not None:
            search = operation.settles is Settles.SEARCH
            state = await (self._searched(call) if search else self.state(call, reading))
            call.record.shown = state
            found = doubt(call, state)
            if not found:
                call.record.settled = True
                return operation.result_of(state)
            call.still_there = not (isinstance(state, Failure) or operation.holds(state))
        applied = any(each.certainty is Certainty.APPLIED for each in uncertain)
        error = ambiguous(call, uncertain[-1], found, applied=applied)
        return attrs.evolve(last, error=error)

    async def state(self, call: Call, reading: Operation[Any]) -> Any | Failure:
        """Return the state that a read shows; None if the object is proven not to exist."""
        state = await self.read(call, reading)
        if not (isinstance(state, Failure) and state.absent):
            return state
        if not call.operation.holds(None) or await self._lives(call):
            return None
        _explain(state.error, self._why_unproven(call, state))
        return state

    async def _judged(self, call: Call, last: Failure) -> Failure:
        """Return the failure of a call whose attempts were all refused; a 404 is explained.

        A proxy may have delivered the request twice, and passed on the second answer. A deletion
        that the first delivery carried out is then answered with a 404, and so is a new slug.
        """
        operation, error = call.operation, last.error
        if last.status not in _GONE or operation.repeat is Repeat.READ:
            return await self._proven(call, last) if call.record.decides else last
        if not operation.holds(None):
            last = await self._proven(call, last) if call.record.decides else last
            return await self._unless_moved(call, last) if last.absent else last
        if call.record.decides:
            last = await self._proven(call, last)
            if not getattr(last.error, "proven", False):
                tried = call.record.attempts[-1]
                why = str(last.error)
                last = attrs.evolve(last, error=ambiguous(call, tried, why, applied=False))
        elif isinstance(error, NotFoundError):
            _explain(error, self._gone(call) if last.absent else self._why_unproven(call, last))
        return last

    async def _proven(self, call: Call, last: Failure) -> Failure:
        """Return the failure of a call that decides something; prove its 404, or explain it."""
        error = last.error
        if isinstance(error, NotFoundError):
            if last.absent and await self._lives(call):
                error.proven = True
            else:
                _explain(error, self._why_unproven(call, last))
        return last

    async def _unless_moved(self, call: Call, last: Failure) -> Failure:
        """Return the failure of a write whose target was not found; unknown if it has moved."""
        moved = call.operation.reads_moved()
        if moved is None:
            return last
        state = await self.read(call, moved)
        if isinstance(state, Failure):
            if state.absent:
                return last
            found = f"it cannot be read by its new slug ({state.error})"
        elif not call.operation.accepts(state):
            return last  # the slug belongs to another object
        else:
            found = "an object has its new slug"
        tried = call.record.attempts[-1]
        return attrs.evolve(last, error=ambiguous(call, tried, found, applied=False))

    def _gone(self, call: Call) -> str:
        """Return what the API's own 404 in answer to a deletion shows."""
        known = ""
        if not self.evidence.lives(call.operation):
            known = f"if {self.wire.base_url} is an Enapter API, "
        return (
            f"{known}it does not exist now: it never did, or it was deleted, perhaps by this very "
            "request, which a proxy may have delivered twice"
        )

    def _why_unproven(self, call: Call, last: Failure) -> str:
        """Return why a 404 proves nothing, with a remedy."""
        base_url, site_id = self.wire.base_url, call.operation.target().site_id
        why = f"something other than the API answered at {base_url}: check base_url"
        if last.from_api and site_id is not None:
            why = f"the site {site_id} is not known at {base_url}: check base_url and the site"
        elif last.from_api:
            why = f"no Enapter API is known at {base_url}: check base_url"
        elif last.cut:
            why = "only a part of the response arrived"
        return f"this does not prove that it is absent, because {why}"

    async def _lives(self, call: Call) -> bool:
        """Return whether the API of a noun is known to exist here, after a check if necessary."""
        operation = call.operation
        proof = operation.proven_by()
        if proof is not None and not self.evidence.lives(operation):
            await self._find_out(call, proof)
        return self.evidence.lives(operation)

    async def _find_out(self, call: Call, proof: Operation[Any]) -> None:
        """Check whether the API of a noun answers; concurrent callers share the result."""
        evidence = self.evidence
        asked = evidence.asked[proof]
        if not await within(call.end - self.clock.monotonic(), evidence.asking.acquire):
            return
        try:
            if evidence.asked[proof] == asked:
                state = await self.read(call, proof)
                evidence.asked[proof] += 1
                if not isinstance(state, Failure):
                    evidence.prove(call.operation)
        finally:
            evidence.asking.release()


def _explain(error: EnapterError, why: str) -> None:
    """Add to an error's message what its 404 shows."""
    error.args = (f"{error}; {why}",)
