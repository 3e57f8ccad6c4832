"""The composition root: the only file that names concrete engines and id sources, and says why each was chosen."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from websockets.exceptions import InvalidHandshake

from realtime import logs, storage
from realtime.config import Address, Config
from realtime.engines import models
from realtime.engines.mcp_client import McpClient
from realtime.engines.media_reader import ProcessReader
from realtime.errors import ConfigError, EngineError
from realtime.media.limits import MEBIBYTE, Limits
from realtime.metrics import Metrics
from realtime.options import OPENAI_URL
from realtime.ports import Llm, MediaReader, Store, Stt, Tts, TurnJudge, Vad
from realtime.runner.detection import Detection
from realtime.runner.perform import Engines
from realtime.runner.recorder import Disk
from realtime.server import keys, tls
from realtime.server.access import Access
from realtime.server.addresses import Addresses
from realtime.server.client_secrets import ClientSecrets
from realtime.server.crowd import Bounds
from realtime.server.http import CLASSIC_PATH, STANDARD_PATH
from realtime.server.ids import RandomIds
from realtime.server.listener import Listener
from realtime.server.notify import Notifier
from realtime.server.origins import Origins, is_loopback
from realtime.server.quotas import Quota
from realtime.server.service import Service
from realtime.server.sockets import inherited, is_local
from realtime.session.abilities import Abilities
from realtime.signals import on_hangup, stop_signal
from realtime.supervisor import Supervisor

if TYPE_CHECKING:
    from realtime.engines.endpoint import Timeouts
    from realtime.runner.tracer import Tracing

LOCAL_LLM = "smollm2-135m-instruct"
"""Name in the catalogue of the embedded language model."""

TURN_MODEL = "smart-turn-v3.2"
"""Name in the catalogue of the model that judges turns."""

CUT_SHORT = 1
"""Exit status when a second signal did not let anybody finish."""

CLOSING_SECONDS = 30
"""That we ask of the service manager beyond the grace period. Half-made handshakes and goodbyes take 15 at the most, the end of the engines
hardly any."""

log = logging.getLogger(__name__)


class App:
    """The daemon, from its settings to its end."""

    def __init__(self, config: Config, supervisor: Supervisor | None = None) -> None:
        """`supervisor`: the service manager, where one has started us. Raises `ConfigError`."""
        self._config = config
        self._supervisor = supervisor or Supervisor()
        self._sockets = inherited(self._supervisor.sockets)
        self._loopback = all(map(is_local, self._sockets)) if self._sockets else is_loopback(config.host)
        where = "LISTEN_FDS" if self._sockets else f"SERVER_HOST={config.host}"
        self._access = _access(config, where, loopback=self._loopback)
        self._tls = None if config.tls_cert is None else tls.context(config.tls_cert, config.tls_key)
        self._cores = max(1, (os.cpu_count() or 1) // config.workers)
        """Our part of the machine's: so many threads each model has."""
        self._tracing = _tracing(config)
        self._recordings = None if config.record_dir is None else _disk(config.record_dir)
        self._workers = ThreadPoolExecutor(self._cores, thread_name_prefix="worker")

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT; returns the exit status. Raises `ConfigError`, and `EngineError` where a model can't be had."""
        _log(self._config)
        if not self._supervisor.worker:
            _say(f"realtime {version('realtime-daemon')}")
        store, engines = storage.store(self._config), self.engines()
        try:
            run(self._serve(engines, store))
        except asyncio.CancelledError:
            return CUT_SHORT
        return 0

    def engines(self) -> Engines:
        """Load what the settings ask for; blocking, and slow where a model has to be fetched."""
        return Engines(
            llm=self._llm(),
            stt=self._stt(),
            tts=self._tts(),
            detection=Detection(self._vad(), self._workers, self._cores),
            judge=self._judge(),
            tool_servers=McpClient(),
            media=self._media(),
            workers=self._workers,
        )

    def service(self, engines: Engines, store: Store | None = None) -> Service:
        """What sessions are made with."""
        config = self._config
        abilities = Abilities(
            speech=engines.tts is not None or config.speaks,
            hears=config.hears,
            speaks=config.speaks,
            audio=config.enable_audio_processing,
            images=config.enable_image_processing,
            videos=config.enable_video_processing,
            sees=engines.llm.sees,
            judges=engines.judge is not None,
            speculation=config.speculates,
            interruption_ms=config.interruption_ms,
            session_seconds=config.session_seconds,
            context_tokens=config.context_tokens,
            audio_bytes=config.session_audio_mb * MEBIBYTE,
            image_bytes=config.session_image_mb * MEBIBYTE,
            media_bytes=config.max_media_bytes,
            camera_fps=config.camera_fps,
            camera_frames=config.camera_frames,
            mcp_urls=config.mcp_urls,
        )
        return Service(
            engines=engines,
            abilities=abilities,
            sample_rate=config.sample_rate,
            new_ids=RandomIds,
            access=self._access,
            latency=config.latency_ms / 1000,
            log_content=config.log_content,
            metrics=Metrics(self._supervisor.metrics),
            bounds=_bounds(config),
            addresses=Addresses(config.trusted_proxies or ()),
            idle_seconds=config.idle_seconds,
            store=store,
            stores_secrets=config.store_key is not None,
            resume_seconds=config.resume_seconds,
            tracing=self._tracing,
            recordings=self._recordings,
        )

    async def _serve(self, engines: Engines, store: Store | None = None) -> None:
        config, supervisor = self._config, self._supervisor
        await self._open(store)
        listener = Listener(
            self.service(engines, store),
            host=config.host,
            port=config.port,
            grace_seconds=config.grace_seconds,
            tls=self._tls,
            sockets=self._sockets,
            shared=bool(supervisor.worker),
        )
        # Elsewhere a hangup is what it always was: the terminal is gone, and so is the daemon.
        hangup = on_hangup(self._read_keys_again) if config.api_keys_file else nullcontext()
        with stop_signal() as stop, hangup, Notifier(supervisor.notify_socket, supervisor.watchdog_seconds) as manager:
            try:
                if supervisor.worker:
                    _end_with_parent(stop)
                async with listener:
                    _say(f"  {'keys':13} {self._who_may()}")
                    if not supervisor.worker:  # else the parent says so, once all listen
                        for where in listener.addresses:
                            _say(listening(where, given=bool(self._sockets)))
                            if "://" in where:
                                _say(f"  {'in a browser':13} {where.replace('ws', 'http', 1)}/")
                    gc.freeze()  # what is here now stays: full rounds of the collector, in which everybody waits, need not look through it
                    manager.ready(f"listening on {', '.join(listener.addresses)}")
                    await stop.wait()
                    if not supervisor.worker:
                        _say("stopping: running answers may end")
                    manager.stopping("running answers may end", config.grace_seconds + CLOSING_SECONDS)
            finally:
                await _close(engines)
                if store is not None:
                    await store.close()
                if self._tracing is not None:
                    await asyncio.to_thread(self._tracing.close)
                if self._recordings is not None:
                    await asyncio.to_thread(self._recordings.close)
                self._workers.shutdown(wait=False, cancel_futures=True)

    async def _open(self, store: Store | None) -> None:
        """Raises `StoreError`: who asked for a memory is not served without one."""
        config = self._config
        if store is None:
            _say(f"  {'memory':13} none, as asked: sessions end with their connections")
            return
        await store.open()
        sealed = "encrypted" if config.store_key else "not encrypted (REALTIME_STORE_KEY)"
        _say(f"  {'memory':13} {store.name}: sessions are kept for {_days(config.keep_seconds)}, {sealed}")

    def _read_keys_again(self) -> None:
        """Those who are in stay. What can't be read changes nothing: better the old keys than nobody's."""
        try:
            self._access.reload()
        except ConfigError as error:
            log.error("The keys stay as they were: %s", error)
        else:
            _say(f"keys read again: {self._who_may()}")

    def _who_may(self) -> str:
        config, count = self._config, self._access.keys
        if count is None:
            return "none needed: only this machine comes in" if self._loopback else "NONE NEEDED: anybody may come in, as asked"
        sources = [str(config.api_keys_file)] if config.api_keys_file else []
        return f"{count} known, from {' and '.join(sources + ['REALTIME_API_KEYS'] * bool(config.api_keys))}"

    # Engines. Each says what it is and why.

    def _llm(self) -> Llm:
        config = self._config
        if config.llm == "scripted":
            from realtime.engines.scripted import ScriptedLlm

            return _chosen("language", ScriptedLlm(), "as asked: it only echoes")
        if config.asks_endpoint:
            return self._endpoint_llm(config.endpoint or OPENAI_URL)
        from realtime.engines.local_llm import LocalLlm

        reason = "embedded, as asked" if config.llm == "local" else "embedded: neither OPENAI_BASE_URL nor OPENAI_API_KEY is set"
        return _chosen("language", LocalLlm.load(self._fetched(LOCAL_LLM), workers=self._cores), reason)

    def _endpoint_llm(self, url: str) -> Llm:
        from realtime.engines.chat import ChatLlm, Timeouts

        config = self._config
        timeouts = Timeouts(connect=config.connect_seconds, first_token=config.first_token_seconds, between_tokens=config.token_seconds)
        llm = ChatLlm(url, config.openai_api_key, config.openai_model, timeouts=timeouts, speaks=config.speaks)
        native = {"none": "", "input": "; it hears", "output": "; it speaks", "both": "; it hears and speaks"}[config.native_audio]
        return _chosen("language", llm, _at(Address(url, config.openai_api_key)) + native)

    def _stt(self) -> Stt:
        config = self._config
        if config.stt == "scripted" or not config.enable_audio_processing:
            from realtime.engines.scripted import ScriptedStt

            off = "ENABLE_AUDIO_PROCESSING is off"
            return _chosen("transcripts", ScriptedStt(), "as asked: it makes them up" if config.stt == "scripted" else off)
        if config.stt_engine == "endpoint":
            from realtime.engines.remote_stt import RemoteStt

            address, timeouts = _given(config.stt_address), self._speech_timeouts()
            return _chosen("transcripts", RemoteStt(address.url, address.api_key, config.stt_model, timeouts=timeouts), _at(address))
        from realtime.engines.whisper import WhisperStt

        name = config.whisper_model
        return _chosen("transcripts", WhisperStt.load(self._fetched(name), name, workers=self._cores), "embedded")

    def _tts(self) -> Tts | None:
        choice = self._config.tts_engine
        if self._config.speaks:
            _say(f"  {'voice':13} {self._config.openai_model}: its own (REALTIME_NATIVE_AUDIO)")
            return None
        if choice == "scripted":
            from realtime.engines.scripted import ScriptedTts

            return _chosen("voice", ScriptedTts(), "as asked: it only hums")
        if choice == "endpoint":
            return self._endpoint_tts(_given(self._config.tts_address))
        if choice == "piper":
            return self._piper(self._config.piper_voice)
        if choice == "none" or (choice == "auto" and find_spec("hibari") is None):
            reason = "as asked" if choice == "none" else "hibari-tts is not installed (extra: local)"
            _say(f"  {'voice':13} none: {reason}; answers are text")
            return None
        from realtime.engines.local_voice import LocalVoice

        return _chosen("voice", LocalVoice.load(workers=self._cores), "embedded")

    def _endpoint_tts(self, address: Address) -> Tts:
        from realtime.engines.remote_tts import RemoteTts

        config, timeouts = self._config, self._speech_timeouts()
        voice = RemoteTts(
            address.url,
            address.api_key,
            config.tts_model,
            timeouts=timeouts,
            voices=config.voices,
            sample_rate=config.tts_sample_rate,
        )
        return _chosen("voice", voice, _at(address))

    def _piper(self, name: str) -> Tts:
        from realtime.engines.piper import Piper

        # Path.expanduser raises for a home that it can't find.
        file = self._fetched(name) / models.VOICE_FILE if name in models.VOICES else Path(os.path.expanduser(name))
        voice = Piper.load(file, Path(name).stem, voices=self._config.voices, workers=self._cores)
        return _chosen("voice", voice, "embedded, as asked; GPL-3.0")

    def _speech_timeouts(self) -> Timeouts:
        from realtime.engines.endpoint import Timeouts

        seconds = self._config.speech_seconds
        return Timeouts(connect=self._config.connect_seconds, first_token=seconds, between_tokens=seconds)

    def _vad(self) -> Vad:
        if self._config.vad == "scripted":
            from realtime.engines.scripted import ScriptedVad

            return ScriptedVad()
        from realtime.engines.silero import SileroVad

        return SileroVad()

    def _judge(self) -> TurnJudge | None:
        """Under `auto` nothing about it keeps the server from starting, and nothing is fetched."""
        config = self._config
        if config.turn_model == "words":
            reason = "as asked"
        elif not config.enable_audio_processing:
            reason = "ENABLE_AUDIO_PROCESSING is off"
        elif config.turn_model == "auto" and models.locate(TURN_MODEL, config.cache_dir) is None:
            reason = f"{TURN_MODEL} has not been fetched (python -m realtime models fetch {TURN_MODEL})"
        else:
            try:
                return self._smart_turn()
            except EngineError as error:
                if config.turn_model != "auto":
                    raise
                reason = error.message
        _say(f"  {'turns':13} by the words: {reason}")
        return None

    def _smart_turn(self) -> TurnJudge:
        from realtime.engines.smart_turn import SmartTurn

        file = self._fetched(TURN_MODEL) / models.CATALOGUE[TURN_MODEL].main
        return _chosen("turns", SmartTurn.load(file), "embedded, as asked" if self._config.turn_model == "smart-turn" else "embedded")

    def _media(self) -> MediaReader:
        config = self._config
        limits = Limits(
            media_bytes=config.max_media_bytes,
            image_pixels=config.max_image_pixels,
            image_side=config.image_side,
            low_image_side=config.low_image_side,
            audio_seconds=config.max_audio_seconds,
            video_seconds=config.max_video_seconds,
            video_frames=config.video_frames,
        )
        memory, count = config.max_media_memory_mb * MEBIBYTE, max(2, self._cores)  # two: see ProcessReader
        return ProcessReader(limits, seconds=config.max_media_seconds, memory=memory, count=count)

    def _fetched(self, name: str) -> Path:
        """The folder of a model, fetched first if it is not here."""
        with models.terminal_progress() as progress:
            return models.fetch(name, self._config.cache_dir, progress)


E = TypeVar("E", Llm, Stt, Tts, TurnJudge)


def _chosen(role: str, engine: E, reason: str) -> E:
    _say(f"  {role:13} {engine.name}: {reason}")
    return engine


def _tracing(config: Config) -> Tracing | None:
    """Raises `ConfigError` where spans are asked for that can't be made. Nothing of OpenTelemetry is imported unless they are."""
    if not config.traces:
        return None
    try:
        from realtime.runner.tracer import Tracing
    except ModuleNotFoundError as error:
        message = "REALTIME_TRACES (or --traces): needs OpenTelemetry. Install the extra: pip install 'realtime-daemon[otel]'"
        raise ConfigError(message) from error
    return Tracing(words=config.log_content)


def _access(config: Config, where: str, *, loopback: bool) -> Access:
    """`loopback`: nobody but this machine reaches us. Raises `ConfigError` where strangers could come in, and nobody said that they may."""
    keyed = bool(config.api_keys_file or config.api_keys)
    if not (keyed or loopback or config.insecure):
        raise ConfigError(
            f"{where}: others than this machine could use the server without a key. "
            "Make keys (python -m realtime keys new NAME) and name their file in REALTIME_API_KEYS_FILE, or say --insecure"
        )
    read = partial(keys.read, config.api_keys_file, config.api_keys) if keyed else None
    origins = Origins(allowed=config.allowed_origins or frozenset(), loopback=loopback, keys=keyed)
    return Access(read, ClientSecrets(config.signing_secret), origins)


def _disk(folder: Path) -> Disk:
    try:
        return Disk(folder)
    except OSError as error:
        raise ConfigError(f"REALTIME_RECORD_DIR={folder}: can't be made: {error.strerror}") from error


def _bounds(config: Config) -> Bounds:
    """Of this worker: its part of the sessions in all, rounded up; else all that is set. A client may come to any worker, and must not be
    refused what it may have."""
    return Bounds(
        sessions=-(-config.max_sessions // config.workers),
        key=Quota(sessions=config.key_sessions, new_sessions=config.key_new_sessions),
        address=Quota(sessions=config.address_sessions, new_sessions=config.address_new_sessions),
        session=Quota(
            events=config.events_per_minute,
            audio=config.audio_per_minute,
            requests=config.requests_per_minute,
            tokens=config.tokens_per_minute,
            responses=config.session_responses,
        ),
    )


def _at(address: Address) -> str:
    return f"at {address.url}, {'with' if address.api_key else 'without'} a key"


def _given(address: Address | None) -> Address:
    """The address of an endpoint that was chosen: `config.load` has seen to it that there is one."""
    return address or Address(OPENAI_URL, None)


def run(main: Coroutine[Any, Any, None]) -> None:
    """On uvloop where it is installed (extra: fast)."""
    if find_spec("uvloop") is None:
        asyncio.run(main)
    else:
        import uvloop

        uvloop.run(main)


def _days(seconds: int) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds % length == 0:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def _say(line: str) -> None:
    print(line, flush=True)


def listening(where: str, *, given: bool) -> str:
    """`given`: by the service manager, so that SERVER_HOST and SERVER_PORT don't count."""
    prefix = where if "://" in where else f"{where} "
    line = f"  {'listening':13} {prefix}{STANDARD_PATH} (GA, beta), {prefix}{CLASSIC_PATH} (classic)"
    return line + ("; socket from the service manager" if given else "")


def _log(config: Config) -> None:
    logs.start(config.log_level, config.log_format)
    # Logs, with its traceback, what a client's tool server does wrong; the client is told of it.
    logging.getLogger("mcp").setLevel(logging.CRITICAL)
    logging.getLogger("websockets.server").addFilter(_is_ours)


def _is_ours(record: logging.LogRecord) -> bool:
    """Does it concern who runs this? Before version 17, websockets logs a stranger's bad handshake as an error, with its traceback."""
    return not (record.exc_info and isinstance(record.exc_info[1], InvalidHandshake))


def _end_with_parent(stop: asyncio.Event) -> None:
    """Its end of our standard input is closed when it is gone, however it went."""
    loop = asyncio.get_running_loop()

    def gone() -> None:
        loop.remove_reader(sys.stdin)
        stop.set()

    loop.add_reader(sys.stdin, gone)


async def _close(engines: Engines) -> None:
    for engine in (engines.llm, engines.stt, engines.tts, engines.judge, engines.tool_servers, engines.media):
        if engine is not None:
            await engine.close()
