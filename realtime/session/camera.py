"""What a camera sees while somebody speaks: the frames that join the turn (`input_image_buffer.append`)."""

from __future__ import annotations

from msgspec import Struct

from realtime.wire.items import InputImage


class Seen(Struct, frozen=True):
    """A frame, and when it came."""

    at: float
    """On the session's clock, seconds."""
    picture: InputImage


class Camera:
    """Holds the frames of one turn: `most` of them, spread over it. While nobody speaks it holds the newest alone."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._frames: list[Seen] = []

    def see(self, picture: InputImage, *, talking: bool, now: float) -> None:
        """A frame has come."""
        if not talking:
            self._frames.clear()
        self._frames.append(Seen(now, picture))
        if len(self._frames) > self._most:
            self._thin()

    @property
    def frames(self) -> list[InputImage]:
        """Those that the turn has so far, oldest first."""
        return [frame.picture for frame in self._frames]

    def take(self) -> list[InputImage]:
        """The turn is over: its frames, oldest first."""
        frames, self._frames = self.frames, []
        return frames

    def _thin(self) -> None:
        """Let go of the frame whose neighbours are closest together: the first and the newest stay, where more than one may."""
        inner = range(1, len(self._frames) - 1)
        closest = min(inner, key=lambda index: self._frames[index + 1].at - self._frames[index - 1].at, default=0)
        del self._frames[closest]
