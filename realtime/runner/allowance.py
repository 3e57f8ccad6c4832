"""What one session may do in a minute: events, seconds of sound, requests to the model and its tokens; and how many answers at once.

Owns the refusals, and what `rate_limits.updated` tells. A bucket may be one that other sessions take from, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager, nullcontext
from math import ceil
from typing import Literal

from realtime.errors import ClientError, EngineError
from realtime.runner.bucket import SLACK, Bucket
from realtime.wire.server import RateLimit

CODE, TYPE = "rate_limit_exceeded", "rate_limit_error"
"""Of every refusal (PROTOCOL 6)."""


class Slots:
    """So many at once."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.used = 0

    @property
    def free(self) -> bool:
        return self.used < self.most

    @contextmanager
    def taken(self) -> Iterator[None]:
        """One of them, inside; whether there is one, `free` says."""
        self.used += 1
        try:
            yield
        finally:
            self.used -= 1


class Allowance:
    """`None` for a bucket, or for the slots: of that as much as anybody likes."""

    def __init__(
        self,
        events: Bucket | None = None,
        audio: Bucket | None = None,
        requests: Bucket | None = None,
        tokens: Bucket | None = None,
        responses: Slots | None = None,
        refused: Callable[[str], None] = lambda limit: None,
        shared: Set[str] = frozenset(),
    ) -> None:
        """`refused` is told `events` or `audio` for every event that is refused. `shared` names what other sessions take from, too."""
        self._events = events
        self._audio = audio
        self._requests = requests
        self._tokens = tokens
        self._responses = responses
        self._refused = refused
        self._shared = shared

    def renew(self, newer: Allowance) -> None:
        """The client is here again, with the allowance of a newcomer. What its sessions share is as its key says now; what is this
        session's own does not fill by coming back."""
        for name in self._shared | newer._shared:
            setattr(self, f"_{name}", getattr(newer, f"_{name}"))
        self._shared = newer._shared

    @property
    def limits_events(self) -> bool:
        """Have events to be shown to it at all?"""
        return self._events is not None or self._audio is not None

    def take_event(self, now: float, *, seconds: float = 0.0, event_id: str | None = None) -> None:
        """Take an event with so much sound: all of it, or nothing. Raises `ClientError`."""
        events = self._events
        if events is not None and (wait := events.wait(1, now)):
            self._refused("events")
            raise ClientError(CODE, _said(events, "events", wait), type=TYPE, event_id=event_id)
        self.take_audio(now, seconds, "audio", event_id)
        if events is not None:
            events.take(1, now)

    @property
    def limits_audio(self) -> bool:
        """Has sound to be measured at all?"""
        return self._audio is not None

    def take_audio(self, now: float, seconds: float, param: str, event_id: str | None = None) -> None:
        """Take so much sound, which came in that field: all of it, or nothing. Raises `ClientError`."""
        audio = self._audio
        if audio is None or not seconds:
            return
        if wait := audio.wait(seconds, now):
            self._refused("audio")
            raise ClientError(CODE, _said(audio, "seconds of audio", wait), param=param, type=TYPE, event_id=event_id)
        audio.take(seconds, now)

    @contextmanager
    def request(self, now: float, *, spare: int = 0) -> Iterator[None]:
        """The model is asked, and answers inside, if there is one request and so many to `spare`. Raises `EngineError`: it is the response
        that fails."""
        requests, tokens, responses = self._requests, self._tokens, self._responses
        if responses is not None and not responses.free:
            message = f"Rate limit reached: {responses.most} responses at once. Wait until one has ended."
            raise EngineError(CODE, message, type=TYPE)
        if requests is not None and (wait := requests.wait(1, now)):
            raise EngineError(CODE, _said(requests, "requests", wait), type=TYPE)
        if requests is not None and spare and requests.remaining(now) <= spare:
            raise EngineError(CODE, _said(requests, "requests", requests.wait(1 + spare, now)), type=TYPE)
        if tokens is not None and (wait := tokens.wait(1, now)):
            raise EngineError(CODE, _said(tokens, "tokens", wait), type=TYPE)
        if requests is not None:
            requests.take(1, now)
        with nullcontext() if responses is None else responses.taken():
            yield

    def take_tokens(self, tokens: int, now: float) -> None:
        """A response has used so many, which nobody knew before: there may be less than none left."""
        if self._tokens is not None:
            self._tokens.take(tokens, now)

    def rate_limits(self, now: float) -> list[RateLimit]:
        """As `rate_limits.updated` tells them (PROTOCOL 3): those that are of a kind that it has a name for."""
        limits = []
        if self._requests is not None:
            limits.append(_told("requests", self._requests, now))
        if self._tokens is not None:
            limits.append(_told("tokens", self._tokens, now))
        return limits


def _told(name: Literal["requests", "tokens"], bucket: Bucket, now: float) -> RateLimit:
    reset = round(bucket.reset_seconds(now), 3)
    return RateLimit(name=name, limit=int(bucket.per_minute), remaining=bucket.remaining(now), reset_seconds=reset)


def _said(bucket: Bucket, what: str, wait: float) -> str:
    """With the time in whole milliseconds, rounded up: who waits for it is let through."""
    return f"Rate limit reached: {bucket.per_minute:g} {what} a minute. Please try again in {ceil(wait * 1000 - SLACK) / 1000:g}s."
