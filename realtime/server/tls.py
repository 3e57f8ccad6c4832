"""TLS by certificate files."""

from __future__ import annotations

import ssl
from pathlib import Path

from realtime.errors import ConfigError


def context(cert: Path, key: Path | None) -> ssl.SSLContext:
    """For a listening socket: TLS 1.2 or newer. Raises `ConfigError`."""
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        made.load_cert_chain(cert, key, password=_nobody_is_there)
    except OSError as error:  # those of OpenSSL are such, too
        what = f"REALTIME_TLS_CERT={cert}" + ("" if key is None else f", REALTIME_TLS_KEY={key}")
        raise ConfigError(f"{what}: must be a certificate chain and its key, in PEM and without a password: {error.strerror}") from error
    return made


def _nobody_is_there() -> str:
    """Without this OpenSSL would ask for a password at the terminal, and wait."""
    return ""
