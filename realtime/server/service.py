"""What every session of a server is made with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct, field

from realtime.metrics import Metrics
from realtime.ports import Store
from realtime.runner.committer import PAUSES
from realtime.runner.perform import Engines
from realtime.runner.recorder import Disk
from realtime.server.access import Access
from realtime.server.addresses import Addresses
from realtime.server.crowd import Bounds
from realtime.session.abilities import Abilities
from realtime.session.ids import Ids

if TYPE_CHECKING:
    from realtime.runner.tracer import Tracing


class Service(Struct, frozen=True, kw_only=True):
    """Made once, by whoever chose all of it."""

    engines: Engines
    abilities: Abilities
    sample_rate: int
    """Of classic PCM, samples a second."""
    new_ids: Callable[[], Ids]
    access: Access
    latency: float = 0.0
    """Seconds to wait before every frame to a client."""
    metrics: Metrics = field(default_factory=Metrics)
    log_content: bool = False
    """Log what is said, too."""
    bounds: Bounds = Bounds()
    addresses: Addresses = Addresses()
    idle_seconds: float = 0.0
    """After which a client that sends nothing is let go; 0 for never."""
    tracing: Tracing | None = None
    """Where spans go; None for nowhere."""
    recordings: Disk | None = None
    """Where sessions are written down; None for nowhere."""
    store: Store | None = None
    """None: a session ends with its connection."""
    store_pauses: Sequence[float] = PAUSES
    """Seconds before each further try to store something."""
    stores_secrets: bool = False
    """May the secrets of tool servers be stored, too?"""
    resume_seconds: float = 0.0
    """That a session whose connection broke goes on without its client; 0: it ends, and is read from the store."""
