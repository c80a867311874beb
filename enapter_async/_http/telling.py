"""Delivery of a pipeline's events to its hooks."""

import logging
from collections.abc import Sequence
from typing import Any

import attrs

from enapter_async._http.call import Call
from enapter_async._http.message import Failure, Reply
from enapter_async.clock import Clock
from enapter_async.errors import EnapterError
from enapter_async.hooks import AttemptPassed, CallEnded, Event, Hook, ReadBack, Waited
from enapter_async.operation import Operation

logger = logging.getLogger("enapter_async")


@attrs.frozen(kw_only=True)
class Telling:
    """Reports the events of calls to hooks; a failing hook does not affect a call."""

    hooks: Sequence[Hook]
    clock: Clock

    def _tell_waited(self, call: Call, began: float, reason: str, pace: object = "") -> None:
        if self.hooks:
            seconds = self.clock.monotonic() - began
            self._tell(
                Waited(
                    call=call.number,
                    operation=call.operation,
                    seconds=seconds,
                    reason=reason,
                    pace=str(pace),
                )
            )

    def _tell_read(
        self, call: Call, reading: Operation[Any], began: float, status: int | None, state: Any
    ) -> None:
        if self.hooks:
            self._tell(
                ReadBack(
                    call=call.number,
                    operation=call.operation,
                    reading=reading,
                    elapsed=self.clock.monotonic() - began,
                    status=status,
                    error_type=state.kind if isinstance(state, Failure) else None,
                )
            )

    def _tell_end(self, call: Call, error: EnapterError | None, *, cancelled: bool) -> None:
        record = call.record
        self._tell(
            CallEnded(
                call=call.number,
                operation=call.operation,
                elapsed=record.elapsed,
                attempts=record.attempts,
                error=error,
                settled=record.settled,
                already_absent=record.already_absent,
                cancelled=cancelled,
            )
        )

    def _tell(self, event: Event) -> None:
        for hook in self.hooks:
            try:
                hook(event)
            except Exception:
                logger.exception("a hook failed on %s", type(event).__name__)

    def _tell_passed(self, call: Call, reply: Reply, request_id: str | None, began: float) -> None:
        self._tell(
            AttemptPassed(
                call=call.number,
                operation=call.operation,
                number=len(call.record.attempts) + 1,
                status=reply.status,
                elapsed=self.clock.monotonic() - began,
                request_id=request_id,
            )
        )
