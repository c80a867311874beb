from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enapter_async.emulator.faults import (
    Drop,
    FaultProfile,
    Faults,
    Hang,
    ServerFailure,
    Target,
    TooManyRequests,
    Truncate,
)
from tests.emulator.fleets import METER, PUMP


def patch(device_id: str = PUMP, *, addressed: str | None = None, body: bytes = b"{}") -> Target:
    device = addressed or device_id
    return Target(
        method="PATCH", path=f"/v3/devices/{device}", device=device, device_id=device_id, body=body
    )


LIST = Target(method="GET", path="/v3/devices")


def test_without_faults_nothing_goes_wrong() -> None:
    assert Faults().pick(patch()) is None


def test_a_script_runs_in_order_and_then_ends() -> None:
    faults = Faults(script=[Drop(), Hang()])
    faults.add(ServerFailure(status=503), times=2)
    met = [faults.pick(LIST) for _ in range(5)]
    assert met == [Drop(), Hang(), ServerFailure(status=503), ServerFailure(status=503), None]
    assert faults.pending == ()


@pytest.mark.parametrize(
    ("match", "hit"),
    [
        ({"method": "PATCH"}, True),
        ({"method": "GET"}, False),
        ({"path": f"/v3/devices/{PUMP}"}, False),
        ({"path": "/v3/devices/pump"}, True),
        ({"path": "*/pump"}, True),
        ({"path": "*/generate_config"}, False),
        ({"device": PUMP}, True),
        ({"device": "pump"}, True),
        ({"device": METER}, False),
        ({"when": lambda target: target.body == b"{}"}, True),
        ({"when": lambda target: target.body == b"[]"}, False),
        ({"method": "PATCH", "device": METER}, False),
    ],
)
def test_a_rule_applies_only_to_matching_requests(match: dict[str, str], hit: bool) -> None:
    faults = Faults()
    (rule,) = faults.add(Drop(), **match)  # type: ignore[arg-type]  # each a keyword of add
    assert (faults.pick(patch(addressed="pump")) is not None) is hit
    assert rule.met == int(hit)
    assert rule.spent is hit


def test_a_rule_waits_for_its_request() -> None:
    faults = Faults()
    faults.add(Drop(), device=METER)
    faults.add(Hang(), method="PATCH")
    assert [faults.pick(t) for t in (patch(), patch(), patch(METER))] == [Hang(), None, Drop()]


def test_a_rule_may_never_end() -> None:
    faults = Faults()
    faults.add(Drop(), times=None)
    assert [faults.pick(LIST) for _ in range(100)] == [Drop()] * 100
    faults.profile = FaultProfile(rate=1.0)
    faults.clear()
    assert faults.pick(LIST) is None
    assert not faults.pending


def test_a_fault_occurs_at_least_once() -> None:
    with pytest.raises(ValueError, match="times must be at least 1"):
        Faults().add(Drop(), times=0)


@given(seed=st.integers(), count=st.integers(min_value=1, max_value=6))
def test_a_profile_is_the_same_whatever_the_order_of_requests(seed: int, count: int) -> None:
    def met(targets: list[Target]) -> dict[str, list[object]]:
        faults = Faults(FaultProfile(rate=0.5, seed=seed))
        found: dict[str, list[object]] = {}
        for target in targets:
            found.setdefault(target.path, []).append(faults.pick(target))
        return found

    one = [patch(f"a{n}") for n in range(count)]
    two = [patch(f"b{n}") for n in range(count)]
    assert met(one + two + one) == met(two + one + one)


def test_a_profile_has_its_rate_and_all_its_kinds() -> None:
    profile = FaultProfile(rate=0.2, kinds=(Drop(), TooManyRequests()), seed=3)
    faults = Faults(profile)
    met = Counter(faults.pick(patch(f"dev-{n}")) for n in range(5000))
    # Binomial with 5000 draws: 1000 ± 28 faults, 500 ± 21 of a kind; six deviations are allowed.
    assert abs(5000 - met[None] - 1000) < 6 * 28
    assert abs(met[Drop()] - 500) < 6 * 21
    assert met.keys() == {None, Drop(), TooManyRequests()}


def test_other_seeds_give_other_faults() -> None:
    def met(seed: int) -> list[object]:
        faults = Faults(FaultProfile(rate=0.5, seed=seed))
        return [faults.pick(patch(f"dev-{n}")) for n in range(100)]

    assert met(1) == met(1)
    assert met(1) != met(2)


def test_a_profile_may_end_for_a_path() -> None:
    faults = Faults(FaultProfile(rate=1.0, kinds=(Drop(),), most_per_path=2))
    assert [faults.pick(patch()) for _ in range(4)] == [Drop(), Drop(), None, None]
    assert faults.pick(patch(METER)) == Drop()


def test_a_profile_may_apply_to_some_methods() -> None:
    faults = Faults(FaultProfile(rate=1.0, kinds=(Drop(),), methods=["PATCH"]))
    assert (faults.pick(LIST), faults.pick(patch())) == (None, Drop())


def test_the_script_comes_before_the_profile() -> None:
    faults = Faults(FaultProfile(rate=1.0, kinds=(Drop(),)), script=[Hang()])
    assert [faults.pick(LIST), faults.pick(LIST)] == [Hang(), Drop()]


def test_wrong_faults_are_refused() -> None:
    with pytest.raises(ValueError, match="rate"):
        FaultProfile(rate=1.5)
    with pytest.raises(ValueError, match="kind"):
        FaultProfile(rate=0.5, kinds=())
    with pytest.raises(ValueError, match="500"):
        ServerFailure(status=404)
    with pytest.raises(ValueError, match="keep must"):
        Truncate(keep=1.0)
    with pytest.raises(TypeError, match="'Drop' is not a fault, such as Drop"):
        Faults().add("Drop")  # type: ignore[arg-type]  # the mistake is the point
