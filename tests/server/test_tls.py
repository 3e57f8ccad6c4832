from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import pytest

from realtime.errors import ConfigError
from realtime.server.tls import context
from tests.rigs.certificate import certificate


def test_a_certificate_and_its_key_may_be_two_files_or_one(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    assert context(cert, key).minimum_version == ssl.TLSVersion.TLSv1_2
    both = tmp_path / "both.pem"
    both.write_bytes(cert.read_bytes() + key.read_bytes())
    context(both, None)


def test_files_that_are_none_of_the_kind_are_named(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    _, other = certificate(tmp_path, "other")
    with pytest.raises(ConfigError, match=rf"REALTIME_TLS_CERT={cert}, REALTIME_TLS_KEY={other}: must be"):
        context(cert, other)
    with pytest.raises(ConfigError, match=rf"REALTIME_TLS_CERT={key}: must be"):
        context(key, None)
    with pytest.raises(ConfigError, match="No such file"):
        context(tmp_path / "none.pem", None)


def test_nobody_is_asked_for_a_password(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    locked = tmp_path / "locked.key"
    subprocess.run(["openssl", "pkey", "-in", key, "-aes256", "-passout", "pass:secret", "-out", locked], check=True, capture_output=True)
    with pytest.raises(ConfigError, match="without a password"):
        context(cert, locked)
