from __future__ import annotations

import pytest

from realtime.errors import ClientError, EngineError
from realtime.runner.allowance import Allowance, Slots
from realtime.runner.bucket import Bucket
from realtime.wire.server import RateLimit


def ask(allowance: Allowance, now: float) -> None:
    with allowance.request(now):
        pass


def test_without_limits_everything_is_taken_and_nothing_is_told() -> None:
    free = Allowance()
    assert not free.limits_events
    for _ in range(10_000):
        free.take_event(0.0, seconds=60)
        ask(free, 0.0)
    assert free.rate_limits(0.0) == []


def test_an_event_too_many_is_refused_with_its_id_and_the_time() -> None:
    refused: list[str] = []
    allowance = Allowance(events=Bucket(2, 0.0), refused=refused.append)
    assert allowance.limits_events
    allowance.take_event(0.0)
    allowance.take_event(0.0)
    with pytest.raises(ClientError, match=r"^Rate limit reached: 2 events a minute. Please try again in 20s.$") as caught:
        allowance.take_event(10.0, event_id="ev_3")
    error = caught.value
    assert (error.code, error.type, error.param, error.event_id) == ("rate_limit_exceeded", "rate_limit_error", None, "ev_3")
    allowance.take_event(30.0)
    assert refused == ["events"]


def test_sound_is_taken_whole_or_not_at_all() -> None:
    refused: list[str] = []
    allowance = Allowance(events=Bucket(10, 0.0), audio=Bucket(60, 0.0), refused=refused.append)
    allowance.take_event(0.0, seconds=59)
    with pytest.raises(ClientError, match=r"60 seconds of audio a minute\. Please try again in 1s") as caught:
        allowance.take_event(0.0, seconds=2)
    assert (caught.value.param, refused) == ("audio", ["audio"])
    allowance.take_event(0.0, seconds=1)
    for _ in range(8):  # what was refused took no event either
        allowance.take_event(0.0)
    with pytest.raises(ClientError, match="10 events"):
        allowance.take_event(0.0)


def test_an_event_that_is_refused_takes_no_sound() -> None:
    allowance = Allowance(events=Bucket(1, 0.0), audio=Bucket(60, 0.0))
    allowance.take_event(0.0)
    with pytest.raises(ClientError, match="1 events"):
        allowance.take_event(0.0, seconds=60)
    allowance.take_event(60.0, seconds=60)


def test_the_time_that_is_told_is_rounded_up() -> None:
    allowance = Allowance(audio=Bucket(60, 0.0))
    allowance.take_event(0.0, seconds=60)
    with pytest.raises(ClientError, match=r"again in 0\.021s"):
        allowance.take_event(0.0, seconds=0.0201)


def test_a_request_too_many_fails_what_it_was_for() -> None:
    allowance = Allowance(requests=Bucket(1, 0.0))
    ask(allowance, 0.0)
    with pytest.raises(EngineError, match=r"1 requests a minute\. Please try again in 30s") as caught:
        ask(allowance, 30.0)
    assert (caught.value.code, caught.value.type) == ("rate_limit_exceeded", "rate_limit_error")


def test_what_is_told_of_requests_is_what_is_left_for_all_who_share_them() -> None:
    shared = Bucket(60, 0.0)
    one, other = Allowance(requests=shared), Allowance(requests=shared)
    ask(one, 0.0)
    ask(other, 0.0)
    assert one.rate_limits(0.0) == [RateLimit(name="requests", limit=60, remaining=58, reset_seconds=2.0)]
    assert one.rate_limits(2.0) == [RateLimit(name="requests", limit=60, remaining=60, reset_seconds=0.0)]


def test_tokens_are_taken_when_they_are_known_and_may_be_more_than_there_were() -> None:
    allowance = Allowance(tokens=Bucket(60, 0.0))
    ask(allowance, 0.0)
    allowance.take_tokens(90, 0.0)
    with pytest.raises(EngineError, match=r"60 tokens a minute\. Please try again in 31s"):
        ask(allowance, 0.0)
    [told] = allowance.rate_limits(0.0)
    assert (told.name, told.limit, told.remaining, told.reset_seconds) == ("tokens", 60, 0, 90.0)
    ask(allowance, 31.0)
    Allowance().take_tokens(90, 0.0)


def test_so_many_answers_at_once() -> None:
    allowance = Allowance(requests=Bucket(60, 0.0), responses=Slots(2))
    with allowance.request(0.0):
        with allowance.request(0.0), pytest.raises(EngineError, match="2 responses at once"):
            ask(allowance, 0.0)
        ask(allowance, 0.0)
    [told] = allowance.rate_limits(0.0)
    assert told.remaining == 57, "who was refused took nothing"


def test_sound_of_items_is_taken_by_its_field() -> None:
    allowance = Allowance(audio=Bucket(60, 0.0))
    assert allowance.limits_audio
    allowance.take_audio(0.0, 50.0, "item.content[0].audio")
    allowance.take_audio(0.0, 0.0, "item.content[0].audio")
    with pytest.raises(ClientError) as refused:
        allowance.take_audio(0.0, 50.0, "item.content[0].audio", "ev_1")
    assert (refused.value.param, refused.value.event_id) == ("item.content[0].audio", "ev_1")
    assert not Allowance().limits_audio


def test_coming_back_fills_nothing_of_the_sessions_own_and_what_is_shared_is_as_the_key_says_now() -> None:
    allowance = Allowance(audio=Bucket(60, 0.0), tokens=Bucket(60, 0.0), shared={"tokens"})
    allowance.take_audio(0.0, 60.0, "audio")
    newer = Allowance(audio=Bucket(60, 0.0), tokens=Bucket(5, 0.0), shared={"tokens"})
    allowance.renew(newer)
    newer.take_tokens(5, 0.0)
    with pytest.raises(ClientError, match="60 seconds of audio"):
        allowance.take_audio(0.0, 1.0, "audio")
    with pytest.raises(EngineError, match="5 tokens"):
        ask(allowance, 0.0)
    allowance.renew(Allowance())
    ask(allowance, 0.0)


@pytest.mark.parametrize("most", [1, 2])
def test_what_is_asked_on_a_guess_leaves_a_request_for_what_is_asked_for(most: int) -> None:
    allowance = Allowance(requests=Bucket(most, 0.0))
    if most > 1:
        with allowance.request(0.0, spare=1):
            pass
    with pytest.raises(EngineError, match=f"{most} requests a minute"), allowance.request(0.0, spare=1):
        pass
    ask(allowance, 0.0)
