"""The options of a run as one value or as keywords, and combinations that are refused."""

from datetime import timedelta
from typing import Any

import pytest

from enapter_async.errors import ConfigurationError
from enapter_async.fleet import DEFAULT_ABORT, GuardMode, RunOptions, StateGuard, apply
from enapter_async.operations.devices import UpdateDevice
from tests.fleet.callers import ScriptedCaller


def test_a_keyword_takes_precedence_over_the_value() -> None:
    options = RunOptions.of(RunOptions(concurrency=3, check=True), {"concurrency": 5})
    assert (options.concurrency, options.check, options.abort) == (5, True, DEFAULT_ABORT)


@pytest.mark.parametrize("given", ["each", GuardMode.EACH])
def test_a_guard_is_named_by_its_mode(given: Any) -> None:
    assert RunOptions(guard=given).guard is GuardMode.EACH


def test_a_custom_guard_is_kept() -> None:
    guard = StateGuard(ScriptedCaller())
    assert RunOptions(guard=guard).guard is guard


@pytest.mark.parametrize(
    ("keywords", "says"),
    [
        ({"concurrency": 0}, "concurrency is 0; it must be a whole number, at least 1"),
        ({"max_pause": 0}, "max_pause is 0; it must be a number of seconds above 0"),
        ({"wait": timedelta(seconds=5)}, "it must be a number of seconds, at least 0"),
        ({"rollout": "10%"}, "rollout is '10%'; pass waves such as fleet.Rollout"),
        ({"abort": "5%"}, "abort must be of type AbortCriterion, such as "),
        ({"guard": "often"}, "guard is 'often'; use one of auto, each, wave, none"),
    ],
)
def test_nonsensical_options_are_refused(keywords: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        RunOptions(**keywords)


async def test_a_run_accepts_the_value() -> None:
    caller = ScriptedCaller()
    operations = [UpdateDevice(device_id="device-1", name="x")]
    with pytest.raises(TypeError, match="concurency"):
        await apply(caller, operations, RunOptions(), concurency=1)  # type: ignore[call-arg]  # the mistake is the point
    report = await apply(caller, operations, RunOptions(check=True))
    assert report.total == 1
