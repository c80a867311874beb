import random

import pytest

from benchmarks.limits import calls, measure, product, rivals, sockets, world
from benchmarks.limits.calls import Declared, Gather
from benchmarks.limits.rows import ROWS, WORKERS, unlimited
from benchmarks.limits.summary import Cell, section
from benchmarks.limits.world import EPOCH, Bucket, Chance, Server, Window

WINDOW = "600 a minute"


def cell(name: str, seed: int, seconds: float, requests: float) -> Cell:
    ideal = ROWS[name].ideal
    assert ideal is not None
    return Cell(
        row=name,
        seed=seed,
        ideal=ideal,
        seconds=seconds * ideal,
        requests=requests,
        rival_seconds=3.0 * ideal,
        rival_requests=2.0,
    )


def test_the_median_of_the_seeds_is_compared_with_the_rows_bounds() -> None:
    kept = [cell(WINDOW, seed, time, 1.15) for seed, time in ((1, 9.0), (2, 1.1), (3, 1.0))]
    found = section(kept, [], [], [])
    assert [(each.bound, each.met) for each in found.verdicts] == [(1.1, True), (1.15, True)]
    (table,) = found.tables
    assert table.rows[0][0] == WINDOW
    assert table.rows[0][2] == "1.10 (1.00-9.00)"
    assert table.rows[0][-2:] == ("3.00", "2.00")
    over = [*kept, cell(WINDOW, 4, 1.2, 1.16), cell(WINDOW, 5, 1.2, 1.16)]
    slow = section(over, [], [], [])
    assert [each.met for each in slow.verdicts] == [False, True]
    assert slow.tables[0].rows[0][2].startswith("**1.20")


def test_a_group_is_judged_by_the_row_nearest_to_its_bound() -> None:
    # 1.2 of an allowed 1.3 is nearer than 1.4 of 1.6.
    found = section(
        [cell("1.0% of 429", 1, 1.2, 1.0), cell("5.0% of 429", 1, 1.4, 1.0)], [], [], []
    )
    time, _ = found.verdicts
    assert time.what == "time / ideal; at random, nearest: 1.0% of 429"
    assert time.bound == 1.3


def test_one_error_one_starved_call_or_one_slot_too_many_is_a_miss() -> None:
    def gather(errors: dict[str, int], starved: float) -> Gather:
        return Gather(
            row="mixed", seed=1, seconds=1.0, requests=1.0, errors=errors, starved=starved
        )

    def met(*gathers: Gather, began: int = 52) -> list[bool]:
        declared = [Declared(rate=50.0, seed=1, began=began, arrived=60)]
        return [each.met for each in section([], gathers, declared, []).verdicts]

    assert met(gather({}, 3.0)) == [True, True, True]
    assert met(gather({}, 3.1)) == [False, True, True]
    assert met(gather({}, 1.0), gather({"RateLimitedError": 1}, 1.0)) == [True, False, True]
    assert met(gather({}, 1.0), began=53) == [True, True, False]


def test_over_a_socket_each_round_has_its_own_ideal() -> None:
    def job(ideal: float, seconds: float) -> sockets.Job:
        return sockets.Job(
            row="x", ideal=ideal, seconds=seconds, requests=1.0, time_bound=1.3, requests_bound=1.0
        )

    time, requests = section([], [], [], [job(1.0, 1.3), job(2.0, 2.6), job(1.0, 9.0)]).verdicts
    assert time.found is not None
    assert time.found.median == pytest.approx(1.3)
    assert time.met
    assert requests.met


def test_the_busiest_second_is_counted() -> None:
    assert calls.most_in_a_second([]) == 0
    assert calls.most_in_a_second([0.0, 1.0, 2.0]) == 1
    assert calls.most_in_a_second([0.9, 0.0, 1.5, 1.8, 3.0]) == 3


def test_starvation_is_the_tail_in_units_of_the_median() -> None:
    assert calls.starved([1.0] * 98 + [4.0] * 2) == 4.0


def test_the_servers_limit_as_described() -> None:
    bucket = Bucket(10, 2)
    assert [bucket.decide(EPOCH + at) for at in (0, 0, 0, 0.1)] == [None, None, (429, None), None]
    window = Window(2, 10, tells=True)
    assert [window.decide(EPOCH + at) for at in (0, 1, 2.5, 10)] == [None, None, (429, 8), None]


@pytest.mark.parametrize("rule", rivals.RIVALS)
def test_a_rival_carries_out_all_in_virtual_time(rule: str) -> None:
    server = calls.seeded(Chance(0.05), 1)
    seconds = world.run(rivals.pooled(server, rule, 200, 1, 1))
    assert server.good == 200
    assert server.requests > 200
    assert seconds > unlimited(200) / 2


def test_botocore_slows_down_for_random_refusals() -> None:
    server = calls.seeded(Chance(0.05), 1)
    assert world.run(rivals.pooled(server, "botocore adaptive", 1_000, 1, 1)) > 10.0
    again = calls.seeded(Chance(0.05), 1)
    assert world.run(product.jobs(again, 1_000, 1, 1)) < 1.0


def test_a_row_meets_its_bounds_and_is_repeatable() -> None:
    name = "bucket 5/s, 5 saved up"
    first, again = (measure.cell(name, 1, rival=False) for _ in range(2))
    assert first == again
    assert section([first], [], [], []).good


def test_without_a_limit_a_job_uses_every_worker() -> None:
    server = calls.seeded(Server(), 1)
    seconds = world.run(product.jobs(server, 20 * WORKERS, 1, 1))
    assert server.requests == 20 * WORKERS
    assert seconds < 1.3 * unlimited(20 * WORKERS)


def test_refusals_over_a_socket_are_counted() -> None:
    chance, attempts, passed = random.Random(1), 0, 0  # the server's own draw, by its seed
    while passed < 200:
        attempts += 1
        passed += chance.random() >= 0.02
    found = {each.row: each for each in sockets.by_chance(count=200, rounds=1)}
    assert found["0% of 429 at random"].requests == 1.0
    assert found["2% of 429 at random"].requests == attempts / 200 > 1.0
    assert all(each.ideal > 4 * world.LATENCY and each.seconds > 0 for each in found.values())
