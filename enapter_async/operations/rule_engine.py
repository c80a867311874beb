"""The operations on the engine that runs the rules of a site.

Without `site_id` they are about the only site of the gateway at the client's base URL.

Source: API page, "Rule Engine".
"""

from typing import Any, ClassVar, Final, TypeVar

import attrs

from enapter_async.models.rules import RuleEngine, RuleEngineState
from enapter_async.operation import MIB, Answer, Operation, Repeat, RequestParts, Target
from enapter_async.operations import device_arguments
from enapter_async.operations.arguments import AMBIGUOUS_SITE

T = TypeVar("T")

_ENGINE: Final[Answer[RuleEngine]] = Answer(key="engine", type=RuleEngine, max_bytes=MIB)
_HERE: Final = "site"
"""The segment of the path, and the name in messages, of a gateway's only site."""


@attrs.frozen(kw_only=True)
class AtSite(Operation[T]):
    """An operation on the rule engine of a site, or of the gateway's site if `site_id` is None."""

    site_id: str | None = attrs.field(default=None, converter=device_arguments.site_id)

    def path(self, *rest: str) -> tuple[str, ...]:
        """Return the path of the engine, followed by `rest`."""
        site = (_HERE,) if self.site_id is None else ("sites", self.site_id)
        return (*site, "rule_engine", *rest)

    def proven_by(self) -> Operation[Any] | None:
        """Return the read of the same engine, because each site has its own."""
        return self.proof if self.site_id is None else GetRuleEngine(site_id=self.site_id)

    def not_in_jobs(self) -> str:
        """Return a reason for a change at the gateway's own site: a job names each site by its id.

        When the job is resumed or undone, another gateway may answer.
        """
        return "" if self.site_id or self.repeat is Repeat.READ else AMBIGUOUS_SITE

    def target(self) -> Target:
        """Return the engine, which has the name of its site."""
        return Target("rule_engine", self.site_id or _HERE)


@attrs.frozen(kw_only=True)
class GetRuleEngine(AtSite[RuleEngine]):
    """Read the state of a rule engine. Changes nothing, so it is safe to repeat.

    Source: API page "Rule Engine", `GET sites/{site_id}/rule_engine` and `GET site/rule_engine`.
    """

    kind: ClassVar[str] = "rule_engine.get"
    repeat: ClassVar[Repeat] = Repeat.READ
    answer: ClassVar[Answer[RuleEngine]] = _ENGINE

    def request(self) -> RequestParts:
        """Return the HTTP request of this operation."""
        return RequestParts(method="GET", path=self.path())


@attrs.frozen(kw_only=True)
class _SetEngine(AtSite[RuleEngine]):
    """Sets the state of the engine, so it is safe to repeat."""

    repeat: ClassVar[Repeat] = Repeat.CONVERGENT
    answer: ClassVar[Answer[RuleEngine]] = _ENGINE
    wanted: ClassVar[RuleEngineState]

    def request(self) -> RequestParts:
        """Return the HTTP request of this operation."""
        return RequestParts(method="POST", path=self.path(self.kind.partition(".")[2]))

    def changes(self) -> dict[str, Any]:
        """Return the state of the engine that is set."""
        return {"state": self.wanted}

    def reads(self) -> GetRuleEngine:
        """Return the operation that reads the engine."""
        return GetRuleEngine(site_id=self.site_id)

    def undo(self, before: RuleEngine) -> "_SetEngine | None":
        """Return the operation that restores the old state; None if it is unknown."""
        for kind in (SuspendRuleEngine, ResumeRuleEngine):
            if before.state == kind.wanted:
                return kind(site_id=self.site_id)
        return None


@attrs.frozen(kw_only=True)
class SuspendRuleEngine(_SetEngine):
    """Suspend a rule engine: no rule runs until it is resumed. Safe to repeat.

    Source: API page "Rule Engine", `POST sites/{site_id}/rule_engine/suspend`.
    """

    kind: ClassVar[str] = "rule_engine.suspend"
    wanted: ClassVar[RuleEngineState] = RuleEngineState.SUSPENDED


@attrs.frozen(kw_only=True)
class ResumeRuleEngine(_SetEngine):
    """Resume a suspended rule engine. Safe to repeat.

    Source: API page "Rule Engine", `POST sites/{site_id}/rule_engine/resume`.
    """

    kind: ClassVar[str] = "rule_engine.resume"
    wanted: ClassVar[RuleEngineState] = RuleEngineState.ACTIVE


AtSite.proof = GetRuleEngine()
