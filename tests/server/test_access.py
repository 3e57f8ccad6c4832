from __future__ import annotations

import pytest
from websockets.datastructures import Headers
from websockets.http11 import Request

from realtime.errors import ClientError, ConfigError
from realtime.server.access import Access, Admission
from realtime.server.client_secrets import ClientSecrets
from realtime.server.keys import Key, Keys, hashed
from realtime.server.origins import Origins

PHONE, WATCH = "a-long-random-key-of-a-phone", "a-long-random-key-of-a-watch"
NOW = 1_000
ORIGINS = Origins(loopback=True, keys=True)


class KeysFile:
    """What is read of it, which may change."""

    def __init__(self, **keys: str) -> None:
        self.keys = keys
        self.broken = False

    def __call__(self) -> Keys:
        if self.broken:
            raise ConfigError("line 1: must be a name")
        return Keys(Key(name, hashed(key)) for name, key in self.keys.items())


def access(file: KeysFile | None) -> Access:
    return Access(file, ClientSecrets(None), ORIGINS)


def request(*keys: str) -> Request:
    return Request("/v1/realtime", Headers([("Authorization", f"Bearer {key}") for key in keys]))


def refusal(rules: Access, *keys: str) -> tuple[str | None, str]:
    with pytest.raises(ClientError) as caught:
        rules.admit(request(*keys), NOW)
    assert not any(key in caught.value.message for key in keys if len(key) > 10)
    return caught.value.code, caught.value.message


def secret(rules: Access, key: str | None, expires_at: int = NOW + 60) -> str:
    minter = rules.admit(request(key), NOW).key if key else None
    return rules.client_secrets.mint(minter, expires_at=expires_at, update=None, dialect="ga")


@pytest.mark.parametrize("keys", [[], ["anything"], ["null"], ["none", "k"]])
def test_where_there_are_no_keys_nobody_needs_one(keys: list[str]) -> None:
    rules = access(None)
    assert rules.keys is None
    assert rules.admit(request(*keys), NOW) == Admission()


def test_whose_key_it_is_is_told() -> None:
    rules = access(KeysFile(phone=PHONE, watch=WATCH))
    assert rules.keys == 2
    key = rules.admit(request(WATCH), NOW).key
    assert key is not None
    assert key.name == "watch"


def test_any_of_several_may_be_the_right_one() -> None:
    assert access(KeysFile(phone=PHONE)).admit(request("wrong", PHONE), NOW).key is not None


def test_who_brings_no_key_or_a_wrong_one_is_told_so() -> None:
    rules = access(KeysFile(phone=PHONE))
    assert refusal(rules) == (None, "Missing bearer or basic authentication in header")
    for wrong in (WATCH, "null", hashed(PHONE).hex()):
        code, message = refusal(rules, wrong)
        assert code == "invalid_api_key"
        assert message.startswith("Incorrect API key provided")


def test_a_client_secret_comes_in_by_the_key_that_it_was_minted_with() -> None:
    rules = access(KeysFile(phone=PHONE))
    admission = rules.admit(request(secret(rules, PHONE)), NOW)
    assert admission.key == Key("phone", hashed(PHONE))
    assert admission.claims is not None


def test_a_client_secret_is_judged_even_where_nobody_needs_a_key() -> None:
    rules = access(None)
    assert rules.admit(request(secret(rules, None)), NOW).claims is not None
    assert "expired" in refusal(rules, secret(rules, None, NOW))[1]
    assert refusal(rules, "ek_of_somebody_else")[0] == "invalid_api_key"


def test_a_key_that_looks_like_a_client_secret_is_a_key() -> None:
    assert access(KeysFile(phone="ek_long_random_key")).admit(request("ek_long_random_key"), NOW).claims is None


def test_a_client_secret_does_not_mint_another() -> None:
    rules = access(KeysFile(phone=PHONE))
    assert rules.admit_minter(request(PHONE), NOW).key is not None
    with pytest.raises(ClientError, match="can't mint another"):
        rules.admit_minter(request(secret(rules, PHONE)), NOW)


def test_keys_that_are_read_again_hold_from_then_on() -> None:
    file = KeysFile(phone=PHONE)
    rules = access(file)
    given = secret(rules, PHONE)
    file.keys = {"watch": WATCH}
    rules.admit(request(PHONE), NOW)
    rules.reload()
    rules.admit(request(WATCH), NOW)
    assert refusal(rules, PHONE)[0] == "invalid_api_key"
    assert refusal(rules, given)[0] == "invalid_api_key"


def test_a_file_that_broke_leaves_the_keys_as_they_were() -> None:
    file = KeysFile(phone=PHONE)
    rules = access(file)
    file.broken = True
    with pytest.raises(ConfigError):
        rules.reload()
    rules.admit(request(PHONE), NOW)


def test_where_the_last_key_is_taken_away_nobody_comes_in() -> None:
    file = KeysFile(phone=PHONE)
    rules = access(file)
    file.keys = {}
    rules.reload()
    assert rules.keys == 0
    refusal(rules)
    refusal(rules, PHONE)


def test_where_there_are_no_keys_there_is_nothing_to_read_again() -> None:
    rules = access(None)
    rules.reload()
    assert rules.admit(request(), NOW) == Admission()
