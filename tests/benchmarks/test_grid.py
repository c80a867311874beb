from collections import Counter

from benchmarks.catalog import CONTENDERS, VARIANTS, Contender
from benchmarks.grid import Effort, plan, worker_command

ALL = (*CONTENDERS, *VARIANTS)


def planned(seed: int) -> list[tuple[int, int, str]]:
    effort = Effort(rounds=3, seed=seed)
    return [(number, at, one.name) for number, at, one in plan(CONTENDERS, [1, 64], effort)]


def test_every_round_has_every_contender_once_at_every_concurrency() -> None:
    counted = Counter(planned(1))
    assert set(counted.values()) == {1}
    assert len(counted) == 3 * 2 * len(CONTENDERS)


def test_rounds_are_in_another_order_each_and_repeatable() -> None:
    assert planned(1) == planned(1)
    assert planned(1) != planned(2)
    size = 2 * len(CONTENDERS)
    orders = {tuple(entry[1:] for entry in planned(1)[at : at + size]) for at in (0, size)}
    assert len(orders) == 2


def test_what_is_compared_stands_together() -> None:
    entries = planned(1)
    size = len(CONTENDERS)
    for at in range(0, len(entries), size):
        assert len({entry[:2] for entry in entries[at : at + size]}) == 1


def test_names_are_unique_and_say_which_extras_are_in() -> None:
    assert len({one.name for one in ALL}) == len(ALL)
    for one in ALL:
        assert one.orjson == ("orjson" in one.name)
        assert one.uvloop == ("uvloop" in one.name)


def test_a_missing_package_is_named() -> None:
    one = Contender(name="x", what="x", driver="x", needs=("asyncio", "no_such_package"))
    assert one.missing() == ("no_such_package",)


def test_the_warm_up_opens_every_connection() -> None:
    command = worker_command(CONTENDERS[0], 256, Effort(warm_up=100), "http://127.0.0.1:1")
    assert command[command.index("--warm-up") + 1] == "512"
    command = worker_command(CONTENDERS[0], 16, Effort(warm_up=100), "http://127.0.0.1:1")
    assert command[command.index("--warm-up") + 1] == "100"
