"""What happens to a session: the client's events, and the outcomes of what the session asked for.

An outcome carries the id of what it serves. One for an id that is no longer alive is late, and is dropped.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from realtime.errors import ClientError
from realtime.media.readings import Reading
from realtime.ports import TokenLogprob, TokenUsage
from realtime.wire.client import ClientEvent
from realtime.wire.items import InputImage, ListedTool
from realtime.wire.server import ErrorInfo


class Opened(Struct, frozen=True, tag=True):
    """The client is connected."""


class Resumed(Struct, frozen=True, tag=True):
    """The client of a session that was there before is connected, again or for the first time."""

    expires_at: int
    """Unix seconds: when the session will have lasted as long as one may, counted from now."""
    whole: bool
    """Is everything to be told? Else the client knows what there is, or is given what it missed."""


class ClientLeft(Struct, frozen=True, tag=True):
    """The client is gone, and is not waited for."""


class FrameRefused(Struct, frozen=True, tag=True):
    """A frame arrived that is no client event."""

    error: ClientError


class PictureSeen(Struct, frozen=True, tag=True):
    """A frame of the client's camera has been read."""

    picture: InputImage
    event_id: str | None = None
    """The client's own."""


class FilesAwaited(Struct, frozen=True, tag=True):
    """An item is on its way, and its files are still being read."""

    id: str


class FilesSettled(Struct, frozen=True, tag=True):
    """It has come, or has been refused."""

    id: str


class TimePassed(Struct, frozen=True, tag=True):
    """The moment of `Session.deadline` has come."""


class ServerStopping(Struct, frozen=True, tag=True):
    """The server has waited long enough: whatever still runs ends now."""


class SpeechScored(Struct, frozen=True, tag=True):
    """The detector has heard some of the audio of a `Detect`."""

    epoch: int
    scores: list[float]
    """Speech probability of each window, in order; a window lasts `WINDOW_MS`."""


class DetectionFailed(Struct, frozen=True, tag=True):
    """The detector broke."""

    epoch: int
    error: ErrorInfo


class SpeechTranscribed(Struct, frozen=True, tag=True):
    """A `Transcribe` ended well."""

    item_id: str
    content_index: int
    text: str
    seconds: float
    attempt: int = 0
    """Of the `Transcribe`."""
    no_speech: float | None = None
    """Probability that nobody spoke, where the engine can say."""
    confidence: float | None = None
    """Mean log probability of its tokens, where the engine can say."""
    tokens: tuple[TokenLogprob, ...] = ()


class TranscriptionBroke(Struct, frozen=True, tag=True):
    """A `Transcribe` failed."""

    item_id: str
    content_index: int
    error: ErrorInfo
    attempt: int = 0


class TurnJudged(Struct, frozen=True, tag=True):
    """A `Judge` has ended."""

    item_id: str
    attempt: int
    finished: float | None
    """Probability that the speaker has finished; None if it could not be judged."""


class TextGenerated(Struct, frozen=True, tag=True):
    """More text of a `Generate`."""

    response_id: str
    text: str


class SpeechGenerated(Struct, frozen=True, tag=True):
    """More sound of a `Generate` whose model speaks; it says the text that came since the sound before."""

    response_id: str
    audio: bytes
    """In the format that the `Generate` asked for."""


class CallGenerated(Struct, frozen=True, tag=True):
    """A `Generate` begins to call a tool."""

    response_id: str
    index: int
    """Of the call among those of the answer, from 0."""
    name: str
    call_id: str
    """Empty where the model gave none."""


class ArgumentsGenerated(Struct, frozen=True, tag=True):
    """More of a call's arguments."""

    response_id: str
    index: int
    text: str


class GenerationFinished(Struct, frozen=True, tag=True):
    """A `Generate` is whole."""

    response_id: str
    reason: Literal["stop", "length", "content_filter"]
    usage: TokenUsage | None
    extras: tuple[dict[str, Any] | None, ...] = ()
    """For each call in order, what the model wants to be given back with it."""


class ClauseSounded(Struct, frozen=True, tag=True):
    """More sound of a `Speak`."""

    response_id: str
    clause: int
    audio: bytes
    """In the format that the `Speak` asked for."""


class ClauseSpoken(Struct, frozen=True, tag=True):
    """A `Speak` is whole."""

    response_id: str
    clause: int


class ResponseBroke(Struct, frozen=True, tag=True):
    """A `Generate` or a `Speak` failed."""

    response_id: str
    error: ErrorInfo


ResponseOutcome = (
    TextGenerated | SpeechGenerated | ClauseSounded | ClauseSpoken | CallGenerated | ArgumentsGenerated | GenerationFinished | ResponseBroke
)
"""What serves a response, by its id."""


class ToolsListed(Struct, frozen=True, tag=True):
    """A `ListTools` ended well."""

    item_id: str
    tools: tuple[ListedTool, ...]


class ToolListingBroke(Struct, frozen=True, tag=True):
    """A `ListTools` failed."""

    item_id: str
    error: ErrorInfo


class ToolReturned(Struct, frozen=True, tag=True):
    """A `CallTool` ended well."""

    item_id: str
    output: str


class ToolBroke(Struct, frozen=True, tag=True):
    """A `CallTool` failed."""

    item_id: str
    error: ErrorInfo
    """`http_error` and `protocol_error` have a number for a code; whatever else it is, the tool has failed."""


class FileRead(Struct, frozen=True, tag=True):
    """A `Read` ended well."""

    id: str
    index: int
    reading: Reading


class FileBroke(Struct, frozen=True, tag=True):
    """A `Read` failed."""

    id: str
    index: int
    error: ErrorInfo


FileOutcome = FileRead | FileBroke
"""What serves an event that waits for its files, by the id of that."""

ToolOutcome = ToolsListed | ToolListingBroke | ToolReturned | ToolBroke
"""What serves an item, by its id."""

Outcome = ResponseOutcome | ToolOutcome | SpeechScored | SpeechTranscribed | TranscriptionBroke | TurnJudged | DetectionFailed

Input = (
    Outcome
    | ClientEvent
    | Opened
    | Resumed
    | ClientLeft
    | FrameRefused
    | PictureSeen
    | FilesAwaited
    | FilesSettled
    | TimePassed
    | ServerStopping
)

Happening = Input | FileOutcome
"""What may happen; a file's outcome goes no further than to the intake."""
