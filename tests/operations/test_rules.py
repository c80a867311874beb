"""The operations on rules: their requests, what they compare, and the arguments they refuse."""

from typing import Any

import attrs
import pytest

from enapter_async.converter import StructureError, structure, unstructure
from enapter_async.converter.operations import operation_from_json, operation_to_json
from enapter_async.errors import ArgumentError
from enapter_async.models.rules import (
    Rule,
    RuleEngine,
    RulePage,
    RuleRuntimeVersion,
    RuleScript,
    RuleState,
)
from enapter_async.operation import Operation, RequestParts, Settles, Target
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

ENGINE = ("sites", "s1", "rule_engine")
RULE = (*ENGINE, "rules", "night-mode")
V3 = {"code": "eD0x", "runtime_version": "V3"}
ON: dict[str, Any] = {"rule_id": "night-mode", "site_id": "s1"}

REQUESTS: list[tuple[Operation[Any], RequestParts]] = [
    (GetRuleEngine(), RequestParts("GET", ("site", "rule_engine"))),
    (GetRuleEngine(site_id="s1"), RequestParts("GET", ENGINE)),
    (SuspendRuleEngine(site_id="s1"), RequestParts("POST", (*ENGINE, "suspend"))),
    (ResumeRuleEngine(site_id="s1"), RequestParts("POST", (*ENGINE, "resume"))),
    (ListRules(site_id="s1"), RequestParts("GET", (*ENGINE, "rules"))),
    (
        ListRules(site_id="s1", offset=50, limit=50),
        RequestParts("GET", (*ENGINE, "rules"), (("offset", "50"), ("limit", "50"))),
    ),
    (GetRule(**ON), RequestParts("GET", RULE)),
    (
        CreateRule(slug="night-mode", script="x=1", disabled=True, site_id="s1"),
        RequestParts(
            "POST",
            (*ENGINE, "rules"),
            (),
            {"slug": "night-mode", "script": V3, "disable": True},
        ),
    ),
    (
        CreateRule(slug="n", script="x=1"),
        RequestParts("POST", ("site", "rule_engine", "rules"), (), {"slug": "n", "script": V3}),
    ),
    (RenameRule(**ON, slug="n2"), RequestParts("PATCH", RULE, (), {"slug": "n2"})),
    (
        UpdateRuleScript(
            **ON, script={"text": "x=1", "runtime_version": "v1", "exec_interval": "1m"}
        ),
        RequestParts(
            "POST",
            (*RULE, "update_script"),
            (),
            {"script": {"code": "eD0x", "runtime_version": "V1", "exec_interval": "1m"}},
        ),
    ),
    (EnableRule(**ON), RequestParts("POST", (*RULE, "enable"))),
    (DisableRule(**ON), RequestParts("POST", (*RULE, "disable"))),
    (DeleteRule(**ON), RequestParts("DELETE", RULE)),
]


@pytest.mark.parametrize(("operation", "request_parts"), REQUESTS)
def test_an_operation_sends_the_request_of_the_api_page(
    operation: Operation[Any], request_parts: RequestParts
) -> None:
    assert operation.request() == request_parts
    assert operation_from_json(operation_to_json(operation)) == operation
    site = getattr(operation, "site_id", None)
    assert operation.proven_by() == GetRuleEngine(site_id=site)


def test_a_script_is_text_and_base64_only_on_the_wire() -> None:
    shown = {"id": "r1", "slug": "n", "state": "started", "script": {**V3, "more": 1}}
    rule = structure(shown, Rule)
    script = RuleScript(code="x=1", runtime_version=RuleRuntimeVersion.V3)
    assert (rule.script, rule.state) == (script, RuleState.STARTED)
    assert unstructure(rule)["script"] == {"text": "x=1", "runtime_version": "V3"}
    assert structure(unstructure(rule), Rule) == rule
    base64_as_code = RuleScript(code="eD0x")
    assert structure(unstructure(base64_as_code), RuleScript) == base64_as_code
    for wrong in ("x=1", "/w==", 5):
        with pytest.raises(StructureError, match=r"script\.code") as caught:
            structure({"id": "r1", "script": {"code": wrong}}, Rule)
        assert str(wrong) not in str(caught.value)


def test_a_page_needs_rules_or_a_count() -> None:
    assert ListRules().accepts(structure({"rules": []}, RulePage))
    assert ListRules().accepts(structure({"total_count": 5}, RulePage))
    assert not ListRules().accepts(structure({"status": "fine"}, RulePage))
    assert ListRules().smaller() == ListRules(offset=0, limit=25)
    assert ListRules(offset=3, limit=1).smaller() is None


def test_a_creation_is_settled_by_its_slug() -> None:
    create = CreateRule(slug="n", script="x=1", site_id="s1")
    assert create.settles is Settles.KEY
    assert create.target() == Target("rule", None, "s1", natural_key="n")
    assert create.reads() == GetRule(rule_id="n", site_id="s1")
    script = RuleScript(code="x=1", runtime_version=RuleRuntimeVersion.V3)
    assert create.holds(Rule(id="r1", slug="n", script=script))
    assert not create.holds(None)
    for other, why in (
        (Rule(id="r1", slug="m", script=script), "slug is 'm'"),
        (Rule(id="r1", slug="n", script=script, disabled=True), "disabled is True"),
        (Rule(id="r1", slug="n", script=RuleScript(code="x=2")), "the code of its script"),
        (Rule(id="r1", slug="n"), "shows no script"),
    ):
        assert why in create.differs(other)
        assert not create.holds(other)


def test_a_script_holds_however_its_interval_is_written() -> None:
    script = RuleScript(code="x", runtime_version=RuleRuntimeVersion.V1, exec_interval="1m30s")
    update = UpdateRuleScript(**ON, script=script)
    old = RuleRuntimeVersion.V1
    same = RuleScript(code="x", runtime_version=old, exec_interval="90s")
    assert update.holds(Rule(id="r1", script=same))
    slower = RuleScript(code="x", runtime_version=old, exec_interval="2m")
    assert update.differs(Rule(id="r1", script=slower)) == (
        "exec_interval is 2m, but 1m30s was requested"
    )
    newer = RuleScript(code="x", runtime_version=RuleRuntimeVersion.V3)
    assert "runtime_version is V3" in update.differs(Rule(id="r1", script=newer))


def test_each_change_knows_how_to_undo_it() -> None:
    script = RuleScript(code="old", runtime_version=RuleRuntimeVersion.V3)
    before = Rule(id="r1", slug="old", disabled=True, script=script)
    at: dict[str, Any] = {"rule_id": "r1", "site_id": "s1"}
    assert RenameRule(**ON, slug="new").undo(before) == RenameRule(**at, slug="old")
    assert UpdateRuleScript(**ON, script="new").undo(before) == UpdateRuleScript(
        **at, script=script
    )
    assert EnableRule(**ON).undo(before) == DisableRule(**at)
    assert EnableRule(**ON).holds(Rule(id="r1")), "servers omit false"
    assert DisableRule(**ON).undo(Rule(id="r1")) == EnableRule(**at)
    suspended = RuleEngine(id="e", state=SuspendRuleEngine.wanted)
    assert ResumeRuleEngine(site_id="s1").undo(suspended) == SuspendRuleEngine(site_id="s1")
    assert ResumeRuleEngine().undo(RuleEngine(id="e")) is None
    assert DeleteRule(**ON).undo(before) is None
    assert DeleteRule(**ON).holds(None)


def test_a_job_refuses_changes_that_do_not_name_their_site() -> None:
    rule: dict[str, Any] = {"rule_id": "r1"}
    for change in (
        *(SuspendRuleEngine(), ResumeRuleEngine(), CreateRule(slug="n", script="x")),
        *(RenameRule(**rule, slug="n"), UpdateRuleScript(**rule, script="x")),
        *(EnableRule(**rule), DisableRule(**rule), DeleteRule(**rule)),
    ):
        assert "set site_id" in change.not_in_jobs()
        assert not attrs.evolve(change, site_id="s1").not_in_jobs()
    assert not GetRule(**rule).not_in_jobs()


def test_an_answer_about_another_rule_is_not_accepted() -> None:
    uuids = [f"{number}0000000-0000-4000-8000-000000000001" for number in (1, 2)]
    assert GetRule(rule_id="n").accepts(Rule(id="r1", slug="n"))
    assert not GetRule(rule_id="n").accepts(Rule(id="r1", slug="m"))
    assert not GetRule(rule_id=uuids[0]).accepts(Rule(id=uuids[1], slug="n"))
    assert not RenameRule(rule_id=uuids[0], slug="n").accepts(Rule(id=uuids[1], slug="n"))
    assert RenameRule(rule_id="m", slug="n").accepts(Rule(id="r1", slug="n"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"slug": "../x"}, "slug must be 1 to 1024 printable"),
        ({"site_id": "a/b"}, "site_id must be 1 to 128 letters"),
        ({"script": 5}, "script must be a string, a RuleScript or an object"),
        ({"script": {"code": "eD0x"}}, "with text, runtime_version, exec_interval"),
        ({"script": {"text": None}}, "a script must be text of at most"),
        ({"script": "\ud800"}, "lone surrogate"),
        ({"script": {"text": "", "exec_interval": "1m"}}, "for V1 scripts only"),
        (
            {"script": {"text": "", "runtime_version": "V1", "exec_interval": "soon"}},
            "a duration such as 30s",
        ),
    ],
)
def test_a_wrong_argument_is_refused_before_anything_is_sent(
    fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        CreateRule(**{"slug": "n", "script": "x", **fields})
