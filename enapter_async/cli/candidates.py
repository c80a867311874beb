"""Suggestions of shell completion that are read from files."""

from collections.abc import Iterator
from typing import Final

from enapter_async.errors import ConfigurationError
from enapter_async.fleet.journal.run_folders import LAST, all_runs, runs_directory
from enapter_async.profiles.file import read_config

_MOST_RUNS: Final = 50


def profiles(incomplete: str) -> Iterator[tuple[str, str | None]]:
    """Yield the profiles of the configuration file that match, each with its `base_url`."""
    try:
        known = read_config().profiles.values()
    except ConfigurationError:
        return
    for profile in known:
        if profile.name.startswith(incomplete):
            yield profile.name, profile.base_url


def runs(incomplete: str) -> Iterator[str]:
    """Yield `last` and the ids of the newest runs, if they match."""
    try:
        newest = [run.id for run in all_runs(runs_directory())][: -_MOST_RUNS - 1 : -1]
    except OSError:
        newest = []
    for name in (LAST, *newest):
        if name.startswith(incomplete):
            yield name
