"""Writes single objects of any noun on the command line."""

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import click

from enapter_async.api.accepted import WAIT
from enapter_async.cli.connecting import client_of
from enapter_async.cli.endings import exit_of_state
from enapter_async.cli.env_files import check_unused, env_line, write_env
from enapter_async.cli.exit_codes import Exit
from enapter_async.cli.objects import show_fields
from enapter_async.cli.options import Settings, tell, tell_of_doctor, warn
from enapter_async.cli.rows import json_line
from enapter_async.cli.runner import run_job
from enapter_async.cli.streams import OutputError, although_unheard, leads_nowhere
from enapter_async.cli.summary import advice, line_of
from enapter_async.client import Client
from enapter_async.converter import unstructure
from enapter_async.fleet.options import Credentials, RunOptions
from enapter_async.fleet.outcomes import Outcome, State, outcome_row
from enapter_async.fleet.private_files import written_whole
from enapter_async.operation import Operation
from enapter_async.text import plain


def write_credentials(
    settings: Settings, operation: Operation[Any], *, output: str | None, show: bool, form: str
) -> None:
    """Execute an operation that generates credentials, and write them as the options demand.

    Raises:
        click.UsageError: nobody would receive them; nothing is sent then.
        ConfigurationError: the new file of `--format env` exists already.
    """
    if output is None and not show:
        raise click.UsageError("choose where to write the credentials: -o FILE, or --show")
    if output is None and leads_nowhere():
        raise click.UsageError(
            "standard output is closed or discarded, so the credentials need -o FILE"
        )
    as_env = form == "env"
    credentials: Credentials | None = output
    if as_env and output is not None:
        check_unused([Path(output)])
        credentials = partial(write_env, output)
    write_object(settings, operation, credentials=credentials, show_secret=show, as_env=as_env)


def write_object(
    settings: Settings,
    operation: Operation[Any] | Callable[[Client], Awaitable[Operation[Any]]],
    *,
    credentials: Credentials | None = None,
    show_secret: bool = False,
    as_env: bool = False,
    wait: float = WAIT,
) -> None:
    """Execute one operation as a run of one, with the same checks and handling of Ctrl-C.

    If it depends on something to be read first, it is a function that reads and returns it.
    """

    async def work() -> Exit:
        outcomes: list[Outcome[Any]] = []
        async with client_of(settings) as client:
            options = RunOptions(credentials=credentials, wait=wait)
            chosen = operation if isinstance(operation, Operation) else await operation(client)
            _, cut_short = await run_job(client, [chosen], options, on_outcome=outcomes.append)
        (outcome,) = outcomes
        with although_unheard():
            secret = _secret_of(outcome) if show_secret else {}
            with _rescued(outcome, secret if credentials is None else {}):
                _show_outcome(outcome, settings, secret, as_env=as_env)
        _tell_outcome(outcome, settings)
        ending = exit_of_state(outcome.state)
        return ending if cut_short is None or ending is Exit.DONE else cut_short

    click.get_current_context().exit(asyncio.run(work()))


def _show_outcome(
    outcome: Outcome[Any], settings: Settings, secret: dict[str, Any], *, as_env: bool
) -> None:
    if settings.as_json:
        click.echo(json_line(outcome_row(outcome, with_result=True) | secret))
    elif as_env and "config" in secret:
        click.echo(env_line(secret["config"]))
    elif secret:
        click.echo(json_line(secret.get("config", secret)))
    elif _is_shown(outcome) and not settings.quiet:
        show_fields(outcome.result, settings)


def _tell_outcome(outcome: Outcome[Any], settings: Settings) -> None:
    if outcome.state is State.ABSENT:
        target = outcome.operation.target()
        warn(f"enapter-async: there is no {target.word} {plain(target.name)}")
    elif not outcome.state.done:
        warn(f"enapter-async: {line_of(outcome)}")
        tell_of_doctor(outcome.error)
    elif not settings.as_json and not _is_shown(outcome):
        tell(f"{line_of(outcome)}")
    if outcome.state is State.UNKNOWN:
        tell(advice((outcome.operation,)))
        hint = getattr(outcome.error, "hint", "")
        if hint:
            tell(plain(hint))


@contextlib.contextmanager
def _rescued(outcome: Outcome[Any], secret: dict[str, Any]) -> Iterator[None]:
    """Save a secret to a file if it cannot be written to standard output; no other copy exists."""
    try:
        yield
    except OutputError:
        if secret:
            device = outcome.operation.subject()
            name = f"credentials-{device}-{secrets.token_hex(4)}.jsonl"
            with written_whole(name, new=True) as file:
                file.write(json_line({"device_id": device, **secret}) + "\n")
            warn(
                f"enapter-async: the credentials were written to {name} instead of standard output"
            )
        raise


def _secret_of(outcome: Outcome[Any]) -> dict[str, Any]:
    """Return the content of a secret response: the configuration, or the unparsed response."""
    if not outcome.operation.answer.secret:
        return {}
    answer = getattr(outcome.error, "answer", None)
    if answer is not None:
        return {"raw": answer.reveal().decode("utf-8", "backslashreplace")}
    if outcome.result is None:
        return {}
    kept = outcome.operation.kept(outcome.result)
    return {name: unstructure(value) for name, value in kept.items()}


def _is_shown(outcome: Outcome[Any]) -> bool:
    """Return whether the result of an operation is an object to write, and no secret."""
    answer = outcome.operation.answer
    hidden = answer.secret or answer.concealed
    return not hidden and (isinstance(outcome.result, dict) or attrs.has(type(outcome.result)))
