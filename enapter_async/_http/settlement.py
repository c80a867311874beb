"""The end of a call whose attempts all failed: it is settled by reading back, or reported."""

from collections.abc import Awaitable, Callable
from typing import Any

import attrs

from enapter_async._http.call import Call, ambiguous, doubt
from enapter_async._http.evidence import Evidence
from enapter_async._http.keyed_lock import within
from enapter_async._http.message import Failure
from enapter_async._http.searching import ids_of, searched
from enapter_async._http.wire import Wire
from enapter_async.clock import Clock
from enapter_async.errors import Certainty, NotFoundError
from enapter_async.operation import Operation, Repeat, Settles


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
            return await self._judged(call, last) if call.record.decides else last
        found = "it cannot be read back"
        reading = operation.reads()
        if last.absent and operation.holds(None):
            if await self._lives(call):
                call.record.already_absent = True
                return operation.result_of(None)
            found = f"the last response proves nothing ({self._unproven(call, last.error)})"
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
        return attrs.evolve(state, error=self._unproven(call, state.error))

    async def _judged(self, call: Call, last: Failure) -> Failure:
        """Return the failure of a call that decides something; prove its 404, or explain it."""
        error = last.error
        if not isinstance(error, NotFoundError):
            return last
        if last.absent and await self._lives(call):
            error.proven = True
            return last
        unproven = self._unproven(call, error)
        operation = call.operation
        if last.absent and operation.holds(None) and self._is_unanswered(operation):
            # It may be gone because of this very request, if a proxy delivered it twice.
            tried = call.record.attempts[-1]
            return attrs.evolve(last, error=ambiguous(call, tried, str(unproven), applied=False))
        return attrs.evolve(last, error=unproven)

    def _is_unanswered(self, operation: Operation[Any]) -> bool:
        """Return whether it is still open what answers at `base_url`: the proof got no answer."""
        return operation.proven_by() in self.evidence.unanswered

    def _unproven(self, call: Call, error: Any) -> NotFoundError:
        """Return the error for a 404 that proves nothing, with a remedy."""
        base_url, site_id = self.wire.base_url, call.operation.target().site_id
        why = f"something other than the API answered at {base_url}: check base_url"
        if error.from_api and site_id is not None:
            why = f"the site {site_id} is not known at {base_url}: check base_url and the site"
        elif error.from_api:
            why = f"no Enapter API is known at {base_url}: check base_url"
        unproven = NotFoundError(
            f"{error}; this does not prove that it is absent, because {why}",
            status=error.status,
            errors=error.errors,
            request_id=error.request_id,
            excerpt=error.excerpt,
            from_api=error.from_api,
        )
        unproven.noun = error.noun
        return unproven

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
        evidence.unanswered.add(proof)
        if not await within(call.end - self.clock.monotonic(), evidence.asking.acquire):
            return
        try:
            if evidence.asked[proof] == asked:
                state = await self.read(call, proof)
                evidence.asked[proof] += 1
                if not isinstance(state, Failure):
                    evidence.prove(call.operation)
                if not isinstance(state, Failure) or _is_another_service(state):
                    evidence.unanswered.discard(proof)
        finally:
            evidence.asking.release()


def _is_another_service(state: Failure) -> bool:
    """Return whether a failed proof shows that the API of its noun is not served here.

    Only a service that answers in the API's form, or in JSON of its own, shows that; an error or a
    page may come from anything in between.
    """
    return state.absent or (state.certainty is Certainty.APPLIED and not state.cut)
