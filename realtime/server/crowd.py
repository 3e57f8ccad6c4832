"""Who is in: in all, by key and by address, and who else may come in.

Owns the counts, the buckets that the sessions of a key share, and the refusals. It forgets whoever has left and has nothing to wait for, so
that it holds no more than those who are in and those who came within the last minute.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from msgspec import Struct
from msgspec.structs import replace

from realtime.errors import ClientError
from realtime.runner.allowance import CODE, TYPE, Allowance, Slots
from realtime.runner.bucket import Bucket
from realtime.server.keys import Key
from realtime.server.quotas import NAMES, Quota

MAX_LAG_SECONDS = 0.25
"""Of the loop, half of the time: who is in waits so long at every step already, and notices it from a tenth on. Who comes now would have it
worse, and make it worse."""

BUSY_SECONDS = 5.0
"""After which it is worth trying again, where nobody knows when somebody leaves."""

EACH = tuple(name for name in NAMES if name not in ("sessions", "new_sessions"))
"""What an allowance is of."""

MIN_TABLE = 64
"""Entries before it is worth looking for those that can be forgotten."""


class Bounds(Struct, frozen=True, kw_only=True):
    """What the settings say. 0: no limit."""

    sessions: int = 0
    """Of all clients at once."""
    key: Quota = Quota(sessions=0, new_sessions=0)
    """Of a key whose line says nothing: its sessions, all together."""
    address: Quota = Quota(sessions=0, new_sessions=0)
    """Of an address: likewise."""
    session: Quota = Quota(events=0, audio=0, requests=0, tokens=0, responses=0)
    """Of each session."""


class Crowded(ClientError):
    """Raised when somebody may not come in now. `limit` is the label of the metric."""

    def __init__(self, limit: str, message: str, seconds: float, *, ours: bool = False) -> None:
        """`seconds`: after which they may try again. `ours`: it is not the client who has too much."""
        super().__init__("overloaded" if ours else CODE, message, type="server_error" if ours else TYPE)
        self.limit = limit
        self.seconds = seconds
        self.status = HTTPStatus.SERVICE_UNAVAILABLE if ours else HTTPStatus.TOO_MANY_REQUESTS


class Party:
    """Those who come with one key, or from one address."""

    def __init__(self, quota: Quota, now: float) -> None:
        self.quota = quota
        self.sessions = 0
        self.new = _bucket(quota.new_sessions, now)
        self.events = _bucket(quota.events, now)
        self.audio = _bucket(quota.audio, now)
        self.requests = _bucket(quota.requests, now)
        self.tokens = _bucket(quota.tokens, now)
        self.responses = _slots(quota.responses)

    def idle(self, now: float) -> bool:
        """Is there nothing to remember of it?"""
        waiting = self.responses is not None and self.responses.used  # of sessions whose clients may come back
        return not self.sessions and not waiting and not any(bucket.reset_seconds(now) for bucket in self._buckets if bucket is not None)

    @property
    def _buckets(self) -> tuple[Bucket | None, ...]:
        return self.new, self.events, self.audio, self.requests, self.tokens


class Table:
    """Parties by their names."""

    def __init__(self, kind: str) -> None:
        """`kind` is what the names are: `key` or `address`."""
        self._kind = kind
        self._parties: dict[str, Party] = {}
        self._full = MIN_TABLE

    def __len__(self) -> int:
        return len(self._parties)

    def find(self, name: str, quota: Quota, now: float) -> Party:
        """The party as it is remembered, or a new one, which is not remembered yet. New numbers are for those who come from now on."""
        known = self._parties.get(name)
        if known is not None and known.quota == quota:
            return known
        party = Party(quota, now)
        party.sessions = known.sessions if known else 0
        return party

    def check(self, party: Party, now: float) -> None:
        """May one more of it come in? Raises `Crowded`."""
        most = party.quota.sessions
        if most and party.sessions >= most:
            message = f"Rate limit reached: {most} sessions at once for this {self._kind}. Close one, or try again later."
            raise Crowded(f"{self._kind}_sessions", message, BUSY_SECONDS)
        if party.new is not None and (wait := party.new.wait(1, now)):
            message = f"Rate limit reached: {party.new.per_minute:g} new sessions a minute for this {self._kind}."
            raise Crowded(f"{self._kind}_new_sessions", message, wait)

    def enter(self, name: str, party: Party, now: float) -> None:
        """One more of it comes in."""
        party.sessions += 1
        if party.new is not None:
            party.new.take(1, now)
        self._parties[name] = party
        if len(self._parties) > self._full:
            self._parties = {name: party for name, party in self._parties.items() if not party.idle(now)}
            self._full = max(MIN_TABLE, 2 * len(self._parties))

    def leave(self, name: str) -> None:
        self._parties[name].sessions -= 1


class Place:
    """Of one client who is in, until they `leave`."""

    def __init__(self, allowance: Allowance, leave: Callable[[], None]) -> None:
        self.allowance = allowance
        self._leave: Callable[[], None] | None = leave

    def leave(self) -> None:
        """Once; after that it does nothing."""
        if self._leave is not None:
            self._leave()
            self._leave = None


class Crowd:
    """Of one server. `now` is in seconds on the loop's clock."""

    def __init__(self, bounds: Bounds, refused: Callable[[str], None] = lambda limit: None) -> None:
        """`refused` is told `events` or `audio` for every event that a session refuses."""
        self._bounds = bounds
        self._refused = refused
        self._sessions = 0
        self._keys, self._addresses = Table("key"), Table("address")

    def __len__(self) -> int:
        return self._sessions

    @property
    def remembered(self) -> int:
        """Keys and addresses."""
        return len(self._keys) + len(self._addresses)

    def check(self, lag: float) -> None:
        """Is there room for anybody? Raises `Crowded`."""
        most = self._bounds.sessions
        if lag > MAX_LAG_SECONDS:
            raise Crowded("lag", "The server has too much to do for another session. Try again later.", BUSY_SECONDS, ours=True)
        if most and self._sessions >= most:
            raise Crowded("sessions", f"The server has {most} sessions already. Try again later.", BUSY_SECONDS, ours=True)

    def enter(self, address: str | None, key: Key | None, now: float, *, lag: float = 0.0) -> Place:
        """Let somebody in; None is nobody whose sessions are counted together. `lag`: of the loop, in seconds. Raises `Crowded`, and then
        nothing was counted."""
        self.check(lag)
        parties = self._parties(address, key, now)
        for table, _, party in parties:
            table.check(party, now)
        for table, name, party in parties:
            table.enter(name, party, now)
        self._sessions += 1
        shared = next((party for table, _, party in parties if table is self._keys), None)
        return Place(self._allowance(key, shared, now), lambda: self._leave(parties))

    def _parties(self, address: str | None, key: Key | None, now: float) -> list[tuple[Table, str, Party]]:
        """Those that the client belongs to, as far as they have limits."""
        parties = []
        if address is not None and _limited(self._bounds.address):
            parties.append((self._addresses, address, self._addresses.find(address, self._bounds.address, now)))
        if key is not None and _limited(quota := self._quota(key.quota)):
            parties.append((self._keys, key.name, self._keys.find(key.name, quota, now)))
        return parties

    def _quota(self, own: Quota) -> Quota:
        """Of a key: what its line says, else what holds for every key."""
        every = self._bounds.key
        sessions = every.sessions if own.sessions is None else own.sessions
        return replace(own, sessions=sessions, new_sessions=every.new_sessions if own.new_sessions is None else own.new_sessions)

    def _allowance(self, key: Key | None, shared: Party | None, now: float) -> Allowance:
        """What the line of the key says is shared by all of its sessions; else each has its own."""
        own, each = Quota() if key is None else key.quota, self._bounds.session
        party = shared or Party(Quota(), now)
        return Allowance(
            events=_bucket(each.events, now) if own.events is None else party.events,
            audio=_bucket(each.audio, now) if own.audio is None else party.audio,
            requests=_bucket(each.requests, now) if own.requests is None else party.requests,
            tokens=_bucket(each.tokens, now) if own.tokens is None else party.tokens,
            responses=_slots(each.responses) if own.responses is None else party.responses,
            refused=self._refused,
            shared={name for name in EACH if getattr(own, name) is not None},
        )

    def _leave(self, parties: list[tuple[Table, str, Party]]) -> None:
        self._sessions -= 1
        for table, name, _ in parties:
            table.leave(name)


def _limited(quota: Quota) -> bool:
    return any(getattr(quota, name) for name in NAMES)


def _slots(most: int | None) -> Slots | None:
    return Slots(most) if most else None


def _bucket(per_minute: int | None, now: float) -> Bucket | None:
    return Bucket(per_minute, now) if per_minute else None
