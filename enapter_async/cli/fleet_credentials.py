"""`enapter-async fleet credentials`: the configurations of a run, with a file for each device."""

import contextlib
import itertools
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from enapter_async.cli import completion
from enapter_async.cli.env_files import FORMATS, check_unused
from enapter_async.cli.fleet_jobs import job_at
from enapter_async.cli.options import Settings, connection_options, format_option, tell
from enapter_async.cli.places import find_place
from enapter_async.cli.prompts import force_option, output_option
from enapter_async.errors import ArgumentError, ConfigurationError
from enapter_async.fleet.journal.names import read_journal
from enapter_async.fleet.journal.resume import credentials_elsewhere, credentials_here
from enapter_async.fleet.private_files import written_whole
from enapter_async.operations.arguments import address, identifier
from enapter_async.text import counted, plain


@click.command("credentials")
@connection_options
@click.argument("sources", nargs=-1, metavar="[RUN|FILE]...", shell_complete=completion.runs)
@format_option
@output_option(
    required=True,
    metavar="FOLDER",
    help="Write a file for each device to this folder; each is created with mode 0600.",
)
@force_option
def credentials(
    settings: Settings, sources: tuple[str, ...], form: str, output: str, *, force: bool
) -> None:
    """Write the newest configuration of each device of a run to a file of its own.

    RUN is a run's id or a prefix of it, a path, `last` (the default), or the address of a run in
    PostgreSQL; FILE is a credentials file, for example of a job's worker. The files are called
    DEVICE.json or DEVICE.env, which holds the one line ENAPTER_STANDALONE_COMMUNICATION_CONFIG=…,
    for `docker run --env-file` or systemd. Nothing is sent.
    """
    newest = _newest(itertools.chain.from_iterable(map(_files, sources or ("last",))))
    folder, text = Path(output), FORMATS[form]
    files = {folder / f"{device}.{form}": config for device, config in newest.items()}
    check_unused(files, force=force)
    folder.mkdir(mode=0o700, exist_ok=True)
    for path, config in files.items():
        with written_whole(path, new=not force) as written:
            written.write(text(config) + "\n")
    if settings.as_json:
        click.echo(json.dumps({"folder": output, "devices": list(newest)}))
    else:
        tell(f"{counted(len(newest), 'configuration')} written to {plain(output)}")


def _files(source: str) -> tuple[Path, ...]:
    """Return the credentials files of a run, or the file that is named.

    Raises:
        ConfigurationError: there are none on this machine.
    """
    if Path(source).is_file():
        return (Path(source),)
    if job_at(source) is not None:
        raise ConfigurationError(
            f"{source} is a job of several workers, each with files of its own: name these files, "
            "which `fleet status` lists"
        )
    place = find_place(source)
    with contextlib.closing(read_journal(place.journal)) as journal:
        facts = journal.facts()
    found = credentials_here(facts)
    if not found:
        others = ", ".join(credentials_elsewhere(facts))
        where = f"; its credentials are in {others}" if others else ""
        raise ConfigurationError(f"run {place.id} has no credentials on this machine{where}")
    return tuple(map(Path, found))


def _newest(files: Iterable[Path]) -> dict[str, Mapping[str, Any]]:
    """Return the last configuration of each device in credentials files, by a name for it.

    The name is the device's id or slug, with its site if another site has a device of that name.

    Raises:
        ConfigurationError: a file cannot be read, or a line is not a configuration.
    """
    found = dict(itertools.chain.from_iterable(map(_configurations, files)))
    times = Counter(device for _, device in found)
    names = [device if times[device] == 1 else f"{site}.{device}" for site, device in found]
    if same := [name for name, number in Counter(names).items() if number > 1]:
        raise ConfigurationError(f"two devices would have the file {same[0]}; export them apart")
    return dict(zip(names, found.values(), strict=True))


def _configurations(file: Path) -> Iterator[tuple[tuple[str, str], Mapping[str, Any]]]:
    """Yield the site and the device of each configuration in a credentials file."""
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} cannot be read: {type(error).__name__}") from None
    for number, line in enumerate(lines, start=1):
        problem = "it is not a line of a credentials file"
        try:
            row = json.loads(line)
            device = address("device_id", row["device_id"])
            site = identifier("site_id", row["site_id"]) if "site_id" in row else ""
            if not isinstance(row.get("config"), dict):
                problem = "its configuration could not be read when it was generated"
                raise ConfigurationError(problem)
        except (ValueError, KeyError, TypeError, RecursionError, ArgumentError):
            # Without the error, which may hold a secret.
            raise ConfigurationError(f"{file}: line {number}: {problem}") from None
        yield (site, device), row["config"]
