from __future__ import annotations

from typing import get_args

from realtime.session.effects import Abandon, Effect, Effects, Send
from realtime.session.ids import CountedIds
from realtime.wire.server import InputAudioBufferCleared, RateLimitsUpdated


def test_effects_are_taken_in_the_order_in_which_they_gathered() -> None:
    effects = Effects(CountedIds())
    first, second = InputAudioBufferCleared(), RateLimitsUpdated(rate_limits=[])
    effects.send(first, "mine")
    effects.add(Abandon("resp_1"))
    effects.send(second)
    assert effects.take() == [Send(first, "mine"), Abandon("resp_1"), Send(second)]


def test_every_event_that_is_sent_has_an_id_of_its_own() -> None:
    effects = Effects(CountedIds())
    for _ in range(2):
        effects.send(InputAudioBufferCleared())
    assert [effect.event.event_id for effect in effects.take() if isinstance(effect, Send)] == ["event_1", "event_2"]


def test_effects_are_taken_once() -> None:
    effects = Effects(CountedIds())
    effects.add(Abandon("resp_1"))
    effects.take()
    assert effects.take() == []


def test_what_was_taken_is_not_added_to() -> None:
    effects = Effects(CountedIds())
    taken = effects.take()
    effects.add(Abandon("resp_1"))
    assert taken == []


def test_an_effect_can_be_told_by_its_name() -> None:
    assert all(cls.__struct_config__.tag == cls.__name__ for cls in get_args(Effect))


def test_what_was_asked_ahead_is_not_asked_again_but_once_and_by_this_input_alone() -> None:
    effects = Effects(CountedIds())
    effects.asked_ahead([Abandon("resp_1"), Abandon("resp_2")])
    for id in ("resp_1", "resp_1", "resp_3"):
        effects.add(Abandon(id))
    assert effects.take() == [Abandon("resp_1"), Abandon("resp_3")]
    effects.add(Abandon("resp_2"))
    assert effects.take() == [Abandon("resp_2")]
