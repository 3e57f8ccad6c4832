"""Client secrets that are none, and files of keys that are none: nobody comes in, and it is said why."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.errors import ClientError, ConfigError
from realtime.server import keys
from realtime.server.client_secrets import PREFIX, ClientSecrets, _split
from realtime.server.keys import Key, hashed
from tests.fuzz.corpus import kept

NOW = 1_000.0
KEY = Key("phone", hashed("a-long-random-key"))
SECRETS = ClientSecrets("the secret of all instances")
MINTED = SECRETS.mint(KEY, expires_at=2_000, update='{"type":"session.update","session":{"type":"realtime"}}', dialect="ga")

DICTIONARY = [PREFIX, "phone:", "sessions=", "new_sessions=", "events=", "audio=", "requests=", KEY.digest.hex(), "#"]


def check(data: bytes) -> None:
    for secret in (data.decode(errors="replace"), data.decode("latin-1"), PREFIX + data.decode(errors="surrogateescape")):
        opens_nothing(secret)
    try:
        read = [keys._parse(line, "here") for line in data.decode(errors="replace").splitlines()]
    except ConfigError:
        return
    assert all(len(key.digest) == 32 for key in read)


def opens_nothing(secret: str) -> None:
    if _split(secret) == _split(MINTED):  # base64 has several last characters for the same bytes
        return
    with pytest.raises(ClientError) as caught:
        SECRETS.read(secret, [KEY], NOW)
    assert caught.value.code == "invalid_api_key"


@pytest.mark.parametrize("path", kept("credentials"), ids=lambda path: path.name)
def test_what_is_kept_opens_nothing(path: Path) -> None:
    check(path.read_bytes())


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    check(data)


@given(st.integers(0, len(MINTED) - 1), st.characters())
def test_a_minted_one_with_one_other_character(at: int, other: str) -> None:
    opens_nothing(MINTED[:at] + other + MINTED[at + 1 :] if other != MINTED[at] else MINTED)
