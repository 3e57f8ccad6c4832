"""A token bucket: so much a minute, of which a minute's worth may come at once. The clock is an argument."""

from __future__ import annotations

MINUTE = 60.0

SLACK = 1e-6
"""Of what is there: sums of fractions are not exact, and who waited as long as they were told must not be refused."""


class Bucket:
    """Full at first; `now` is in seconds on any clock that does not run backwards."""

    def __init__(self, per_minute: float, now: float) -> None:
        self.per_minute = per_minute
        self._level = per_minute
        """Below nothing after somebody took more than a minute's worth."""
        self._at = now
        """When that was the level."""

    def wait(self, amount: float, now: float) -> float:
        """Seconds until so much may be taken, 0 for now. More than a minute's worth may be taken when the bucket is full."""
        missing = min(amount, self.per_minute) - self._now(now)
        return missing * MINUTE / self.per_minute if missing > SLACK else 0.0

    def take(self, amount: float, now: float) -> None:
        """Take all of it; whether it may be taken, `wait` says."""
        self._level, self._at = self._now(now) - amount, now

    def remaining(self, now: float) -> int:
        """Whole ones that may be taken now."""
        return max(0, int(self._now(now) + SLACK))

    def reset_seconds(self, now: float) -> float:
        """Until it is full again; 0 where it is. Then nobody can tell it from a new one."""
        return (self.per_minute - self._now(now)) * MINUTE / self.per_minute

    def _now(self, now: float) -> float:
        return min(self.per_minute, self._level + (now - self._at) * self.per_minute / MINUTE)
