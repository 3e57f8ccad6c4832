from __future__ import annotations

import numpy as np
import pytest

from realtime.runner.sounds import Mouth, heard, sound_in
from realtime.wire.client import ConversationItemCreate, ResponseCreate, ResponseParams
from realtime.wire.items import Audio, FunctionCallOutput, InputAudio, InputText, Item, ItemReference, Message
from realtime.wire.settings import AudioFormat, PcmaFormat, PcmFormat, PcmuFormat, sample_rate, sample_width

FORMATS: list[AudioFormat] = [PcmFormat(), PcmFormat(16_000), PcmFormat(8_000), PcmuFormat(), PcmaFormat()]


def tone(rate: int, seconds: float = 1.0) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    at = np.arange(int(rate * seconds)) / rate
    return (np.sin(2 * np.pi * 440 * at) * 8000).astype(np.int16)


@pytest.mark.parametrize("format", FORMATS, ids=str)
def test_what_is_said_is_heard_again_at_the_rate_of_the_ear(format: AudioFormat) -> None:
    mouth = Mouth(24_000, format)
    sound = tone(24_000)
    pieces = [mouth.say(sound[start : start + 2400]) for start in range(0, len(sound), 2400)]
    audio = b"".join([*pieces, mouth.finish()])
    assert len(audio) == sample_rate(format) * sample_width(format)
    back = heard(audio, format)
    assert back.dtype == np.float32
    assert len(back) == 16_000
    middle = slice(1000, 15_000)
    expected = tone(16_000)[middle] / 32768
    assert np.corrcoef(back[middle], expected)[0, 1] > 0.99


def spoken(seconds: float) -> Message:
    return Message("user", [InputText("Listen:"), InputAudio(audio=bytes(int(48_000 * seconds))), Audio(audio=bytes(480))])


def test_the_sound_of_an_event_is_that_of_all_its_parts() -> None:
    pcm16 = PcmFormat()
    assert sound_in(ConversationItemCreate(item=spoken(2)), pcm16, {}) == ("item.content[1].audio", 2.01)
    inputs: list[Item | ItemReference] = [ItemReference("item_1"), spoken(1), spoken(0.5)]
    assert sound_in(ResponseCreate(response=ResponseParams(input=inputs)), pcm16, {}) == ("response.input[1].content[1].audio", 1.52)


@pytest.mark.parametrize(
    "event",
    [
        ConversationItemCreate(item=FunctionCallOutput("call_1", "7")),
        ConversationItemCreate(item=Message("user", [InputAudio("Hello.")])),
        ResponseCreate(),
        ResponseCreate(response=ResponseParams()),
    ],
)
def test_an_event_without_sound(event: ConversationItemCreate | ResponseCreate) -> None:
    assert sound_in(event, PcmFormat(), {}) == ("", 0.0)


@pytest.mark.parametrize(
    ("origins", "param"), [([0, 1, 2], "item.content[1].audio"), ([0, 0, 1], "item.content[0].video"), ([3, 4, 5], "item.content[4].audio")]
)
def test_sound_is_named_as_its_client_put_it(origins: list[int], param: str) -> None:
    message = spoken(1)
    assert sound_in(ConversationItemCreate(item=message), PcmFormat(), {id(message): origins}) == (param, 1.01)
