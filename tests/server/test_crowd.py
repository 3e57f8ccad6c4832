from __future__ import annotations

from http import HTTPStatus

import pytest

from realtime.errors import ClientError, EngineError
from realtime.runner.allowance import Allowance
from realtime.server.crowd import MAX_LAG_SECONDS, MIN_TABLE, Bounds, Crowd, Crowded
from realtime.server.keys import Key, hashed
from realtime.server.quotas import Quota

HERE, THERE = "203.0.113.5", "198.51.100.1"
PHONE, WATCH = (Key(name, hashed(f"a-long-random-key-of-the-{name}")) for name in ("phone", "watch"))


def ask(allowance: Allowance, now: float) -> None:
    with allowance.request(now):
        pass


def with_quota(**numbers: int) -> Key:
    return Key("phone", hashed("a-long-random-key-of-the-phone"), Quota(**numbers))


def refusal(crowd: Crowd, address: str | None = None, key: Key | None = None, now: float = 0.0, lag: float = 0.0) -> Crowded:
    with pytest.raises(Crowded) as caught:
        crowd.enter(address, key, now, lag=lag)
    return caught.value


def test_without_bounds_everybody_comes_in_and_nobody_is_remembered() -> None:
    crowd = Crowd(Bounds())
    places = [crowd.enter(HERE, PHONE, 0.0) for _ in range(1000)]
    assert (len(crowd), crowd.remembered) == (1000, 0)
    assert not any(place.allowance.limits_events or place.allowance.rate_limits(0.0) for place in places)
    for place in places:
        place.leave()
    assert len(crowd) == 0


def test_the_server_has_room_for_so_many_whoever_they_are() -> None:
    crowd = Crowd(Bounds(sessions=2))
    places = [crowd.enter(HERE, PHONE, 0.0), crowd.enter(None, None, 0.0)]
    error = refusal(crowd, THERE, WATCH)
    assert (error.limit, error.status, error.code, error.type) == (
        "sessions",
        HTTPStatus.SERVICE_UNAVAILABLE,
        "overloaded",
        "server_error",
    )
    assert error.seconds > 0
    places[0].leave()
    crowd.enter(THERE, WATCH, 0.0)


def test_a_place_is_given_back_once() -> None:
    crowd = Crowd(Bounds(sessions=2))
    place, _ = crowd.enter(HERE, None, 0.0), crowd.enter(HERE, None, 0.0)
    place.leave()
    place.leave()
    assert len(crowd) == 1


def test_nobody_comes_in_while_the_loop_drowns() -> None:
    crowd = Crowd(Bounds())
    crowd.enter(HERE, None, 0.0, lag=MAX_LAG_SECONDS)
    assert (refusal(crowd, lag=MAX_LAG_SECONDS * 1.01).limit, len(crowd)) == ("lag", 1)


@pytest.mark.parametrize(
    ("bounds", "kind"), [(Bounds(key=Quota(sessions=2)), "key"), (Bounds(address=Quota(sessions=2)), "address")], ids=["key", "address"]
)
def test_a_key_and_an_address_have_so_many_at_once(bounds: Bounds, kind: str) -> None:
    crowd = Crowd(bounds)
    places = [crowd.enter(HERE, PHONE, 0.0), crowd.enter(HERE, PHONE, 0.0)]
    error = refusal(crowd, HERE, PHONE)
    assert (error.limit, error.status, error.code) == (f"{kind}_sessions", HTTPStatus.TOO_MANY_REQUESTS, "rate_limit_exceeded")
    assert f"2 sessions at once for this {kind}" in error.message
    crowd.enter(THERE, WATCH, 0.0)
    crowd.enter(None, None, 0.0)
    places[0].leave()
    crowd.enter(HERE, PHONE, 0.0)


@pytest.mark.parametrize(
    ("bounds", "kind"),
    [(Bounds(key=Quota(new_sessions=2)), "key"), (Bounds(address=Quota(new_sessions=2)), "address")],
    ids=["key", "address"],
)
def test_a_key_and_an_address_begin_so_many_in_a_minute(bounds: Bounds, kind: str) -> None:
    crowd = Crowd(bounds)
    for _ in range(2):
        crowd.enter(HERE, PHONE, 0.0).leave()
    error = refusal(crowd, HERE, PHONE, now=10.0)
    assert error.limit == f"{kind}_new_sessions"
    assert error.seconds == pytest.approx(20)
    crowd.enter(THERE, WATCH, 10.0)
    crowd.enter(HERE, PHONE, 30.0)


def test_who_is_refused_for_one_thing_has_taken_nothing_of_another() -> None:
    crowd = Crowd(Bounds(address=Quota(new_sessions=2), key=Quota(sessions=1)))
    place = crowd.enter(HERE, PHONE, 0.0)
    for _ in range(10):
        assert refusal(crowd, HERE, PHONE).limit == "key_sessions"
    place.leave()
    crowd.enter(HERE, PHONE, 0.0)
    assert len(crowd) == 1


def test_the_line_of_a_key_goes_before_the_settings() -> None:
    crowd = Crowd(Bounds(key=Quota(sessions=1, new_sessions=1)))
    generous = with_quota(sessions=0, new_sessions=0)
    for _ in range(3):
        crowd.enter(None, generous, 0.0)
    crowd.enter(None, WATCH, 0.0)
    assert refusal(crowd, None, WATCH).limit == "key_sessions"
    strict = Crowd(Bounds())
    strict.enter(None, with_quota(sessions=1), 0.0)
    assert refusal(strict, None, with_quota(sessions=1)).limit == "key_sessions"


def test_numbers_that_were_read_again_hold_for_the_next_and_who_is_in_still_counts() -> None:
    crowd = Crowd(Bounds())
    places = [crowd.enter(None, with_quota(sessions=2), 0.0) for _ in range(2)]
    crowd.enter(None, with_quota(sessions=3), 0.0)
    assert refusal(crowd, None, with_quota(sessions=3)).limit == "key_sessions"
    for place in places:
        place.leave()
    assert refusal(crowd, None, with_quota(sessions=1)).limit == "key_sessions"
    crowd.enter(None, with_quota(sessions=2), 0.0)


def test_each_session_has_the_allowance_of_the_settings_and_a_keys_own_is_shared() -> None:
    crowd = Crowd(Bounds(session=Quota(events=1, audio=60, requests=1)))
    one, other = (crowd.enter(None, with_quota(requests=2, audio=0), 0.0).allowance for _ in range(2))
    for allowance in (one, other):
        allowance.take_event(0.0)
        with pytest.raises(ClientError, match="1 events"):
            allowance.take_event(0.0, seconds=1000)
    other.take_event(60.0, seconds=1000)
    ask(one, 0.0)
    ask(one, 0.0)
    with pytest.raises(EngineError, match="2 requests"):
        ask(other, 0.0)


def test_who_leaves_and_comes_back_finds_what_is_left() -> None:
    crowd, key = Crowd(Bounds()), with_quota(requests=2)
    place = crowd.enter(None, key, 0.0)
    ask(place.allowance, 0.0)
    place.leave()
    assert crowd.enter(None, key, 0.0).allowance.rate_limits(0.0)[0].remaining == 1


def test_events_that_a_session_refuses_are_told() -> None:
    refused: list[str] = []
    allowance = Crowd(Bounds(session=Quota(events=1)), refused.append).enter(None, None, 0.0).allowance
    allowance.take_event(0.0)
    with pytest.raises(ClientError):
        allowance.take_event(0.0)
    assert refused == ["events"]


def test_who_has_gone_is_forgotten() -> None:
    crowd = Crowd(Bounds(address=Quota(sessions=5, new_sessions=5)))
    stays = crowd.enter("10.0.0.0", None, 0.0)
    for number in range(100 * MIN_TABLE):
        crowd.enter(f"10.1.{number // 256}.{number % 256}", None, float(number)).leave()
        assert crowd.remembered <= 2 * MIN_TABLE  # each of them has nothing to wait for after twelve seconds
    stays.leave()


def test_who_is_in_is_not_forgotten_nor_who_has_to_wait() -> None:
    crowd = Crowd(Bounds(address=Quota(sessions=1, new_sessions=1)))
    crowd.enter(HERE, None, 0.0)
    crowd.enter(THERE, None, 3000.0).leave()
    for number in range(MIN_TABLE):
        crowd.enter(f"10.1.0.{number}", None, 3000.0)
    assert refusal(crowd, HERE, now=3030.0).limit == "address_sessions"
    assert refusal(crowd, THERE, now=3030.0).limit == "address_new_sessions"


def test_tokens_and_answers_of_a_keys_line_are_shared_and_those_of_the_settings_are_not() -> None:
    crowd = Crowd(Bounds(session=Quota(tokens=10, responses=1)))
    one, other = (crowd.enter(None, WATCH, 0.0).allowance for _ in range(2))
    with one.request(0.0):
        ask(other, 0.0)
        with pytest.raises(EngineError, match="1 responses"):
            ask(one, 0.0)
    one.take_tokens(10, 0.0)
    ask(other, 0.0)
    key = with_quota(tokens=10, responses=1)
    one, other = (crowd.enter(None, key, 0.0).allowance for _ in range(2))
    with one.request(0.0), pytest.raises(EngineError, match="1 responses"):
        ask(other, 0.0)
    one.take_tokens(10, 0.0)
    with pytest.raises(EngineError, match="10 tokens"):
        ask(other, 0.0)


def test_a_key_is_remembered_while_it_is_answered_though_its_clients_are_gone() -> None:
    crowd, key = Crowd(Bounds(key=Quota(new_sessions=1))), with_quota(responses=1, new_sessions=0)
    place = crowd.enter(None, key, 0.0)
    with place.allowance.request(0.0):
        place.leave()
        for number in range(2 * MIN_TABLE):
            crowd.enter(None, Key(str(number), hashed(f"a-long-random-key-of-{number}")), 0.0).leave()
        with pytest.raises(EngineError, match="1 responses"):
            ask(crowd.enter(None, key, 0.0).allowance, 0.0)
