"""The methods for rules and the engine that runs them: `client.rules`.

Source: API page, "Rule Engine".
"""

from collections.abc import AsyncGenerator, Mapping
from functools import partial
from typing import Any

import attrs

from enapter_async.api.executor import Executor
from enapter_async.api.paging import read_page
from enapter_async.api.streams import BUFFER, follow
from enapter_async.models.logs import Gap, LogRecord
from enapter_async.models.rules import Rule, RuleEngine, RuleScript
from enapter_async.operations.logs import StreamRuleLogs
from enapter_async.operations.pages import LARGEST_PAGE
from enapter_async.operations.rule_engine import (
    GetRuleEngine,
    ResumeRuleEngine,
    SuspendRuleEngine,
)
from enapter_async.operations.rules import (
    CreateRule,
    DeleteRule,
    DisableRule,
    EnableRule,
    GetRule,
    ListRules,
    RenameRule,
    UpdateRuleScript,
)


@attrs.frozen
class Rules:
    """The methods for rules; each executes one operation, and raises the same errors as `Devices`.

    Without `site_id`, they are about the only site of the gateway at `base_url`. A rule is
    addressed by its id or its slug. A script is text, here and in each `Rule`.
    """

    _executor: Executor

    async def engine(self, *, site_id: str | None = None) -> RuleEngine:
        """Read the state of the rule engine. Changes nothing; safe to repeat."""
        return await self._executor.execute(GetRuleEngine(site_id=site_id))

    async def suspend(self, *, site_id: str | None = None) -> RuleEngine:
        """Suspend the rule engine: no rule runs until it is resumed. Safe to repeat."""
        return await self._executor.execute(SuspendRuleEngine(site_id=site_id))

    async def resume(self, *, site_id: str | None = None) -> RuleEngine:
        """Resume the rule engine. Safe to repeat."""
        return await self._executor.execute(ResumeRuleEngine(site_id=site_id))

    async def list(self, *, site_id: str | None = None) -> AsyncGenerator[Rule, None]:
        """Yield the rules of a site, each id once.

        The first request has no parameters, because old gateways refuse them and send all rules at
        once; further pages are requested only if the answer had a `total_count`. Changes nothing;
        safe to repeat, and to stop early.
        """
        page, limit = ListRules(site_id=site_id), LARGEST_PAGE
        seen: set[str] = set()
        read = 0
        while True:
            answer, limit = await read_page(page, limit, self._executor.execute)
            known = len(seen)
            for rule in answer.rules or ():
                read += 1
                if rule.id not in seen:
                    seen.add(rule.id)
                    yield rule
            if len(seen) == known or not answer.total_count:
                return
            page = ListRules(site_id=site_id, offset=read, limit=limit)

    async def get(self, rule_id: str, *, site_id: str | None = None) -> Rule:
        """Read one rule with its script. Changes nothing; safe to repeat.

        Raises `NotFoundError` if there is no such rule.
        """
        return await self._executor.execute(GetRule(rule_id=rule_id, site_id=site_id))

    async def create(
        self,
        *,
        slug: str,
        script: RuleScript | Mapping[str, Any] | str,
        disabled: bool = False,
        site_id: str | None = None,
    ) -> Rule:
        """Create a rule, and return it; `script` is its text (for V3), or a `RuleScript`.

        Raises `ConflictError` if the slug is taken. Never sent twice; an uncertain outcome is
        settled by the slug, if no rule had it before.
        """
        operation = CreateRule(slug=slug, script=script, disabled=disabled, site_id=site_id)
        return await self._executor.execute(operation)

    async def rename(self, rule_id: str, *, slug: str, site_id: str | None = None) -> Rule:
        """Set the slug of a rule, and return the rule.

        Safe to repeat. Use the id as its address: once it is renamed, the old slug finds nothing.
        """
        operation = RenameRule(rule_id=rule_id, slug=slug, site_id=site_id)
        return await self._executor.execute(operation)

    async def update_script(
        self,
        rule_id: str,
        *,
        script: RuleScript | Mapping[str, Any] | str,
        site_id: str | None = None,
    ) -> Rule:
        """Replace the whole script of a rule, and return the rule. Safe to repeat."""
        operation = UpdateRuleScript(rule_id=rule_id, script=script, site_id=site_id)
        return await self._executor.execute(operation)

    async def enable(self, rule_id: str, *, site_id: str | None = None) -> Rule:
        """Enable a rule, so that the engine starts it. Safe to repeat."""
        return await self._executor.execute(EnableRule(rule_id=rule_id, site_id=site_id))

    async def disable(self, rule_id: str, *, site_id: str | None = None) -> Rule:
        """Disable a rule: it stops, and is kept. Safe to repeat."""
        return await self._executor.execute(DisableRule(rule_id=rule_id, site_id=site_id))

    async def delete(self, rule_id: str, *, site_id: str | None = None) -> None:
        """Delete a rule. Safe to repeat; cannot be undone.

        Raises `NotFoundError` if there is no such rule.
        """
        await self._executor.execute(DeleteRule(rule_id=rule_id, site_id=site_id))

    def logs(
        self, rule_id: str, *, site_id: str | None = None, buffer: int = BUFFER
    ) -> AsyncGenerator[LogRecord | Gap, None]:
        """Yield the logs of a rule as they arrive, until the client is closed.

        A lost connection is reopened; logs of rules cannot be listed, so what was missed is
        reported as a `Gap`, as is what was dropped because more than `buffer` items waited to be
        read.
        """
        make = partial(StreamRuleLogs, rule_id=rule_id, site_id=site_id)
        return follow(self._executor, make, buffer=buffer)
