"""`logs follow`, `devices watch` and `rules logs`: lines for people, JSON for programs."""

import json

from enapter_async.cli.exit_codes import Exit
from enapter_async.emulator import Emulator, World
from enapter_async.emulator.rules import Rules
from tests.cli.conftest import Run


def test_streams_are_written_line_by_line(
    run: Run, world: World, emulator: Emulator, leaf: str
) -> None:
    followed = run("logs", "follow", leaf, "--limit", "1")
    assert followed.exit_code == Exit.DONE, followed.stderr
    assert followed.stdout.split("\t")[1:] == ["WARNING", "Bearing hot\n"]
    listed = run("logs", "list", leaf).stdout
    assert listed.split("\t")[1:] == ["WARNING", "Bearing hot\n"]
    watched = run("devices", "watch", leaf, "--limit", "1").stdout
    assert watched.split("\t")[1:] == [leaf, '{"rpm": 900}\n']
    site = world.sites[0].id
    emulator.noun(Rules).add(site, "night")
    ran = run("rules", "logs", "night", "--site", site, "--limit", "1").stdout
    assert ran.split("\t")[1:] == ["INFO", "rule ran\n"]


def test_a_gap_is_distinguished_from_items(run: Run, emulator: Emulator, leaf: str) -> None:
    emulator.streams.when_opened = lambda _kind, _of: emulator.streams.text("not JSON")
    told = run("logs", "follow", leaf, "--limit", "1")
    assert (told.exit_code, told.stdout) == (Exit.DONE, "")
    assert "there may be a gap here: a frame could not be read: it is not JSON (1 items)" in (
        told.stderr
    )
    row = json.loads(run("logs", "follow", leaf, "--limit", "1", "--json").stdout)
    assert row["gap"]["dropped"] == 1
    refused = run("logs", "follow", "nobody")
    assert (refused.exit_code, "HTTP 404" in refused.stderr) == (Exit.FAILED, True)
