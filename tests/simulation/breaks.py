"""Named breaks of the package, one at a time, to see that a simulation finds each of them.

A break replaces some text in the source of one function; it is refused where the text no
longer stands there exactly once, so that none can rot unnoticed.
"""

import contextlib
import importlib
import inspect
import sys
import textwrap
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

import attrs


@attrs.frozen
class Break:
    """What is replaced in which function, as `module:Class.method` or `module:function`."""

    where: str
    old: str
    new: str

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Break the package, and mend it again."""
        module_name, _, path = self.where.partition(":")
        module = importlib.import_module(f"enapter_async.{module_name}")
        *owners, name = path.split(".")
        owner: Any = module
        for each in owners:
            owner = getattr(owner, each)
        whole = vars(owner)[name]
        source = textwrap.dedent(inspect.getsource(whole))
        if source.count(self.old) != 1:
            raise AssertionError(f"{self.where} no longer holds this once: {self.old}")
        place: dict[str, Any] = {}
        exec(compile(source.replace(self.old, self.new), self.where, "exec"), vars(module), place)  # noqa: S102 - our own source, changed in one place
        # Modules that imported the function by its name are broken with it.
        others = [owner]
        if owner is module:
            others += [
                other
                for other_name, other in sys.modules.items()
                if other_name.startswith("enapter_async") and vars(other).get(name) is whole
            ]
        try:
            for other in others:
                setattr(other, name, place[name])
            yield
        finally:
            for other in others:
                setattr(other, name, whole)


_CONCLUDE: Final = "_http.pipeline:Pipeline._conclude"
_CARRY_OUT: Final = "fleet.item:Item.carry_out"

BREAKS: Final[Mapping[str, Break]] = MappingProxyType(
    {
        "a once-only operation is repeated after M": Break(
            "_http.retry:may_repeat", 'return policy.on_ambiguous == "regenerate"', "return True"
        ),
        "a negative read is taken as failure": Break(
            _CONCLUDE,
            'found = "a read after it does not show it, which proves nothing"',
            "return last",
        ),
        "a read that failed is taken as failure": Break(
            _CONCLUDE, 'found = f"it could not be read back ({state.error})"', "return last"
        ),
        "a first 404 on DELETE is success": Break(
            _CONCLUDE,
            "if operation.repeat is Repeat.READ or not uncertain:",
            "if operation.repeat is Repeat.READ or not (uncertain or last.status == 404):",
        ),
        "a proxy's 404 on DELETE is believed": Break(
            _CONCLUDE, "last.status == 404 and last.from_api", "last.status == 404"
        ),
        "Retry-After is ignored": Break(
            "_http.retry:backoff", "if failure.retry_after is not None:", "if False:"
        ),
        "a pause holds nobody else back": Break(
            "_http.pipeline:Pipeline._failed",
            "self.gate.pause(min(call.delay, self.policy.max_retry_after), epoch)",
            "pass",
        ),
        "all rush in after a pause": Break(
            "_http.pacing:Gate._shut_seconds",
            "self._allowed = PROBE",
            "self._allowed = self._limit",
        ),
        "requests are not spaced": Break(
            "_http.pacing:Gate._space", "+ self._spacing", "+ 0.0 * self._spacing"
        ),
        "the deadline does not count waiting": Break(
            "_http.pipeline:Pipeline._attempt", "left = call.end - began", "left = 60.0"
        ),
        "no time is kept back for settling": Break(
            "_http.retry:settle_reserve",
            "min(SETTLE_SECONDS, left * SETTLE_SHARE) if",
            "min(SETTLE_SECONDS, left * -SETTLE_SHARE) if",
        ),
        "two writers of one device": Break(
            "_http.pacing:Turns.try_take", "if key in self._waiting:", "if False:"
        ),
        "a cancelled waiter keeps its place in the gate": Break(
            "_http.pacing:Gate.enter", "self._line.remove(place)", "pass"
        ),
        "sent before the intent is written": Break(
            _CARRY_OUT, "await page.announce()", "page.announce()"
        ),
        "sent again without a second intent": Break(
            _CARRY_OUT, "None if page is None else page.announce", "None"
        ),
        "outcome before credentials": Break(
            "fleet.item:Item._keep",
            "await keeper.keep(self.operation, result, self._page)",
            "keeper.keep(self.operation, result, self._page).close()",
        ),
        "abort off by one": Break(
            "fleet.rollout.abort:AbortCriterion.met",
            "return failures * 10_000 >=",
            "return failures * 10_000 >",
        ),
        "abort one too late": Break(
            "fleet.rollout.abort:AbortCriterion.met",
            "executed < self.min_executed",
            "executed <= self.min_executed",
        ),
        "an abort stops nothing": Break(
            "fleet.rollout.halt:Halt.__bool__", "return bool(self.reason)", "return False"
        ),
        "resume by offset": Break(
            "fleet.journal.ledger:Ledger.left",
            "if work.seq < len(self._todo) and self._todo[work.seq]:",
            "if work.seq >= sum(self.earlier.values()):",
        ),
        "an intent without outcome is done again": Break(
            "fleet.journal.ledger:Ledger._settle",
            "work.operation.repeat is not Repeat.ONCE or",
            "True or",
        ),
        "credentials in the file are forgotten": Break(
            "fleet.journal.ledger:Ledger._kept",
            "frozenset() if path is None else",
            "frozenset() or",
        ),
        "an earlier session's attempt is forgotten": Break(
            "fleet.journal.ledger:Ledger.page",
            "uncertain=work.seq in self._uncertain",
            "uncertain=False",
        ),
        "a wave does not wait": Break(
            "fleet.engine:Run._before", "await self._halt.unless(self._crew.quiet())", "pass"
        ),
        "a device's later work is not held": Break(
            "fleet.lanes:Lanes.blocked_by", 'self._blocked.get(subject, "")', '""'
        ),
        "a device's works overtake each other": Break(
            "fleet.lanes:Lanes.admit", "lane.append(work)\n            return False", "return True"
        ),
        "the guard is skipped": Break(
            "fleet.crew:Crew._try", "if work.before is not None and", "if False and"
        ),
        "a proxy's 404 is a device that is gone": Break(
            "fleet.item:_is_not_there",
            "isinstance(error, NotFoundError) and error.from_api",
            "isinstance(error, NotFoundError)",
        ),
        "rows of a group are put in by their length": Break(
            "fleet.journal.file:Journal.add",
            "itertools.groupby(events, _is_brief)",
            "itertools.groupby(sorted(events, key=_is_brief), _is_brief)",
        ),
        "a session tells as held what an earlier one sent": Break(
            "fleet.item:Item.not_started", "if not self._uncertain:", "if True:"
        ),
    }
)
