"""What nginx does with requests, grouped by what is known afterwards.

Each row is a piece of an nginx configuration, and the behaviour of the emulator behind it.
"""

import attrs

from enapter_async.emulator import Drop, Fault, Hang, Latency, Truncate

PASS = "location / { proxy_pass http://UPSTREAM; }"

API = '{"errors": [{"code": "busy", "message": "Not now."}]}'


@attrs.frozen(kw_only=True)
class Row:
    """One behaviour of nginx; each write that reaches the emulator meets `fault`."""

    server: str = PASS
    http: str = ""
    prefix: str = ""
    fault: Fault | None = None


def _limited(more: str) -> Row:
    """One request a minute, which the test's first request uses up."""
    return Row(
        http="limit_req_zone $http_x_enapter_auth_token zone=all:1m rate=1r/m;",
        server=f"""
        limit_req zone=all;
        location / {{ proxy_pass http://UPSTREAM; }}
        {more}""",
    )


LIMITED = {
    "429-by-limit_req": _limited("limit_req_status 429;"),
    "429-with-retry-after": _limited(
        """limit_req_status 429;
        error_page 429 @later;
        location @later { add_header Retry-After 1 always; return 429; }"""
    ),
    "503-in-json-with-retry-after": _limited(
        f"""error_page 503 @later;
        location @later {{
            default_type application/json;
            add_header Retry-After 1 always;
            return 503 '{API}';
        }}"""
    ),
}
"""Refused for now, and never passed on: one request a minute passes."""

FINAL = {
    "401-by-auth_basic": Row(
        server="location / { auth_basic devices; auth_basic_user_file none; }"
    ),
    "403-by-deny": Row(server="location / { deny all; }"),
    "404-of-a-path-that-is-not-served": Row(server="location / { return 404; }"),
    "301-to-another-place": Row(server="location / { return 301 http://UPSTREAM$request_uri; }"),
    "308-to-another-place": Row(server="location / { return 308 http://UPSTREAM$request_uri; }"),
}
"""Refused for good by nginx itself, usually with an HTML page."""

STATUS = {name: int(name[:3]) for name in (*LIMITED, *FINAL)}

NOT_DONE = {
    "503-by-limit_req": _limited(""),
    "502-of-a-dead-upstream": Row(server="location / { proxy_pass http://DEAD; }"),
    "502-of-an-upstream-that-dies-first": Row(fault=Drop()),
    "502-as-a-page-with-status-200": Row(
        server=PASS + "error_page 502 =200 @sorry; location @sorry { return 200 Sorry; }",
        fault=Drop(),
    ),
    "503-for-maintenance-with-retry-after": Row(
        server="""location / { return 503; }
        error_page 503 @closed;
        location @closed { add_header Retry-After 1 always; return 503; }"""
    ),
    "504-of-an-upstream-that-hangs-first": Row(
        server="proxy_read_timeout 100ms;" + PASS, fault=Hang()
    ),
    "200-of-a-portal": Row(server="location / { return 200 'Please log in'; }"),
    "444-which-is-no-answer": Row(server="location / { return 444; }"),
}
"""Unknown, and it was not done."""

FIRST = "limit_req_zone $server_name zone=first:32k rate=1r/m;"
IMPATIENT = """
error_page 418 503 = @patient;
location / {
    if ($request_method = GET) { return 418; }
    limit_req zone=first;
    proxy_read_timeout 100ms;
    proxy_pass http://UPSTREAM;
}
location @patient { proxy_pass http://UPSTREAM; }
"""
"""Only the first write has the short limit: on a busy machine, any request could exceed it."""

DONE = {
    "502-of-an-upstream-that-dies-after": Row(fault=Drop(after_effect=True)),
    "502-of-an-upstream-that-resets-after": Row(fault=Drop(after_effect=True, reset=True)),
    "502-as-a-page-with-status-200": Row(
        server=PASS + "error_page 502 =200 @sorry; location @sorry { return 200 Sorry; }",
        fault=Drop(after_effect=True),
    ),
    "504-after-the-upstream-took-it": Row(
        http=FIRST, server=IMPATIENT, fault=Hang(after_effect=True)
    ),
    "a-body-cut-short": Row(fault=Truncate()),
    "a-body-cut-short-unbuffered": Row(server="proxy_buffering off;" + PASS, fault=Truncate()),
}
"""Unknown, and it was done."""

LATE = Row(http=FIRST, server=IMPATIENT, fault=Latency(seconds=0.15))
"""A 504, and the upstream carries out the request only afterwards."""

FINE = {
    "http-1.0-to-the-upstream": Row(),
    "http-1.1-kept-alive-to-the-upstream": Row(
        http="upstream api { server UPSTREAM; keepalive 4; }",
        server="""location / {
            proxy_pass http://api;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }""",
    ),
    "gzip": Row(server="gzip on; gzip_types *; gzip_proxied any; gzip_min_length 1;" + PASS),
    "gzip-ended-by-closing": Row(
        server="""gzip on; gzip_types *; gzip_proxied any; gzip_min_length 1;
        chunked_transfer_encoding off;"""
        + PASS
    ),
    "no-keep-alive": Row(server="keepalive_timeout 0;" + PASS),
    "unbuffered": Row(server="proxy_buffering off; proxy_request_buffering off;" + PASS),
    "one-upstream-of-two-is-dead": Row(
        http="upstream api { server DEAD; server UPSTREAM; }",
        server="location / { proxy_pass http://api; }",
    ),
    "below-a-prefix": Row(
        prefix="/devices/api/", server="location /devices/api/ { proxy_pass http://UPSTREAM/; }"
    ),
}
"""Normal operation."""
