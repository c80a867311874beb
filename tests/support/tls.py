"""Certificates for TLS tests, made by the `openssl` command."""

import shutil
import ssl
import subprocess
from pathlib import Path
from typing import Any

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
_MAY_SIGN = "keyUsage=critical,keyCertSign,cRLSign"
_OF_A_SERVER = """subjectAltName={names}
basicConstraints=critical,CA:FALSE
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
extendedKeyUsage=serverAuth
"""
OPENSSL = shutil.which("openssl")
NOBODY = """\
-----BEGIN CERTIFICATE-----
MIIBeTCCAR+gAwIBAgIUbMusXHBZ2TUMjdnkbWehoH3svO8wCgYIKoZIzj0EAwIw
ETEPMA0GA1UEAwwGbm9ib2R5MCAXDTI2MTEyNjE2NDQxOVoYDzIxMjYxMTAyMTY0
NDE5WjARMQ8wDQYDVQQDDAZub2JvZHkwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC
AAS3x9UCzGuBPnADYa+Fh7h+XiXBJbssmFpK1MZtiO4ifBF8dNICcxR/3j1sTYbY
pxwAroYfepeJJn4ocX3yxfooo1MwUTAdBgNVHQ4EFgQUQq4IAPfIStG9gR9f2cBD
qGZCWlowHwYDVR0jBBgwFoAUQq4IAPfIStG9gR9f2cBDqGZCWlowDwYDVR0TAQH/
BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiAf+ubTDdUKq3Z0NSYzc8MAROCYg3py
1hbGiObYVSJlgwIhAKeqQG97eou2M2g9oQ76ACGZlFT69A0GuBgM0vTIoveT
-----END CERTIFICATE-----
"""
"""An authority whose key was thrown away, so trusting only it means trusting nobody."""


def _openssl(folder: Path, *arguments: str) -> None:
    assert OPENSSL is not None
    subprocess.run([OPENSSL, *arguments], cwd=folder, check=True, capture_output=True)  # noqa: S603 - the arguments are constants below


class Certificates:
    """A test authority and the servers that it certifies."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._made = 0
        self._authority("ca")
        self._authority("other")

    def _authority(self, name: str) -> None:
        files = ("-keyout", f"{name}.key", "-out", f"{name}.pem")
        owner = ("-subj", f"/CN={name}", "-days", "2", "-addext", _MAY_SIGN)
        _openssl(self.folder, "req", "-x509", *_KEY, *files, *owner)

    def issue(
        self, *, names: str = "DNS:localhost,IP:127.0.0.1", days: int = 2, authority: str = "ca"
    ) -> tuple[Path, Path]:
        """Create a server's certificate and key."""
        self._made += 1
        stem = f"server-{self._made}"
        (self.folder / f"{stem}.ext").write_text(_OF_A_SERVER.format(names=names))
        request = ("-keyout", f"{stem}.key", "-out", f"{stem}.csr", "-subj", "/CN=test")
        _openssl(self.folder, "req", *_KEY, *request)
        signer = ("-CA", f"{authority}.pem", "-CAkey", f"{authority}.key", "-CAcreateserial")
        files = ("-in", f"{stem}.csr", "-out", f"{stem}.pem", "-extfile", f"{stem}.ext")
        _openssl(self.folder, "x509", "-req", *files, *signer, "-days", str(days))
        return self.folder / f"{stem}.pem", self.folder / f"{stem}.key"

    def server(self, **issued: Any) -> ssl.SSLContext:
        """Create the context of a server with a certificate from `issue`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.issue(**issued))
        return context

    def signed_by_itself(self, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
        """Create contexts for a self-signed server and for a client that trusts it."""
        self._made += 1
        stem = f"itself-{self._made}"
        files = ("-keyout", f"{stem}.key", "-out", f"{stem}.pem", "-days", "2")
        owner = ("-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}")
        _openssl(self.folder, "req", "-x509", *_KEY, *files, *owner)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / f"{stem}.pem", self.folder / f"{stem}.key")
        return context, self.trusting(stem)

    def trusting(self, authority: str = "ca") -> ssl.SSLContext:
        """Create the context of a client that trusts one authority."""
        return ssl.create_default_context(cafile=str(self.folder / f"{authority}.pem"))
