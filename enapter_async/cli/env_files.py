"""Configurations as settings of Enapter's standalone runtime: one line for an environment file."""

import base64
import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from enapter_async.concealment import RawAnswer
from enapter_async.converter import unstructure
from enapter_async.errors import ConfigurationError
from enapter_async.fleet.private_files import written_whole
from enapter_async.operation import Operation

SETTING: Final = "ENAPTER_STANDALONE_COMMUNICATION_CONFIG"
"""The environment variable from which the runtime reads its configuration."""


def env_line(config: Mapping[str, Any]) -> str:
    """Return the setting for a configuration, without the end of the line."""
    return f"{SETTING}={base64.b64encode(json.dumps(config).encode()).decode()}"


FORMATS: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "json": json.dumps,
    "env": env_line,
}
"""The forms in which a configuration is written, each with its text."""


def check_unused(paths: Iterable[Path], *, force: bool | None = None) -> None:
    """Refuse to replace files that hold credentials, before anything is written or sent.

    `force` is None for a command that has no such option.

    Raises:
        ConfigurationError: a file exists, and `force` is not set.
    """
    taken = [path for path in paths if not force and os.path.lexists(path)]
    if taken:
        way = "" if force is None else ", or replace with --force"
        more = f" and {len(taken) - 1} others" if len(taken) > 1 else ""
        raise ConfigurationError(
            f"{taken[0]}{more} already exist{'' if more else 's'}, with credentials that may be in "
            f"use; nothing was written: choose another name with -o{way}"
        )


def write_env(path: str, operation: Operation[Any], result: Any) -> None:
    """Write a generated configuration to a new file of mode 0600.

    A response that could not be read is kept as it is.
    """
    if isinstance(result, RawAnswer):
        text = result.reveal().decode("utf-8", "backslashreplace")
    else:
        text = env_line(unstructure(operation.kept(result)["config"]))
    with written_whole(path) as file:
        file.write(text + "\n")
