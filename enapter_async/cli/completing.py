"""What a shell is offered when it completes a word: profiles, runs, files.

Whatever is wrong with a configuration or a folder, a shell that completes is told nothing of it.
"""

import click
from click.shell_completion import CompletionItem

from enapter_async.errors import ConfigurationError
from enapter_async.fleet.journal.runs import LAST, all_runs, runs_directory
from enapter_async.profiles.file import read_config

_MOST_RUNS = 50


def profiles(
    _context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Offer the profiles of the configuration file, each with where it leads."""
    try:
        known = read_config().profiles.values()
    except ConfigurationError:
        return []
    return [
        CompletionItem(profile.name, help=profile.base_url)
        for profile in known
        if profile.name.startswith(incomplete)
    ]


def runs(
    _context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Offer `last` and the newest runs by id; what looks like a path is completed as one."""
    if "/" in incomplete or incomplete.startswith((".", "~")):
        return [CompletionItem(incomplete, type="file")]
    try:
        newest = [run.id for run in all_runs(runs_directory())][: -_MOST_RUNS - 1 : -1]
    except OSError:
        newest = []
    return [CompletionItem(name) for name in (LAST, *newest) if name.startswith(incomplete)]


def files(
    _context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Leave it to the shell to offer files."""
    return [CompletionItem(incomplete, type="file")]
