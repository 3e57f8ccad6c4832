"""Until when the client plays what it was sent."""

from __future__ import annotations


class Playback:
    """An estimate: sound is sent faster than it plays, and on a websocket nobody tells the server what has been played."""

    def __init__(self) -> None:
        self.until = 0.0
        """On the session's clock, seconds."""

    def add(self, seconds: float, now: float) -> None:
        """More sound was sent: it plays after what plays already."""
        self.until = max(self.until, now) + seconds

    def stop(self, now: float) -> None:
        """Whoever is interrupted falls silent."""
        self.until = min(self.until, now)
