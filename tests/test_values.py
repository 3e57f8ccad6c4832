from __future__ import annotations

from ipaddress import ip_network

import pytest

from realtime.values import COUNT, KEYS, LONG_SECRET, MAX_COUNT, NETWORKS, ORIGINS, number, one_of, seconds, text, whole

LONG = "a-long-random-key"


def test_a_name_is_known_whatever_its_case() -> None:
    kind = one_of("auto", "local")
    assert (kind.parse("LOCAL"), kind.metavar, kind.allowed) == ("local", "auto|local", "one of auto, local")


@pytest.mark.parametrize("value", ["0", "-1", "10.5", "nan", "inf", "two", ""])
def test_a_number_is_above_nothing_and_below_its_bound(value: str) -> None:
    kind = number(10)
    assert kind.parse("0.5") == 0.5
    with pytest.raises(ValueError):
        kind.parse(value)


@pytest.mark.parametrize("value", ["0", "4", "2.5"])
def test_a_whole_number_is_within_its_bounds(value: str) -> None:
    kind = whole(1, 3, " of Hz")
    assert (kind.parse("3"), kind.allowed) == (3, "a whole number of Hz from 1 to 3")
    with pytest.raises(ValueError):
        kind.parse(value)


def test_no_time_at_all_is_allowed_where_it_means_something() -> None:
    assert seconds(zero=True).parse("0") == 0
    with pytest.raises(ValueError):
        seconds().parse("0")


@pytest.mark.parametrize("value", ["", "  ", "two\nlines"])
def test_text_is_one_line_of_something(value: str) -> None:
    kind = text("HOST", "a host")
    assert kind.parse("localhost") == "localhost"
    with pytest.raises(ValueError):
        kind.parse(value)


def test_keys_have_names_or_are_called_after_their_places() -> None:
    assert KEYS.parse(f"phone={LONG}=, {LONG}") == {"phone": LONG + "=", "key-2": LONG}


@pytest.mark.parametrize(
    "keys",
    [
        "",
        "short",
        "phone=short",
        f"phone={LONG},phone={LONG}",
        f"my phone={LONG}",
        f"={LONG}",
        f"{LONG},",
        f"a={LONG} {LONG}",
        "base-64-with-its-end=",
    ],
)
def test_keys_that_are_weak_or_muddled_are_refused(keys: str) -> None:
    with pytest.raises(ValueError):
        KEYS.parse(keys)


def test_a_weak_secret_is_refused() -> None:
    assert LONG_SECRET.parse("sixteen-letters!") == "sixteen-letters!"
    with pytest.raises(ValueError):
        LONG_SECRET.parse("fifteen-letters")


def test_origins_are_written_as_browsers_write_them() -> None:
    said = "https://App.Example:443/, http://a.example:80, http://a.example:8080, capacitor://localhost, *"
    written = {"https://app.example", "http://a.example", "http://a.example:8080", "capacitor://localhost", "*"}
    assert ORIGINS.parse(said) == written


@pytest.mark.parametrize(
    "origin",
    ["", "https://", "null", "app.example", "https://me@a.example", "https://a.example/page", "https://a.example?x", "https://a.example#x"],
)
def test_an_origin_is_a_scheme_and_a_host(origin: str) -> None:
    with pytest.raises(ValueError):
        ORIGINS.parse(f"https://a.example,{origin}")


@pytest.mark.parametrize("value", ["-1", "1.5", str(MAX_COUNT + 1), ""])
def test_a_count_is_whole_and_within_reason(value: str) -> None:
    assert (COUNT.parse("0"), COUNT.parse(str(MAX_COUNT))) == (0, MAX_COUNT)
    with pytest.raises(ValueError):
        COUNT.parse(value)


@pytest.mark.parametrize("value", ["", "localhost", "10.0.0.0/33", "10.0.0.1,", "10.0.0.1 10.0.0.2"])
def test_a_proxy_is_an_address_or_a_network(value: str) -> None:
    assert NETWORKS.parse("10.0.0.1/8, ::1") == (ip_network("10.0.0.0/8"), ip_network("::1"))
    with pytest.raises(ValueError):
        NETWORKS.parse(value)
