"""`client.rules` against the emulator, whose rule engine is a new or an old one."""

import pytest

from enapter_async import Client, ConflictError, fleet
from enapter_async.emulator import Emulator
from enapter_async.emulator.rules import Rules
from enapter_async.operations.rules import CreateRule, DisableRule, RenameRule, UpdateRuleScript
from tests.emulator.fleets import BARN


@pytest.mark.parametrize(
    ("rules", "legacy", "requests"),
    [(0, False, 1), (60, False, 3), (60, True, 1), (0, True, 1)],
)
async def test_rules_are_listed_from_new_and_old_gateways(
    emulator: Emulator, client: Client, rules: int, legacy: bool, requests: int
) -> None:
    noun = emulator.noun(Rules)
    noun.legacy, noun.gateway_site = legacy, BARN
    ids = [noun.add(BARN, f"rule-{number}") for number in range(rules)]
    assert [each.id async for each in client.rules.list()] == ids
    assert emulator.world.log.count_arrivals("GET") == requests


async def test_a_rule_lives_from_text_to_text(emulator: Emulator, client: Client) -> None:
    script = "-- день\nreturn 'ночь'\n"
    made = await client.rules.create(slug="night", script=script, site_id=BARN)
    assert emulator.noun(Rules).code(BARN, "night") == script
    with pytest.raises(ConflictError):
        await client.rules.create(slug="night", script=script, site_id=BARN)
    await client.rules.suspend(site_id=BARN)
    read = await client.rules.get("night", site_id=BARN)
    assert read.script is not None
    assert (read.id, read.state, read.script.code) == (made.id, "STOPPED", script)
    assert (await client.rules.resume(site_id=BARN)).state == "ACTIVE"
    assert (await client.rules.engine(site_id=BARN)).timezone == "Europe/Riga"
    renamed = await client.rules.rename(made.id, slug="day", site_id=BARN)
    assert (renamed.slug, renamed.state) == ("day", "STARTED")
    await client.rules.update_script("day", script="x", site_id=BARN)
    assert (await client.rules.disable("day", site_id=BARN)).disabled
    assert not (await client.rules.enable("day", site_id=BARN)).disabled
    assert emulator.noun(Rules).code(BARN, "day") == "x"
    await client.rules.delete("day", site_id=BARN)
    assert [each async for each in client.rules.list(site_id=BARN)] == []


async def test_changes_of_rules_are_planned_applied_and_undone(
    emulator: Emulator, client: Client, tmp_path: object
) -> None:
    noun = emulator.noun(Rules)
    rule_id = noun.add(BARN, "night", "old")
    same = noun.add(BARN, "same", "new")
    operations = [
        UpdateRuleScript(rule_id="night", site_id=BARN, script="new"),
        UpdateRuleScript(rule_id=same, site_id=BARN, script="new"),
        DisableRule(rule_id="night", site_id=BARN),
        RenameRule(rule_id=rule_id, site_id=BARN, slug="day"),
        CreateRule(slug="more", site_id=BARN, script="x"),
    ]
    journal = f"{tmp_path}/run.db"
    with await fleet.plan(client, operations) as plan:
        verdicts = [item.verdict for item in plan.items()]
        assert verdicts == ["change", "unchanged", "change", "change", "change"]
        report = await fleet.apply(client, plan, journal=journal)
    assert report.ok, report
    assert noun.code(BARN, "day") == "new"
    assert (await client.rules.get("day", site_id=BARN)).disabled
    undone = await fleet.undo(client, journal)
    with undone.plan as plan:
        assert (await fleet.apply(client, plan)).ok
    rule = await client.rules.get(rule_id, site_id=BARN)
    assert (rule.slug, rule.disabled) == ("night", False)
    assert noun.code(BARN, "night") == "old"
    assert noun.code(BARN, "more") == "x", "a creation is not undone"
