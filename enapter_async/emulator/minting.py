"""Credentials as the API creates them: new for each call, and repeatable from the same seed."""

import base64
import hashlib


def credentials(protocol: str, seed: str) -> dict[str, str]:
    """Create the credentials of a configuration, for MQTT or MQTTS, without storing them."""

    def secret(label: str) -> bytes:
        return hashlib.sha256(f"{seed}/{label}".encode()).digest()

    if protocol == "MQTT":
        return {
            "username": f"device-{secret('username')[:20].hex()}",
            "password": base64.urlsafe_b64encode(secret("password")).decode(),
        }
    return {
        "private_key": _pem("EC PRIVATE KEY", secret("private_key") * 4),
        "certificate": _pem("CERTIFICATE", secret("certificate") * 16),
        "ca_chain": _pem("CERTIFICATE", hashlib.sha256(b"authority").digest() * 16),
    }


def _pem(label: str, content: bytes) -> str:
    text = base64.b64encode(content).decode()
    lines = "\n".join(text[start : start + 64] for start in range(0, len(text), 64))
    return f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n"
