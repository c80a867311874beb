from collections import Counter
from pathlib import Path

from benchmarks.catalog import CONTENDERS, LINKS, NAMES, VARIANTS, Contender, Link
from benchmarks.grid import Effort, plan, worker_command
from benchmarks.server import Server

ALL = (*CONTENDERS, *VARIANTS)


def planned(seed: int) -> list[tuple[int, int, str]]:
    effort = Effort(rounds=3, seed=seed)
    cells = plan(CONTENDERS, [1, 64], effort)
    return [(cell.round, cell.concurrency, cell.contender.name) for cell in cells]


def test_every_round_has_every_contender_once_at_every_concurrency() -> None:
    counted = Counter(planned(1))
    assert set(counted.values()) == {1}
    assert len(counted) == 3 * 2 * len(CONTENDERS)


def test_rounds_are_shuffled_repeatably() -> None:
    assert planned(1) == planned(1)
    assert planned(1) != planned(2)
    size = 2 * len(CONTENDERS)
    orders = {tuple(entry[1:] for entry in planned(1)[at : at + size]) for at in (0, size)}
    assert len(orders) == 2


def test_compared_contenders_run_together() -> None:
    entries = planned(1)
    size = len(CONTENDERS)
    for at in range(0, len(entries), size):
        assert len({entry[:2] for entry in entries[at : at + size]}) == 1


def test_names_are_unique_and_show_their_extras() -> None:
    assert len({one.name for one in ALL}) == len(ALL)
    for one in ALL:
        assert one.orjson == ("orjson" in one.name)
        assert one.uvloop == ("uvloop" in one.name)


def test_a_missing_package_is_named() -> None:
    one = Contender(name="x", what="x", driver="x", needs=("asyncio", "no_such_package"))
    assert one.missing() == ("no_such_package",)


def test_a_missing_program_is_named() -> None:
    one = Contender(name="x", what="x", program="no-such-program")
    assert one.missing() == ("no-such-program",)
    assert Contender(name="x", what="x", program="sh").missing() == ()


SERVER = Server(kind="x", base_url="http://127.0.0.1:1")


def option(command: list[str], name: str) -> str:
    return command[command.index(name) + 1]


def test_the_warm_up_opens_every_connection() -> None:
    command = worker_command(CONTENDERS[0], 256, Effort(warm_up=100), SERVER)
    assert option(command, "--warm-up") == "512"
    command = worker_command(CONTENDERS[0], 16, Effort(warm_up=100), SERVER)
    assert option(command, "--warm-up") == "100"


def test_with_latency_few_calls_warm_up_and_a_cell_is_longer() -> None:
    far = Link(name="far", latency=0.1)
    command = worker_command(CONTENDERS[0], 16, Effort(warm_up=256, seconds=1), SERVER, link=far)
    assert option(command, "--warm-up") == "32"
    assert float(option(command, "--seconds")) == 3.0


def test_a_servers_authority_is_passed_on() -> None:
    secured = Server(kind="x", base_url="https://127.0.0.1:1", ca=Path("/ca.pem"))
    assert option(worker_command(CONTENDERS[0], 1, Effort(), secured), "--ca") == "/ca.pem"
    assert "--ca" not in worker_command(CONTENDERS[0], 1, Effort(), SERVER)


def test_the_required_links_are_there() -> None:
    assert [(link.tls, link.latency) for link in LINKS] == [
        (False, 0.0),
        (True, 0.0),
        (False, 0.02),
        (False, 0.1),
    ]


def test_wrk_is_run_for_whole_seconds() -> None:
    command = worker_command(NAMES["wrk"], 16, Effort(seconds=0.3), SERVER)
    assert command[2] == "benchmarks.wrk"
    assert option(command, "--seconds") == "1"
