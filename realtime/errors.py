"""The errors that cross a layer.

    RealtimeError
    +-- ClientError    the client's mistake: becomes an `error` event, the session lives on
    +-- EngineError    a model or an endpoint failed: becomes the outcome of what it was asked for
    +-- MediaError     a picture, a sound or a clip can't be used: becomes a `ClientError` of the part that it came in
    +-- StoreError     a session can't be stored or read: it is not acknowledged, and its client is told to try again
    |   +-- Superseded somebody else writes this session now, or it was deleted
    +-- ConfigError    the operator's mistake: one line on stderr, exit status 2

Anything else that escapes is our own bug: it is logged with its traceback and the socket is closed with 1011.
"""

from __future__ import annotations

CONTEXT_LENGTH_EXCEEDED = "context_length_exceeded"
"""Code of an `EngineError`: the prompt is longer than the model takes. The one code that the session itself acts on."""


class RealtimeError(Exception):
    """Base of every error that this package raises on purpose."""


class ClientError(RealtimeError):
    """Raised when a client event can't be obeyed (PROTOCOL 6).

    `param` is the dotted path of the offending field (`session.audio.input.format.rate`), `event_id` the client's own id of the event.
    `type` is another where it is not the client that failed (`server_error`).
    """

    def __init__(
        self,
        code: str | None,
        message: str,
        *,
        param: str | None = None,
        event_id: str | None = None,
        type: str = "invalid_request_error",
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param
        self.event_id = event_id
        self.type = type


class EngineError(RealtimeError):
    """Raised by an engine that could not do what it was asked.

    `type` and `code` are those of the OpenAI error object (`server_error`, `model_not_found`, ...); they reach the client as
    `status_details.error` of the response, or as the error of a failed transcription.
    """

    def __init__(self, code: str, message: str, *, type: str = "server_error") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.type = type


class MediaError(RealtimeError):
    """Raised when a client's file can't be used: `code` says what is wrong with it, `message` what would be right."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class StoreError(RealtimeError):
    """Raised when the store of sessions fails: it can't be reached, is full, or holds what nobody can read. The text is for the log."""


class Superseded(StoreError):
    """Raised when a session is no longer ours to write: it was claimed by somebody else, or deleted."""


class ConfigError(RealtimeError):
    """Raised when a setting can't be used; the text names the setting and says what it may be."""
