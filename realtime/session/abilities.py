"""What a server can do for its sessions, and for how long."""

from __future__ import annotations

from msgspec import Struct


class Abilities(Struct, frozen=True, kw_only=True):
    """What this server can do for a session."""

    speech: bool = True
    """There is a voice."""
    audio: bool = True
    """ENABLE_AUDIO_PROCESSING"""
    images: bool = True
    """ENABLE_IMAGE_PROCESSING"""
    session_seconds: float = 3600
    """How long a session may last (PROTOCOL 1.5)."""
    mcp_urls: tuple[str, ...] | None = None
    """REALTIME_MCP_URLS: beginnings of the addresses that clients may name as tool servers; None for any."""
