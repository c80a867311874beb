import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from benchmarks import (
    decode,
    distributed,
    everything,
    growth,
    imports,
    journal,
    pacing,
    postgres,
    profile,
    safety,
    shared_limit,
    wrk,
)
from benchmarks.drivers import Load, bypassed
from benchmarks.grid import in_a_process
from benchmarks.report import Section
from benchmarks.server import ROOT, Server, serving
from benchmarks.worker import DeviceIds
from enapter_async.models.devices import Device


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving("raw") as raw:
        yield raw


# --- decoding --------------------------------------------------------------------------


def test_all_readers_return_the_same_devices() -> None:
    names = set()
    for way in decode.ways():
        value = way.read()
        value = getattr(value, "device", getattr(value, "devices", value))
        devices = [value] if way.group == "one device" else list(value)  # type: ignore[call-overload]  # a device of three libraries, or a list of them
        assert len(devices) == (1 if way.group == "one device" else 50)
        for number, device in enumerate(devices):
            assert device.id == f"5eba0000-45f2-4e9e-a6f0-{number:012x}"
            assert device.updated_at.isoformat() == "2025-01-01T00:00:00+00:00"
            assert "LUA" in str(device.type)
        names.add(way.name)
    assert {"structured: this SDK", "structured: official from_dto", "from bytes: msgspec"} <= names


def test_the_page_is_judged_within_a_round() -> None:
    group = "page of 50"
    found = {
        (group, "structured: this SDK"): [3.0, 8.0, 4.0],
        (group, "structured: official from_dto"): [2.0, 10.0, 5.0],
    }
    section = decode.section(found, ["msgspec"])
    (verdict,) = section.verdicts
    assert verdict.found is not None
    assert verdict.found.median == 0.8
    assert verdict.met
    assert section.notes == ("msgspec left out: not installed",)


def test_each_way_is_timed_equally_often() -> None:
    ways = [way for way in decode.ways() if way.group == "one device"]
    found = decode.measure(ways, rounds=2, block_seconds=0.001)
    assert {len(values) for values in found.values()} == {2}
    assert all(value > 0 for values in found.values() for value in values)


# --- importing -------------------------------------------------------------------------


def test_an_import_is_measured_in_an_interpreter_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    # Coverage that starts with the interpreter would already have imported json.
    monkeypatch.delenv("COVERAGE_PROCESS_START", raising=False)
    environ = imports.environment(tmp_path)
    found = imports.measure_one("import json", None, environ)
    assert found is not None
    wall, cpu, modules = found
    assert wall > 0
    assert cpu > 0
    assert modules >= 1
    assert imports.measure_one("import no_such_package", None, environ) is None
    # Otherwise an installation without byte code would compile on each import.
    assert list(tmp_path.rglob("json/*.pyc"))


def test_the_names_are_accessed_because_imports_are_lazy() -> None:
    assert imports.STATEMENTS[imports.OURS].endswith("enapter_async.Client")
    found = imports.section(
        {imports.BASE: [(100.0, 100.0, 9), (50.0, 50.0, 9)], imports.OURS: [(99, 110, 10)] * 2}
    )
    (verdict,) = found.verdicts
    assert verdict.found is not None
    assert (verdict.found.least, verdict.found.most) == (1.1, 2.2)
    assert "httpx left out: it cannot be imported" in found.notes


# --- growth and journal ----------------------------------------------------------------


def job(
    way: str, count: int, *, peak_mib: float, cpu_us: float, rate: float = 1.0
) -> dict[str, object]:
    return {"way": way, "count": count, "peak_mib": peak_mib, "cpu_us": cpu_us, "per_second": rate}


def test_the_largest_jobs_are_compared_with_the_smallest() -> None:
    found = {
        ("none", 1_000): [job("none", 1_000, peak_mib=40, cpu_us=50)],
        ("none", 1_000_000): [job("none", 1_000_000, peak_mib=55, cpu_us=50)],
        ("journal", 1_000): [job("journal", 1_000, peak_mib=40, cpu_us=50)],
        ("journal", 1_000_000): [job("journal", 1_000_000, peak_mib=56, cpu_us=60)],
    }
    section = growth.section(found, [])
    assert [verdict.met for verdict in section.verdicts] == [True, True, False, False]
    assert section.tables[0].rows[1] == ("1,000,000", "no", "55.0", "50.0", "1")


def test_a_job_without_and_with_a_journal_is_measured(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(growth, "repeats", lambda _size: 1)
    found, failures = growth.measure([20], server.base_url, None)
    assert len(capsys.readouterr().err.splitlines()) == 2
    assert failures == []
    assert {pair: len(cells) for pair, cells in found.items()} == {
        ("none", 20): 1,
        ("journal", 20): 1,
    }
    assert all(cell["cpu_us"] > 0 for cells in found.values() for cell in cells)


def test_the_share_of_a_journal_is_computed_within_each_round() -> None:
    rates = [("none", 0, 100), ("journal", 0, 80), ("known", 0, 70), ("none", 1, 50)]
    rates += [("journal", 1, 40), ("known", 1, 30)]
    found = [
        {"round": number, **job(way, 10, peak_mib=1, cpu_us=1, rate=rate)}
        for way, number, rate in rates
    ]
    streamed, listed = journal.section(found, "x").verdicts
    assert streamed.found is not None
    assert listed.found is not None
    assert streamed.found.median == 0.8
    assert streamed.met
    assert listed.found.median == pytest.approx(0.65)
    assert not listed.met


def test_a_journal_in_postgresql_is_judged_within_a_round() -> None:
    costs = [("file", 0, 100), ("postgres", 0, 108), ("file", 1, 200), ("postgres", 1, 212)]
    found: list[dict[str, object]] = [
        {"round": number, "way": way, "cpu_us": cost, "per_second": 1.0, "bytes": 450.0}
        for way, number, cost in costs
    ]
    found += [{"round": number, "way": "submission", "us": 9.0} for number in range(2)]
    section = postgres.section(found, 10)
    ratio, size = section.verdicts
    assert ratio.found is not None
    assert ratio.found.median == pytest.approx(1.07)
    assert (ratio.met, size.met) == (True, True)
    assert "9.0 µs" in section.lead


def test_each_engine_is_judged_by_its_own_bound() -> None:
    costs = {"plain": 100, "tables": 110, "pgqueuer": 120, "temporal": 125}
    each = {"plain": {}, "tables": 8.0, "pgqueuer": 12.5, "temporal": 13.5}
    found = [
        {"round": 0, "way": way, "cpu_us": cost, "per_second": 1.0, "partition_ms": each[way]}
        for way, cost in costs.items()
    ]
    verdicts = distributed.section(found, 10).verdicts
    assert [verdict.met for verdict in verdicts] == [True, False, True, True, False]
    assert distributed.grown([1, 100, 110, 120, 90, 100]) == pytest.approx(1.2 * 100 / 110)


def test_a_shared_cap_is_judged_by_its_worst_second_and_without_its_edges() -> None:
    slow_start = [0.0, 0.9]
    evenly = [1.0 + number / 500 for number in range(1001)]
    found = shared_limit.judged([*slow_start, *evenly, 3.1, 4.0], refused=0)
    assert found.worst == pytest.approx(1.0, abs=0.003)
    assert found.used == pytest.approx(1.0, abs=0.003)
    assert shared_limit.section([found]).good
    refused = shared_limit.Round(worst=1.0, used=1.0, refused=1)
    assert not shared_limit.section([refused]).good


# --- pacing ----------------------------------------------------------------------------


def test_a_job_is_compared_with_the_best_fixed_concurrency() -> None:
    def cell(name: str, seconds: float, applied: int = 510) -> pacing.Cell:
        return pacing.Cell(name=name, operations=510, applied=applied, seconds=seconds)

    others = [cell("fixed at 64", 0.85), cell("fixed at 16", 4.0)]
    assert pacing.section(cell("paced", 0.94), others).good
    assert not pacing.section(cell("paced", 0.95), others).good
    lost = pacing.section(cell("paced", 0.94, applied=509), others)
    assert lost.failures == ("only 509 of 510 were applied",)


# --- safety ----------------------------------------------------------------------------


@pytest.mark.parametrize("safety", [bypassed.WHOLE, *bypassed.SAFETIES], ids=lambda one: one.name)
async def test_a_client_without_one_safety_still_makes_its_calls(
    server: Server, safety: bypassed.Safety
) -> None:
    async with AsyncExitStack() as stack:
        load: Load = await safety.opened(stack, server.base_url)
        device_ids = DeviceIds(first=0, limit=100)
        await load(device_ids)
        assert device_ids.given == 100


def test_a_missing_method_cannot_be_bypassed() -> None:
    with pytest.raises(bypassed.BypassError, match="Device has no no_such_method"):
        bypassed.replace(Device(id="x"), no_such_method=lambda _self: None)
    with pytest.raises(bypassed.BypassError, match="replace does not call no_such_function"):
        bypassed.calling(bypassed.replace, no_such_function=print)


def test_a_price_is_the_difference_within_a_round() -> None:
    assert safety.price([10, 20, 30], [9, 17, 25], adds=False) == (2.0, 3.0, 4.0)
    assert safety.price([10, 20, 30], [11, 23, 35], adds=True) == (2.0, 3.0, 4.0)


def test_the_prices_of_all_are_measured_in_one_process(server: Server) -> None:
    found = in_a_process("safety", server.base_url, None, rounds=2, block=20)
    assert {len(values) for values in found.values()} == {2}
    jobs = {"sdk": [50.0], "sdk-fleet": [60.0], "sdk-fleet-journal": [80.0]}
    rows = {row[0].partition(":")[0]: row for row in safety.section(found, jobs, []).tables[0].rows}
    assert set(rows) == {each.name for each in bypassed.SAFETIES} | {"fleet engine", "journal"}
    assert rows["journal"][1] == "20.0 (20.0 to 20.0)"


# --- wrk -------------------------------------------------------------------------------


def test_the_output_of_wrk_is_parsed() -> None:
    assert wrk.read("  158000 requests in 1.10s, 40.1MB read\n") == (158_000, 1.1)
    assert wrk.read("  3 requests in 500.00ms, 1KB read") == (3, 0.5)
    with pytest.raises(ValueError, match="Non-2xx or 3xx responses: 7"):
        wrk.read("  9 requests in 1.00s, 1KB read\n  Non-2xx or 3xx responses: 7\n")
    with pytest.raises(ValueError, match="wrk said"):
        wrk.read("unable to connect")


# --- profile ---------------------------------------------------------------------------


def test_samples_count_for_the_innermost_function_inside_the_runner() -> None:
    outer = "main (benchmarks/worker.py:1);Runner.run (asyncio/runners.py:118)"
    write = "Transport.write (/usr/lib/python3.11/asyncio/selector_events.py:1073)"
    lines = [
        f"{outer};execute (enapter_async/_http/pipeline.py:61) 7",
        f"{outer};execute (enapter_async/_http/pipeline.py:95) 2",
        f"{outer};{write} 3",
        "main (benchmarks/worker.py:1);import_module (importlib/__init__.py:126) 99",
    ]
    found = profile.sum_up(lines, "asyncio/runners.py")
    assert found == {
        ("enapter_async/_http/pipeline.py", "execute"): 9,
        ("asyncio/selector_events.py", "Transport.write"): 3,
    }
    sampled = profile.Sampled(samples=found, cpu_us=60.0)
    assert sampled.cost(9) == 45.0
    by_module, by_function = profile.section("sdk", sampled).tables
    assert by_module.rows[0] == ("enapter_async/_http/pipeline.py", "45.0", "75.0%")
    assert by_function.rows[1] == ("asyncio/selector_events.py: Transport.write", "15.0")


def test_only_contenders_with_a_driver_can_be_profiled() -> None:
    with pytest.raises(SystemExit):
        profile.main(["wrk"])


# --- everything ------------------------------------------------------------------------


def test_a_part_that_fails_is_reported_and_the_others_continue() -> None:
    def broken() -> Section:
        raise RuntimeError("the fleet's report is wrong")

    found = everything.attempted("growth", broken)
    assert found.failures == ("RuntimeError: the fleet's report is wrong",)
    assert not found.good
    whole = Section(name="growth", title="x")
    assert everything.attempted("growth", lambda: whole) is whole


# --- commands --------------------------------------------------------------------------


def test_a_part_writes_its_json_and_its_exit_code_shows_success(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "decode.json"
    code = decode.main(["--rounds", "1", "--markdown", "--json", str(file)])
    (section,) = json.loads(file.read_text("utf-8"))["sections"]
    assert (code == 0) is all(verdict["met"] for verdict in section["verdicts"])
    assert "### Reading an answer" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_no_server_outlives_an_ended_run() -> None:
    command = [sys.executable, "-m", "benchmarks.growth", "--sizes", "100000000", "--server", "raw"]
    with subprocess.Popen(  # noqa: S603 - our own command
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as run:
        assert run.stderr is not None
        assert b"operations" in run.stderr.readline()  # the server responds by now
        os.killpg(run.pid, 0)
        run.terminate()
        run.communicate(timeout=30)
    assert run.returncode == 128 + signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.killpg(run.pid, 0)


STARTING = """
import os, signal, subprocess, sys
from benchmarks.parts import begin

def main():
    sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
    told = lambda: os.kill(os.getppid(), signal.SIGTERM)
    with subprocess.Popen(sleeper, preexec_fn=told) as started:
        try:
            return started.wait()
        finally:
            started.kill()

begin(main)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_a_signal_during_the_start_of_a_process_leaves_none_behind() -> None:
    with subprocess.Popen(  # noqa: S603 - our own interpreter and text
        [sys.executable, "-c", STARTING], cwd=ROOT, start_new_session=True
    ) as run:
        assert run.wait(timeout=30) == 128 + signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.killpg(run.pid, 0)
