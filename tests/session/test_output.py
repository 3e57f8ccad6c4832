from __future__ import annotations

from realtime.session.conversation import Conversation
from realtime.session.effects import Effects, Send
from realtime.session.ids import CountedIds
from realtime.session.output import Output
from realtime.session.sound import Sound
from realtime.wire.items import FunctionCall, Message, OutputAudio
from realtime.wire.settings import PcmFormat

CALL = FunctionCall("f", "", "call_1", "item_1", "in_progress")
MESSAGE = Message("assistant", [OutputAudio("Hi.")], "item_2")


class Stage:
    def __init__(self, *, aside: bool = False) -> None:
        self.conversation = Conversation("conv_1")
        self._effects = Effects(CountedIds())
        self.output = Output("resp_1", None if aside else self.conversation, self._effects)

    def told(self) -> list[str]:
        events = [effect.event for effect in self._effects.take() if isinstance(effect, Send)]
        return [str(type(event).__struct_config__.tag) for event in events]


def test_items_are_numbered_as_they_are_opened_and_stay_in_that_order() -> None:
    output = Stage().output
    assert not output
    assert [output.open(CALL), output.open(MESSAGE)] == [0, 1]
    output.finish(1, MESSAGE)
    assert (bool(output), output.unfinished, output.items) == (True, [0], [MESSAGE])
    output.finish(0, CALL)
    assert (bool(output), output.unfinished, output.items) == (True, [], [CALL, MESSAGE])


def test_what_is_finished_is_no_longer_written() -> None:
    output = Stage().output
    output.open(CALL)
    assert (output.writes("item_1"), output.writes("item_2")) == (True, False)
    output.finish(0, CALL)
    assert not output.writes("item_1")


def test_the_conversation_hears_of_every_item_with_its_sound() -> None:
    stage = Stage()
    stage.output.open(MESSAGE)
    stage.output.finish(0, MESSAGE, {0: Sound(PcmFormat(), b"ss")})
    entry = stage.conversation.find("item_2")
    assert entry is not None
    assert entry.sounds[0].audio == b"ss"
    assert stage.told() == [
        "response.output_item.added",
        "conversation.item.added",
        "conversation.item.done",
        "response.output_item.done",
    ]


def test_what_is_known_meanwhile_can_be_retrieved_and_is_not_told() -> None:
    stage = Stage()
    stage.output.open(CALL)
    stage.told()
    stage.output.amend(FunctionCall("f", "{}", "call_1", "item_1", "in_progress"))
    entry = stage.conversation.find("item_1")
    assert entry is not None
    assert isinstance(entry.item, FunctionCall)
    assert (entry.item.arguments, stage.told()) == ("{}", [])


def test_out_of_band_nothing_is_stored() -> None:
    stage = Stage(aside=True)
    stage.output.open(CALL)
    stage.output.amend(CALL)
    stage.output.finish(0, CALL)
    assert stage.told() == ["response.output_item.added", "response.output_item.done"]
    assert list(stage.conversation) == []
