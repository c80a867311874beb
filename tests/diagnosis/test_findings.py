"""Verdicts without I/O: the findings, and their messages."""

import ssl
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enapter_async.diagnosis.findings import (
    Finding,
    Health,
    judge_certificate,
    judge_clock,
    judge_handshake,
    judge_refusal,
    judge_roles,
    summary,
    worst,
)
from enapter_async.errors import (
    AuthenticationError,
    DeadlineExceededError,
    EnapterError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    RedirectError,
    ResponseError,
    ServerError,
    TransportError,
)
from enapter_async.models.devices import AccessRole, Device

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def certificate(days: float) -> dict[str, Any]:
    ends = NOW + timedelta(days=days)
    return {
        "notAfter": ends.strftime("%b %d %H:%M:%S %Y GMT"),
        "issuer": ((("organizationName", "Works"),), (("commonName", "CA\x1b[31m"),)),
        "subjectAltName": (("DNS", "gw.test"), ("IP Address", "10.0.0.1")),
    }


@pytest.mark.parametrize(
    ("days", "health", "word"),
    [
        (-1, Health.WARNING, "expired on 2026-05-31"),
        (1, Health.WARNING, "expires in 1 days"),
        (20.9, Health.WARNING, "expires in 20 days"),
        (21.1, Health.OK, "until 2026-06-22"),
        (300, Health.OK, "is accepted"),
    ],
)
def test_a_certificate_that_expires_soon_is_a_warning(
    days: float, health: Health, word: str
) -> None:
    found = judge_certificate(certificate(days), NOW.timestamp(), {"protocol": "TLSv1.3"})
    assert found.health is health
    assert word in found.said
    assert bool(found.advice) is (health is Health.WARNING)
    assert found.facts["issuer"] == "Works, CA"
    assert found.facts["names"] == "gw.test, 10.0.0.1"
    assert found.facts["protocol"] == "TLSv1.3"


def refused(code: int, message: str = "told") -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "refused")
    error.verify_code = code
    error.verify_message = message
    return error


@pytest.mark.parametrize(
    ("code", "word"),
    [
        (9, "not valid yet"),
        (10, "has expired"),
        (18, "is self-signed"),
        (19, "does not trust"),
        (20, "does not trust, or its chain is incomplete"),
        (62, "is for another name"),
        (64, "is for another address"),
        (23, "told"),
    ],
)
def test_why_a_certificate_is_refused(code: int, word: str) -> None:
    found = judge_handshake(refused(code), own_authority=None)
    assert found.health is Health.FAILED
    assert word in found.said
    assert found.advice
    own = judge_handshake(refused(code), own_authority="gw.pem")
    assert ("gw.pem" in own.said) is (code in (18, 19, 20))


def test_other_failures_of_a_handshake() -> None:
    plain = ssl.SSLError(1, "x")
    plain.reason = "WRONG_VERSION_NUMBER"
    assert "does not speak TLS" in judge_handshake(plain, own_authority=None).said
    assert "in time" in judge_handshake(TimeoutError(), own_authority=None).said
    assert (
        "ConnectionResetError" in judge_handshake(ConnectionResetError(), own_authority=None).said
    )


# The server's Date is 1000, so its time is between 1000 and 1001.
@pytest.mark.parametrize(
    ("before", "after", "health", "difference"),
    [
        (1000.2, 1000.4, Health.OK, "+0"),
        (1000.9, 1001.3, Health.OK, "+0"),
        (999.0, 1002.0, Health.OK, "+0"),
        (1031.0, 1031.1, Health.OK, "+30"),
        (1032.0, 1032.1, Health.WARNING, "+31"),
        (969.9, 970.0, Health.OK, "-30"),
        (968.0, 969.0, Health.WARNING, "-31"),
        (4601.0, 4602.0, Health.WARNING, "+3600"),
    ],
)
def test_clocks_are_compared_within_the_precision_of_a_date(
    before: float, after: float, health: Health, difference: str
) -> None:
    found = judge_clock(1000.0, before, after)
    assert found.health is health
    assert found.facts == {"difference_seconds": difference}
    assert ("ahead of" in found.said) is (health is Health.WARNING and before > 1000)
    assert ("behind" in found.said) is (health is Health.WARNING and before < 1000)


@given(
    moment=st.floats(0, 4e9),
    there=st.floats(0, 5),
    back=st.floats(0, 5),
)
def test_equal_clocks_are_never_blamed(moment: float, there: float, back: float) -> None:
    """The server's time, cut to whole seconds, lies between, however long the request takes."""
    found = judge_clock(float(int(moment)), moment - there, moment + back)
    assert found.health is Health.OK


def test_a_server_without_a_time() -> None:
    assert judge_clock(None, 0, 0).health is Health.SKIPPED


def devices(*roles: str | None) -> list[Device]:
    return [
        Device(id=f"d{number}", authorized_role=None if role is None else AccessRole(role))
        for number, role in enumerate(roles)
    ]


@pytest.mark.parametrize(
    ("roles", "health", "word"),
    [
        (("OWNER",), Health.OK, "would be allowed on the device"),
        (("OWNER", "INSTALLER", "VENDOR", "SYSTEM"), Health.OK, "would be allowed on all"),
        (("OWNER", "USER"), Health.WARNING, "refused on 1 of 2"),
        (("READONLY", "READONLY", "READONLY"), Health.WARNING, "refused on 3 of 3"),
        ((None, "OWNER"), Health.WARNING, "refused on 1 of 2"),
        (("SOMETHING_NEW",), Health.WARNING, "refused on 1 of 1"),
        ((), Health.WARNING, "shows no device"),
    ],
)
def test_whether_writes_would_be_allowed(
    roles: tuple[str | None, ...], health: Health, word: str
) -> None:
    found = judge_roles(devices(*roles))
    assert found.health is health
    assert word in found.said


def test_roles_are_summarized() -> None:
    found = judge_roles(devices("OWNER", "OWNER", "USER"))
    assert found.facts == {"OWNER": "2 of 3 devices", "USER": "1 of 3 devices"}


REFUSALS: list[tuple[EnapterError, Health, str]] = [
    (AuthenticationError("no", status=401), Health.FAILED, "rejected the token (from env)"),
    (PermissionDeniedError("no", status=403), Health.FAILED, "invalid or expired"),
    (RateLimitedError("no", status=429), Health.WARNING, "too many"),
    (RedirectError("no", status=302), Health.FAILED, "never followed"),
    (ServerError("no", status=502), Health.FAILED, "has a problem"),
    (NotFoundError("no", status=404), Health.FAILED, "an Enapter API"),
    (ResponseError("no"), Health.FAILED, "an Enapter API"),
    (DeadlineExceededError("no"), Health.FAILED, "too slow"),
    (TransportError("no"), Health.FAILED, "was lost"),
]


@pytest.mark.parametrize(("error", "health", "word"), REFUSALS, ids=lambda value: str(value)[:12])
def test_advice_for_a_refusal(error: EnapterError, health: Health, word: str) -> None:
    found = judge_refusal(error, token_source="env")
    assert (found.check, found.health) == ("token", health)
    assert word in found.advice


def test_the_worst_finding_counts() -> None:
    def found(*healths: Health) -> list[Finding]:
        return [Finding(check="x", health=health, said="") for health in healths]

    assert worst(found(Health.OK, Health.SKIPPED)) is Health.OK
    assert worst(found(Health.OK, Health.WARNING, Health.SKIPPED)) is Health.WARNING
    assert worst(found(Health.WARNING, Health.FAILED)) is Health.FAILED
    assert worst([]) is Health.OK


def test_a_summary_names_what_to_look_at_first() -> None:
    def told(**healths: Health) -> str:
        return summary(
            [Finding(check=each, health=health, said="") for each, health in healths.items()]
        )

    assert told(name=Health.OK, tls=Health.SKIPPED) == "nothing failed"
    assert (
        told(role=Health.WARNING, clock=Health.WARNING) == "nothing failed; warnings: role, clock"
    )
    assert (
        told(role=Health.WARNING, tls=Health.FAILED)
        == "failed: tls; each line after -> says how to fix it"
    )
