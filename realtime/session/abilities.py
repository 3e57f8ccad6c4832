"""What a server can do for its sessions, and for how long."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class Abilities(Struct, frozen=True, kw_only=True):
    """What this server can do for a session."""

    speech: bool = True
    """There is a voice, be it the model's own."""
    hears: bool = False
    """The model hears: what the user says goes to it as sound, and no answer waits for words."""
    speaks: bool = False
    """The model speaks: its answers come with their sound."""
    audio: bool = True
    """ENABLE_AUDIO_PROCESSING"""
    images: bool = True
    """ENABLE_IMAGE_PROCESSING"""
    videos: bool = True
    """ENABLE_VIDEO_PROCESSING"""
    sees: bool = True
    """The model is shown pictures; one that sees nothing is told in words that there are some."""
    judges: bool = False
    """There is a model that hears whether a turn is over; else its words must tell."""
    speculation: Literal["off", "transcribe", "respond"] = "off"
    """What is begun while the silence that will end a turn still lasts: nothing; its transcript; its answer, too."""
    interruption_ms: int = 96
    """Speech that it takes to interrupt: a cough or a door must not silence an answer."""
    session_seconds: float = 3600
    """How long a session may last (PROTOCOL 1.5)."""
    context_tokens: int = 0
    """What the model can be told at once, in tokens; 0 where nobody knows: then only an endpoint's refusal shortens a conversation."""
    audio_bytes: int = 32 * 1024 * 1024
    """Sound of a conversation that is kept: eleven minutes of PCM at 24 kHz. `retrieve` gives back no more than that."""
    image_bytes: int = 32 * 1024 * 1024
    """Pictures of a conversation that are kept, in base64: about a hundred photographs."""
    media_bytes: int = 64 * 1024 * 1024
    """MAX_MEDIA_BYTES: of one picture, sound or clip, as a file."""
    camera_fps: float = 1.0
    """Frames of a camera that are taken in a second; others are let go unread."""
    camera_frames: int = 12
    """Frames of a camera that the model is shown, and that one turn may have."""
    mcp_urls: tuple[str, ...] | None = None
    """REALTIME_MCP_URLS: beginnings of the addresses that clients may name as tool servers; None for any."""
