"""Every setting there is: read from its variable and its flag, and refused by the name that the person gave it."""

from __future__ import annotations

import argparse
import base64
from ipaddress import ip_network
from pathlib import Path

import pytest

from realtime.config import add_flags, load
from realtime.errors import ConfigError
from realtime.options import MAX_CONTEXT_TOKENS, MAX_FPS, MAX_MB, MAX_MS, MAX_PORT, SETTINGS, Setting
from realtime.values import MAX_COUNT, MAX_SECONDS

KEY = "sk-secret-0123"

LONG = "a-long-random-key"

STORE_KEY = bytes(range(32))


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in SETTINGS:
        monkeypatch.delenv(setting.env, raising=False)


GOOD = {
    "host": ("0.0.0.0", "0.0.0.0"),
    "port": ("0", 0),
    "workers": ("4", 4),
    "log_level": ("DEBUG", "debug"),
    "tls_cert": ("/etc/tls/chain.pem", Path("/etc/tls/chain.pem")),
    "tls_key": ("/etc/tls/key.pem", Path("/etc/tls/key.pem")),
    "api_keys_file": ("/etc/realtime/api-keys", Path("/etc/realtime/api-keys")),
    "api_keys": (f"phone={LONG}=, {LONG}", {"phone": LONG + "=", "key-2": LONG}),
    "signing_secret": (LONG, LONG),
    "allowed_origins": ("https://App.example:443/, http://a:8080,*", frozenset({"https://app.example", "http://a:8080", "*"})),
    "insecure": ("yes", True),
    "max_sessions": ("0", 0),
    "key_sessions": ("5", 5),
    "address_sessions": ("1000000", MAX_COUNT),
    "key_new_sessions": ("1", 1),
    "address_new_sessions": ("60", 60),
    "events_per_minute": ("6000", 6000),
    "audio_per_minute": ("90", 90),
    "requests_per_minute": ("30", 30),
    "tokens_per_minute": ("40000", 40_000),
    "session_responses": ("0", 0),
    "idle_seconds": ("0.5", 0.5),
    "trusted_proxies": ("127.0.0.1, 10.1.2.3/8,::1", (ip_network("127.0.0.1"), ip_network("10.0.0.0/8"), ip_network("::1"))),
    "log_format": ("JSON", "json"),
    "log_content": ("on", True),
    "record_dir": ("/tmp/recordings", Path("/tmp/recordings")),
    "store": ("memory", "memory"),
    "state_dir": ("/var/lib/realtime", Path("/var/lib/realtime")),
    "redis_url": ("rediss://:pw@cache.example:6380/2", "rediss://:pw@cache.example:6380/2"),
    "store_key": (f"{STORE_KEY.hex()}, {base64.b64encode(bytes(32)).decode()}", (STORE_KEY, bytes(32))),
    "keep_seconds": ("604800", 604_800),
    "store_mb": ("0", 0),
    "resume_seconds": ("0", 0.0),
    "traces": ("on", True),
    "openai_api_key": (KEY, KEY),
    "openai_base_url": ("https://example.org/v1beta/openai/", "https://example.org/v1beta/openai/"),
    "openai_model": ("meta-llama/Llama-3.1-8B", "meta-llama/Llama-3.1-8B"),
    "connect_seconds": ("0.5", 0.5),
    "first_token_seconds": ("1e2", 100.0),
    "token_seconds": ("7", 7.0),
    "native_audio": ("none", "none"),
    "llm": ("scripted", "scripted"),
    "stt": ("scripted", "scripted"),
    "tts": ("none", "none"),
    "vad": ("silero", "silero"),
    "turn_model": ("smart-turn", "smart-turn"),
    "speculation": ("respond", "respond"),
    "whisper_model": ("Systran/faster-whisper-small", "Systran/faster-whisper-small"),
    "cache_dir": ("/var/cache/models", Path("/var/cache/models")),
    "stt_base_url": ("http://ear:8000/v1", "http://ear:8000/v1"),
    "stt_api_key": (KEY, KEY),
    "stt_model": ("Systran/faster-whisper-small", "Systran/faster-whisper-small"),
    "tts_base_url": ("http://voice:8880/v1", "http://voice:8880/v1"),
    "tts_api_key": (KEY, KEY),
    "tts_model": ("kokoro", "kokoro"),
    "tts_sample_rate": ("22050", 22_050),
    "speech_seconds": ("12.5", 12.5),
    "voices": ("alloy=af_heart, ash = am_adam,*=bm_fable,", {"alloy": "af_heart", "ash": "am_adam", "*": "bm_fable"}),
    "piper_voice": ("~/voices/de_DE-thorsten-medium.onnx", "~/voices/de_DE-thorsten-medium.onnx"),
    "sample_rate": ("48000", 48_000),
    "enable_audio_processing": ("no", False),
    "enable_image_processing": ("OFF", False),
    "enable_video_processing": ("0", False),
    "context_tokens": (str(MAX_CONTEXT_TOKENS), MAX_CONTEXT_TOKENS),
    "mcp_urls": ("https://a.example/mcp, http://[::1]:7/", ("https://a.example/mcp", "http://[::1]:7/")),
    "session_seconds": (str(MAX_SECONDS), float(MAX_SECONDS)),
    "session_audio_mb": (str(MAX_MB), MAX_MB),
    "session_image_mb": ("0", 0),
    "image_side": ("2048", 2048),
    "low_image_side": ("1", 1),
    "video_frames": ("1", 1),
    "camera_fps": ("0.5", 0.5),
    "camera_frames": ("100", 100),
    "max_media_bytes": ("1048576", 1_048_576),
    "max_media_seconds": ("5", 5.0),
    "max_media_memory_mb": ("256", 256),
    "max_image_pixels": ("1", 1),
    "max_audio_seconds": ("0.5", 0.5),
    "max_video_seconds": ("60", 60.0),
    "grace_seconds": ("0", 0.0),
    "interruption_ms": (str(MAX_MS), MAX_MS),
    "latency_ms": ("50", 50),
}


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_is_read_from_its_environment_variable(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    text, value = GOOD[setting.name]
    monkeypatch.setenv("REALTIME_TLS_CERT", "/a.pem")  # its key alone would be refused
    monkeypatch.setenv(setting.env, text)
    assert getattr(load({}), setting.name) == value


@pytest.mark.parametrize("setting", [setting for setting in SETTINGS if setting.flag], ids=lambda setting: setting.name)
def test_every_setting_is_read_from_its_flag(setting: Setting) -> None:
    assert setting.flag is not None
    text, value = GOOD[setting.name]
    assert getattr(load({"tls_cert": "/a.pem"} | given(setting.flag, text)), setting.name) == value


def given(*arguments: str) -> dict[str, str | None]:
    parser = argparse.ArgumentParser()
    add_flags(parser)
    return {name: said for name, said in vars(parser.parse_args(arguments)).items() if said is not None}


def test_a_switch_that_is_only_named_is_on() -> None:
    assert load(given("--insecure", "--port", "1")).insecure is True


BAD = {
    "host": " ",
    "port": str(MAX_PORT + 1),
    "workers": "0",
    "log_level": "loud",
    "tls_cert": "~nobody-of-this-name/chain.pem",
    "tls_key": "~nobody-of-this-name/key.pem",
    "api_keys_file": "~nobody-of-this-name/api-keys",
    "allowed_origins": "app.example",
    "insecure": "never",
    "max_sessions": "-1",
    "key_sessions": "five",
    "address_sessions": str(MAX_COUNT + 1),
    "key_new_sessions": "0.5",
    "address_new_sessions": "1/s",
    "events_per_minute": "-0.1",
    "audio_per_minute": "1.5",
    "requests_per_minute": "none",
    "tokens_per_minute": "40k",
    "session_responses": "-1",
    "idle_seconds": "-1",
    "trusted_proxies": "proxy.example",
    "log_format": "xml",
    "log_content": "words",
    "record_dir": "~nobody-of-this-name/recordings",
    "store": "postgres",
    "state_dir": "~nobody-of-this-name/state",
    "keep_seconds": "0",
    "store_mb": "-1",
    "resume_seconds": "soon",
    "traces": "jaeger",
    "openai_base_url": "example.org/v1",
    "openai_model": "two\nlines",
    "connect_seconds": "0",
    "first_token_seconds": "soon",
    "token_seconds": "nan",
    "native_audio": "all",
    "llm": "gpt",
    "stt": "none",
    "tts": "loud",
    "vad": "none",
    "turn_model": "semantic",
    "speculation": "always",
    "whisper_model": "",
    "cache_dir": "~nobody-of-this-name/models",
    "stt_base_url": "ear:8000",
    "stt_model": " ",
    "tts_base_url": "http://voice/v1?x=1",
    "tts_model": "",
    "tts_sample_rate": "48001",
    "speech_seconds": "0",
    "voices": "alloy",
    "piper_voice": "\t",
    "sample_rate": "7999",
    "enable_audio_processing": "maybe",
    "enable_image_processing": "2",
    "enable_video_processing": "truth",
    "context_tokens": str(MAX_CONTEXT_TOKENS + 1),
    "mcp_urls": "https://a.example/mcp,",
    "session_seconds": str(MAX_SECONDS + 1),
    "session_audio_mb": str(MAX_MB + 1),
    "session_image_mb": "-1",
    "image_side": "0",
    "low_image_side": "small",
    "video_frames": "0",
    "camera_fps": str(MAX_FPS + 1),
    "camera_frames": "101",
    "max_media_bytes": "64MB",
    "max_media_seconds": "0",
    "max_media_memory_mb": "255",
    "max_image_pixels": "0",
    "max_audio_seconds": "inf",
    "max_video_seconds": "nan",
    "grace_seconds": "-1",
    "interruption_ms": str(MAX_MS + 1),
    "latency_ms": "-1",
}


@pytest.mark.parametrize("setting", [setting for setting in SETTINGS if setting.flag], ids=lambda setting: setting.name)
def test_a_bad_flag_is_named_with_its_value_and_what_is_allowed(setting: Setting) -> None:
    value = BAD[setting.name]
    with pytest.raises(ConfigError) as caught:
        load({setting.name: value})
    assert str(caught.value) == f"{setting.flag}={value!r}: must be {setting.kind.allowed}"
