"""What the operator may choose: one table that drives the flags, the environment, the help text and the README."""

from __future__ import annotations

from typing import Literal, get_args

from msgspec import Struct

from realtime.values import (
    ADDRESS,
    COUNT,
    FILE,
    FOLDER,
    KEYS,
    LONG_SECRET,
    MODEL,
    NETWORKS,
    ORIGINS,
    PIPER,
    RATE,
    REDIS,
    SECRET,
    STORE_KEYS,
    SWITCH,
    URL,
    URLS,
    VOICES,
    WHISPER,
    Kind,
    number,
    one_of,
    seconds,
    whole,
)

OPENAI_URL = "https://api.openai.com/v1"
"""The endpoint when only a key is set."""

MAX_PORT = 65_535
"""Ports are 16 bits (RFC 9293, section 3.1)."""

MAX_WORKERS = 256
"""Processes: as many cores as a large machine has."""

MAX_MS = 10_000
"""Ten seconds: no reaction may take longer, and no network does."""

MAX_CONTEXT_TOKENS = 100_000_000
"""Ten times what any model takes: more is a typing error."""

MAX_MB = 16_384
"""Of one session: a day of PCM at 48 kHz, twice over; more is a number of bytes."""

MIN_MEMORY_MB = 256
"""With less, a process that reads files does not even start."""

MAX_FILE = 1024 * 1024 * 1024
"""Bytes of a client's file: a gigabyte is no longer part of a conversation."""

MAX_PIXELS = 1_000_000_000
"""Of a picture: more than any camera makes."""

MAX_SIDE = 16_384
"""Pixels of a picture's side: more than any model looks at."""

MAX_STORE_MB = 100_000_000
"""A hundred terabytes: more than any disk."""

MAX_KEEP_SECONDS = 10 * 365 * 24 * 3600
"""Ten years: whoever wants more wants an archive (`sessions export`)."""

MAX_FRAMES = 100
"""Pictures of a clip, and of a camera: more than most endpoints take at once."""

MAX_FPS = 60
"""Frames that a camera makes in a second."""

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]
LlmChoice = Literal["auto", "endpoint", "local", "scripted"]
SttChoice = Literal["auto", "endpoint", "local", "scripted"]
TtsChoice = Literal["auto", "endpoint", "local", "piper", "scripted", "none"]
VadChoice = Literal["auto", "silero", "scripted"]
TurnChoice = Literal["auto", "smart-turn", "words"]
SpeculationChoice = Literal["auto", "off", "transcribe", "respond"]
NativeAudio = Literal["none", "input", "output", "both"]
StoreChoice = Literal["sqlite", "redis", "memory", "none"]


class Setting(Struct, frozen=True):
    """One row of the table."""

    name: str
    """Field of `Config`."""
    env: str
    flag: str | None
    """None for secrets."""
    kind: Kind
    help: str
    """A phrase for `--help`, without the default."""


SIDE = whole(1, MAX_SIDE, " of pixels")

SECTIONS: dict[str, tuple[Setting, ...]] = {
    "listening": (
        Setting("host", "SERVER_HOST", "--host", ADDRESS, "address to listen on"),
        Setting("port", "SERVER_PORT", "--port", whole(0, MAX_PORT), "port to listen on, 0 for a free one"),
        Setting("workers", "REALTIME_WORKERS", "--workers", whole(1, MAX_WORKERS), "processes that share the port"),
        Setting("log_level", "REALTIME_LOG_LEVEL", "--log-level", one_of(*get_args(LogLevel)), "least important line to log"),
        Setting("log_format", "REALTIME_LOG_FORMAT", "--log-format", one_of(*get_args(LogFormat)), "form of a line of the log"),
        Setting("log_content", "REALTIME_LOG_CONTENT", "--log-content", SWITCH, "log what is said, too, at the level debug"),
        Setting("traces", "REALTIME_TRACES", "--traces", SWITCH, "send OpenTelemetry spans, as OTEL_* say (extra: otel)"),
        Setting(
            "record_dir", "REALTIME_RECORD_DIR", "--record-dir", FOLDER, "folder to write every session down in, what is said included"
        ),
        Setting("tls_cert", "REALTIME_TLS_CERT", "--tls-cert", FILE, "certificate chain in PEM: listen with TLS"),
        Setting("tls_key", "REALTIME_TLS_KEY", "--tls-key", FILE, "its key in PEM, where that is not in the same file"),
    ),
    "access": (
        Setting("api_keys_file", "REALTIME_API_KEYS_FILE", "--api-keys-file", FILE, "names and hashes of the keys that open this server"),
        Setting("api_keys", "REALTIME_API_KEYS", None, KEYS, "keys that open this server"),
        Setting("signing_secret", "REALTIME_SECRET", None, LONG_SECRET, "what client secrets are signed with"),
        Setting("allowed_origins", "REALTIME_ALLOWED_ORIGINS", "--allowed-origins", ORIGINS, "web pages that may connect, * for any"),
        Setting("insecure", "REALTIME_INSECURE", "--insecure", SWITCH, "serve others than this machine without keys"),
    ),
    "clients": (
        Setting("max_sessions", "REALTIME_MAX_SESSIONS", "--max-sessions", COUNT, "sessions at once, 0 for any number"),
        Setting("key_sessions", "REALTIME_KEY_SESSIONS", "--key-sessions", COUNT, "the same for each key"),
        Setting("address_sessions", "REALTIME_ADDRESS_SESSIONS", "--address-sessions", COUNT, "the same for each address"),
        Setting(
            "key_new_sessions",
            "REALTIME_KEY_NEW_SESSIONS",
            "--key-new-sessions",
            COUNT,
            "sessions that a key may begin in a minute, 0 for any number",
        ),
        Setting("address_new_sessions", "REALTIME_ADDRESS_NEW_SESSIONS", "--address-new-sessions", COUNT, "the same for each address"),
        Setting("events_per_minute", "REALTIME_EVENTS_PER_MINUTE", "--events-per-minute", COUNT, "events of a session, 0 for any number"),
        Setting(
            "audio_per_minute",
            "REALTIME_AUDIO_PER_MINUTE",
            "--audio-per-minute",
            COUNT,
            "seconds of sound that a session may append in a minute, 0 for any number",
        ),
        Setting(
            "requests_per_minute",
            "REALTIME_REQUESTS_PER_MINUTE",
            "--requests-per-minute",
            COUNT,
            "times that a session may have the model asked, 0 for any number",
        ),
        Setting(
            "tokens_per_minute",
            "REALTIME_TOKENS_PER_MINUTE",
            "--tokens-per-minute",
            COUNT,
            "tokens that a session's answers may take in a minute, 0 for any number",
        ),
        Setting(
            "session_responses",
            "REALTIME_SESSION_RESPONSES",
            "--session-responses",
            COUNT,
            "answers that the model may be giving a session at once, 0 for any number",
        ),
        Setting(
            "idle_seconds", "REALTIME_IDLE_SECONDS", "--idle-seconds", seconds(zero=True), "for a client that sends nothing, 0 for ever"
        ),
        Setting(
            "trusted_proxies",
            "REALTIME_TRUSTED_PROXIES",
            "--trusted-proxies",
            NETWORKS,
            "addresses or networks of proxies whose X-Forwarded-For is believed",
        ),
    ),
    "chat endpoint": (
        Setting("openai_api_key", "OPENAI_API_KEY", None, SECRET, "key of the chat endpoint"),
        Setting("openai_base_url", "OPENAI_BASE_URL", "--base-url", URL, f"chat endpoint; {OPENAI_URL} when only a key is set"),
        Setting("openai_model", "OPENAI_MODEL", "--model", MODEL, "model to ask the endpoint for"),
        Setting("connect_seconds", "REALTIME_LLM_CONNECT_SECONDS", "--llm-connect-seconds", seconds(), "longest wait for a connection"),
        Setting(
            "first_token_seconds",
            "REALTIME_LLM_FIRST_TOKEN_SECONDS",
            "--llm-first-token-seconds",
            seconds(),
            "longest wait for the first token",
        ),
        Setting("token_seconds", "REALTIME_LLM_TOKEN_SECONDS", "--llm-token-seconds", seconds(), "longest wait for each later token"),
        Setting(
            "native_audio",
            "REALTIME_NATIVE_AUDIO",
            "--native-audio",
            one_of(*get_args(NativeAudio)),
            "audio that the endpoint's model itself hears (input) and speaks (output)",
        ),
        Setting(
            "context_tokens",
            "REALTIME_CONTEXT_TOKENS",
            "--context-tokens",
            whole(0, MAX_CONTEXT_TOKENS, " of tokens"),
            "the model's context, in tokens; 0 is not known",
        ),
    ),
    "engines": (
        Setting("llm", "REALTIME_LLM", "--llm", one_of(*get_args(LlmChoice)), "language model; auto: the endpoint if set, else local"),
        Setting("stt", "REALTIME_STT", "--stt", one_of(*get_args(SttChoice)), "speech to text; auto: the endpoint if set, else local"),
        Setting("tts", "REALTIME_TTS", "--tts", one_of(*get_args(TtsChoice)), "voice; auto: the endpoint if set, else local if installed"),
        Setting("vad", "REALTIME_VAD", "--vad", one_of(*get_args(VadChoice)), "voice activity detection; auto: silero"),
        Setting(
            "turn_model",
            "REALTIME_TURN_MODEL",
            "--turn-model",
            one_of(*get_args(TurnChoice)),
            "what judges whether a turn is over; auto: smart-turn if it has been fetched, else words",
        ),
        Setting(
            "speculation",
            "REALTIME_SPECULATION",
            "--speculation",
            one_of(*get_args(SpeculationChoice)),
            "what is begun before a turn is over: its transcript, or its answer, too; auto: transcribe with the embedded ear, else off",
        ),
        Setting("whisper_model", "WHISPER_MODEL", "--whisper-model", WHISPER, "speech model: a name, a folder or a hub id"),
        Setting("cache_dir", "REALTIME_CACHE_DIR", "--cache-dir", FOLDER, "fetched models; default: realtime-daemon in the user's cache"),
    ),
    "speech": (
        Setting("stt_base_url", "REALTIME_STT_BASE_URL", "--stt-base-url", URL, "speech-to-text endpoint"),
        Setting("stt_api_key", "REALTIME_STT_API_KEY", None, SECRET, "key of that endpoint"),
        Setting("stt_model", "REALTIME_STT_MODEL", "--stt-model", MODEL, "model to ask it for"),
        Setting("tts_base_url", "REALTIME_TTS_BASE_URL", "--tts-base-url", URL, "text-to-speech endpoint"),
        Setting("tts_api_key", "REALTIME_TTS_API_KEY", None, SECRET, "key of that endpoint"),
        Setting("tts_model", "REALTIME_TTS_MODEL", "--tts-model", MODEL, "model to ask it for"),
        Setting("tts_sample_rate", "REALTIME_TTS_SAMPLE_RATE", "--tts-sample-rate", RATE, "its raw sound in Hz, where it does not tell"),
        Setting("speech_seconds", "REALTIME_SPEECH_SECONDS", "--speech-seconds", seconds(), "longest wait for a transcript, or for sound"),
        Setting("voices", "REALTIME_VOICES", "--voices", VOICES, "the endpoint's or Piper's voice for a client's; * is any other"),
        Setting("piper_voice", "REALTIME_PIPER_VOICE", "--piper-voice", PIPER, "Piper's voice: an .onnx file or a name"),
    ),
    "media": (
        Setting("sample_rate", "SAMPLE_RATE", "--sample-rate", RATE, "pcm16 of /ws/realtime, in Hz"),
        Setting("enable_audio_processing", "ENABLE_AUDIO_PROCESSING", "--enable-audio-processing", SWITCH, "accept audio"),
        Setting("enable_image_processing", "ENABLE_IMAGE_PROCESSING", "--enable-image-processing", SWITCH, "accept images"),
        Setting("enable_video_processing", "ENABLE_VIDEO_PROCESSING", "--enable-video-processing", SWITCH, "accept video"),
        Setting("image_side", "REALTIME_IMAGE_SIDE", "--image-side", SIDE, "longest side of a picture as the model sees it, in pixels"),
        Setting("low_image_side", "REALTIME_LOW_IMAGE_SIDE", "--low-image-side", SIDE, "the same in low detail, of clips and of cameras"),
        Setting("video_frames", "REALTIME_VIDEO_FRAMES", "--video-frames", whole(1, MAX_FRAMES), "pictures that stand for a clip"),
        Setting("camera_fps", "REALTIME_CAMERA_FPS", "--camera-fps", number(MAX_FPS), "frames of a camera that are taken in a second"),
        Setting(
            "camera_frames", "REALTIME_CAMERA_FRAMES", "--camera-frames", whole(1, MAX_FRAMES), "of them, those that the model is shown"
        ),
    ),
    "media files": (
        Setting("max_media_bytes", "MAX_MEDIA_BYTES", "--max-media-bytes", whole(1, MAX_FILE), "bytes of a picture, a sound or a clip"),
        Setting("max_media_seconds", "MAX_MEDIA_SECONDS", "--max-media-seconds", seconds(), "longest time to read one"),
        Setting(
            "max_media_memory_mb",
            "MAX_MEDIA_MEMORY_MB",
            "--max-media-memory-mb",
            whole(MIN_MEMORY_MB, MAX_MB, " of MiB"),
            "memory to read it in, in MiB",
        ),
        Setting("max_image_pixels", "MAX_IMAGE_PIXELS", "--max-image-pixels", whole(1, MAX_PIXELS), "width times height of a picture"),
        Setting("max_audio_seconds", "MAX_AUDIO_SECONDS", "--max-audio-seconds", seconds(), "length of a sound file"),
        Setting("max_video_seconds", "MAX_VIDEO_SECONDS", "--max-video-seconds", seconds(), "length of a clip"),
    ),
    "memory": (
        Setting(
            "store", "REALTIME_STORE", "--store", one_of(*get_args(StoreChoice)), "where sessions are kept, so that clients can resume them"
        ),
        Setting("state_dir", "REALTIME_STATE_DIR", "--state-dir", FOLDER, "folder of sqlite; default: realtime-daemon in the user's state"),
        Setting("redis_url", "REALTIME_REDIS_URL", None, REDIS, "redis: where it is"),
        Setting("store_key", "REALTIME_STORE_KEY", None, STORE_KEYS, "what stored sessions are encrypted with"),
        Setting(
            "keep_seconds",
            "REALTIME_KEEP_SECONDS",
            "--keep-seconds",
            whole(1, MAX_KEEP_SECONDS, " of seconds"),
            "that a session is kept unused",
        ),
        Setting(
            "store_mb",
            "REALTIME_STORE_MB",
            "--store-mb",
            whole(0, MAX_STORE_MB, " of MiB"),
            "all sessions together, in MiB; 0 for any size",
        ),
        Setting(
            "resume_seconds",
            "REALTIME_RESUME_SECONDS",
            "--resume-seconds",
            seconds(zero=True),
            "that a session goes on when its connection breaks, 0 to end it",
        ),
    ),
    "limits": (
        Setting("mcp_urls", "REALTIME_MCP_URLS", "--mcp-urls", URLS, "beginnings of the addresses that clients may name as tool servers"),
        Setting("session_seconds", "REALTIME_SESSION_SECONDS", "--session-seconds", seconds(), "longest life of a session"),
        Setting(
            "session_audio_mb",
            "REALTIME_SESSION_AUDIO_MB",
            "--session-audio-mb",
            whole(0, MAX_MB, " of MiB"),
            "sound that a session keeps, in MiB",
        ),
        Setting(
            "session_image_mb",
            "REALTIME_SESSION_IMAGE_MB",
            "--session-image-mb",
            whole(0, MAX_MB, " of MiB"),
            "pictures that a session keeps, in MiB of base64",
        ),
        Setting(
            "interruption_ms",
            "REALTIME_INTERRUPTION_MS",
            "--interruption-ms",
            whole(0, MAX_MS, " of ms"),
            "speech that interrupts an answer",
        ),
        Setting("grace_seconds", "REALTIME_GRACE_SECONDS", "--grace-seconds", seconds(zero=True), "for running responses at shutdown"),
        Setting(
            "latency_ms",
            "REALTIME_LATENCY_MS",
            "--latency-ms",
            whole(0, MAX_MS, " of ms"),
            "wait before every frame: a network, for tests",
        ),
    ),
}

SETTINGS = tuple(setting for section in SECTIONS.values() for setting in section)

SECRETS = tuple(setting.name for setting in SETTINGS if setting.kind.secret)
"""Never shown, never logged."""
