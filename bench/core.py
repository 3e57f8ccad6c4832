"""What does the daemon without any I/O cost? Its codec and its session for each event, beside msgspec alone.

    python -m bench.core [--effort full]

In this process, one event after the other: nothing waits, no socket, no thread. Floors are bare structs that msgspec decodes and encodes.

- `append`: 20 ms of sound decoded, held and handed to the detector; its scores, which say that nobody speaks, come back.
- `token`: a token of an answer in text, to the frame that carries it.
- `spoken_token`: the same in an answer by voice, where clauses are cut; it has no sound.
- `turn`: a question and its answer of 50 tokens, all its frames; the floor is the codec alone, on the same frames.
"""

from __future__ import annotations

import gc
import json
import time
from base64 import b64encode
from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from bench.figures import Effort, Figure, Step, alone, beside
from realtime.ports import EAR_RATE, VAD_WINDOW
from realtime.server.ids import RandomIds
from realtime.session.abilities import Abilities
from realtime.session.effects import Detect, Effect, Generate, Send
from realtime.session.inputs import GenerationFinished, Input, Opened, SpeechScored, TextGenerated
from realtime.session.machine import Session
from realtime.wire.codec import GaCodec
from realtime.wire.settings import Settings

FRAME_BYTES = 960
"""20 ms of PCM16 at 24 kHz."""

WINDOWS_PER_FRAME = 0.02 * EAR_RATE / VAD_WINDOW

TOKENS = 50

TOKENS_OF_ANSWER = 1_000
"""After so many a new answer begins: nobody's is longer, and a prompt of a million tokens is no measure of one."""

QUESTION = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "What is the capital of France?"}]}


class Append(msgspec.Struct, tag="input_audio_buffer.append"):
    audio: bytes


class TextDelta(msgspec.Struct, tag="response.output_text.delta"):
    event_id: str
    response_id: str
    item_id: str
    output_index: int
    content_index: int
    delta: str


class Core:
    """A session between its codec's two ends."""

    def __init__(self, *, modality: str = "text") -> None:
        self._codec = GaCodec()
        self._session = Session(Settings(id="sess_1", model="any", expires_at=0), RandomIds(), Abilities(speech=True))
        self.response_id = ""
        self.epoch = 0
        """Of the detector."""
        self.received: list[str] = []
        self.sent: list[Send] = []
        self.keeping = False
        """Whether `received` and `sent` grow."""
        self.take(Opened())
        self.read({"type": "session.update", "session": {"type": "realtime", "output_modalities": [modality]}})

    def read(self, event: dict[str, object]) -> None:
        self.frame(json.dumps(event))

    def frame(self, frame: str) -> None:
        if self.keeping:
            self.received.append(frame)
        self.take(self._codec.decode(frame))

    def take(self, input: Input) -> None:
        for effect in self._session.receive(input, now=0.0):
            self._perform(effect)

    def _perform(self, effect: Effect) -> None:
        if type(effect) is Send:
            if self.keeping:
                self.sent.append(effect)
            self._codec.encode(effect.event, effect.answers)
        elif isinstance(effect, Detect):
            self.epoch = effect.epoch
        elif isinstance(effect, Generate):
            self.response_id = effect.response_id

    def answer(self) -> None:
        """Have the model asked."""
        self.read({"type": "response.create"})

    def turn(self, tokens: int) -> None:
        self.read({"type": "conversation.item.create", "item": QUESTION})
        self.answer()
        for _ in range(tokens):
            self.take(TextGenerated(self.response_id, " word"))
        self.take(GenerationFinished(self.response_id, "stop", None))


def cost_us(work: Callable[[int], None], count: int) -> float:
    """Microseconds of CPU for each of so many."""
    gc.collect()
    begun = time.process_time_ns()
    work(count)
    return (time.process_time_ns() - begun) / count / 1000


def appends(core: Core) -> Callable[[int], None]:
    frame = json.dumps({"type": "input_audio_buffer.append", "audio": b64encode(bytes(FRAME_BYTES)).decode()})

    def work(count: int) -> None:
        owed = 0.0
        for _ in range(count):
            core.frame(frame)
            owed += WINDOWS_PER_FRAME
            if owed >= 1:
                core.take(SpeechScored(core.epoch, [0.01]))
                owed -= 1

    return work


def bare_appends(count: int) -> None:
    decode = msgspec.json.Decoder(Append).decode
    frame = json.dumps({"type": "input_audio_buffer.append", "audio": b64encode(bytes(FRAME_BYTES)).decode()})
    for _ in range(count):
        decode(frame)


def tokens(modality: str) -> Callable[[int], None]:
    def work(count: int) -> None:
        for start in range(0, count, TOKENS_OF_ANSWER):
            core = Core(modality=modality)
            core.answer()
            for index in range(min(TOKENS_OF_ANSWER, count - start)):
                core.take(TextGenerated(core.response_id, " word." if index % 10 == 9 else " word"))

    return work


def bare_tokens(count: int) -> None:
    encode = msgspec.json.Encoder().encode
    for index in range(count):
        encode(TextDelta("event_1", "resp_1", "item_1", 0, 0, " word." if index % 10 == 9 else " word"))


def turns(count: int) -> None:
    for _ in range(count):
        Core().turn(TOKENS)


def codec_of_turns() -> Callable[[int], None]:
    """The frames of such a turn, decoded and encoded and nothing else."""
    core, codec = Core(), GaCodec()
    core.keeping = True
    core.turn(TOKENS)

    def work(count: int) -> None:
        for _ in range(count):
            for frame in core.received:
                codec.decode(frame)
            for send in core.sent:
                codec.encode(send.event, send.answers)

    return work


def measure(effort: Effort, step: Step) -> list[Figure]:
    plans: list[tuple[str, Callable[[int], None], Callable[[], Callable[[int], None]], int]] = [
        ("append", bare_appends, lambda: appends(Core()), 100_000),
        ("token", bare_tokens, lambda: tokens("text"), 100_000),
        ("spoken_token", bare_tokens, lambda: tokens("audio"), 100_000),
        ("turn", codec_of_turns(), lambda: turns, 1_000),
    ]
    figures = []
    for name, floor, make, full in plans:
        step(name)
        count = effort.of(full)
        pairs = [(cost_us(floor, count), cost_us(make(), count)) for _ in range(effort.rounds)]
        figure = beside(f"core.{name}", "us", pairs)
        figures.append(replace(figure, detail={"per_second": 1e6 / figure.value}))
    return figures


if __name__ == "__main__":
    alone(measure)
