"""Requests started by a page of another site are told apart from a site's own."""

import pytest
from multidict import CIMultiDict

from enapter_async.integrations.origins import is_foreign

OURS = "pumps.example.com"
CASES: tuple[tuple[dict[str, str], bool], ...] = (
    # Neither header: a program, which no other page can start.
    ({}, False),
    ({"Origin": "https://pumps.example.com"}, False),
    ({"Origin": "https://pumps.example.com:8443"}, True),
    ({"Origin": "https://evil.example"}, True),
    ({"Origin": "null"}, True),
    ({"Origin": "https://[broken"}, True),
    ({"Origin": "https://behind.example"}, False),
    ({"Sec-Fetch-Site": "same-origin", "Origin": "https://renamed.example"}, False),
    ({"Sec-Fetch-Site": "none"}, False),
    ({"Sec-Fetch-Site": "same-site", "Origin": "https://pumps.example.com"}, True),
    ({"Sec-Fetch-Site": "cross-site"}, True),
    ({"Sec-Fetch-Site": "cross-site", "Origin": "https://behind.example"}, False),
)


@pytest.mark.parametrize(("headers", "foreign"), CASES)
def test_a_request_from_another_site_is_recognised(headers: dict[str, str], foreign: bool) -> None:
    sent = CIMultiDict({"host": OURS, **headers})
    trusted = ("https://behind.example",)
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert is_foreign(method, sent, trusted) is foreign
    for method in ("GET", "HEAD", "OPTIONS"):
        assert not is_foreign(method, sent, trusted)
