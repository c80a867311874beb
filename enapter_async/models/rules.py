"""Models of a rule engine and its rules.

Source: API page, "Rule Engine".
"""

import base64
from typing import ClassVar, Self

import attrs

from enapter_async.models.enumerations import OpenEnum


class RuleEngineState(OpenEnum):
    """Whether a rule engine runs its rules; an open enumeration (see `OpenEnum`)."""

    ACTIVE: ClassVar[Self]
    SUSPENDED: ClassVar[Self]


class RuleState(OpenEnum):
    """Whether a rule is running; an open enumeration."""

    STARTED: ClassVar[Self]
    STOPPED: ClassVar[Self]


class RuleRuntimeVersion(OpenEnum):
    """The runtime that a script is written for; an open enumeration."""

    V1: ClassVar[Self]
    V3: ClassVar[Self]


@attrs.frozen(kw_only=True)
class RuleEngine:
    """The rule engine of a site; only `id` is always present."""

    id: str
    state: RuleEngineState | None = None
    timezone: str | None = None


@attrs.frozen(kw_only=True)
class RuleScript:
    """The script of a rule. `code` is its text: only requests and answers carry it as base64.

    `exec_interval` is how often a V1 script is executed, such as "1m"; V3 has none. As JSON of this
    package, the code is under `text`, so that it cannot be taken for base64.
    """

    code: str = ""
    runtime_version: RuleRuntimeVersion | None = None
    exec_interval: str | None = None

    @property
    def encoded(self) -> str:
        """The code as the API carries it."""
        return base64.b64encode(self.code.encode()).decode("ascii")


@attrs.frozen(kw_only=True)
class Rule:
    """A rule as the API returned it; only `id` is always present.

    `slug` is its address within the site. A `disabled` rule is not started by the engine; a field
    that the server omitted is None.
    """

    id: str
    slug: str | None = None
    disabled: bool | None = None
    state: RuleState | None = None
    script: RuleScript | None = None


@attrs.frozen(kw_only=True)
class RulePage:
    """A page of rules; an old gateway sends all of them at once, and no `total_count`."""

    rules: tuple[Rule, ...] | None = None
    total_count: int | None = None
