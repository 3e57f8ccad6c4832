from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

import pytest

from realtime.errors import ConfigError
from realtime.server import keys
from realtime.server.keys import Key, Keys, fresh, hashed, read
from realtime.server.quotas import Quota

PHONE, WATCH = "a-long-random-key-of-a-phone", "a-long-random-key-of-a-watch"


def line(name: str, key: str) -> str:
    return f"{name}:{hashlib.sha256(key.encode()).hexdigest()}"


def file(folder: Path, *lines: str) -> Path:
    path = folder / "api-keys"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def refusal(path: Path, given: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        read(path, given)
    return str(caught.value)


def test_a_key_is_known_by_its_hash_and_has_a_name() -> None:
    known = Keys([Key("phone", hashed(PHONE)), Key("watch", hashed(WATCH))])
    assert known.find(PHONE) == Key("phone", hashed(PHONE))
    assert known.find(WATCH) == Key("watch", hashed(WATCH))
    assert len(known) == 2


@pytest.mark.parametrize("wrong", ["", PHONE[:-1], PHONE + "x", hashed(PHONE).hex(), "\udc80", "schlüssel"])
def test_no_other_is_one(wrong: str) -> None:
    assert Keys([Key("phone", hashed(PHONE))]).find(wrong) is None
    assert Keys().find(wrong) is None


def test_every_key_is_compared_in_constant_time_even_after_one_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []

    def compare(known: bytes, presented: bytes) -> bool:
        compared.append(known)
        return known == presented

    monkeypatch.setattr(hmac, "compare_digest", compare)
    Keys([Key("phone", hashed(PHONE)), Key("watch", hashed(WATCH))]).find(PHONE)
    assert compared == [hashed(PHONE), hashed(WATCH)]


def test_a_file_has_names_hashes_and_comments(tmp_path: Path) -> None:
    path = file(
        tmp_path, "# who may come in", "", line("phone", PHONE), "  " + line("my.watch_2-b", WATCH).replace("a", "A", 0) + " ", "   "
    )
    known = read(path, None)
    assert [key.name for key in known] == ["phone", "my.watch_2-b"]
    assert known.find(WATCH) is not None


def test_keys_are_those_of_the_file_and_those_that_are_given(tmp_path: Path) -> None:
    known = read(file(tmp_path, line("phone", PHONE)), {"watch": WATCH})
    assert [key.name for key in known] == ["phone", "watch"]
    assert [key.name for key in read(None, {"watch": WATCH})] == ["watch"]
    assert len(read(None, None)) == 0


@pytest.mark.parametrize(
    "bad",
    ["phone", PHONE, f"phone={PHONE}", f"phone:{PHONE}", "phone:" + "0" * 63, "phone:" + "g" * 64, "my phone:" + "0" * 64, ":" + "0" * 64],
)
def test_a_line_that_is_none_is_named_and_never_repeated(tmp_path: Path, bad: str) -> None:
    path = file(tmp_path, line("watch", WATCH), bad)
    assert refusal(path).startswith(f"{path}, line 2: must be a name, a colon")
    assert PHONE not in refusal(path)


def test_a_line_may_say_what_its_key_may_have(tmp_path: Path) -> None:
    known = read(file(tmp_path, line("phone", PHONE) + "  sessions=5 requests=60\t", line("watch", WATCH)), None)
    assert [key.quota for key in known] == [Quota(sessions=5, requests=60), Quota()]


@pytest.mark.parametrize("bad", ["requests", "sessions=five", "sesions=5", "sessions=5 sessions=5", "# of ours", PHONE])
def test_a_line_that_says_something_else_is_named_and_never_repeated(tmp_path: Path, bad: str) -> None:
    path = file(tmp_path, f"{line('phone', PHONE)} {bad}")
    assert refusal(path).startswith(f"{path}, line 1: after the hash may come sessions=N, new_sessions=N, ")
    assert f" {bad} " not in f"{refusal(path)} "


def test_two_keys_of_one_name_are_refused(tmp_path: Path) -> None:
    assert refusal(file(tmp_path, line("phone", PHONE)), {"phone": WATCH}).startswith("two keys are called phone")


def test_a_file_that_can_not_be_read_says_why(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none") == f"{tmp_path / 'none'}: the keys can't be read: No such file or directory"
    path = tmp_path / "binary"
    path.write_bytes(b"\xff\xfe")
    assert refusal(path).endswith("it is no text")


def test_a_new_key_is_long_random_and_its_line_opens_the_file(tmp_path: Path) -> None:
    (key, entry), (other, _) = fresh("phone"), fresh("phone")
    assert key != other
    assert key.startswith(keys.PREFIX)
    assert len(key) > 40
    assert key not in entry
    found = read(file(tmp_path, entry), None).find(key)
    assert found is not None
    assert found.name == "phone"


@pytest.mark.parametrize("name", ["", "my phone", "phone:", "x" * 65])
def test_a_name_is_one_word(name: str) -> None:
    with pytest.raises(ConfigError, match="must be 1 to 64 letters"):
        fresh(name)
