"""What is chosen for which settings, and why; the whole daemon is tried in tests/e2e."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidUpgrade

import realtime.app as app_module
from realtime.app import CUT_SHORT, App
from realtime.config import Config
from realtime.engines.chat import ChatLlm
from realtime.engines.mcp_client import McpClient
from realtime.engines.scripted import ScriptedLlm, ScriptedStt, ScriptedTts, ScriptedVad
from realtime.engines.silero import SileroVad
from realtime.errors import ConfigError, EngineError
from tests.rigs.listening import listening

SCRIPTED = Config(host="127.0.0.1", port=0, llm="scripted", stt="scripted", tts="scripted", vad="scripted")


def scripted(**chosen: object) -> Config:
    return Config(**{"host": "127.0.0.1", "port": 0, "llm": "scripted", "stt": "scripted", "tts": "scripted", "vad": "scripted", **chosen})  # type: ignore[arg-type]  # any of its fields, by name


def test_scripted_engines_are_chosen_when_asked_for_and_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    engines = App(SCRIPTED).engines()
    kinds = (type(engines.llm), type(engines.stt), type(engines.tts), type(engines.vad), type(engines.tool_servers))
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


def test_the_detector_is_silero_unless_a_script_is_asked_for() -> None:
    assert isinstance(App(scripted(vad="auto")).engines().vad, SileroVad)


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


def test_switches_and_limits_reach_the_sessions(capsys: pytest.CaptureFixture[str]) -> None:
    app = App(scripted(stt="auto", enable_audio_processing=False, enable_image_processing=False, session_seconds=60, sample_rate=8000))
    service = app.service(app.engines())
    assert (service.abilities.audio, service.abilities.images, service.abilities.session_seconds) == (False, False, 60)
    assert service.sample_rate == 8000
    assert "ENABLE_AUDIO_PROCESSING is off" in capsys.readouterr().out


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
        assert [frame async for frame in client] == []
        assert client.close_code == 1001


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
    async def cut(self: App, engines: object) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(App, "_serve", cut)
    assert App(SCRIPTED).run() == CUT_SHORT


async def test_a_taken_port_is_bad_configuration() -> None:
    async with listening() as (listener, _):
        app = App(scripted(port=listener.port))
        with pytest.raises(ConfigError, match="SERVER_PORT"):
            await app._serve(app.engines())


def test_a_literal_ipv6_host_is_shown_in_brackets() -> None:
    assert app_module._url_host("::1") == "[::1]"
    assert app_module._url_host("localhost") == "localhost"


@pytest.mark.parametrize(("error", "logged"), [(None, True), (ValueError("a bug"), True), (InvalidUpgrade("Connection"), False)])
def test_a_strangers_bad_handshake_is_no_error_of_ours(error: Exception | None, logged: bool) -> None:
    record = logging.makeLogRecord({"exc_info": (type(error), error, None) if error else None})
    assert app_module._is_ours(record) is logged
