"""What is chosen for which settings, and why; the whole daemon is tried in tests/e2e."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError, InvalidUpgrade

import realtime.app as app_module
from realtime.app import CUT_SHORT, App
from realtime.config import Config
from realtime.engines.chat import ChatLlm
from realtime.engines.local_llm import LocalLlm
from realtime.engines.local_voice import LocalVoice
from realtime.engines.mcp_client import McpClient
from realtime.engines.models import VOICE_FILE
from realtime.engines.piper import Piper
from realtime.engines.remote_stt import RemoteStt
from realtime.engines.remote_tts import RemoteTts
from realtime.engines.scripted import ScriptedLlm, ScriptedStt, ScriptedTts, ScriptedVad
from realtime.engines.silero import SileroVad
from realtime.engines.smart_turn import SmartTurn
from realtime.engines.whisper import WhisperStt
from realtime.errors import ConfigError, EngineError
from realtime.media.limits import Limits
from realtime.ports import Queueing, Remote
from realtime.server.addresses import Addresses
from realtime.server.crowd import Bounds
from realtime.server.keys import hashed
from realtime.server.quotas import Quota
from realtime.signals import STOP_SIGNALS
from realtime.supervisor import Supervisor
from tests.rigs.listening import listening
from tests.rigs.speech_models import model_folder, turn_model

SCRIPTED = Config(host="127.0.0.1", port=0, llm="scripted", stt="scripted", tts="scripted", vad="scripted", turn_model="words")


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """Whoever interrupts the tests wants their report, which the daemon knows nothing of."""
    before = [signal.getsignal(number) for number in STOP_SIGNALS]
    yield
    for number, handler in zip(STOP_SIGNALS, before, strict=True):
        signal.signal(number, handler)


def scripted(**chosen: object) -> Config:
    return structs.replace(SCRIPTED, **chosen)


def test_scripted_engines_are_chosen_when_asked_for_and_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    engines = App(SCRIPTED).engines()
    kinds = (type(engines.llm), type(engines.stt), type(engines.tts), type(engines.detection.vad), type(engines.tool_servers))
    assert kinds == (ScriptedLlm, ScriptedStt, ScriptedTts, ScriptedVad, McpClient)
    assert "language      scripted: as asked" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("config", "line"),
    [
        (
            scripted(llm="auto", openai_base_url="http://localhost:11434/v1", openai_model="llama3"),
            "llama3: at http://localhost:11434/v1, without a key",
        ),
        (scripted(llm="auto", openai_api_key="sk-secret"), "gpt-4o-mini: at https://api.openai.com/v1, with a key"),
        (scripted(llm="endpoint", openai_base_url="http://h/v1", openai_api_key="sk-secret"), "at http://h/v1, with a key"),
    ],
)
def test_an_endpoint_is_used_when_one_is_set_and_its_key_is_never_shown(
    config: Config, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert isinstance(App(config).engines().llm, ChatLlm)
    out = capsys.readouterr().out
    assert line in out
    assert "secret" not in out


@pytest.mark.parametrize(
    ("config", "line"),
    [
        (scripted(stt="auto", stt_base_url="http://ear/v1"), "transcripts   whisper-1: at http://ear/v1, without a key"),
        (scripted(stt="endpoint", openai_api_key="sk-secret"), "transcripts   whisper-1: at https://api.openai.com/v1, with a key"),
        (
            scripted(stt="auto", stt_base_url="http://ear/v1", stt_api_key="sk-secret", stt_model="tiny"),
            "transcripts   tiny: at http://ear/v1, with a key",
        ),
    ],
)
def test_transcripts_come_from_an_endpoint_when_one_is_named(config: Config, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert isinstance(App(config).engines().stt, RemoteStt)
    out = capsys.readouterr().out
    assert line in out
    assert "secret" not in out


@pytest.mark.parametrize(
    ("config", "line"),
    [
        (scripted(tts="auto", tts_base_url="http://voice/v1"), "voice         gpt-4o-mini-tts: at http://voice/v1, without a key"),
        (scripted(tts="endpoint", openai_base_url="http://h/v1"), "voice         gpt-4o-mini-tts: at http://h/v1, without a key"),
        (
            scripted(tts="auto", tts_base_url="http://voice/v1", tts_api_key="sk-secret", tts_model="kokoro"),
            "voice         kokoro: at http://voice/v1, with a key",
        ),
    ],
)
def test_the_voice_comes_from_an_endpoint_when_one_is_named(config: Config, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    app = App(config)
    engines = app.engines()
    assert isinstance(engines.tts, RemoteTts)
    assert app.service(engines).abilities.speech
    out = capsys.readouterr().out
    assert line in out
    assert "secret" not in out


def test_a_chat_endpoint_alone_is_not_sent_what_people_say() -> None:
    with pytest.raises(EngineError, match="no-such-model"):  # the embedded ear's
        App(scripted(stt="auto", openai_base_url="http://h/v1", whisper_model="no-such-model")).engines()


def test_audio_that_is_switched_off_needs_no_endpoint() -> None:
    app = App(scripted(stt="auto", stt_base_url="http://ear/v1", enable_audio_processing=False))
    assert isinstance(app.engines().stt, ScriptedStt)


@pytest.mark.timeout(600)  # The voice may have to be fetched.
@pytest.mark.parametrize("by_path", [False, True])
def test_piper_speaks_with_a_voice_of_the_catalogue_or_a_file(
    by_path: bool, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = model_folder("en_US-joe-medium")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (VOICE_FILE, f"{VOICE_FILE}.json"):
        (tmp_path / name.replace("model", "joe")).symlink_to(folder / name)
    config = scripted(tts="piper", cache_dir=folder.parent, **({"piper_voice": "~/joe.onnx"} if by_path else {}))
    assert isinstance(App(config).engines().tts, Piper)
    assert f"voice         {'joe' if by_path else 'en_US-joe-medium'}: embedded, as asked" in capsys.readouterr().out


def test_a_voice_that_is_not_there_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"nobody\.onnx"):
        App(scripted(tts="piper", piper_voice=str(tmp_path / "nobody.onnx"))).engines()


def test_the_detector_is_silero_unless_a_script_is_asked_for() -> None:
    assert isinstance(App(scripted(vad="auto")).engines().detection.vad, SileroVad)


@pytest.mark.parametrize(("choice", "reason"), [("none", "as asked"), ("auto", "hibari-tts is not installed")])
def test_without_a_voice_sessions_answer_in_text(
    choice: str, reason: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app_module, "find_spec", lambda name: None)
    app = App(scripted(tts=choice))
    engines = app.engines()
    assert engines.tts is None
    assert not app.service(engines).abilities.speech
    assert f"voice         none: {reason}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("native", "abilities", "lines"),
    [
        ("none", (False, False, True), ["with a key\n", "voice         scripted: as asked"]),
        ("input", (True, False, True), ["with a key; it hears\n", "voice         scripted: as asked"]),
        ("output", (False, True, True), ["with a key; it speaks\n", "voice         gpt-audio: its own (REALTIME_NATIVE_AUDIO)"]),
        ("both", (True, True, True), ["with a key; it hears and speaks\n", "voice         gpt-audio: its own (REALTIME_NATIVE_AUDIO)"]),
    ],
)
def test_a_model_that_speaks_needs_no_voice(
    native: str, abilities: tuple[bool, bool, bool], lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    app = App(scripted(llm="auto", openai_api_key="k", openai_model="gpt-audio", native_audio=native))
    engines = app.engines()
    given = app.service(engines).abilities
    assert (given.hears, given.speaks, given.speech) == abilities
    assert (engines.tts is None) == given.speaks
    out = capsys.readouterr().out
    assert all(line in out for line in lines)


async def test_turns_are_judged_by_the_sound_once_the_model_is_here(capsys: pytest.CaptureFixture[str]) -> None:
    folder = turn_model().parent
    for choice, reason in (("auto", "embedded"), ("smart-turn", "embedded, as asked")):
        engines = App(scripted(turn_model=choice, cache_dir=folder.parent)).engines()
        assert isinstance(engines.judge, SmartTurn)
        assert f"  turns         smart-turn-v3.2: {reason}\n" in capsys.readouterr().out
        await app_module._close(engines)
        with pytest.raises(EngineError, match="has been closed"):
            await engines.judge.judge(np.zeros(16_000, np.float32))


@pytest.mark.parametrize(
    ("chosen", "reason"),
    [
        ({"turn_model": "words"}, "as asked"),
        ({"turn_model": "auto"}, "smart-turn-v3.2 has not been fetched (python -m realtime models fetch smart-turn-v3.2)"),
        ({"turn_model": "smart-turn", "enable_audio_processing": False}, "ENABLE_AUDIO_PROCESSING is off"),
    ],
)
def test_turns_are_judged_by_the_words_where_they_have_to_be(
    chosen: dict[str, object], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert App(scripted(cache_dir=tmp_path, **chosen)).engines().judge is None
    assert f"  turns         by the words: {reason}\n" in capsys.readouterr().out


def test_a_turn_model_that_does_not_load_keeps_only_those_who_asked_for_it_from_starting(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "smart-turn-v3.2").mkdir()
    (tmp_path / "smart-turn-v3.2" / "model.onnx").write_bytes(b"not a model")
    assert App(scripted(turn_model="auto", cache_dir=tmp_path)).engines().judge is None
    [line] = [line for line in capsys.readouterr().out.splitlines() if "turns" in line]
    assert "by the words: The turn model" in line
    with pytest.raises(EngineError, match="can't be loaded"):
        App(scripted(turn_model="smart-turn", cache_dir=tmp_path)).engines()


def test_whoever_watches_learns_of_queues_and_endpoints() -> None:
    remote = App(scripted(llm="auto", stt="endpoint", tts="endpoint", openai_base_url="http://h/v1")).engines()
    assert [isinstance(engine, Remote) for engine in (remote.llm, remote.stt, remote.tts, remote.media)] == [True, True, True, False]
    assert isinstance(remote.media, Queueing)
    for kind in (LocalLlm, WhisperStt, LocalVoice, Piper, SmartTurn):
        assert isinstance(kind.waiting, property), kind


def test_switches_and_limits_reach_the_sessions(capsys: pytest.CaptureFixture[str]) -> None:
    limits = {"session_seconds": 60, "sample_rate": 8000, "context_tokens": 4096, "session_audio_mb": 1}
    app = App(scripted(stt="auto", enable_audio_processing=False, enable_image_processing=False, **limits))
    service = app.service(app.engines())
    assert (service.abilities.audio, service.abilities.images, service.abilities.session_seconds) == (False, False, 60)
    assert (service.abilities.context_tokens, service.abilities.audio_bytes) == (4096, 1_048_576)
    assert service.sample_rate == 8000
    assert "ENABLE_AUDIO_PROCESSING is off" in capsys.readouterr().out


def test_files_have_the_limits_that_are_said_to_be_the_defaults() -> None:
    assert getattr(App(scripted())._media(), "_limits") == Limits()  # noqa: B009 - the port does not tell


def test_how_many_may_come_in_and_what_they_may_do_reaches_those_who_count_them() -> None:
    alike = {"key_sessions": 2, "key_new_sessions": 3, "address_sessions": 4, "address_new_sessions": 5}
    each = {"events_per_minute": 6, "audio_per_minute": 7, "requests_per_minute": 8}
    proxies = (ip_network("10.0.0.0/8"),)
    app = App(scripted(max_sessions=1, idle_seconds=9.0, trusted_proxies=proxies, **alike, **each))
    service = app.service(app.engines())
    assert service.bounds == Bounds(
        sessions=1,
        key=Quota(sessions=2, new_sessions=3),
        address=Quota(sessions=4, new_sessions=5),
        session=Quota(events=6, audio=7, requests=8, tokens=0, responses=16),
    )
    assert (service.idle_seconds, service.addresses) == (9.0, Addresses(proxies))
    assert App(scripted()).service(app.engines()).bounds.sessions == 10_000


@pytest.mark.parametrize(("sessions", "part"), [(10, 4), (0, 0), (1, 1)])
def test_a_worker_has_its_part_of_the_machine_and_what_clients_may_have_in_full(sessions: int, part: int, tmp_path: Path) -> None:
    app = App(scripted(workers=3, max_sessions=sessions, key_sessions=2), Supervisor(worker=2, metrics=tmp_path))
    service = app.service(app.engines())
    assert (service.bounds.sessions, service.bounds.key.sessions, service.metrics.shared) == (part, 2, tmp_path)
    assert app._workers._max_workers == max(1, (os.cpu_count() or 1) // 3)


async def test_a_worker_ends_when_its_parent_is_gone(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    ours, theirs = os.pipe()
    with os.fdopen(ours) as standard_input:
        monkeypatch.setattr("sys.stdin", standard_input)
        app = App(SCRIPTED, Supervisor(worker=1))
        serving = asyncio.ensure_future(app._serve(app.engines()))
        await wait_for_line(capsys, "keys")
        os.close(theirs)
        await serving
    assert "listening" not in capsys.readouterr().out  # the parent says that


def test_a_model_that_is_not_there_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="no-such-model"):
        App(scripted(stt="auto", whisper_model="no-such-model", cache_dir=tmp_path)).engines()


async def wait_for_line(capsys: pytest.CaptureFixture[str], part: str) -> str:
    """The first printed line that holds `part`."""
    printed = ""
    while not (found := [line for line in printed.splitlines() if part in line]):
        await asyncio.sleep(0)
        printed += capsys.readouterr().out
    return found[0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_it_in_peace(number: signal.Signals, capsys: pytest.CaptureFixture[str]) -> None:
    app = App(SCRIPTED)
    serving = asyncio.ensure_future(app._serve(app.engines()))
    url = (await wait_for_line(capsys, "listening")).split()[1]
    async with connect(url) as client:
        await client.recv()
        os.kill(os.getpid(), number)
        await serving
        with pytest.raises(ConnectionClosedError, match="1012"):
            await client.recv()


async def test_a_signal_when_all_is_over_ends_the_process(capsys: pytest.CaptureFixture[str]) -> None:
    app = App(scripted())
    serving = asyncio.ensure_future(app._serve(app.engines()))
    await wait_for_line(capsys, "listening")
    os.kill(os.getpid(), signal.SIGTERM)
    await serving
    assert [signal.getsignal(number) for number in STOP_SIGNALS] == [signal.SIG_DFL, signal.SIG_DFL]


async def test_a_second_signal_does_not_wait(capsys: pytest.CaptureFixture[str]) -> None:
    app = App(scripted(grace_seconds=60))
    engines = app.engines()
    assert isinstance(engines.llm, ScriptedLlm)
    engines.llm._answers.append([asyncio.Event().wait])
    serving = asyncio.ensure_future(app._serve(engines))
    url = (await wait_for_line(capsys, "listening")).split()[1]
    async with connect(url) as client:
        await client.send('{"type":"response.create"}')
        while not engines.llm.streaming:
            await client.recv()
        os.kill(os.getpid(), signal.SIGTERM)
        await wait_for_line(capsys, "stopping")
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(asyncio.CancelledError):
            await serving


def test_being_cut_short_is_an_exit_status(monkeypatch: pytest.MonkeyPatch) -> None:
    async def cut(self: App, engines: object, store: object) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(App, "_serve", cut)
    assert App(SCRIPTED).run() == CUT_SHORT


async def test_a_taken_port_is_bad_configuration() -> None:
    async with listening() as (listener, _):
        app = App(scripted(port=listener.port))
        with pytest.raises(ConfigError, match="SERVER_PORT"):
            await app._serve(app.engines())


KEY = "a-long-random-key"


def keys_file(folder: Path, *names: str) -> Path:
    path = folder / "api-keys"
    path.write_text("".join(f"{name}:{hashed(KEY + name).hex()}\n" for name in names))
    return path


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7", "voice.example"])
def test_nobody_else_is_let_in_without_keys_unless_that_is_said(host: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"SERVER_HOST={host}: others than this machine .* --insecure"):
        App(scripted(host=host))
    App(scripted(host=host, insecure=True))
    App(scripted(host=host, api_keys={"phone": KEY}))
    App(scripted(host=host, api_keys_file=keys_file(tmp_path)))


def test_keys_that_can_not_be_read_keep_it_from_starting(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the keys can't be read"):
        App(scripted(api_keys_file=tmp_path / "none"))


def test_a_certificate_that_is_none_keeps_it_from_starting(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="REALTIME_TLS_CERT"):
        App(scripted(tls_cert=keys_file(tmp_path)))


async def started(app: App, capsys: pytest.CaptureFixture[str]) -> str:
    """What it says of keys."""
    serving = asyncio.ensure_future(app._serve(app.engines()))
    line = await wait_for_line(capsys, "  keys ")
    os.kill(os.getpid(), signal.SIGTERM)
    await serving
    return line.removeprefix("  keys").strip()


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({}, "none needed: only this machine comes in"),
        ({"host": "0.0.0.0", "insecure": True}, "NONE NEEDED: anybody may come in, as asked"),
        ({"api_keys": {"phone": KEY, "watch": KEY}}, "2 known, from REALTIME_API_KEYS"),
    ],
)
async def test_it_says_who_may_come_in(chosen: dict[str, object], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert await started(App(scripted(**chosen)), capsys) == said


async def test_it_says_where_the_keys_are_from_and_never_what_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = keys_file(tmp_path, "phone")
    assert await started(App(scripted(api_keys_file=path)), capsys) == f"1 known, from {path}"
    line = await started(App(scripted(api_keys_file=path, api_keys={"watch": KEY})), capsys)
    assert line == f"2 known, from {path} and REALTIME_API_KEYS"


async def test_a_hangup_has_the_keys_read_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    path = keys_file(tmp_path, "phone")
    app = App(scripted(api_keys_file=path))
    serving = asyncio.ensure_future(app._serve(app.engines()))
    await wait_for_line(capsys, "listening")
    keys_file(tmp_path, "phone", "watch")
    os.kill(os.getpid(), signal.SIGHUP)
    assert (await wait_for_line(capsys, "read again")) == f"keys read again: 2 known, from {path}"
    path.write_text(KEY)
    os.kill(os.getpid(), signal.SIGHUP)
    os.kill(os.getpid(), signal.SIGTERM)
    await serving
    assert f"The keys stay as they were: {path}, line 1" in caplog.text
    assert KEY not in caplog.text
    assert app._access.keys == 2


async def test_without_a_file_of_keys_a_hangup_ends_it(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGHUP)
    app = App(scripted(api_keys={"phone": KEY}))
    serving = asyncio.ensure_future(app._serve(app.engines()))
    await wait_for_line(capsys, "listening")
    assert signal.getsignal(signal.SIGHUP) == before
    os.kill(os.getpid(), signal.SIGTERM)
    await serving


@pytest.mark.parametrize(
    ("where", "line"),
    [
        ("ws://[::1]:8001", "  listening     ws://[::1]:8001/v1/realtime (GA, beta), ws://[::1]:8001/ws/realtime (classic)"),
        ("unix:/run/r.sock", "  listening     unix:/run/r.sock /v1/realtime (GA, beta), unix:/run/r.sock /ws/realtime (classic)"),
    ],
)
def test_every_socket_is_shown_with_its_dialects(where: str, line: str) -> None:
    assert app_module.listening(where, given=False) == line
    assert app_module.listening(where, given=True) == f"{line}; socket from the service manager"


@pytest.mark.parametrize(("error", "logged"), [(None, True), (ValueError("a bug"), True), (InvalidUpgrade("Connection"), False)])
def test_a_strangers_bad_handshake_is_no_error_of_ours(error: Exception | None, logged: bool) -> None:
    record = logging.makeLogRecord({"exc_info": (type(error), error, None) if error else None})
    assert app_module._is_ours(record) is logged


def test_traces_need_their_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    assert App(scripted())._tracing is None
    tracing = App(scripted(traces=True))._tracing
    assert tracing is not None
    tracing.close()
    monkeypatch.delitem(sys.modules, "realtime.runner.tracer")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(ConfigError, match=r"REALTIME_TRACES .*realtime-daemon\[otel\]"):
        App(scripted(traces=True))


def test_without_traces_nothing_of_opentelemetry_is_imported() -> None:
    code = "import sys; from realtime.app import App; from realtime.config import load; App(load({}))"
    looks = f"{code}; assert 'opentelemetry' not in sys.modules"
    subprocess.run([sys.executable, "-c", looks], check=True)
