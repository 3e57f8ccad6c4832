"""What one session may do in a minute: events, seconds of sound, and requests to the model.

Owns the refusals, and what `rate_limits.updated` tells. A bucket may be one that other sessions take from, too.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

from realtime.errors import ClientError, EngineError
from realtime.runner.bucket import SLACK, Bucket
from realtime.wire.server import RateLimit

CODE, TYPE = "rate_limit_exceeded", "rate_limit_error"
"""Of every refusal (PROTOCOL 6)."""


class Allowance:
    """`None` for a bucket: of that as much as anybody likes."""

    def __init__(
        self,
        events: Bucket | None = None,
        audio: Bucket | None = None,
        requests: Bucket | None = None,
        refused: Callable[[str], None] = lambda limit: None,
    ) -> None:
        """`refused` is told `events` or `audio` for every event that is refused."""
        self._events = events
        self._audio = audio
        self._requests = requests
        self._refused = refused

    @property
    def limits_events(self) -> bool:
        """Have events to be shown to it at all?"""
        return self._events is not None or self._audio is not None

    def take_event(self, now: float, *, seconds: float = 0.0, event_id: str | None = None) -> None:
        """Take an event with so much sound: all of it, or nothing. Raises `ClientError`."""
        events, audio = self._events, self._audio if seconds else None
        if events is not None and (wait := events.wait(1, now)):
            self._refused("events")
            raise ClientError(CODE, _said(events, "events", wait), type=TYPE, event_id=event_id)
        if audio is not None and (wait := audio.wait(seconds, now)):
            self._refused("audio")
            raise ClientError(CODE, _said(audio, "seconds of audio", wait), param="audio", type=TYPE, event_id=event_id)
        if events is not None:
            events.take(1, now)
        if audio is not None:
            audio.take(seconds, now)

    def take_request(self, now: float) -> None:
        """The model is going to be asked. Raises `EngineError`: it is the response that fails."""
        requests = self._requests
        if requests is None:
            return
        if wait := requests.wait(1, now):
            raise EngineError(CODE, _said(requests, "requests", wait), type=TYPE)
        requests.take(1, now)

    def rate_limits(self, now: float) -> list[RateLimit]:
        """As `rate_limits.updated` tells them (PROTOCOL 3): requests alone are of a kind that it has a name for."""
        requests = self._requests
        if requests is None:
            return []
        reset = round(requests.reset_seconds(now), 3)
        return [RateLimit(name="requests", limit=int(requests.per_minute), remaining=requests.remaining(now), reset_seconds=reset)]


def _said(bucket: Bucket, what: str, wait: float) -> str:
    """With the time in whole milliseconds, rounded up: who waits for it is let through."""
    return f"Rate limit reached: {bucket.per_minute:g} {what} a minute. Please try again in {ceil(wait * 1000 - SLACK) / 1000:g}s."
