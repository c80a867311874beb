"""Devices and sites and a log of changes to them, which every fault test checks at the end."""

import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import attrs

JSON_TYPE = "application/json"
SITE = "place-"
"""The prefix of the ids of sites that can be changed."""


@attrs.frozen
class Effect:
    """One change to one device, and the number of the arrival that made it."""

    operation: str
    device_id: str
    change: Mapping[str, Any]
    arrival: int


@attrs.frozen
class Good:
    """The honest answer, as a server without faults would send it."""

    status: int
    body: bytes

    @property
    def media_type(self) -> str:
        return JSON_TYPE

    def json(self) -> Any:
        return json.loads(self.body)


def device(device_id: str, **fields: Any) -> dict[str, Any]:
    return {
        "id": device_id,
        "blueprint_id": "bp-1",
        "name": f"Name of {device_id}",
        "site_id": "site-1",
        "updated_at": 1735689600,
        "slug": f"slug-of-{device_id}",
        "type": "LUA",
        "authorized_role": "OWNER",
        **fields,
    }


def error(status: int, code: str, message: str = "no") -> Good:
    return Good(status, json.dumps({"errors": [{"code": code, "message": message}]}).encode())


class World:
    """The state: devices by id, and the log of effects."""

    def __init__(self, ids: Iterable[str]) -> None:
        self.devices = {device_id: device(device_id) for device_id in ids}
        self.sites = {
            f"{SITE}{number}": {"id": f"{SITE}{number}", "name": "Old", "timezone": "Europe/Rome"}
            for number, _ in enumerate(self.devices, start=1)
        }
        self.past: dict[str, list[dict[str, Any] | None]] = {
            each: [state] for each, state in (*self.devices.items(), *self.sites.items())
        }
        """The states of each device and site, the newest last; None once it is deleted."""
        self.effects: list[Effect] = []

    def done(self, operation: str | None = None, device_id: str | None = None) -> int:
        """Count the effects, optionally only those of one operation or on one device."""
        return sum(
            (operation is None or effect.operation == operation)
            and (device_id is None or effect.device_id == device_id)
            for effect in self.effects
        )

    def preview(self, arrival: int, method: str, target: str, body: bytes) -> Good:
        """Return what `serve` would answer, without an effect."""
        return self.aged(0).serve(arrival, method, target, body)

    def aged(self, age: int) -> "World":
        """Return the world as it was that many changes of each device ago."""
        twin = type(self)(())
        twin.devices, twin.sites = dict(self.devices), dict(self.sites)
        for known, states in self.past.items() if age else ():
            state = states[max(0, len(states) - 1 - age)]
            if state is None:
                twin._all_with(known).pop(known, None)
            else:
                twin._all_with(known)[known] = state
        twin.past = {device_id: [] for device_id in self.past}
        return twin

    def meddle(self, address: str, **fields: Any) -> None:
        """Change a device, if it exists, as another user would: without an arrival."""
        found = self._find(address)
        if found is not None:
            self._turn(found["id"], {**found, **fields})

    def _all_with(self, known: str) -> dict[str, dict[str, Any]]:
        """Return the devices or the sites, by the id of one of them."""
        return self.sites if known.startswith(SITE) else self.devices

    def _turn(self, known: str, state: dict[str, Any] | None) -> None:
        if state is None:
            del self._all_with(known)[known]
        else:
            self._all_with(known)[known] = state
        self.past[known].append(state)

    def serve(self, arrival: int, method: str, target: str, body: bytes) -> Good:
        """Carry out a request, log it, and return the honest answer."""
        split = urlsplit(target)
        segments = [unquote(segment) for segment in split.path.split("/") if segment]
        if "v3" in segments:
            segments = segments[segments.index("v3") + 1 :]
        match method, segments:
            case ("GET", ["devices"] | ["sites", _, "devices"]):
                site_id = segments[1] if segments[0] == "sites" else None
                shown = [
                    each for each in self.devices.values() if site_id in (None, each["site_id"])
                ]
                return self._page(shown, split.query)
            case (_, ["sites", *rest]) if "devices" not in rest:
                return self._site(arrival, method, rest, split.query, body)
            case ("POST", ["provisioning", "standalone"]):
                return self._provision(arrival, json.loads(body))
            case (_, ["devices", address, *verb] | ["sites", _, "devices", address, *verb]):
                found = self._find(address)
                through = segments[1] if segments[0] == "sites" else None
                if found is None or through not in (None, found["site_id"]):
                    return error(404, "not_found")
                fields = json.loads(body) if body else {}
                return self._act(arrival, method, verb, found, fields)
        return error(404, "no_such_path")

    def _site(self, arrival: int, method: str, rest: list[str], query: str, body: bytes) -> Good:
        fields, asked = json.loads(body) if body else {}, parse_qs(query)
        if method == "GET" and not rest:
            named = asked.get("name", [None])[0]
            found = [each for each in self.sites.values() if named in (None, each["name"])]
            page = found[int(asked.get("offset", ["0"])[0]) :]
            return Good(200, json.dumps({"sites": page, "total_count": len(found)}).encode())
        site_id = rest[0] if rest else f"{SITE}new-{arrival}"
        state: dict[str, Any] | None = {"id": site_id, **fields}
        verb = "create"
        if rest:
            if site_id not in self.sites:
                return error(404, "not_found")
            verb = {"GET": "", "PATCH": "update", "DELETE": "delete"}[method]
            state = {**self.sites[site_id], **fields}
        else:
            self.past[site_id] = [None]
        if verb:
            self._turn(site_id, None if verb == "delete" else state)
            self.effects.append(Effect(f"site.{verb}", site_id, fields, arrival))
        return Good(200, b"{}" if verb == "delete" else json.dumps({"site": state}).encode())

    def _find(self, address: str) -> dict[str, Any] | None:
        by_slug = (one for one in self.devices.values() if one["slug"] == address)
        return self.devices.get(address) or next(by_slug, None)

    def _page(self, devices: list[dict[str, Any]], query: str) -> Good:
        asked = parse_qs(query)
        offset = int(asked.get("offset", ["0"])[0])
        limit = min(int(asked.get("limit", ["50"])[0]), 50)
        page = devices[offset : offset + limit]
        return Good(200, json.dumps({"devices": page, "total_count": len(devices)}).encode())

    def _act(
        self,
        arrival: int,
        method: str,
        verb: list[str],
        found: dict[str, Any],
        fields: dict[str, Any],
    ) -> Good:
        device_id = found["id"]
        match method, verb:
            case ("GET", []):
                pass
            case ("PATCH", []):
                wanted = {key: fields[key] for key in ("name", "slug") if fields.get(key)}
                holder = self._find(wanted["slug"]) if "slug" in wanted else None
                if holder is not None and holder["id"] != device_id:
                    return error(409, "slug_taken")
                found = {**found, **wanted}
                self._turn(device_id, found)
                self.effects.append(Effect("update", device_id, wanted, arrival))
            case ("DELETE", []):
                self._turn(device_id, None)
                self.effects.append(Effect("delete", device_id, {}, arrival))
                return Good(200, b"{}")
            case ("POST", ["assign_blueprint"]):
                found = {**found, "blueprint_id": fields["blueprint_id"]}
                self._turn(device_id, found)
                self.effects.append(Effect("assign_blueprint", device_id, dict(fields), arrival))
            case ("POST", ["generate_config"]):
                self.effects.append(Effect("generate_config", device_id, dict(fields), arrival))
                return Good(200, json.dumps({"config": self._config(fields)}).encode())
            case (_, ["configuration" | "command_executions" as part, *rest]):
                serve = self._configuration if part == "configuration" else self._execution
                return serve(arrival, method, device_id, rest, fields)
            case _:
                return error(404, "no_such_path")
        return Good(200, json.dumps({"device": found}).encode())

    def _provision(self, arrival: int, fields: dict[str, Any]) -> Good:
        if self._find(fields["slug"]) is not None:
            return error(409, "slug_taken")
        device_id = f"new-{arrival}"
        made = device(device_id, name=fields["name"], slug=fields["slug"], type="STANDALONE")
        self.past[device_id] = [None]
        self._turn(device_id, made)
        self.effects.append(Effect("provision", device_id, dict(fields), arrival))
        return Good(200, json.dumps({"device_id": device_id, "slug": made["slug"]}).encode())

    def _configuration(
        self, arrival: int, method: str, device_id: str, _: list[str], fields: dict[str, Any]
    ) -> Good:
        found = self._find(device_id) or {}
        values = {**found.get("configuration", {}), **fields.get("set", {})}
        if method == "PATCH":
            self._turn(device_id, {**found, "configuration": values})
            self.effects.append(Effect("configure", device_id, dict(fields), arrival))
        return Good(200, json.dumps({"configuration": values}).encode())

    def _execution(
        self, arrival: int, method: str, device_id: str, rest: list[str], fields: dict[str, Any]
    ) -> Good:
        if method == "POST":
            self.effects.append(Effect("create_execution", device_id, dict(fields), arrival))
            answer: dict[str, Any] = {"execution_id": f"run-{arrival}"}
            return Good(200, json.dumps(answer).encode())
        listed = [
            {
                "id": f"run-{each.arrival}",
                "state": "SUCCESS",
                "request": {"name": each.change["name"], "arguments": each.change["arguments"]},
            }
            for each in self.effects
            if each.operation == "create_execution" and each.device_id == device_id
        ]
        if not rest:
            return Good(200, json.dumps({"executions": listed}).encode())
        found = [each for each in listed if each["id"] == rest[0]]
        return (
            Good(200, json.dumps({"execution": found[0]}).encode()) if found else error(404, "no")
        )

    def _config(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        minted = self.done("generate_config")
        secure = fields.get("protocol") == "MQTTS"
        credentials = (
            {
                "private_key": f"KEY-SECRET-{minted}",
                "certificate": "certificate",
                "ca_chain": "chain",
            }
            if secure
            else {"username": "user", "password": f"PASSWORD-SECRET-{minted}"}
        )
        return {
            "mqtt_host": "mqtt.example.test",
            "mqtt_port": 8883 if secure else 1883,
            "mqtt_protocol": "MQTTS" if secure else "MQTT",
            "mqtt_credentials": credentials,
            "time_sync_protocol": "HTTP",
            "time_sync_host": "127.0.0.1",
            "time_sync_port": 80,
            "hardware_id": "C8795CBA5375484E829105E959663C8B",
            "channel_id": "ucm",
        }
