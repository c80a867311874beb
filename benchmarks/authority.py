"""A certificate authority for one run, created by the `openssl` command."""

import shutil
import subprocess
from pathlib import Path
from typing import Final

import attrs

_KEY: Final = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
_OF_A_SERVER: Final = """\
subjectAltName=IP:127.0.0.1
basicConstraints=critical,CA:FALSE
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
extendedKeyUsage=serverAuth
"""


@attrs.frozen(kw_only=True)
class Certificate:
    """The certificate of a server on 127.0.0.1, and the authority that a client must trust."""

    certificate: Path
    key: Path
    authority: Path


def available() -> bool:
    """Return whether certificates can be created here."""
    return shutil.which("openssl") is not None


def issue(folder: Path) -> Certificate:
    """Create an authority and a server's certificate in a folder; both are valid for two days."""

    def openssl(*arguments: str) -> None:
        subprocess.run(
            ["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=30
        )

    (folder / "server.ext").write_text(_OF_A_SERVER, "ascii")
    openssl(
        *("req", "-x509", *_KEY, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2"),
        *("-subj", "/CN=enapter-benchmarks", "-addext", "keyUsage=critical,keyCertSign,cRLSign"),
    )
    openssl("req", *_KEY, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=server")
    openssl(
        *("x509", "-req", "-in", "server.csr", "-out", "server.pem", "-days", "2"),
        *("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "server.ext"),
    )
    return Certificate(
        certificate=folder / "server.pem", key=folder / "server.key", authority=folder / "ca.pem"
    )
