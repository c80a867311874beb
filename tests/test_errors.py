"""Errors survive pickling out of a worker process and into a log, unchanged."""

import pickle
import traceback
from functools import partial
from typing import Any

import pytest

from enapter_async import Client, GetDevice, RetryPolicy, UpdateDevice
from enapter_async.emulator import Drop, Emulator, Fault, Hang, Reply, Truncate
from enapter_async.errors import (
    AmbiguousOutcomeError,
    APIError,
    Attempt,
    Certainty,
    ConflictError,
    DeadlineExceededError,
    EnapterError,
    ErrorDetail,
    ResultDiffersError,
    ResultLostError,
    TransportError,
)

CONFLICT = b'{"errors": [{"code": "conflict"}]}'
ATTEMPT = Attempt(number=1, certainty=Certainty.MAYBE, error_type="Lost", elapsed=0.1)


def sent_on(error: EnapterError) -> EnapterError:
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own, from just now
    assert type(again) is type(error)
    assert (str(again), again.attempts) == (str(error), error.attempts)
    assert isinstance(again, EnapterError)
    return again


def test_an_error_is_what_it_was_after_a_pickle() -> None:
    details = (ErrorDetail(code="slug_taken", message="no"),)
    conflict = ConflictError("slug taken", status=409, errors=details, request_id="r-1")
    again = sent_on(conflict)
    assert isinstance(again, APIError)
    assert (again.status, again.errors, again.request_id) == (409, details, "r-1")
    lost = sent_on(TransportError("lost", sent=True))
    assert isinstance(lost, TransportError)
    assert lost.sent


def test_an_ambiguous_error_keeps_its_attempts() -> None:
    error = AmbiguousOutcomeError("nobody can say")
    error.attempts = (ATTEMPT, ATTEMPT)
    assert sent_on(error).attempts == (ATTEMPT, ATTEMPT)


def test_the_servers_version_of_a_value_is_not_pickled_because_it_may_be_a_secret() -> None:
    value = "what-only-the-owner-may-see"
    error = ResultDiffersError("done", result=value, noun="device", subject="dev-1")
    assert value.encode() not in pickle.dumps(error)
    again = sent_on(error)
    assert isinstance(again, ResultDiffersError)
    assert (again.result, again.noun, again.subject) == (None, "device", "dev-1")
    assert error.result == value


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Reply(status=409, content_type="application/json", body=CONFLICT), ConflictError),
        (Drop(), AmbiguousOutcomeError),
        (Truncate(), ResultLostError),
        (Hang(), DeadlineExceededError),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
async def test_an_error_of_a_call_names_operation_and_host_also_in_a_traceback(
    fault: Fault, kind: type[EnapterError]
) -> None:
    policy = RetryPolicy(attempts=1, deadline=0.2)
    reading = kind is DeadlineExceededError
    async with Emulator(devices=1) as emulator:
        host = emulator.base_url.removeprefix("http://")
        device = next(each.id for each in emulator.world if each.permits("OWNER"))
        emulator.faults.add(fault, times=None)
        async with Client(emulator.token, base_url=emulator.base_url, retry=policy) as client:
            operation: Any = GetDevice if reading else partial(UpdateDevice, name="New")
            with pytest.raises(kind) as ended:
                await client.execute(operation(device_id=device))
    again = sent_on(ended.value)
    named = f"{'GetDevice' if reading else 'UpdateDevice'} of {device}"
    assert (again.operation, again.host) == (named, host)
    assert f"\n{named}, at {host}" in "".join(traceback.format_exception(again))
