from __future__ import annotations

import argparse
import os
import re
from pathlib import Path

import pytest
from msgspec import structs

from realtime import options
from realtime.config import MAX_SHOWN, Address, Config, add_flags, default_cache, flags, load, supervision, worker_environment
from realtime.errors import ConfigError
from realtime.options import OPENAI_URL, SECTIONS, SETTINGS
from realtime.supervisor import Supervisor

KEY = "sk-secret-0123"

LONG = "a-long-random-key"


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*(setting.env for setting in SETTINGS), "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "LISTEN_PID"):
        monkeypatch.delenv(name, raising=False)


def refusal(flags: dict[str, str | None] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load(flags or {})
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_nothing_given_gives_the_defaults() -> None:
    assert load({}) == Config()


def test_the_defaults_are_those_that_were_asked_for() -> None:
    config = Config()
    assert (config.host, config.port, config.openai_model, config.whisper_model) == ("localhost", 8001, "gpt-4o-mini", "base")
    assert (config.sample_rate, config.openai_base_url, config.openai_api_key) == (16_000, None, None)
    assert config.enable_audio_processing
    assert config.enable_image_processing
    assert config.enable_video_processing


def test_the_environment_beats_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVER_PORT", "9000")
    assert load({}).port == 9000


def test_a_flag_beats_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVER_PORT", "9000")
    assert load({"port": "9001"}).port == 9001


def test_a_flag_that_was_not_given_leaves_the_environment_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVER_PORT", "9000")
    assert load({"port": None}).port == 9000


def test_a_good_flag_hides_a_bad_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVER_PORT", "many")
    assert load({"port": "1"}).port == 1


def test_an_empty_environment_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in SETTINGS:
        monkeypatch.setenv(setting.env, "")
    assert load({}) == Config()


@pytest.mark.parametrize("word", ["true", "1", "yes", "on", "Yes"])
def test_a_switch_understands_several_words_for_yes(word: str) -> None:
    assert load({"enable_audio_processing": word}).enable_audio_processing is True


def test_a_bad_environment_variable_is_named_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMPLE_RATE", "48001")
    assert refusal() == "SAMPLE_RATE='48001': must be a whole number of Hz from 8000 to 48000"


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/v1",
        "http://",
        "http:///v1",
        "http://example.org:99999/v1",
        "http://example.org:0/v1",
        "http://[::1/v1",
        "http://example.org/v 1",
        "http://example.org/v\x7f1",
        "http://example.org/v1?key=1",
        "http://example.org/v1#top",
    ],
)
def test_a_base_url_is_refused_unless_paths_can_be_appended_to_it(url: str) -> None:
    assert refusal({"openai_base_url": url}).startswith("--base-url=")


@pytest.mark.parametrize("pairs", ["alloy", "alloy=", "=af_heart", "alloy=a,alloy=b", "alloy=a,ash", "alloy=a\n"])
def test_voices_are_pairs_with_each_name_once(pairs: str) -> None:
    assert refusal({"voices": pairs}).startswith("--voices=")


def test_a_password_in_the_base_url_is_refused_and_not_repeated() -> None:
    assert refusal({"openai_base_url": "http://me:hunter2@example.org/v1"}).startswith("--base-url=***: must be")


def test_a_long_value_is_cut_in_the_message() -> None:
    assert refusal({"port": "9" * (MAX_SHOWN + 1)}).startswith(f"--port='{'9' * MAX_SHOWN}...': ")


def test_a_folder_may_begin_with_a_tilde(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load({"cache_dir": "~/models"}).cache_dir == tmp_path / "models"


@pytest.mark.parametrize("key", ["two words", "line\n", "schl\u00fcssel"])
def test_a_key_that_can_not_travel_in_a_header_is_refused_and_not_repeated(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    assert refusal() == "OPENAI_API_KEY=***: must be printable ASCII without spaces"


SECRETS = ("api_keys", "signing_secret", "openai_api_key", "stt_api_key", "tts_api_key", "redis_url", "store_key")


@pytest.mark.parametrize("secret", SECRETS)
def test_a_key_is_not_taken_from_a_command_line(secret: str) -> None:
    assert getattr(load({secret: KEY}), secret) is None


@pytest.mark.parametrize("secret", SECRETS)
def test_a_key_never_shows(secret: str) -> None:
    config = Config(openai_base_url="http://h/v1", **{secret: KEY})  # type: ignore[arg-type]  # a field of its own
    assert KEY not in f"{config} {config!r} {config.__rich_repr__()} {config.stt_address} {config.tts_address}"
    assert f"{secret}='***'" in repr(config)


@pytest.mark.parametrize("secret", SECRETS)
def test_an_absent_key_shows_as_absent(secret: str) -> None:
    assert f"{secret}=None" in repr(Config())


def test_the_secrets_are_those_that_are_said_to_be_some() -> None:
    assert options.SECRETS == SECRETS


def test_keys_that_are_refused_are_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REALTIME_API_KEYS", "phone=short")
    assert refusal().startswith("REALTIME_API_KEYS=***: must be name=key or bare keys")


def test_a_key_of_a_certificate_needs_the_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal({"tls_key": "/k.pem"}) == "--tls-key=/k.pem: needs a certificate, REALTIME_TLS_CERT (or --tls-cert)"
    monkeypatch.setenv("REALTIME_TLS_CERT", "/c.pem")
    assert load({"tls_key": "/k.pem"}).tls_key == Path("/k.pem")


def test_the_keys_are_those_that_systemd_hands_over_unless_a_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert load({}).api_keys_file is None
    (tmp_path / "api-keys").write_text("\n")  # what the unit gives where the operator gives none
    assert load({}).api_keys_file is None
    (tmp_path / "api-keys").write_text("phone:00\n")
    assert load({}).api_keys_file == tmp_path / "api-keys"
    assert load({"api_keys_file": "/other"}).api_keys_file == Path("/other")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "")
    assert load({}).api_keys_file is None


def test_a_key_alone_means_the_usual_endpoint() -> None:
    assert Config(openai_api_key=KEY).endpoint == OPENAI_URL


def test_a_base_url_is_the_endpoint_with_and_without_a_key() -> None:
    assert Config(openai_base_url="http://localhost:11434/v1").endpoint == "http://localhost:11434/v1"
    assert Config(openai_base_url="http://localhost:11434/v1", openai_api_key=KEY).endpoint == "http://localhost:11434/v1"


def test_no_base_url_and_no_key_mean_no_endpoint() -> None:
    assert Config().endpoint is None


def test_the_endpoint_can_not_be_chosen_where_none_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal({"llm": "endpoint"}) == "--llm=endpoint: needs OPENAI_BASE_URL (or --base-url), or OPENAI_API_KEY"
    monkeypatch.setenv("REALTIME_LLM", "endpoint")
    assert refusal().startswith("REALTIME_LLM=endpoint: needs")


def test_the_endpoint_can_be_chosen_where_one_is_set() -> None:
    assert load({"llm": "endpoint", "openai_base_url": "http://localhost:1/v1"}).llm == "endpoint"


# Where speech comes from

EAR = "http://ear:8000/v1"
CHAT = "http://chat:8000/v1"


@pytest.mark.parametrize(
    ("config", "address"),
    [
        (Config(), None),
        (Config(stt_base_url=EAR), Address(EAR, None)),
        (Config(stt_base_url=EAR, stt_api_key="k"), Address(EAR, "k")),
        (Config(stt_api_key="k"), Address(OPENAI_URL, "k")),
        (Config(openai_base_url=CHAT, openai_api_key=KEY), Address(CHAT, KEY)),
        (Config(openai_base_url=CHAT), Address(CHAT, None)),
        (Config(openai_api_key=KEY), Address(OPENAI_URL, KEY)),
        (Config(openai_api_key=KEY, stt_api_key="k"), Address(OPENAI_URL, "k")),
    ],
)
def test_what_is_not_said_of_speech_is_what_is_said_of_chat(config: Config, address: Address | None) -> None:
    assert config.stt_address == address
    turned = Config(
        openai_base_url=config.openai_base_url,
        openai_api_key=config.openai_api_key,
        tts_base_url=config.stt_base_url,
        tts_api_key=config.stt_api_key,
    )
    assert turned.tts_address == address


@pytest.mark.parametrize(
    ("url", "key"),
    [
        (CHAT, KEY),
        ("http://chat:8000/audio/v1", KEY),
        ("http://CHAT:8000/v1", KEY),
        (EAR, None),
        ("http://chat/v1", None),
        ("https://chat:8000/v1", None),
    ],
)
def test_the_key_of_the_chat_endpoint_is_sent_to_no_other_host(url: str, key: str | None) -> None:
    assert Config(openai_base_url=CHAT, openai_api_key=KEY, stt_base_url=url).stt_address == Address(url, key)


def test_a_port_that_goes_without_saying_is_the_same_port() -> None:
    config = Config(openai_api_key=KEY, tts_base_url="https://api.openai.com:443/v1")
    assert config.tts_address == Address("https://api.openai.com:443/v1", KEY)


@pytest.mark.parametrize(
    ("config", "stt", "tts"),
    [
        (Config(), "local", "auto"),
        (Config(openai_base_url=CHAT, openai_api_key=KEY, stt_api_key=KEY, tts_api_key=KEY), "local", "auto"),
        (Config(stt_base_url=EAR), "endpoint", "auto"),
        (Config(tts_base_url=EAR), "local", "endpoint"),
        (Config(stt_base_url=EAR, tts_base_url=EAR, stt="local", tts="piper"), "local", "piper"),
    ],
)
def test_only_an_address_for_speech_is_sent_what_people_say(config: Config, stt: str, tts: str) -> None:
    assert (config.stt_engine, config.tts_engine) == (stt, tts)


@pytest.mark.parametrize(
    ("given", "speculates"),
    [
        ({}, "transcribe"),
        ({"stt_base_url": "http://ear/v1"}, "off"),
        ({"stt": "scripted"}, "off"),
        ({"speculation": "off"}, "off"),
        ({"stt_base_url": "http://ear/v1", "speculation": "respond"}, "respond"),
    ],
)
def test_only_the_embedded_ear_writes_down_by_default_what_may_go_on(given: dict[str, str], speculates: str) -> None:
    assert load(given).speculates == speculates


@pytest.mark.parametrize("name", ["stt", "tts"])
def test_a_speech_endpoint_can_be_chosen_where_one_is_set(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    upper = name.upper()
    needs = f"needs REALTIME_{upper}_BASE_URL (or --{name}-base-url), or OPENAI_BASE_URL (or --base-url), or OPENAI_API_KEY"
    assert refusal({name: "endpoint"}) == f"--{name}=endpoint: {needs}"
    assert getattr(load({name: "endpoint", f"{name}_base_url": EAR}), name) == "endpoint"
    monkeypatch.setenv("OPENAI_BASE_URL", CHAT)
    assert getattr(load({name: "endpoint"}), f"{name}_address") == Address(CHAT, None)


def test_models_are_kept_in_the_cache_folder_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "realtime-daemon"


@pytest.mark.parametrize("chosen", [None, "", "relative/folder"])
def test_without_a_usable_cache_folder_models_are_kept_in_that_of_the_home_folder(
    chosen: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    if chosen is not None:
        monkeypatch.setenv("XDG_CACHE_HOME", chosen)
    assert default_cache() == tmp_path / ".cache" / "realtime-daemon"


def test_a_user_without_a_home_folder_has_to_choose_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(os, "getuid", lambda: 54_321)  # a user that the machine doesn't know, as containers run them
    assert refusal().startswith("REALTIME_CACHE_DIR is unset")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    config = load({"cache_dir": "/models"})
    assert (config.cache_dir, config.state_dir) == (Path("/models"), None)


def test_the_state_is_where_the_service_manager_says_else_where_the_users_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert load({}).state_dir == Path("/home/me/.local/state/realtime-daemon")
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert load({}).state_dir == Path("/state/realtime-daemon")
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/realtime:/var/lib/more")
    assert load({}).state_dir == Path("/var/lib/realtime")


@pytest.mark.parametrize("key", ["short", "00" * 31, "A" * 44, "zz" * 32])
def test_a_store_key_that_is_none_is_refused_and_not_repeated(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("REALTIME_STORE_KEY", key)
    assert refusal().startswith("REALTIME_STORE_KEY=***: must be keys of 32 bytes")


@pytest.mark.parametrize("url", ["http://localhost", "redis://", "redis://a b"])
def test_an_address_of_redis_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("REALTIME_REDIS_URL", url)
    assert refusal().startswith("REALTIME_REDIS_URL=***: must be a redis://")


def test_every_field_has_one_row_in_the_table() -> None:
    assert sorted(setting.name for setting in SETTINGS) == sorted(row.name for row in structs.fields(Config))


def test_no_two_rows_share_a_variable_or_a_flag() -> None:
    assert len({setting.env for setting in SETTINGS}) == len(SETTINGS)
    flags = [setting.flag for setting in SETTINGS if setting.flag]
    assert len(set(flags)) == len(flags)


def test_every_flag_is_helped_with_its_variable_and_its_default() -> None:
    parser = argparse.ArgumentParser(formatter_class=lambda prog: argparse.HelpFormatter(prog, width=400))
    add_flags(parser)
    text = parser.format_help()
    assert "address to listen on [SERVER_HOST, localhost]" in text
    assert "accept audio [ENABLE_AUDIO_PROCESSING, true]" in text
    assert "for running responses at shutdown [REALTIME_GRACE_SECONDS, 10]" in text
    assert "[OPENAI_BASE_URL]" in text
    assert "[REALTIME_CACHE_DIR]" in text
    assert [setting.env for setting in SETTINGS if setting.kind.secret and re.search(rf"\b{setting.env}\b", text)] == []
    assert all(title in text for title in SECTIONS)


def test_flags_can_be_given_for_a_part_of_the_settings() -> None:
    parser = argparse.ArgumentParser()
    add_flags(parser, [setting for setting in SETTINGS if setting.name == "port"])
    assert vars(parser.parse_args([])) == {"port": None}


@pytest.mark.parametrize(
    ("text", "hears", "speaks"), [("none", False, False), ("input", True, False), ("OUTPUT", False, True), ("both", True, True)]
)
@pytest.mark.parametrize("endpoint", [{"openai_base_url": "http://h/v1"}, {"openai_base_url": "http://h/v1", "llm": "endpoint"}])
def test_the_endpoints_model_may_hear_and_speak(text: str, hears: bool, speaks: bool, endpoint: dict[str, str | None]) -> None:
    config = load({"native_audio": text, **endpoint})
    assert (config.hears, config.speaks) == (hears, speaks)


@pytest.mark.parametrize("others", [{}, {"llm": "local", "openai_base_url": "http://h/v1"}, {"llm": "scripted"}])
def test_no_other_model_hears_or_speaks(others: dict[str, str | None], monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal({"native_audio": "input", **others}).startswith("--native-audio=input: needs a chat endpoint")
    monkeypatch.setenv("REALTIME_NATIVE_AUDIO", "both")
    assert refusal(others).startswith("REALTIME_NATIVE_AUDIO=both: needs a chat endpoint")


def test_a_key_may_be_a_credential_and_nothing_else_may(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "OPENAI_API_KEY").write_text(f"{KEY}\n")
    (tmp_path / "OPENAI_MODEL").write_text("gpt-5\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert (load({}).openai_api_key, load({}).openai_model) == (KEY, "gpt-4o-mini")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-other")
    assert load({}).openai_api_key == "sk-other"


def test_a_bad_credential_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "OPENAI_API_KEY").write_text("sk secret")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert refusal() == "OPENAI_API_KEY=***: must be printable ASCII without spaces"


def test_the_service_manager_is_heard_where_it_speaks_to_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (supervision().notify_socket, supervision().sockets) == (None, 0)
    monkeypatch.setenv("NOTIFY_SOCKET", "@name")
    monkeypatch.setenv("LISTEN_FDS", "1")
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    assert (supervision().notify_socket, supervision().sockets) == ("@name", 1)


def test_what_the_command_line_said_is_said_to_workers_again(monkeypatch: pytest.MonkeyPatch) -> None:
    parser = argparse.ArgumentParser()
    add_flags(parser)
    said = vars(parser.parse_args(["--port", "0", "--insecure", "--voices=*=a b"]))
    assert flags(said) == ["--port=0", "--insecure=true", "--voices=*=a b"]
    assert vars(parser.parse_args(flags(said))) == said
    monkeypatch.setenv("OPENAI_MODEL", "m")
    environment = worker_environment(Supervisor(worker=3))
    assert (environment["OPENAI_MODEL"], environment["REALTIME_WORKER"]) == ("m", "3")
