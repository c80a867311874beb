"""`provisioning`: devices are created once, and their credentials end in private files."""

import json
import stat
from pathlib import Path

from enapter.standalone import config as standalone

from enapter_async.cli.exit_codes import Exit
from enapter_async.emulator import World
from tests.cli.conftest import Run


def test_devices_are_created_and_shown(run: Run, world: World) -> None:
    site = world.sites[0].id
    made = run("provisioning", "standalone", "Pump 9", "--slug", "pump-9", "--site", site, "--json")
    assert made.exit_code == Exit.DONE
    row = json.loads(made.stdout)
    assert row["provisioned"] == {"device_id": world.device("pump-9").id, "slug": "pump-9"}
    again = run("provisioning", "standalone", "Pump 9", "--slug", "pump-9", "--site", site)
    assert again.exit_code == Exit.FAILED
    runtime = next(device for device in world if device.type == "HARDWARE_UCM")
    given = ("--runtime", runtime.id, "--blueprint", "bp-1", "--slug", "meter-9")
    assert run("provisioning", "lua-device", "Meter", *given).exit_code == Exit.DONE
    virtual = run("provisioning", "vucm", "V", "--hardware-id", "V00", "--site", site)
    assert virtual.exit_code == Exit.DONE
    assert world.count("provision") == 3
    assert run("provisioning", "standalone", "Pump").exit_code == Exit.USAGE, "without a slug"
    assert run("provisioning", "ucm", "U", "--hardware-id", "A00").exit_code == Exit.USAGE


def test_credentials_become_settings_of_the_official_runtime(
    run: Run, world: World, tmp_path: Path
) -> None:
    site, kept = world.sites[0].id, tmp_path / "kept.jsonl"
    for protocol, hardware_id in (("MQTT", "A00"), ("MQTTS", "A01")):
        options = ("--hardware-id", hardware_id, "--site", site, "--protocol", protocol)
        done = run("provisioning", "ucm", "U", *options, "-o", str(kept))
        assert done.exit_code == Exit.DONE, done.stderr
        assert "password" not in done.output
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    rows = [json.loads(line) for line in kept.read_text("utf-8").splitlines()]
    folder, form = tmp_path / "env", ("--format", "env")
    written = run("fleet", "credentials", str(kept), *form, "-o", str(folder), "--json")
    assert json.loads(written.stdout)["devices"] == [row["device_id"] for row in rows]
    for row in rows:
        file = folder / f"{row['device_id']}.env"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        name, _, blob = file.read_text("utf-8").rstrip("\n").partition("=")
        read = standalone.CommunicationConfig.from_env({name: blob})
        assert read.hardware_id == row["config"]["hardware_id"]
        assert read.mqtt_api_config.host == row["config"]["mqtt_host"]
    again = run("fleet", "credentials", str(kept), *form, "-o", str(folder))
    assert again.exit_code == Exit.USAGE
    assert f"{folder}/{rows[0]['device_id']}.env and 1 others already exist" in again.stderr
    assert (
        run("fleet", "credentials", str(kept), *form, "-o", str(folder), "--force").exit_code == 0
    )
    twins = [{**row, "device_id": "pump", "site_id": f"s{n}"} for n, row in enumerate(rows)]
    kept.write_text("".join(json.dumps(row) + "\n" for row in twins), "utf-8")
    assert run("fleet", "credentials", str(kept), *form, "-o", str(folder)).exit_code == Exit.DONE
    assert {"s0.pump.env", "s1.pump.env"} <= {each.name for each in folder.iterdir()}
    twins.append({"device_id": "s0.pump", "config": {}})  # a slug that looks like site and device
    kept.write_text("".join(json.dumps(row) + "\n" for row in twins), "utf-8")
    refused = run("fleet", "credentials", str(kept), *form, "-o", str(folder))
    assert "two devices would have the file s0.pump" in refused.stderr
    kept.write_text('{"device_id": "a", "raw": "SECRET"}\n', "utf-8")
    refused = run("fleet", "credentials", str(kept), *form, "-o", str(folder))
    assert refused.exit_code == Exit.USAGE
    assert "line 1: its configuration could not be read" in refused.stderr
    assert "SECRET" not in refused.output


def test_a_new_configuration_may_be_written_as_a_setting(
    run: Run, world: World, tmp_path: Path
) -> None:
    site, file = world.sites[0].id, tmp_path / "one.env"
    made = ("provisioning", "ucm", "U", "--hardware-id", "A00", "--site", site, "--protocol")
    done = run(*made, "MQTT", "--format", "env", "-o", str(file), "--show")
    assert done.exit_code == Exit.DONE, done.stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text("utf-8") == done.stdout
    name, _, blob = done.stdout.rstrip("\n").partition("=")
    assert standalone.CommunicationConfig.from_env({name: blob}).hardware_id == "A00"
    again = run(*made, "MQTT", "--format", "env", "-o", str(file))
    assert "--force" not in again.stderr, "there is no such option"
    assert again.exit_code == Exit.USAGE
    assert f"{file} already exists" in again.stderr
    assert world.count("generate_config") == 1, "it was refused before anything was sent"
    device = next(each for each in world if each.hardware_id == "A00")
    shown = run("devices", "generate-config", device.id, "--format", "env", "--show")
    assert shown.stdout.startswith(f"{name}=")


def test_a_plan_that_is_refused_names_no_run_of_its_own(
    run: Run, world: World, tmp_path: Path
) -> None:
    rows, plan = tmp_path / "rows.csv", tmp_path / "plan"
    site = world.sites[0].id
    rows.write_text(f"operation,name,slug,site_id\nprovision,Pump,pump-9,{site}\n", "utf-8")
    assert run("fleet", "plan", str(rows), "-o", str(plan)).exit_code == Exit.DONE
    first = run("fleet", "apply", str(plan), "--yes")
    assert (first.exit_code, "\nrun 2" in first.stderr) == (Exit.DONE, True)
    assert "1 of 1: 1 applied, 0 failed attempts" in first.stderr, "a free slug is not a failure"
    again = run("fleet", "apply", str(plan), "--yes")
    assert (again.exit_code, "\nrun 2" in again.stderr) == (Exit.REFUSED, False)
    assert len(run("fleet", "runs").stdout.splitlines()) == 1
