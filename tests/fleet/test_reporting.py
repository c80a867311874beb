"""The page about a run is true, and nothing in it can do harm."""

import contextlib
import json
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enapter_async import DeleteDevice, GenerateConfig, UpdateDevice, fleet
from enapter_async.emulator import Reply
from enapter_async.errors import ConflictError
from enapter_async.fleet import Outcome, RunRefusedError, State
from enapter_async.fleet.inputs import WorkItem
from enapter_async.fleet.journal.names import read_journal
from enapter_async.fleet.journal.records import event_row, item_row, outcome_row
from enapter_async.fleet.journal.sqlite.journal import SQLiteJournal
from enapter_async.fleet.journal.sqlite.lock import RunLock
from enapter_async.fleet.reporting.html import json_for_page, write_report
from enapter_async.fleet.reporting.summary import CAUSES, ROWS
from enapter_async.fleet.rollout.waves import Rollout
from tests.fleet.fleets import device, fleet_of, running, uuid
from tests.fleet.pages import (
    A4,
    OVERFLOW,
    PRESSING,
    PageParser,
    data_of,
    drawn,
    page_of,
    rename,
)
from tests.integrations.browser import CHROMIUM, chromium

HOSTILE = (
    "</script><script>document.title='taken'</script>",
    "<!--<script>",
    "<img src=x onerror=alert(1)>",
    "first\u2028second\u2029third",
    "\u202egnp.exe",
    '"},{"a":"@data@ @rules@',
    "=1+1",
    "\x1b[31mred\x07",
)


def facts(count: int) -> dict[str, str]:
    return {"created_ms": "1000", "base_url": "http://127.0.0.1/v3", "count": str(count)}


@contextlib.contextmanager
def journal_of(path: Path, works: list[WorkItem]) -> Iterator[SQLiteJournal]:
    with contextlib.closing(SQLiteJournal.open(path)) as journal:
        for _ in journal.begin(facts(len(works)), map(item_row, works)):
            pass
        yield journal


@pytest.fixture
async def hostile(tmp_path: Path) -> Path:
    """A journal of two sessions over devices with hostile names; one gets a new configuration."""
    path = tmp_path / "run.db"
    devices = [device(n, name=HOSTILE[n % len(HOSTILE)]) for n in range(40)]
    works: list[Any] = [rename(n, HOSTILE[(n + 1) % len(HOSTILE)]) for n in range(30)]
    works += [UpdateDevice(device_id=uuid(n), slug="device-35") for n in (30, 31, 32)]
    works += [GenerateConfig(device_id=uuid(33), protocol="MQTT"), DeleteDevice(device_id=uuid(34))]
    async with running(devices) as (emulator, client):
        refusal = Reply(
            status=422,
            body=json.dumps({"errors": [{"code": "no", "message": HOSTILE[0]}]}).encode(),
            content_type="application/json",
        )
        emulator.faults.add(refusal, device=uuid(29), method="PATCH")
        options: dict[str, Any] = {"journal": path, "abort": None, "concurrency": 1}
        options["credentials"] = tmp_path / "credentials.jsonl"
        async with fleet.Run(client, works, **options) as run:
            count = 0
            async for _ in run:
                count += 1
                if count == 10:
                    run.stop()
        await fleet.apply(client, works, **options)
    return path


async def test_the_page_shows_the_outcomes(hostile: Path) -> None:
    data = page_of(hostile)
    assert data["counts"] == {
        "applied": 31, "failed": 4,
        "differs": 0, "pending": 0, "unchanged": 0, "absent": 0, "unknown": 0, "held": 0,
    }  # fmt: skip
    assert (data["total"], data["not_done"], data["complete"]) == (35, 4, True)
    assert {each["operation"]: sum(each["counts"].values()) for each in data["asked"]} == {
        "device.update": 3, "device.delete": 1, "device.generate_config": 1,
    }  # fmt: skip
    assert sorted((each["status"], each["number"]) for each in data["causes"]) == [
        (409, 3),
        (422, 1),
    ]
    assert [row[1] for row in data["rows"]] == [uuid(n) for n in (29, 30, 31, 32)]
    course = data["course"]
    assert len(course["sessions"]) == 2
    assert {state: counts[-1] for state, counts in course["ended"].items() if counts[-1]} == {
        "applied": 31, "failed": 4,
    }  # fmt: skip
    assert sum(course["rate"]) == course["attempts"] == 35


async def test_hostile_texts_are_data_and_nothing_else(hostile: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    write_report(hostile, page, name=HOSTILE[0])
    text = page.read_text("utf-8")
    parser = PageParser(text)
    assert [tag for tag, _ in parser.elements if tag in ("script", "img", "style")] == [
        "style", "script", "script",
    ]  # fmt: skip
    data = data_of(page)
    assert data["name"] == HOSTILE[0]
    assert data["rows"][0][3] == [["name", HOSTILE[30 % len(HOSTILE)]]]
    assert HOSTILE[0] in data["rows"][0][8]
    assert not any(sign in text for sign in "\u2028\u2029\u202e\x1b")


async def test_the_page_loads_nothing_and_lets_no_other_script_run(hostile: Path) -> None:
    write_report(hostile, hostile.with_suffix(".html"))
    parser = PageParser(hostile.with_suffix(".html").read_text("utf-8"))
    named = {name for _, attributes in parser.elements for name in attributes}
    assert not {"src", "href", "srcset", "style", "onload"} & named
    hashes = parser.hashes()
    assert parser.policy == (
        f"default-src 'none'; style-src 'sha256-{hashes['style']}'; "
        f"script-src 'sha256-{hashes['script']}'; base-uri 'none'; form-action 'none'"
    )


async def test_no_secret_is_in_the_page_and_only_its_owner_reads_it(
    hostile: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    write_report(hostile, page)
    text = page.read_text("utf-8")
    minted = json.loads((tmp_path / "credentials.jsonl").read_text())
    with contextlib.closing(read_journal(hostile)) as journal:
        known = journal.facts()
    secrets = [known["salt"], known["token"], "emulator-token"]
    secrets += [str(value) for value in minted["config"]["mqtt_credentials"].values() if value]
    assert len(secrets) >= 5
    assert not [secret for secret in secrets if secret in text]
    assert stat.S_IMODE(page.stat().st_mode) == 0o600


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_any_text_is_preserved_and_cannot_end_its_element(value: Any) -> None:
    text = json_for_page(value)
    assert json.loads(text) == value
    assert not set("<>&\u2028\u2029") & set(text)
    text.encode("utf-8")


async def test_waves_are_listed_in_order(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    async with running(fleet_of(12)) as (_, client):
        await fleet.apply(
            client, [rename(n) for n in range(12)], journal=path, rollout=Rollout(waves=(1, 3))
        )
    data = page_of(path)
    assert [(each["number"], each["counts"]) for each in data["waves"]] == [
        (1, {"applied": 1}), (2, {"applied": 3}), (3, {"applied": 8}),
    ]  # fmt: skip
    spans = [(each["began"], each["ended"]) for each in data["waves"]]
    assert all(began <= ended for began, ended in spans)
    assert [began for began, _ in spans] == sorted(began for began, _ in spans)
    assert data["rollout"]["waves"] == [1, 3]


async def test_items_finished_by_a_later_session_are_shown_as_done(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    async with running([*fleet_of(2), device(2, slug="wanted")]) as (emulator, client):
        works = [UpdateDevice(device_id=uuid(0), slug="wanted"), rename(1)]
        await fleet.apply(client, works, journal=path)
        assert page_of(path)["causes"][0]["number"] == 1
        emulator.world.change(uuid(2), slug="free")
        again = fleet.JournalOptions(path=path, retry_failed=True)
        await fleet.apply(client, works, journal=again)
    data = page_of(path)
    assert (data["causes"], data["rows"]) == ([], [])
    ended = {state: counts[-1] for state, counts in data["course"]["ended"].items()}
    assert (ended["applied"], ended["failed"]) == (2, 0)


def test_an_intent_without_an_outcome_is_unknown_unless_the_run_is_active(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    works = [WorkItem(seq=n, operation=rename(n)) for n in range(3)]
    with journal_of(path, works) as journal:
        journal.add([], [event_row(1, "intent", 2000, attempt=1)], {}, full=False)
    lock = RunLock.take(path)
    data = page_of(path)
    lock.release()
    assert data["running"]
    assert (data["counts"]["in flight"], data["counts"]["waiting"]) == (1, 2)
    assert (data["rows"], data["causes"]) == ([], [])
    data = page_of(path)
    assert (data["counts"]["unknown"], data["counts"]["held"]) == (1, 2)
    assert [(row[0], row[4]) for row in data["rows"]] == [(1, "unknown"), (0, "held"), (2, "held")]
    assert sorted(each["number"] for each in data["causes"]) == [1, 2]


def test_a_retried_failure_without_an_outcome_is_no_longer_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    works = [WorkItem(seq=0, operation=rename(0))]
    refused = Outcome(
        operation=rename(0), state=State.FAILED, error=ConflictError("no", status=409)
    )
    with journal_of(path, works) as journal:
        journal.add([], [outcome_row(0, refused, 1000)], {}, full=False)
        journal.add([], [event_row(0, "intent", 2000, attempt=2)], {}, full=False)
    data = page_of(path)
    assert [(each["state"], each["status"]) for each in data["causes"]] == [("unknown", None)]
    assert data["counts"]["unknown"] == 1


def test_a_run_that_sent_nothing_has_a_page(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    with journal_of(path, []):
        pass
    data = page_of(path)
    assert (data["total"], data["course"]["sessions"]) == (0, [])


def long_journal(path: Path, number: int) -> None:
    """Write a journal in which two of three operations failed, each with its own message."""
    works = [
        WorkItem(seq=n, operation=rename(n), before={"name": "é" * 1000}) for n in range(number)
    ]
    with journal_of(path, works) as journal:
        for work in works:
            journal.add(
                [], [event_row(work.seq, "intent", 1000 + work.seq, attempt=1)], {}, full=False
            )
            error = ConflictError(
                f"HTTP 409 Conflict: {uuid(work.seq)} and 'Pump {work.seq}' have it", status=409
            )
            outcome = Outcome(
                operation=work.operation,
                state=State.FAILED if work.seq % 3 else State.APPLIED,
                error=error if work.seq % 3 else None,
                attempts=1,
                elapsed=0.05,
            )
            row = outcome_row(work.seq, outcome, 1050 + work.seq)
            journal.add([], [row], {}, full=False)


def test_a_long_run_has_a_page_of_a_few_megabytes_at_once(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    long_journal(path, 9_000)
    began = time.process_time()
    data = page_of(path)
    assert time.process_time() - began < 10
    assert path.with_suffix(".html").stat().st_size < 4_000_000
    assert (len(data["rows"]), data["not_done"]) == (ROWS, 6_000)
    # The rows shown have one cause; the rows after them have no difference.
    assert sum(each["number"] for each in data["causes"]) == 6_000
    assert [each["message"] for each in data["causes"]] == [
        "HTTP 409 Conflict: <id> and '…' have it"
    ]
    assert data["course"]["overall"] == [50, 50, 50, 50]
    assert len(data["course"]["rate"]) <= 120


def test_too_many_causes_are_grouped_by_code(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    works = [WorkItem(seq=n, operation=rename(n)) for n in range(CAUSES + 50)]
    with journal_of(path, works) as journal:
        for work in works:
            word = "".join(chr(97 + int(digit)) for digit in str(work.seq))
            outcome = Outcome(
                operation=work.operation, state=State.FAILED, error=ConflictError(word, status=409)
            )
            journal.add([], [outcome_row(work.seq, outcome, 1000)], {}, full=False)
    causes = page_of(path)["causes"]
    assert len(causes) == CAUSES + 1
    assert (causes[-1]["message"], causes[-1]["status"], causes[-1]["number"]) == (None, 409, 50)


def test_an_older_page_is_replaced_and_a_failure_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    with journal_of(path, []):
        pass
    page = tmp_path / "page.html"
    page.write_text("old")
    write_report(path, page)
    assert data_of(page)["total"] == 0
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        write_report(path, tmp_path / "folder")
    assert [each for each in tmp_path.iterdir() if each.name.startswith(".")] == []
    with pytest.raises(RunRefusedError):
        write_report(page, tmp_path / "other.html")


def test_links_to_results_are_relative_and_escaped(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    with journal_of(path, []):
        pass
    results = [tmp_path / "a b#?.csv", tmp_path.parent / "x.csv", tmp_path / "\udce4.csv"]
    assert page_of(path, results=results)["results"] == [
        ["a b#?.csv", "a%20b%23%3F.csv"], ["x.csv", "../x.csv"], ["\udce4.csv", "%E4.csv"],
    ]  # fmt: skip


@pytest.mark.skipif(CHROMIUM is None, reason="no browser is installed")
async def test_a_browser_draws_it_and_nothing_hostile_runs(hostile: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    write_report(hostile, page, run="20250101T000000Z-abcd")
    seen = drawn(page, tmp_path)
    assert "<title>Fleet run 20250101T000000Z-abcd</title>" in seen.stdout
    assert "31 of 35 done" in seen.stdout
    assert "&lt;/script&gt;&lt;script&gt;document.title='taken'&lt;/script&gt;" in seen.stdout
    assert seen.stdout.count("<svg") == 3
    assert "CONSOLE" not in seen.stderr


@pytest.mark.skipif(CHROMIUM is None, reason="no browser is installed")
async def test_it_filters_and_sorts_fits_a_phone_and_prints_everything(
    hostile: Path, tmp_path: Path
) -> None:
    page, long = hostile.with_suffix(".html"), tmp_path / "long.db"
    write_report(hostile, page)
    with journal_of(long, [WorkItem(seq=n, operation=rename(n)) for n in range(300)]):
        write_report(long, long.with_suffix(".html"))
    async with chromium(tmp_path / "browser") as tab:
        await tab.open(page.as_uri())
        assert await tab.evaluate(PRESSING) == [4, 1, 4, "32", "Nothing here matches"]
        for media, width in (("screen", 390), ("print", A4)):
            await tab.ask("Emulation.setEmulatedMedia", media=media)
            await tab.ask(
                "Emulation.setDeviceMetricsOverride",
                width=width, height=844, deviceScaleFactor=1, mobile=False,
            )  # fmt: skip
            await tab.open(page.as_uri())
            assert await tab.evaluate(OVERFLOW) == [], media
            filters = "document.querySelector('.filters').checkVisibility()"
            assert await tab.evaluate(filters) is (media == "screen")
        await tab.open(long.with_suffix(".html").as_uri())
        rows = "document.querySelectorAll('section:has(.filters) tbody tr').length"
        assert await tab.evaluate(rows) < 300
        await tab.ask("Page.printToPDF")
        assert await tab.evaluate(rows) == 300
        assert tab.complaints == []


async def test_counts_and_causes_are_there_without_javascript(hostile: Path) -> None:
    page = hostile.with_suffix(".html")
    write_report(hostile, page, name="<b>")
    main = page.read_text("utf-8").partition('<main id="main">')[2].partition("</main>")[0]
    assert "<li>31 applied</li><li>4 failed</li>" in main
    assert "<h1>Fleet run &lt;b&gt;</h1>" in main
    assert "<li>3 failed: HTTP 409" in main
    assert uuid(30) in main
