"""Turns the results of checks into findings with advice; performs no I/O."""

import enum
import ssl
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import attrs

from enapter_async.errors import (
    APIError,
    AuthenticationError,
    DeadlineExceededError,
    EnapterError,
    PermissionDeniedError,
    RateLimitedError,
    RedirectError,
    ResponseError,
    ServerError,
)
from enapter_async.models.devices import AccessRole, Device
from enapter_async.text import plain

EXPIRY_DAYS: Final = 21
"""A certificate with fewer days left causes a warning."""
CLOCK_SECONDS: Final = 30.0
"""A larger difference between the clocks causes a warning."""

_DAY: Final = 86400.0
_NO_FACTS: Final[Mapping[str, str]] = {}
_FROM_OWNER_UP: Final = frozenset(AccessRole.known()[AccessRole.known().index(AccessRole.OWNER) :])
# OpenSSL's verification codes (X509_V_ERR_*), each with its meaning and advice.
_REFUSED: Final[Mapping[int, tuple[str, str]]] = {
    9: (
        "is not valid yet",
        "Set this machine's clock; if that is right, the server's clock is wrong.",
    ),
    10: (
        "has expired",
        "Renew the certificate on the server; if it is valid, set this machine's clock.",
    ),
    18: (
        "is self-signed",
        "If you trust it, set ca_file of a profile to the server's certificate.",
    ),
    19: (
        "has a root authority that this machine does not trust",
        "If you trust that authority, set ca_file of a profile to its certificate.",
    ),
    20: (
        "comes from an authority that this machine does not trust, or its chain is incomplete",
        "Make the server send its whole chain, or set a profile's ca_file to the authority.",
    ),
    62: ("is for another name", "Use a name from the certificate in base_url."),
    64: ("is for another address", "Use a name from the certificate in base_url, not an address."),
}


class Health(enum.StrEnum):
    """The possible results of a check."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@attrs.frozen(kw_only=True)
class Finding:
    """The result of one check.

    `said` is a one-line message for people; `advice` says how to fix the problem, and is empty if
    there is none; `facts` maps names to the values checked. None of them contains a token.
    """

    check: str
    health: Health
    said: str
    advice: str = ""
    facts: Mapping[str, str] = attrs.field(factory=dict)


def judge_certificate(
    certificate: Mapping[str, Any], now: float, facts: Mapping[str, str], *, what: str = "it"
) -> Finding:
    """Judge an accepted certificate, in the form that `ssl` returns; `now` is a Unix time."""
    ends = ssl.cert_time_to_seconds(certificate["notAfter"])
    days = (ends - now) / _DAY
    until = datetime.fromtimestamp(ends, UTC).date().isoformat()
    facts = {
        **facts,
        "issuer": _name(certificate.get("issuer", ())),
        "names": ", ".join(plain(name) for _, name in certificate.get("subjectAltName", ())),
        "valid until": until,
    }
    if days < 0:
        said, advice = f"{what} expired on {until}", "Replace it."
    elif days < EXPIRY_DAYS:
        said = f"{what} is accepted, and expires in {int(days)} days, on {until}"
        advice = "Renew it in time: it stops working on that day."
    else:
        return ok("tls", f"{what} is accepted, until {until}", facts)
    return warning("tls", said, advice, facts)


def judge_tunnel(status: int, line: str, host: str) -> Finding:
    """Explain why a proxy refused a connection to the server."""
    if status == 407:
        advice = (
            "Put the user and password into the proxy's address, in the variable or the profile."
        )
    elif status >= 500:
        advice = "The proxy cannot reach that host: check base_url, and ask the proxy's operator."
    else:
        advice = (
            "The proxy may not allow that host: ask its operator, or check the proxy's address."
        )
    return failed("tls", f"the proxy did not connect to {host}: {line}", advice)


def judge_handshake(
    error: Exception, *, own_authority: str | None, names: Sequence[str] = ()
) -> Finding:
    """Explain why the TLS connection failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        said, advice = _REFUSED.get(
            error.verify_code,
            (f"is refused: {plain(error.verify_message)}", "Replace it on the server."),
        )
        if own_authority is not None and error.verify_code in (18, 19, 20):
            said = f"was not issued by the authority in {own_authority}"
            advice = "Set ca_file to the authority that issued it: only this authority is trusted."
        if error.verify_code in (18, 19, 20):
            advice += " The documentation's page on gateways shows how."
        if names:
            said += f"; it is for {', '.join(names)}"
        return failed("tls", f"the server's certificate {said}", advice)
    if isinstance(error, ssl.SSLError) and error.reason == "WRONG_VERSION_NUMBER":
        return failed(
            "tls",
            "the server there does not speak TLS",
            "Check base_url's port, and whether base_url should start with http://.",
        )
    if isinstance(error, TimeoutError):
        return failed(
            "tls", "no TLS handshake in time", "A firewall or proxy on the way may block it."
        )
    reason = getattr(error, "reason", None) or type(error).__name__
    return failed(
        "tls",
        f"no TLS connection could be established ({plain(reason)})",
        "The server must offer TLS 1.2 or newer.",
    )


def judge_clock(server: float | None, before: float, after: float) -> Finding:
    """Compare the server's `Date` with the local times just before and after, all Unix times."""
    if server is None:
        return skipped("clock", "the server does not report its time")
    # A Date has no fractions of a second, so it stands for the whole second that starts then.
    ahead = max(before - (server + 1), 0.0) or min(after - server, 0.0)
    facts = {"difference_seconds": f"{ahead:+.0f}"}
    if abs(ahead) <= CLOCK_SECONDS:
        return ok("clock", "this machine's clock agrees with the server's", facts)
    where = "ahead of" if ahead > 0 else "behind"
    said = f"this machine's clock is {abs(ahead):.0f} s {where} the server's"
    advice = "Set it by NTP: certificates are checked against it, and runs are dated by it."
    return warning("clock", said, advice, facts)


def judge_roles(devices: Sequence[Device]) -> Finding:
    """Predict from the devices' roles whether writes would be allowed; writes nothing.

    Source: API page, "Update Device" and "Delete Device": the role OWNER.
    """
    if not devices:
        said = "the token is accepted, but shows no device"
        advice = "Give its user a role on a site with devices, or check base_url and user."
        return warning("role", said, advice)
    counted = Counter(plain(device.authorized_role or "unknown") for device in devices)
    facts = {role: f"{number} of {len(devices)} devices" for role, number in counted.items()}
    able = sum(device.authorized_role in _FROM_OWNER_UP for device in devices)
    some = "all devices checked" if len(devices) > 1 else "the device checked"
    if able == len(devices):
        return ok("role", f"writes would be allowed on {some}", facts)
    refused = f"{len(devices) - able} of {len(devices)} devices checked"
    said = f"updates and deletions would be refused on {refused}"
    return warning("role", said, "They need the role OWNER; reading works without it.", facts)


def judge_refusal(error: EnapterError, *, token_source: str) -> Finding:
    """Explain why a read failed, and advise what to do."""
    said = plain(error)
    match error:
        case AuthenticationError():
            advice = (
                f"The server rejected the token (from {token_source}). Create a new one, or "
                f"check that it is for this server."
            )
        case PermissionDeniedError():
            advice = (
                f"The token (from {token_source}) is invalid or expired, or its user may not "
                "read devices; if `user` is set, the token must be allowed to act as others."
            )
        case RateLimitedError():
            advice = "The token is valid, but it made too many calls; wait and try again."
            return warning("token", said, advice)
        case RedirectError():
            advice = "Redirects are never followed: set base_url to the redirect's target."
        case ServerError():
            advice = "The server has a problem; try again later."
        case APIError():
            advice = (
                "The server there may not be an Enapter API; check base_url, which ends in "
                "/api for a gateway."
            )
        case ResponseError():
            advice = (
                "The server there is not an Enapter API, or a newer version of it; check base_url."
            )
        case DeadlineExceededError():
            advice = "The server is too slow, or something on the way delays the response."
        case _:
            advice = "The connection was lost; a proxy or firewall on the way may have closed it."
    return failed("token", said, advice)


def worst(findings: Iterable[Finding]) -> Health:
    """Return the worst health of all findings: failed, else warning, else ok."""
    seen = {finding.health for finding in findings}
    return next((each for each in (Health.FAILED, Health.WARNING) if each in seen), Health.OK)


def summary(findings: Sequence[Finding]) -> str:
    """Summarize the findings on one line, naming the checks that failed or warned."""
    failures, warnings = (
        ", ".join(each.check for each in findings if each.health is health)
        for health in (Health.FAILED, Health.WARNING)
    )
    if failures:
        return f"failed: {failures}; each line after -> says how to fix it"
    return f"nothing failed; warnings: {warnings}" if warnings else "nothing failed"


def ok(check: str, said: str, facts: Mapping[str, str] = _NO_FACTS) -> Finding:
    """Return the finding for a check that found nothing wrong."""
    return Finding(check=check, health=Health.OK, said=said, facts=facts)


def warning(check: str, said: str, advice: str, facts: Mapping[str, str] = _NO_FACTS) -> Finding:
    """Return the finding for a check after which calls work, but not as they should."""
    return Finding(check=check, health=Health.WARNING, said=said, advice=advice, facts=facts)


def failed(check: str, said: str, advice: str, facts: Mapping[str, str] = _NO_FACTS) -> Finding:
    """Return the finding for a check that failed."""
    return Finding(check=check, health=Health.FAILED, said=said, advice=advice, facts=facts)


def skipped(check: str, said: str) -> Finding:
    """Return the finding for a check that was not run."""
    return Finding(check=check, health=Health.SKIPPED, said=said)


def _name(pairs: Iterable[Iterable[tuple[str, str]]]) -> str:
    """Format a distinguished name by its organization and common name."""
    parts = dict(pair for group in pairs for pair in group)
    known = [parts[key] for key in ("organizationName", "commonName") if key in parts]
    return plain(", ".join(known))
