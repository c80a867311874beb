"""The methods of a client, grouped by noun."""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from enapter_async.api.blueprints import Blueprints
    from enapter_async.api.commands import Commands
    from enapter_async.api.configuration import Configuration
    from enapter_async.api.logs import Logs
    from enapter_async.api.provisioning import Provisioning
    from enapter_async.api.rules import Rules
    from enapter_async.api.sites import Sites
    from enapter_async.api.telemetry import Telemetry


class Nouns:
    """The groups of methods of a client but `devices`, whose calls use this client's own options.

    They are imported, and attached to the client, when they are first used. A client has `devices`
    from the start: looking for an attribute takes longer if its class has one of that name, too.
    """

    sites: "Sites"
    commands: "Commands"
    configuration: "Configuration"
    provisioning: "Provisioning"
    rules: "Rules"
    blueprints: "Blueprints"
    logs: "Logs"
    telemetry: "Telemetry"


class _Group:
    """A group that is not imported yet; the client's own attribute replaces it."""

    def __init__(self, noun: str, kind: str) -> None:
        self._noun = noun
        self._kind = kind

    def __get__(self, client: Any, owner: type) -> Any:
        if client is None:
            return self
        kind = getattr(import_module(f"{__package__}.{self._noun}"), self._kind)
        return vars(client).setdefault(self._noun, kind(client))


_NOUNS: Final[Mapping[str, str]] = dict(Nouns.__annotations__)
"""The names of the groups, each with the name of its class in the module of that name."""

for _noun, _kind in _NOUNS.items():
    setattr(Nouns, _noun, _Group(_noun, _kind))


def without_nouns(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a client's attributes without the groups, which belong to that client alone."""
    return {name: value for name, value in attributes.items() if name not in _NOUNS}
