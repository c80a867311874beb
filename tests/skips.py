"""The only reasons for which a test may be skipped; any other skip makes the run fail.

A skipped test shows nothing, so each reason is listed here with the tests that may use it. Add a
line if a test needs something that not every machine has, but not if the test is merely broken.
"""

from collections.abc import Generator, Sequence
from fnmatch import fnmatchcase
from typing import Any, TypeVar

import attrs
import pytest

ReportT = TypeVar("ReportT", pytest.TestReport, pytest.CollectReport)


@attrs.frozen
class AllowedSkip:
    """A reason, and the node ids of the tests that may give it; `*` stands for anything."""

    reason: str
    tests: str


ALLOWED: Sequence[AllowedSkip] = (
    # What a machine may lack.
    AllowedSkip("uvloop is not installed", "tests/*"),
    AllowedSkip("orjson is not installed", "tests/*"),
    AllowedSkip("pandas is not installed", "tests/api/test_telemetry.py::*"),
    AllowedSkip("openssl is not installed", "tests/*"),
    AllowedSkip("nginx is not installed", "tests/*"),
    AllowedSkip("PostgreSQL is not installed", "tests/*"),
    AllowedSkip("pgbouncer is not installed", "tests/fleet/test_pooling.py::*"),
    AllowedSkip("nginx or the openssl command is missing", "tests/benchmarks/*"),
    AllowedSkip("the openssl command is missing", "tests/benchmarks/*"),
    AllowedSkip("wrk is not installed", "tests/benchmarks/*"),
    AllowedSkip("matplotlib is not installed", "tests/benchmarks/*"),
    AllowedSkip("uvloop not installed", "tests/benchmarks/*"),
    AllowedSkip("orjson not installed", "tests/benchmarks/*"),
    AllowedSkip("enapter not installed", "tests/benchmarks/*"),
    AllowedSkip("httpx not installed", "tests/benchmarks/*"),
    AllowedSkip("no headless Chromium is installed", "tests/*"),
    AllowedSkip("no browser is installed", "tests/fleet/test_reporting.py::*"),
    AllowedSkip("only root can give files away", "tests/profiles/test_owners.py::*"),
    AllowedSkip("this machine may not mount anything", "tests/profiles/test_owners.py::*"),
    AllowedSkip("strace is not installed", "tests/fleet/test_kills.py::*"),
    AllowedSkip("strace is not allowed to trace", "tests/fleet/test_kills.py::*"),
    AllowedSkip("strace is not installed", "tests/http/test_loops.py::*"),
    AllowedSkip("strace is not allowed to trace", "tests/http/test_loops.py::*"),
    AllowedSkip("could not import 'sphinx.*", "tests/docs/*"),
    AllowedSkip("could not import 'yaml'*", "tests/docs/test_services.py::*"),
    AllowedSkip("systemd-analyze is not installed", "tests/docs/test_services.py::*"),
    AllowedSkip("curl is not installed", "tests/docs/*"),
    AllowedSkip(
        "eager tasks need Python 3.12",
        "tests/fleet/test_broken_workers.py::test_a_run_ends_under_an_eager_task_factory",
    ),
    # What a system other than Linux lacks.
    AllowedSkip("cannot measure memory", "tests/http/test_hostile.py::*"),
    AllowedSkip("needs /proc/self/clear_refs to measure memory", "tests/http/*"),
    AllowedSkip("this system has no /dev/full", "tests/cli/test_fleet.py::*"),
    AllowedSkip("this system has no pseudo-terminals", "tests/cli/test_terminal.py::*"),
    AllowedSkip("needs POSIX signals", "tests/cli/*"),
    AllowedSkip("needs Linux to take these things away", "tests/cli/test_deprived.py::*"),
    AllowedSkip("needs POSIX signals", "tests/benchmarks/*"),
    AllowedSkip("Ctrl-C cannot be sent to another process there", "tests/test_readme*"),
    AllowedSkip("needs POSIX file modes", "tests/fleet/*"),
    AllowedSkip("this system has no SIGKILL", "tests/fleet/test_kills.py*"),
    AllowedSkip("this system cannot limit file sizes", "tests/fleet/test_truth.py::*"),
    AllowedSkip("needs the system's memory statistics", "tests/fleet/test_growth.py::*"),
    AllowedSkip("the pages need a Unix shell", "tests/docs/*"),
    # Cases that one of the ways of running a test cannot cover.
    AllowedSkip(
        "aiohttp skips interim answers without telling a session",
        "tests/http/test_action_table.py::*session*row24-nine-interim-answers*",
    ),
    AllowedSkip(
        "aiohttp skips interim answers without telling a session",
        "tests/contract/test_phases.py::*session*row24-nine-interim-answers*",
    ),
    AllowedSkip(
        "the server's own transport sends RST only when the loop turns",
        "tests/http/test_connection_reuse.py::test_row13_*rst-loop-not-turned*",
    ),
)


def may_be_skipped(node_id: str, reason: str) -> bool:
    """Return whether a test may be skipped for this reason."""
    return any(
        fnmatchcase(reason, allowed.reason) and fnmatchcase(node_id, allowed.tests)
        for allowed in ALLOWED
    )


def judge(report: ReportT) -> ReportT:
    """Turn the report of a skip that is not allowed into a failure."""
    if report.skipped and not hasattr(report, "wasxfail"):
        told: Any = report.longrepr
        reason = str(told[2] if isinstance(told, tuple) else told).removeprefix("Skipped: ")
        if not may_be_skipped(report.nodeid, reason):
            report.outcome = "failed"
            report.longrepr = f"skipped for a reason that tests/skips.py does not allow: {reason}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Judge the skip of one test."""
    return judge((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Judge the skip of a whole module."""
    return judge((yield))
