"""Gates between waves:

which devices count, how many requests that takes, and what is counted separately.
"""

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest

from enapter_async import Client, Device, UpdateDevice, fleet
from enapter_async.emulator import Emulator, World
from enapter_async.emulator.telemetry import Telemetry
from enapter_async.errors import ConfigurationError
from enapter_async.fleet.errors import WaveNotPassedError
from enapter_async.fleet.outcomes import RunEvent, State, WaveBegan, WavePassed
from enapter_async.fleet.rollout.gates import Gates
from enapter_async.fleet.rollout.waves import Gate, Rollout
from enapter_async.models.telemetry import TelemetryPoint
from enapter_async.operations.device_conditions import device_condition
from tests.emulator.fleets import NOON
from tests.support.clock import FakeClock

MANIFEST = {
    "alerts": {
        "hot": {"severity": "error"},
        "warm": {"severity": "warning"},
        "not_configured": {"severity": "error"},
    }
}


@pytest.fixture
def world() -> World:
    world = World.seeded(50, 1, role="OWNER")
    for device in world.devices:
        world.change(
            device.id, manifest=MANIFEST, raised_alert_names=(), properties={"status": "ok"}
        )
    return world


def renames(emulator: Emulator) -> list[UpdateDevice]:
    return [UpdateDevice(device_id=each.id, name="New") for each in emulator.world.devices]


def at_wave(number: int, act: Any, events: list[RunEvent], event: RunEvent) -> None:
    """Do something when a wave begins, after its devices were read."""
    events.append(event)
    if isinstance(event, WaveBegan) and event.number == number:
        act()


def raise_on(emulator: Emulator, count: int, *alerts: str) -> None:
    for device in emulator.world.devices[:count]:
        emulator.world.change(device.id, raised_alert_names=alerts)


@pytest.mark.parametrize(
    ("condition", "device", "met"),
    [
        ("alerts", {"raised_alert_names": ()}, True),
        ("alerts", {}, None),
        ("alerts", {"raised_alert_names": ("warm",)}, False),
        ("alerts", {"raised_alert_names": ("not_configured",)}, True),
        ("alerts(error)", {"raised_alert_names": ("warm",)}, True),
        ("alerts(warning)", {"raised_alert_names": ("hot",)}, False),
        ("alerts(error)", {"raised_alert_names": ("undeclared",)}, False),
        ("status=ok", {"properties": {"status": "ok"}}, True),
        ("status=ok", {"properties": {}}, False),
        ("status=ok", {}, None),
    ],
)
def test_a_device_meets_a_condition_or_not_or_reports_nothing(
    condition: str, device: dict[str, Any], met: bool | None
) -> None:
    shown = Device(id="d", manifest=MANIFEST, **device)
    assert device_condition(condition).is_met(shown) is met


async def test_fifty_devices_take_one_request(emulator: Emulator, client: Client) -> None:
    gates = Gates(client, Rollout(gates=("alerts(error)", "status=ok")).gates)
    devices = {each.id: each.site_id for each in emulator.world.devices}
    raise_on(emulator, 1, "hot")
    met = await gates.before(devices)
    assert {gate: len(names) for gate, names in met.items()} == {
        "alerts(error)": 49,
        "status=ok": 50,
    }
    assert emulator.world.log.count_arrivals() == 1
    assert (await gates.after(met, devices)).why == ""
    assert emulator.world.log.count_arrivals() == 2
    one = emulator.world.devices[-1].id
    await gates.before({one: devices[one]})
    assert emulator.world.log.arrivals()[-1].path == f"/v3/devices/{one}", "no page for one"


async def test_a_wave_that_raises_alerts_stops_the_job_until_they_are_gone(
    emulator: Emulator, client: Client, tmp_path: Path
) -> None:
    rollout = Rollout(waves=(10, "rest"), gates="alerts(error)")
    journal, events = str(tmp_path / "run.db"), list[RunEvent]()
    act = partial(raise_on, emulator, 50, "hot", "not_configured")
    report = await fleet.apply(
        client,
        renames(emulator),
        rollout=rollout,
        journal=journal,
        on_event=partial(at_wave, 1, act, events),
    )
    assert report.counts[State.APPLIED] == 10
    assert isinstance(report.stopped, WaveNotPassedError)
    assert (
        "10 of 10 devices that met 'alerts(error)' before it no longer do; the limit is 5 %; 10 "
        "devices are not configured"
    ) in str(report.stopped)
    raise_on(emulator, 50, "warm", "not_configured")
    events.clear()
    report = await fleet.resume(client, journal, on_event=events.append)
    assert report.ok
    passed = next(each for each in events if isinstance(each, WavePassed))
    assert (passed.number, passed.not_configured) == (1, 10)


async def test_a_device_that_cannot_be_read_is_not_well(client: Client) -> None:
    gates = Gates(client, (Gate(condition="status=ok", most_lost=0.0),))
    judged = await gates.after({"status=ok": ("nobody",)}, {})
    assert "1 of 1 devices that met 'status=ok'" in judged.why
    assert "(1 of them cannot be read or do not report it)" in judged.why


def test_gates_are_written_with_a_rollout_and_left_out_without() -> None:
    rollout = Rollout(gates=("alerts", Gate(condition="status=ok", most_lost=0.0, sample=7)))
    assert Rollout.from_text(rollout.as_text()) == rollout
    assert "gates" not in Rollout().as_text()
    with pytest.raises(ConfigurationError, match="most_lost is 100"):
        attrs.evolve(rollout.gates[0], most_lost=100.0)


async def test_telemetry_is_watched_for_a_while(clock: FakeClock) -> None:
    world = World.seeded(30, 1, role="OWNER", now=lambda: NOON)
    for each in world.devices:
        world.change(each.id, manifest={"telemetry": {"power": {"type": "integer"}}})
    async with Emulator(world=world) as emulator:
        telemetry = emulator.noun(Telemetry)
        values = {
            each.id: telemetry.value(each.id, "power", "integer", int(NOON))
            for each in world.devices
        }
        positive = [name for name, value in values.items() if value is not None and value > 0]
        async with Client(emulator.token, base_url=emulator.base_url) as client:
            gates = Gates(client, Rollout(gates="power>0 for 70s").gates, clock.clock())
            met = await gates.before(dict.fromkeys(values, ""))
            assert set(met["power>0 for 70s"]) == set(positive)
            assert emulator.world.log.count_arrivals() == 1
            assert (await gates.after(met, {})).why == ""
            assert [round(each) for each in clock.sleeps] == [30, 30, 10]
            assert emulator.world.log.count_arrivals() == 5

            async def lose_power() -> None:
                for name in positive:
                    world.change(name, manifest={"telemetry": {}})

            clock.on_sleep = lose_power
            judged = await gates.after(met, {})
            assert f"{len(positive)} of {len(positive)} devices that met" in judged.why
            assert "do not report it" in judged.why


@pytest.mark.parametrize(
    ("condition", "value", "met"),
    [
        ("power>0 for 5m", 0.5, True),
        ("power>0 for 5m", -1, False),
        ("power<1.10 for 0s", 1.5, False),
        ("mode=eco for 5m", "eco", True),
        ("mode!=eco for 5m", "eco", False),
        ("running=true for 5m", True, True),
        ("power>0 for 5m", None, None),
    ],
)
def test_a_latest_value_is_compared(condition: str, value: Any, met: bool | None) -> None:
    parsed = device_condition(condition)
    name = {"p": "power", "m": "mode", "r": "running"}[condition[0]]
    point = TelemetryPoint(value=value, timestamp=datetime.fromtimestamp(NOON, UTC))
    assert parsed.is_met({name: point}) is met
    assert parsed.is_met({}) is None
