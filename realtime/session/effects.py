"""What a session asks of the world, and the list in which one input's effects gather."""

from __future__ import annotations

from typing import Any

from msgspec import Raw, Struct

from realtime.media.readings import Wanted
from realtime.ports import LlmRequest
from realtime.session.ids import Ids
from realtime.wire.mcp import McpTool
from realtime.wire.server import ServerEvent, Usage
from realtime.wire.settings import AudioFormat

WHOLE = 0
"""The attempt that hears an utterance from its beginning to its end."""


class Send(Struct, frozen=True, tag=True):
    """Write an event to the client."""

    event: ServerEvent
    answers: str | None = None
    """The id of the client event that it answers."""


class Detect(Struct, frozen=True, tag=True, omit_defaults=True):
    """Score more audio for speech. A new epoch is a new stream: its detector remembers nothing of the one before."""

    epoch: int
    audio: bytes
    """Whole samples."""
    format: AudioFormat
    urgent: bool = False
    """Each window at once: somebody speaks, or may be interrupting. Else a tenth of a second may be scored together, which is cheaper."""


class Transcribe(Struct, frozen=True, tag=True, omit_defaults=True):
    """Write down what was said."""

    item_id: str
    content_index: int
    audio: bytes
    format: AudioFormat
    language: str | None
    prompt: str | None
    attempt: int = WHOLE
    """Tells this hearing of the utterance from those of its beginning, which count from 1."""
    partial: bool = False
    """The utterance goes on: another hearing will come."""
    logprobs: bool = False
    """Are the probabilities of the words wanted, too?"""


class Judge(Struct, frozen=True, tag=True):
    """Judge by the sound whether a speaker has finished."""

    item_id: str
    """Of the item that the turn will become."""
    attempt: int
    audio: bytes
    """The turn so far, or its end."""
    format: AudioFormat


class Generate(Struct, frozen=True, tag=True):
    """Ask the model for an answer."""

    response_id: str
    request: LlmRequest
    format: AudioFormat | None = None
    """In which the model's own voice is wanted; None: it writes."""
    speculative: bool = False
    """Nobody has been told of the response: its turn is not over yet, and may go on."""


class Speak(Struct, frozen=True, tag=True):
    """Say a clause."""

    response_id: str
    clause: int
    text: str
    voice: str
    speed: float
    format: AudioFormat


class Read(Struct, frozen=True, tag=True):
    """Read a file that came in an event."""

    id: str
    """Of what waits for it."""
    index: int
    """Tells it from other files of the same event."""
    file: str | bytes | Raw
    """Base64, perhaps as a `data:` URI; the file itself; or a JSON string of such base64."""
    wanted: Wanted


class ListTools(Struct, frozen=True, tag=True):
    """Ask a server what it offers."""

    item_id: str
    server: McpTool
    """With its secrets."""


class CallTool(Struct, frozen=True, tag=True):
    """Have a server's tool called."""

    item_id: str
    """Of the `mcp_call`."""
    server: McpTool
    """With its secrets."""
    name: str
    arguments: dict[str, Any]


class Abandon(Struct, frozen=True, tag=True):
    """Stop every job that serves this response, item or event; nothing more of it is wanted."""

    id: str


class Forgo(Struct, frozen=True, tag=True):
    """Stop every job that serves this speculative response: the turn went on, or is not answered like that."""

    response_id: str
    usage: Usage
    """What it had cost by then."""


SERVICE_RESTART = 1012
"""Close code of a server that stops: come back, to whoever serves then (the registry of RFC 6455, 11.7)."""

STOPPING = "server is shutting down"
"""The reason that goes with it."""


class Close(Struct, frozen=True, tag=True):
    """Say goodbye to the client. Nothing follows it."""

    code: int
    """RFC 6455, 7.4."""
    reason: str


Effect = Send | Detect | Transcribe | Judge | Generate | Speak | Read | ListTools | CallTool | Abandon | Forgo | Close


class Effects:
    """The effects of one input, in order."""

    def __init__(self, ids: Ids) -> None:
        self._ids = ids
        self._gathered: list[Effect] = []
        self._ahead: list[Effect] = []
        """Asked already."""

    def send(self, event: ServerEvent, answers: str | None = None) -> None:
        """Send an event under a new id."""
        event.event_id = self._ids.new("event")
        self._gathered.append(Send(event, answers))

    def add(self, effect: Effect) -> None:
        if self._ahead and effect in self._ahead:
            self._ahead.remove(effect)
        else:
            self._gathered.append(effect)

    def asked_ahead(self, effects: list[Effect]) -> None:
        """These have been asked of the world before: where this input asks for them, nothing is to be done."""
        self._ahead = effects

    def take(self) -> list[Effect]:
        """What has gathered, once."""
        gathered, self._gathered, self._ahead = self._gathered, [], []
        return gathered
