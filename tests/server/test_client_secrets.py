from __future__ import annotations

import base64
import string
from random import Random

import pytest

from realtime.errors import ClientError
from realtime.server.client_secrets import MAX_LENGTH, PREFIX, Claims, ClientSecrets
from realtime.server.keys import Key, hashed

PHONE, WATCH = Key("phone", hashed("a-key-of-a-phone")), Key("watch", hashed("a-key-of-a-watch"))
UPDATE = '{"type":"session.update","session":{"type":"realtime","instructions":"Be brief."}}'
NOW = 1_000


def minted(issuer: ClientSecrets, key: Key | None = PHONE, update: str | None = UPDATE) -> str:
    return issuer.mint(key, expires_at=NOW + 60, update=update, dialect="ga")


def refusal(reader: ClientSecrets, secret: str, *keys: Key | None, now: float = NOW) -> ClientError:
    with pytest.raises(ClientError) as caught:
        reader.read(secret, keys, now)
    assert caught.value.code == "invalid_api_key"
    assert caught.value.message.startswith("Incorrect API key provided: ")
    assert secret[3:] not in caught.value.message or not secret[3:]
    return caught.value


@pytest.mark.parametrize("secret", [None, "of all the instances"])
def test_another_instance_that_knows_the_key_reads_what_was_bound(secret: str | None) -> None:
    text = minted(ClientSecrets(secret))
    claims, key = ClientSecrets(secret).read(text, [WATCH, PHONE], NOW + 59.9)
    assert (claims.update, claims.dialect, claims.expires_at, key) == (UPDATE, "ga", NOW + 60, PHONE)


def test_it_travels_in_a_header_and_in_a_subprotocol() -> None:
    text = minted(ClientSecrets(None))
    assert text.startswith(PREFIX)
    assert set(text) <= set(string.ascii_letters + string.digits + "-_")


def test_no_two_are_the_same() -> None:
    issuer = ClientSecrets(None)
    assert minted(issuer) != minted(issuer)


def test_it_expires_to_the_second() -> None:
    issuer = ClientSecrets(None)
    assert "expired" in refusal(issuer, minted(issuer), PHONE, now=NOW + 60).message


@pytest.mark.parametrize("secret", [None, "of all the instances"])
def test_it_goes_with_the_key_that_it_was_minted_with(secret: str | None) -> None:
    issuer = ClientSecrets(secret)
    renewed = Key("phone", hashed("another-key-of-the-phone"))
    refusal(issuer, minted(issuer), WATCH, renewed)
    refusal(issuer, minted(issuer))


def test_another_secret_signs_otherwise() -> None:
    refusal(ClientSecrets("another"), minted(ClientSecrets("one")), PHONE)
    refusal(ClientSecrets(None), minted(ClientSecrets("one")), PHONE)


def test_without_keys_no_other_instance_reads_it_unless_they_share_a_secret() -> None:
    issuer = ClientSecrets(None)
    assert issuer.read(minted(issuer, None), [None], NOW)[1] is None
    refusal(ClientSecrets(None), minted(issuer, None), None)
    assert ClientSecrets("shared").read(minted(ClientSecrets("shared"), None), [None], NOW)[0].update == UPDATE


def test_one_made_without_keys_opens_nothing_once_there_are_some() -> None:
    issuer = ClientSecrets("shared")
    refusal(issuer, minted(issuer, None), PHONE)


def test_every_changed_character_is_noticed() -> None:
    issuer = ClientSecrets(None)
    text = minted(issuer)
    for at in range(len(PREFIX), len(text) - 1):  # the last may hold bits that mean nothing
        refusal(issuer, text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :], PHONE)


@pytest.mark.parametrize("text", ["ek_", "ek_x", "ek_!!!!", "ek_schlüssel", "ek_" + "A" * 200, "ek_\udc80"])
def test_what_is_none_is_refused(text: str) -> None:
    refusal(ClientSecrets(None), text, PHONE)


def test_what_is_not_signed_is_not_looked_into() -> None:
    bomb = PREFIX + base64.urlsafe_b64encode(bytes(32) + b"no deflated JSON").decode()
    refusal(ClientSecrets(None), bomb, PHONE)


def test_a_session_that_does_not_fit_into_a_header_is_refused_when_it_is_minted() -> None:
    issuer = ClientSecrets(None)
    large = Random(1).randbytes(MAX_LENGTH).hex()
    with pytest.raises(ClientError) as caught:
        minted(issuer, update=large)
    assert (caught.value.code, caught.value.param) == ("string_above_max_length", "session")
    assert len(minted(issuer, update="well said " * MAX_LENGTH)) < MAX_LENGTH


def test_one_without_a_session_is_bound_to_nothing() -> None:
    issuer = ClientSecrets(None)
    claims, _ = issuer.read(minted(issuer, update=None), [PHONE], NOW)
    assert claims == Claims(expires_at=NOW + 60, nonce=claims.nonce)
