"""Between the audio formats of the wire and the arrays that engines hear and speak."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import UNSET

from realtime.media import formats, pcm
from realtime.media.resample import Resampler, resample
from realtime.ports import EAR_RATE, Float32, Int16
from realtime.wire.client import ConversationItemCreate, ResponseCreate
from realtime.wire.items import Audio, InputAudio, Item, ItemReference, Message
from realtime.wire.settings import AudioFormat, encoding, sample_rate, seconds


def heard(audio: bytes, format: AudioFormat) -> Float32:
    """A whole utterance at `EAR_RATE`. Takes about a millisecond for ten seconds: call it from a worker thread."""
    samples = pcm.to_float(formats.decode(encoding(format), audio))
    return resample(samples, sample_rate(format), EAR_RATE)


def sound_in(
    event: ConversationItemCreate | ResponseCreate, format: AudioFormat, origins: Mapping[int, Sequence[int]]
) -> tuple[str, float]:
    """Where its client put the first sound of an event, and how many seconds all of them are together. `origins`: of the intake."""
    items: list[tuple[str, Item | ItemReference]] = []
    if isinstance(event, ConversationItemCreate):
        items = [("item", event.item)]
    elif event.response is not None and event.response.input is not UNSET:
        items = [(f"response.input[{index}]", item) for index, item in enumerate(event.response.input)]
    first, length = "", 0.0
    for where, item in items:
        content = item.content if isinstance(item, Message) else []
        indices = origins.get(id(item), range(len(content)))
        for index, part in zip(indices, content, strict=True):
            if isinstance(part, InputAudio | Audio) and part.audio is not UNSET:
                name = "audio" if indices.count(index) == 1 else "video"  # of a clip there are several parts
                first = first or f"{where}.content[{index}].{name}"
                length += seconds(part.audio, format)
    return first, length


class Mouth:
    """Turns the pieces of one clause, or of one spoken answer, into the format that the client hears."""

    def __init__(self, source_rate: int, format: AudioFormat) -> None:
        self._encoding = encoding(format)
        self._resampler = Resampler(source_rate, sample_rate(format))

    def say(self, piece: Int16) -> bytes:
        return self._encoded(self._resampler.push(pcm.to_float(piece)))

    def finish(self) -> bytes:
        """What the converter still held back."""
        return self._encoded(self._resampler.finish())

    def _encoded(self, audio: Float32) -> bytes:
        return formats.encode(self._encoding, pcm.to_int16(audio))
