"""The operations on rules, each addressed by its id, or by its slug, unique within the site.

Source: API page, "Rule Engine".
"""

import contextlib
from typing import Any, ClassVar, Final, TypeVar

import attrs

from enapter_async.errors import ArgumentError
from enapter_async.models.rules import Rule, RulePage, RuleScript
from enapter_async.operation import (
    WHOLE,
    Answer,
    Repeat,
    RequestParts,
    Settles,
    Target,
)
from enapter_async.operations import arguments, rule_arguments
from enapter_async.operations.pages import (
    LARGEST_PAGE,
    LARGEST_PAGE_BYTES,
    limit_argument,
    offset_argument,
)
from enapter_async.operations.rule_engine import AtSite

T = TypeVar("T")

_RULE: Final[Answer[Rule]] = Answer(key="rule", type=Rule, max_bytes=LARGEST_PAGE_BYTES)


@attrs.frozen(kw_only=True)
class ListRules(AtSite[RulePage]):
    """Read rules: all or the first of them without `offset` and `limit`, or else one page.

    Old gateways refuse both parameters and send all rules at once, without a `total_count`; only
    after an answer with one may a page be requested. Changes nothing, so it is safe to repeat.

    Source: API page "Rule Engine", `GET sites/{site_id}/rule_engine/rules`.
    """

    kind: ClassVar[str] = "rule.list"
    repeat: ClassVar[Repeat] = Repeat.READ
    answer: ClassVar[Answer[RulePage]] = Answer(
        key=WHOLE, type=RulePage, max_bytes=LARGEST_PAGE_BYTES
    )

    offset: int | None = attrs.field(
        default=None, converter=attrs.converters.optional(offset_argument)
    )
    limit: int | None = attrs.field(
        default=None, converter=attrs.converters.optional(limit_argument)
    )

    def request(self) -> RequestParts:
        """Return the HTTP request of this operation."""
        asked = (("offset", self.offset), ("limit", self.limit))
        query = tuple((name, str(value)) for name, value in asked if value is not None)
        return RequestParts(method="GET", path=self.path("rules"), query=query)

    def target(self) -> Target:
        """Return the list of rules."""
        return Target("rule", site_id=self.site_id)

    def accepts(self, result: RulePage) -> bool:
        """Return whether an answer is a page of rules at all."""
        return result.rules is not None or result.total_count is not None

    def smaller(self) -> "ListRules | None":
        """Return a page of half the size at the same offset, or None if the limit is one rule."""
        limit = self.limit or LARGEST_PAGE
        half = attrs.evolve(self, offset=self.offset or 0, limit=max(1, limit // 2))
        return None if limit == 1 else half


@attrs.frozen(kw_only=True)
class _OnRule(AtSite[T]):
    """An operation on the rule with the id or slug `rule_id`."""

    rule_id: str = attrs.field(converter=rule_arguments.rule_id)

    def rule_path(self, *rest: str) -> tuple[str, ...]:
        """Return the path of the rule, followed by `rest`."""
        return self.path("rules", self.rule_id, *rest)

    def target(self) -> Target:
        """Return the rule."""
        return Target("rule", self.rule_id, self.site_id)

    def accepts(self, result: Any) -> bool:
        """Return whether an answer with a rule is about the requested one."""
        return not isinstance(result, Rule) or rule_arguments.is_about(self.rule_id, result)

    def reads(self) -> "GetRule":
        """Return the operation that reads the rule."""
        return GetRule(rule_id=self.rule_id, site_id=self.site_id)


@attrs.frozen(kw_only=True)
class GetRule(_OnRule[Rule]):
    """Read one rule with its script. Changes nothing, so it is safe to repeat.

    Source: API page "Rule Engine", `GET sites/{site_id}/rule_engine/rules/{rule_id}`.
    """

    kind: ClassVar[str] = "rule.get"
    repeat: ClassVar[Repeat] = Repeat.READ
    answer: ClassVar[Answer[Rule]] = _RULE

    def request(self) -> RequestParts:
        """Return the HTTP request of this operation."""
        return RequestParts(method="GET", path=self.rule_path())


@attrs.frozen(kw_only=True)
class CreateRule(AtSite[Rule]):
    """Create a rule with a slug; `script` is its text, a `RuleScript` or a JSON object of one.

    Not safe to repeat. An uncertain outcome is settled by the slug: if no rule had it before and
    one with this script has it now, the rule was created.

    Source: API page "Rule Engine", `POST sites/{site_id}/rule_engine/rules`.
    """

    kind: ClassVar[str] = "rule.create"
    repeat: ClassVar[Repeat] = Repeat.ONCE
    settles: ClassVar[Settles] = Settles.KEY
    answer: ClassVar[Answer[Rule]] = _RULE

    slug: str = attrs.field(converter=rule_arguments.slug)
    script: RuleScript = attrs.field(converter=rule_arguments.script)
    disabled: bool = False

    def request(self) -> RequestParts:
        """Return the HTTP request of this operation."""
        body: dict[str, Any] = {"slug": self.slug, "script": rule_arguments.sent(self.script)}
        if self.disabled:
            body["disable"] = True
        return RequestParts(method="POST", path=self.path("rules"), body=body)

    def target(self) -> Target:
        """Return the new rule, whose natural key is its slug."""
        return Target("rule", None, self.site_id, natural_key=self.slug)

    def needs(self) -> tuple[Target, ...]:
        """Return the site, if one is named."""
        return () if self.site_id is None else (Target("site", self.site_id),)

    def reads(self) -> GetRule:
        """Return the operation that reads the rule with this slug."""
        return GetRule(rule_id=self.slug, site_id=self.site_id)

    def holds(self, state: Rule | None) -> bool:
        """Return whether a rule is as requested."""
        return state is not None and not self.differs(state)

    def differs(self, result: Rule) -> str:
        """Return how a rule differs from the requested one; "" if it does not."""
        if result.slug not in (None, self.slug):
            return f"slug is {result.slug!r}, but {self.slug!r} was requested"
        if bool(result.disabled) != self.disabled:
            return f"disabled is {bool(result.disabled)}, but {self.disabled} was requested"
        return rule_arguments.script_differs(self.script, result.script)


@attrs.frozen(kw_only=True)
class RenameRule(_OnRule[Rule]):
    """Set the slug of a rule. Sets an absolute state, so it is safe to repeat.

    A rule that is addressed by its old slug cannot be found after it was renamed; then an uncertain
    outcome stays uncertain. A rule that is addressed by its id is read back.

    Source: API page "Rule Engine", `PATCH sites/{site_id}/rule_engine/rules/{rule_id}`.
    """

    kind: ClassVar[str] = "rule.rename"
    repeat: ClassVar[Repeat] = Repeat.CONVERGENT
    answer: ClassVar[Answer[Rule]] = _RULE

    slug: str = attrs.field(converter=rule_arguments.slug)

    def request(self) -> RequestParts:
        """Return the HTTP request of this operation."""
        return RequestParts(method="PATCH", path=self.rule_path(), body={"slug": self.slug})

    def changes(self) -> dict[str, Any]:
        """Return the slug that is set."""
        return {"slug": self.slug}

    def accepts(self, result: Any) -> bool:
        """Return whether an answer is about the rule, addressed by its id or under any slug."""
        return rule_arguments.is_about(self.rule_id, result, new_slug=True)

    def reads_moved(self) -> GetRule | None:
        """Return the read by the new slug; None if the rule is addressed by its id."""
        moved = attrs.evolve(self.reads(), rule_id=self.slug)
        return None if arguments.is_uuid(self.rule_id) else moved

    def undo(self, before: Rule) -> "RenameRule | None":
        """Return the operation that restores the old slug; None if it cannot be set."""
        with contextlib.suppress(ArgumentError):
            return attrs.evolve(self, rule_id=before.id, slug=before.slug or "")
        return None


@attrs.frozen(kw_only=True)
class UpdateRuleScript(_OnRule[Rule]):
    """Replace the script of a rule; `script` is as for `CreateRule`. Safe to repeat.

    Source: API page "Rule Engine", `POST …/rules/{rule_id}/update_script`.
    """

    kind: ClassVar[str] = "rule.update_script"
    repeat: ClassVar[Repeat] = Repeat.CONVERGENT
    answer: ClassVar[Answer[Rule]] = _RULE

    script: RuleScript = attrs.field(converter=rule_arguments.script)

    def request(self) -> RequestParts:
        """Return the HTTP request of this operation."""
        body = {"script": rule_arguments.sent(self.script)}
        return RequestParts(method="POST", path=self.rule_path("update_script"), body=body)

    def changes(self) -> dict[str, Any]:
        """Return the script that is set."""
        return {"script": self.script}

    def holds(self, state: Rule | None) -> bool:
        """Return whether the rule has this script, however its interval is written."""
        return state is not None and not self.differs(state)

    def differs(self, result: Rule) -> str:
        """Return which part of the script is not as requested, without showing the code."""
        return rule_arguments.script_differs(self.script, result.script)

    def undo(self, before: Rule) -> "UpdateRuleScript | None":
        """Return the operation that restores the old script; None if it is unknown."""
        script = before.script
        return None if script is None else attrs.evolve(self, rule_id=before.id, script=script)


@attrs.frozen(kw_only=True)
class _SwitchRule(_OnRule[Rule]):
    """Sets whether a rule is disabled, so it is safe to repeat."""

    repeat: ClassVar[Repeat] = Repeat.CONVERGENT
    answer: ClassVar[Answer[Rule]] = _RULE
    wanted: ClassVar[bool]

    def request(self) -> RequestParts:
        """Return the HTTP request of this operation."""
        return RequestParts(method="POST", path=self.rule_path(self.kind.partition(".")[2]))

    def changes(self) -> dict[str, Any]:
        """Return whether the rule is disabled afterwards."""
        return {"disabled": self.wanted}

    def holds(self, state: Rule | None) -> bool:
        """Return whether the rule is already in this state; servers may omit false."""
        return state is not None and bool(state.disabled) is self.wanted

    def undo(self, before: Rule) -> "_SwitchRule":
        """Return the operation that restores the old state."""
        kind = DisableRule if before.disabled else EnableRule
        return kind(rule_id=before.id, site_id=self.site_id)


@attrs.frozen(kw_only=True)
class EnableRule(_SwitchRule):
    """Enable a rule, so that the engine starts it. Safe to repeat.

    Source: API page "Rule Engine", `POST sites/{site_id}/rule_engine/rules/{rule_id}/enable`.
    """

    kind: ClassVar[str] = "rule.enable"
    wanted: ClassVar[bool] = False


@attrs.frozen(kw_only=True)
class DisableRule(_SwitchRule):
    """Disable a rule: it stops, and is kept. Safe to repeat.

    Source: API page "Rule Engine", `POST sites/{site_id}/rule_engine/rules/{rule_id}/disable`.
    """

    kind: ClassVar[str] = "rule.disable"
    wanted: ClassVar[bool] = True


@attrs.frozen(kw_only=True)
class DeleteRule(_OnRule[None]):
    """Delete a rule. Safe to repeat: a deleted rule stays deleted. It cannot be undone.

    Source: API page "Rule Engine", `DELETE sites/{site_id}/rule_engine/rules/{rule_id}`.
    """

    kind: ClassVar[str] = "rule.delete"
    repeat: ClassVar[Repeat] = Repeat.CONVERGENT
    answer: ClassVar[Answer[Rule]] = Answer(key="rule", type=Rule, confirms=True)

    def request(self) -> RequestParts:
        """Return the HTTP request of this operation."""
        return RequestParts(method="DELETE", path=self.rule_path())

    def holds(self, state: Rule | None) -> bool:
        """Return whether the rule is already gone."""
        return state is None

    def guards(self) -> tuple[str, ...]:
        """Return the field that identifies a rule, because a deletion cannot be undone."""
        return ("slug",)

    def result_of(self, state: Rule | None) -> None:
        """Return None, as a deletion does."""
