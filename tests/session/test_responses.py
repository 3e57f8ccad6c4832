"""The responses that run side by side; what each does is test_response's business."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from realtime.errors import ClientError
from realtime.ports import Recording, TokenUsage
from realtime.session.abilities import Abilities
from realtime.session.conversation import Conversation, Entry
from realtime.session.effects import Abandon, Effects, Generate, Send, Transcribe
from realtime.session.ids import CountedIds
from realtime.session.inputs import (
    ArgumentsGenerated,
    CallGenerated,
    ClauseSounded,
    GenerationFinished,
    ResponseBroke,
    SpeechGenerated,
    SpeechTranscribed,
    TextGenerated,
    TranscriptionBroke,
)
from realtime.session.response import MAX_ANSWER
from realtime.session.responses import CALL_SIZE, MAX_SOUND_DELTA, MAX_TEXT_DELTA, TOO_LONG, Responses
from realtime.session.sound import Sound
from realtime.session.transcripts import Transcripts
from realtime.wire.client import ResponseParams
from realtime.wire.items import InputAudio, InputText, ItemReference, Message, OutputAudio, OutputText
from realtime.wire.server import ErrorInfo, Failure, ResponseDone, ResponseOutputAudioDelta, ResponseOutputTextDelta, ServerEvent
from realtime.wire.settings import PcmFormat, Settings

SETTINGS = Settings(id="sess_1", model="any", expires_at=0, output_modalities=("text",))
AUTO = ResponseParams()
ASIDE = ResponseParams(conversation="none")
OOPS = ErrorInfo(type="server_error", code="oops", message="Oops.", param="none")


class Desk:
    """The responses of one session, and what they ask for."""

    def __init__(self, abilities: Abilities = Abilities()) -> None:  # noqa: B008 - frozen
        ids = CountedIds()
        self._effects = Effects(ids)
        self.conversation = Conversation("conv_1")
        self.transcripts = Transcripts(self.conversation, self._effects)
        self.responses = Responses(self.conversation, self.transcripts, self._effects, ids, abilities)

    def create(self, params: ResponseParams, settings: Settings = SETTINGS) -> None:
        self.responses.create(params, settings, None)

    def write(self, *ids: str) -> None:
        """Messages of the user, ten tokens each."""
        for id in ids:
            self.conversation.insert(Entry(Message("user", [InputText("word" * 10)], id)))

    def say(self, transcript: str | None) -> None:
        entry = Entry(Message("user", [InputAudio(transcript)], "item_said"), {0: Sound(PcmFormat(), b"ss")})
        self.conversation.insert(entry)
        self.transcripts.want(entry, SETTINGS)

    def taken(self) -> list[object]:
        return [effect.event if isinstance(effect, Send) else effect for effect in self._effects.take()]

    def asked(self) -> list[Generate]:
        return [effect for effect in self.taken() if isinstance(effect, Generate)]

    def done(self) -> list[tuple[str, str]]:
        events = [event for event in self.taken() if isinstance(event, ServerEvent)]
        return [(event.response.id, event.response.status) for event in events if isinstance(event, ResponseDone)]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_the_conversation_has_one_at_a_time(desk: Desk) -> None:
    desk.create(AUTO)
    with pytest.raises(ClientError, match="resp_1") as caught:
        desk.create(AUTO)
    assert caught.value.code == "conversation_already_has_active_response"


def test_any_number_run_beside_it(desk: Desk) -> None:
    desk.create(ASIDE)
    desk.create(AUTO)
    desk.create(ASIDE)
    assert [request.response_id for request in desk.asked()] == ["resp_1", "resp_2", "resp_3"]
    assert desk.responses.active is not None
    assert desk.responses.active.id == "resp_2"


def test_what_has_ended_is_let_go(desk: Desk) -> None:
    desk.create(AUTO)
    assert desk.responses
    desk.responses.come_out(GenerationFinished("resp_1", "stop", None))
    assert not desk.responses
    assert desk.done() == [("resp_1", "completed")]
    desk.responses.come_out(TextGenerated("resp_1", "Late."))
    assert desk.taken() == []


def test_it_is_asked_once_the_words_are_known(desk: Desk) -> None:
    desk.say(None)
    desk.create(AUTO)
    assert desk.asked() == []
    desk.transcripts.complete(SpeechTranscribed("item_said", 0, "Hello.", 1))
    desk.responses.heard("item_said")
    [request] = desk.asked()
    assert request.request.items == (Message("user", [InputAudio("Hello.")], "item_said"),)


def test_words_that_never_come_fail_it(desk: Desk) -> None:
    desk.say(None)
    desk.create(AUTO)
    desk.create(ResponseParams(conversation="none", input=[]))
    desk.responses.not_transcribed(TranscriptionBroke("item_said", 0, OOPS))
    assert desk.done() == [("resp_1", "failed")]


def test_noise_is_not_answered(desk: Desk) -> None:
    desk.say("")
    desk.create(AUTO)
    assert desk.done() == [("resp_1", "completed")]


def test_its_own_input_takes_the_place_of_the_conversation(desk: Desk) -> None:
    desk.say("Hello.")
    desk.create(ResponseParams(input=[Message("user", [InputText("Hi.")], "item_own"), ItemReference("item_said")]))
    [request] = desk.asked()
    assert [item.id for item in request.request.items] == ["item_1", "item_said"]


def test_words_of_its_own_input_are_not_those_of_an_item_of_that_name(desk: Desk) -> None:
    desk.say(None)
    desk.create(ResponseParams(conversation="none", input=[Message("user", [InputAudio(audio=b"aa")], "item_said")]))
    assert [effect.item_id for effect in desk.taken() if isinstance(effect, Transcribe)] == ["item_said", "item_1"]
    desk.transcripts.complete(SpeechTranscribed("item_1", 0, "Hello.", 1))
    desk.responses.heard("item_1")
    [request] = desk.asked()
    assert request.request.items == (Message("user", [InputAudio("Hello.")], "item_1"),)


def test_a_reference_to_nothing_is_refused(desk: Desk) -> None:
    with pytest.raises(ClientError) as caught:
        desk.create(ResponseParams(input=[ItemReference("item_9")]))
    assert caught.value.param == "response.input[0].id"
    assert desk.taken() == []


def test_speech_ends_the_conversations_own_and_no_other(desk: Desk) -> None:
    desk.create(ASIDE)
    desk.create(AUTO)
    desk.taken()
    desk.responses.interrupt()
    desk.responses.interrupt()
    assert desk.done() == [("resp_2", "cancelled")]


def test_one_is_cancelled_by_its_id_or_as_the_conversations(desk: Desk) -> None:
    desk.create(ASIDE)
    desk.create(AUTO)
    desk.taken()
    desk.responses.cancel(None)
    desk.responses.cancel("resp_1")
    assert desk.done() == [("resp_2", "cancelled"), ("resp_1", "cancelled")]
    with pytest.raises(ClientError, match="no active response"):
        desk.responses.cancel("resp_1")


def test_one_whose_item_is_taken_away_ends(desk: Desk) -> None:
    desk.create(AUTO)
    desk.responses.come_out(TextGenerated("resp_1", "Once upon a time"))
    [item_id] = [entry.id for entry in desk.conversation]
    desk.responses.stop_writing("item_9")
    assert desk.responses
    desk.responses.stop_writing(item_id)
    assert Abandon("resp_1") in desk.taken()
    assert not desk.responses


def test_all_of_them_fail_together(desk: Desk) -> None:
    desk.create(ASIDE)
    desk.create(AUTO)
    desk.responses.fail_all(OOPS)
    assert desk.done() == [("resp_1", "failed"), ("resp_2", "failed")]
    assert not desk.responses


def test_where_nothing_was_said_there_is_nothing_to_answer(desk: Desk) -> None:
    desk.say("")
    desk.create(AUTO)
    assert desk.done() == [("resp_1", "completed")]


def test_silence_that_is_to_be_broken_is_answered(desk: Desk) -> None:
    desk.say("")
    desk.responses.create(AUTO, SETTINGS, None, silence=True)
    assert [request.response_id for request in desk.asked()] == ["resp_1"]


SAID = (Recording("item_said", 0, b"ss", PcmFormat()),)


def test_a_model_that_hears_does_not_wait_for_words() -> None:
    desk = Desk(Abilities(hears=True))
    desk.say(None)
    desk.create(AUTO)
    [request] = desk.asked()
    assert request.request.sounds == SAID
    desk.responses.not_transcribed(TranscriptionBroke("item_said", 0, OOPS))
    assert desk.done() == []


def test_out_of_band_a_model_hears_what_it_is_given() -> None:
    desk = Desk(Abilities(hears=True))
    desk.say("Hello.")
    desk.create(ResponseParams(input=[Message("user", [InputAudio(audio=b"aa")], "item_own"), ItemReference("item_said")]))
    taken = desk.taken()
    [request] = [effect for effect in taken if isinstance(effect, Generate)]
    assert request.request.sounds == (Recording("item_1", 0, b"aa", PcmFormat()), *SAID)
    assert not any(isinstance(effect, Transcribe) for effect in taken), "nobody reads the words of what is heard once"


def test_other_models_hear_nothing(desk: Desk) -> None:
    desk.say("Hello.")
    desk.create(AUTO)
    [request] = desk.asked()
    assert request.request.sounds == ()


def test_what_a_model_speaks_is_its_voice() -> None:
    desk = Desk(Abilities(speaks=True))
    desk.create(ResponseParams(output_modalities=("audio",)))
    [request] = desk.asked()
    assert (request.request.voice, request.format) == ("alloy", PcmFormat())
    assert not desk.responses.spoken
    desk.responses.come_out(SpeechGenerated("resp_1", b"ss"))
    assert desk.responses.spoken


# A conversation that is too long

REFUSED = ResponseBroke("resp_1", ErrorInfo(code="context_length_exceeded", message="Too long."))
DISABLED = replace(SETTINGS, truncation="disabled")


def told(desk: Desk) -> list[list[object]]:
    return [[item.id for item in request.request.items] for request in desk.asked()]


def test_a_refused_prompt_is_asked_once_more_with_less(desk: Desk) -> None:
    desk.write("a", "b", "c", "d")
    desk.create(AUTO)
    desk.responses.come_out(REFUSED)
    assert told(desk) == [["a", "b", "c", "d"], ["c", "d"]]
    desk.responses.come_out(REFUSED)
    assert desk.done() == [("resp_1", "failed")]
    desk.create(AUTO)
    assert told(desk) == [["c", "d"]]


def test_what_came_meanwhile_is_not_added_to_a_prompt_that_is_asked_again(desk: Desk) -> None:
    desk.write("a", "b")
    desk.create(AUTO)
    desk.write("c")
    desk.responses.come_out(REFUSED)
    assert told(desk) == [["a", "b"], ["b"]]


def test_every_response_has_its_own_second_try(desk: Desk) -> None:
    desk.write("a", "b", "c", "d")
    desk.create(AUTO)
    desk.responses.come_out(REFUSED)
    desk.responses.come_out(GenerationFinished("resp_1", "stop", None))
    desk.create(AUTO)
    desk.responses.come_out(ResponseBroke("resp_2", REFUSED.error))
    assert told(desk) == [["a", "b", "c", "d"], ["c", "d"], ["c", "d"], ["d"]]


def test_what_broke_for_another_reason_is_not_asked_again(desk: Desk) -> None:
    desk.write("a", "b")
    desk.create(AUTO)
    desk.responses.come_out(ResponseBroke("resp_1", OOPS))
    assert desk.done() == [("resp_1", "failed")]


@pytest.mark.parametrize("begin", [TextGenerated("resp_1", "Hi."), CallGenerated("resp_1", 0, "f", "")])
def test_what_has_begun_is_not_asked_again(desk: Desk, begin: TextGenerated | CallGenerated) -> None:
    desk.write("a", "b")
    desk.create(AUTO)
    desk.responses.come_out(begin)
    desk.responses.come_out(REFUSED)
    assert desk.done() == [("resp_1", "failed")]


def test_who_comes_under_the_id_of_a_forgotten_item_is_told(desk: Desk) -> None:
    desk.write("a", "b", "c", "d")
    desk.create(AUTO)
    desk.responses.come_out(REFUSED)
    desk.responses.come_out(GenerationFinished("resp_1", "stop", None))
    desk.responses.release("a")
    desk.conversation.delete("a")
    desk.conversation.insert(Entry(Message("system", [InputText("Be kind.")], "a")), 0)
    desk.taken()
    desk.create(AUTO)
    assert told(desk) == [["a", "c", "d"]]


def test_where_nothing_may_be_left_out_it_fails(desk: Desk) -> None:
    desk.write("a", "b")
    desk.create(AUTO, DISABLED)
    desk.responses.come_out(REFUSED)
    assert desk.done() == [("resp_1", "failed")]


def test_what_the_client_chose_itself_is_not_shortened(desk: Desk) -> None:
    desk.write("a", "b")
    desk.create(ResponseParams(input=[ItemReference("a"), ItemReference("b")]))
    desk.responses.come_out(REFUSED)
    assert desk.done() == [("resp_1", "failed")]


def test_a_client_that_waits_is_not_asked_for_it(desk: Desk) -> None:
    desk.say(None)
    desk.create(AUTO)
    desk.responses.come_out(REFUSED)
    assert desk.done() == [("resp_1", "failed")]


def test_over_a_limit_that_is_known_nobody_is_asked() -> None:
    desk = Desk(Abilities(context_tokens=30))
    desk.write("a", "b", "c")
    desk.create(AUTO, replace(DISABLED, instructions=""))
    effects = desk.taken()
    assert not any(isinstance(effect, Generate) for effect in effects)
    (done,) = [effect.response for effect in effects if isinstance(effect, ResponseDone)]
    assert done.status_details is not None
    assert done.status_details.error == Failure(TOO_LONG.type, "context_length_exceeded", TOO_LONG.message)
    assert not desk.responses
    desk.create(AUTO, replace(SETTINGS, instructions=""))
    assert told(desk) == [["b", "c"]]


def test_the_endpoints_count_teaches_how_much_fits() -> None:
    desk = Desk(Abilities(context_tokens=2000))
    settings = replace(SETTINGS, instructions="word" * 400)
    desk.write("a", "b")
    desk.create(AUTO, settings)
    desk.responses.come_out(GenerationFinished("resp_1", "stop", TokenUsage(420 * 4, 1)))
    desk.create(AUTO, settings)
    assert told(desk) == [["a", "b"], ["a", "b"]]
    desk.responses.come_out(GenerationFinished("resp_2", "stop", None))
    desk.write("c", "d")
    desk.create(AUTO, settings)
    assert told(desk) == [["b", "c", "d"]]


# An endpoint that does not stop


def deltas(desk: Desk, kind: type[ResponseOutputTextDelta | ResponseOutputAudioDelta]) -> list[Any]:
    return [effect.delta for effect in desk.taken() if isinstance(effect, kind)]


def test_much_text_at_once_is_told_in_pieces(desk: Desk) -> None:
    desk.create(AUTO)
    desk.responses.come_out(TextGenerated("resp_1", "x" * MAX_TEXT_DELTA + "yz"))
    assert deltas(desk, ResponseOutputTextDelta) == ["x" * MAX_TEXT_DELTA, "yz"]


def test_much_sound_at_once_is_told_in_whole_samples(desk: Desk) -> None:
    desk.create(ResponseParams(output_modalities=("audio",)))
    desk.responses.come_out(TextGenerated("resp_1", "Hello there. "))
    desk.responses.come_out(ClauseSounded("resp_1", 0, b"s" * (2 * MAX_SOUND_DELTA + 2)))
    assert [len(delta) for delta in deltas(desk, ResponseOutputAudioDelta)] == [MAX_SOUND_DELTA, MAX_SOUND_DELTA, 2]
    assert MAX_SOUND_DELTA % 2 == 0


@pytest.mark.parametrize("spare", [0, 1])
def test_an_answer_that_does_not_end_is_cut(desk: Desk, spare: int) -> None:
    desk.create(AUTO)
    desk.responses.come_out(TextGenerated("resp_1", "x" * (MAX_ANSWER - spare)))
    desk.responses.come_out(TextGenerated("resp_1", "y" * (spare + 1)))
    effects = desk.taken()
    assert Abandon("resp_1") in effects
    (done,) = [effect.response for effect in effects if isinstance(effect, ResponseDone)]
    assert (done.status, done.output[0].content) == ("incomplete", [OutputText("x" * (MAX_ANSWER - spare) + "y" * spare)])  # type: ignore[union-attr] # a message
    assert not desk.responses


def test_arguments_that_do_not_end_are_cut(desk: Desk) -> None:
    desk.create(AUTO)
    desk.responses.come_out(CallGenerated("resp_1", 0, "f", ""))
    desk.responses.come_out(ArgumentsGenerated("resp_1", 0, "x" * MAX_ANSWER))
    assert desk.done() == [("resp_1", "incomplete")]


def test_calls_that_do_not_end_are_cut(desk: Desk) -> None:
    desk.create(AUTO)
    desk.responses.come_out(CallGenerated("resp_1", 0, "f" * (MAX_ANSWER - CALL_SIZE), ""))
    assert desk.responses
    desk.responses.come_out(CallGenerated("resp_1", 1, "g", ""))
    assert desk.done() == [("resp_1", "incomplete")]


def test_nobody_is_left_to_hear_them(desk: Desk) -> None:
    desk.responses.create(AUTO, SETTINGS, None)
    desk.responses.create(ASIDE, SETTINGS, None)
    desk.taken()
    desk.responses.cancel_all()
    done = [event.response for event in desk.taken() if isinstance(event, ResponseDone)]
    assert [(response.status, getattr(response.status_details, "reason", None)) for response in done] == [
        ("cancelled", "client_cancelled")
    ] * 2
    assert not desk.responses


def test_a_conversation_that_goes_on_knows_that_its_voice_was_heard(desk: Desk) -> None:
    desk.conversation.remember(Entry(Message("user", [InputAudio("Hello.")], "a"), {0: Sound(PcmFormat(), bytes(48))}))
    desk.responses.remember(())
    assert not desk.responses.spoken
    desk.conversation.remember(Entry(Message("assistant", [OutputAudio("Hello.")], "b"), {0: Sound(PcmFormat(), bytes(48))}))
    desk.responses.remember(())
    assert desk.responses.spoken
