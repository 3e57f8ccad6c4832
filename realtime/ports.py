"""What the daemon asks of the models of the world, and the small structs that go to and fro.

An engine implements one of these protocols. `Llm`, `Stt`, `Tts`, `TurnJudge` and `ToolServers` are asynchronous and own whatever threads
they need; `Vad` is blocking and cheap, the runner calls it from a worker thread. Every failure that an engine foresees is an `EngineError`;
cancelling the task that awaits an engine abandons the work at once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from msgspec import Raw, Struct, field
from numpy.typing import NDArray

from realtime.media.readings import Reading, Wanted
from realtime.wire.items import Item, ListedTool
from realtime.wire.mcp import McpTool
from realtime.wire.settings import AudioFormat, Effort, FunctionTool, ToolChoice

Float32 = NDArray[np.float32]
"""Mono audio, shape `[samples]`, full scale +-1."""

Int16 = NDArray[np.int16]
"""Mono audio, shape `[samples]`, full scale +-32768."""

EAR_RATE = 16_000
"""Samples a second of all audio that `Stt` and `Vad` hear: what Whisper and Silero were trained on."""

VAD_WINDOW = 512
"""Samples (at `EAR_RATE`) that one score of a `Vad` covers: 32 ms."""


class Recording(Struct, frozen=True):
    """What a spoken part of an item sounds like."""

    item_id: str
    content_index: int
    audio: bytes
    """Whole samples."""
    format: AudioFormat


class LlmRequest(Struct, frozen=True, kw_only=True):
    """One answer wanted from a language model."""

    instructions: str
    """System prompt; empty for none."""
    items: tuple[Item, ...]
    """The conversation so far, oldest first; spoken items carry their transcripts, where these are known."""
    sounds: tuple[Recording, ...] = ()
    """Spoken parts of the user's that the model hears instead of reading them, in the order of the items."""
    max_output_tokens: int | None = None
    """None for no limit of ours."""
    temperature: float | None = None
    """None for the model's own default."""
    tools: tuple[FunctionTool, ...] = ()
    tool_choice: ToolChoice = "auto"
    parallel_tool_calls: bool | None = None
    """None where nobody said."""
    voice: str | None = None
    """The model speaks its answer in this voice; None: it writes."""
    effort: Effort | None = None
    """How hard to think; None where nobody said."""


class TokenUsage(Struct, frozen=True):
    """Tokens as the model counted them."""

    input_tokens: int
    """Of every kind."""
    output_tokens: int
    """Of every kind."""
    cached_tokens: int = 0
    input_audio_tokens: int = 0
    output_audio_tokens: int = 0
    input_image_tokens: int = 0


class TextDelta(Struct, frozen=True):
    """A piece of the answer's text, never empty; of its transcript where the answer is spoken."""

    text: str


class AudioDelta(Struct, frozen=True):
    """A piece of the sound of a spoken answer, never empty. Text that came before it and after the sound before is what it says."""

    audio: Int16
    rate: int
    """Samples a second; the same for a whole answer."""


class CallBegan(Struct, frozen=True):
    """The model begins to call a tool."""

    index: int
    """Of this call among those of the answer, from 0."""
    name: str
    call_id: str = ""
    """Empty where the model gave none."""


class ArgumentsDelta(Struct, frozen=True):
    """A piece of a call's arguments: JSON text, perhaps malformed."""

    index: int
    text: str


class Finished(Struct, frozen=True):
    """The answer is whole; the last event of a stream."""

    reason: Literal["stop", "length", "content_filter"]
    usage: TokenUsage | None = None
    """None when the model did not say."""
    extras: tuple[dict[str, Any] | None, ...] = ()
    """For each call in order, what the model wants to be given back with it."""


LlmEvent = TextDelta | AudioDelta | CallBegan | ArgumentsDelta | Finished


class Llm(Protocol):
    """A language model."""

    name: str
    """What `session.model` shows when the client named none."""
    sees: bool
    """It is shown pictures; else it is told in words that there are some."""

    def stream(self, request: LlmRequest) -> AsyncIterator[LlmEvent]:
        """Yield text, sound and calls as they are generated, then one `Finished`. Raises `EngineError`."""
        ...

    async def close(self) -> None:
        """Release connections and threads."""
        ...


class TokenLogprob(Struct, frozen=True):
    """A piece of a transcript, and how sure the engine is of it."""

    text: str
    """With the space before it."""
    logprob: float
    """Natural logarithm of its probability, 0 or less."""


class Transcript(Struct, frozen=True):
    """What was said."""

    text: str
    """Stripped; empty when nothing was understood."""
    seconds: float
    """Length of the audio."""
    language: str | None = None
    """ISO 639-1 code, where the engine knows it."""
    no_speech: float | None = None
    """Probability (0..1) that nobody spoke; None where the engine can't say."""
    confidence: float | None = None
    """Mean log probability of the tokens, 0 or less; None where the engine can't say."""
    tokens: tuple[TokenLogprob, ...] = ()
    """Where they were asked for and the engine knows them; together they are `text`."""


class Stt(Protocol):
    """Speech to text."""

    name: str

    async def transcribe(
        self, audio: Float32, *, language: str | None, prompt: str | None, logprobs: bool = False, partial: bool = False
    ) -> Transcript:
        """Transcribe one utterance at `EAR_RATE`. Raises `EngineError`.

        `logprobs` asks for `Transcript.tokens`. `partial`: the speaker goes on, so there will be a better transcript soon; an engine that
        has no worker free refuses it at once (`overloaded`) instead of letting it wait before whole utterances.
        """
        ...

    async def close(self) -> None: ...


class Tts(Protocol):
    """Text to speech."""

    name: str
    sample_rate: int
    """Samples a second of what `speak` yields."""

    def speak(self, text: str, *, voice: str, speed: float) -> AsyncIterator[Int16]:
        """Yield the sound of one clause in pieces, in order. `speed` 1.0 is normal. Raises `EngineError`."""
        ...

    async def close(self) -> None: ...


class VadStream(Protocol):
    """The detector's memory of one session."""

    def score(self, audio: Float32) -> list[float]:
        """Add audio at `EAR_RATE`; return the speech probability (0..1) of every window that became whole, in order."""
        ...


class Vad(Protocol):
    """Voice activity detection. Thread-safe, one thread a stream at a time."""

    def open(self) -> VadStream: ...


class TurnJudge(Protocol):
    """Judges by the sound of a voice whether its turn is over."""

    name: str

    async def judge(self, audio: Float32) -> float:
        """Return the probability (0..1) that the speaker has finished. `audio` is the turn so far at `EAR_RATE`, up to and with its pause.

        Raises `EngineError`.
        """
        ...

    async def close(self) -> None: ...


class MediaReader(Protocol):
    """Reads the pictures, sounds and clips that clients send, as files."""

    async def read(self, file: str | bytes | Raw, wanted: Wanted) -> Reading:
        """Read a file: base64 (perhaps as a `data:` URI), the file itself, or a JSON string of such base64.

        Raises `MediaError` for one that can't be used, `EngineError` where none can be read now.
        """
        ...

    async def close(self) -> None: ...


@runtime_checkable
class Queueing(Protocol):
    """An engine whose jobs may have to wait."""

    @property
    def waiting(self) -> int:
        """Jobs that wait, without those that run."""
        ...


@runtime_checkable
class Remote(Protocol):
    """An engine behind an endpoint."""

    async def reachable(self, seconds: float) -> bool:
        """Does the endpoint say anything within that time, be it that it does not know us? Never raises."""
        ...


class ToolServers(Protocol):
    """Servers of tools, wherever they are; each is named with its address and what lets us in."""

    async def tools(self, server: McpTool) -> tuple[ListedTool, ...]:
        """Return what a server offers. Raises `EngineError`."""
        ...

    async def call(self, server: McpTool, name: str, arguments: dict[str, Any]) -> str:
        """Call a tool and return what it says, as text.

        Raises `EngineError`: of type `http_error` or `protocol_error` the code is a number, HTTP's status or JSON-RPC's code; a tool that
        says itself that it failed raises `tool_execution_error`.
        """
        ...

    async def close(self) -> None: ...


# Sessions that outlive their process

HEAD = "head"
"""Key of the record that every stored session has; the journal says what is in it."""


class Change(Struct):
    """What is to be stored of a session: all of it, or nothing."""

    put: dict[str, bytes] = field(default_factory=dict)
    """Records by their keys; each takes the place of one under the same key."""
    drop: set[str] = field(default_factory=set)
    """Keys of records that are no more; those that never were among them."""


class Stored(Struct, frozen=True):
    """A session as it was stored."""

    epoch: int
    """Counts its claims, from 1: who writes says which one is theirs."""
    records: dict[str, bytes]


class Summary(Struct, frozen=True):
    """What a store knows of a session without reading it."""

    session_id: str
    touched: float
    """When it was last written, Unix seconds."""
    size: int
    """Bytes of its records and their keys."""


class Store(Protocol):
    """The sessions of one process, or of several that share it. Every method raises `StoreError` where the store fails.

    One writes a session at a time: who `claim`ed it last. What `create`, `commit` and `delete` have returned from survives the end of the
    process. Sessions that nobody has written to for as long as the store keeps them are gone, as if deleted.
    """

    name: str
    """For the line at start-up."""

    async def open(self) -> None:
        """Make it ready: once, before all else."""

    async def create(self, session_id: str, change: Change) -> None:
        """Store a new session, whose first epoch is its creator's."""

    async def commit(self, session_id: str, epoch: int, change: Change) -> None:
        """Raises `Superseded` where that epoch is over, and stores nothing then."""

    async def head(self, session_id: str) -> bytes | None:
        """Its head alone; None where there is no such session."""

    async def claim(self, session_id: str) -> Stored | None:
        """Begin a new epoch, and read everything, in one step; None where there is no such session."""

    async def superseded(self, epochs: Mapping[str, int]) -> set[str]:
        """Those of these sessions whose epoch is over, or that are gone."""

    async def touch(self, session_ids: Collection[str]) -> None:
        """They are in use: they are kept from now on for as long as one that was just written."""

    async def delete(self, session_id: str) -> bool:
        """False where there was no such session."""

    def sessions(self) -> AsyncIterator[Summary]:
        """All of them, the one that was written last first where the store can say."""

    async def read(self, session_id: str) -> Stored | None:
        """Everything, without a claim."""

    async def close(self) -> None:
        """Write what was begun, and let go."""
