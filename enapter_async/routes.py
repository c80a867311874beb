"""The routes of operations, without ids, for use in spans, metrics and logs."""

from typing import Any, Final, NamedTuple

import attrs

from enapter_async.operation import Operation

_STAND_IN: Final = "route-{}"


class Route(NamedTuple):
    """The method of a request, and its path below the base URL with a placeholder for each id.

    An example of a `template` is `/v3/devices/{device_id}`.
    """

    method: str
    template: str

    @property
    def name(self) -> str:
        """Return both in one text, such as `PATCH /v3/devices/{device_id}`."""
        return f"{self.method} {self.template}".rstrip()


_KNOWN: Final[dict[tuple[type[Operation[Any]], tuple[str, ...]], Route]] = {}


def ids_of(operation: Operation[Any]) -> dict[str, str]:
    """Return the ids that an operation names, by field: all fields whose name ends in `_id`."""
    return {name: text for name, text in _texts(operation).items() if name.endswith("_id")}


def route_of(operation: Operation[Any]) -> Route:
    """Return the route of an operation, which is the same for all devices.

    It is found by replacing one text field at a time and locating the new text in the path, so an
    id may equal another part of the path.
    """
    names = tuple(_texts(operation))
    key = (type(operation), names)
    found = _KNOWN.get(key)
    if found is None:
        found = _KNOWN[key] = _find(operation, names)
    return found


def _texts(operation: Operation[Any]) -> dict[str, str]:
    kind: Any = type(operation)
    if not attrs.has(kind):
        return {}
    values = {each.name: getattr(operation, each.name) for each in attrs.fields(kind)}
    return {name: value for name, value in values.items() if isinstance(value, str)}


def _find(operation: Any, names: tuple[str, ...]) -> Route:
    parts = operation.request()
    path = list(parts.path)
    for name in names:
        stand_in = _STAND_IN.format(name)
        try:
            other = attrs.evolve(operation, **{name: stand_in}).request().path
        except (TypeError, ValueError):
            continue  # this field does not accept any text, so it is not an id
        if len(other) == len(path):
            path = [
                f"{{{name}}}" if there == stand_in else here
                for here, there in zip(path, other, strict=True)
            ]
    return Route(parts.method, "/v3/" + "/".join(path))
