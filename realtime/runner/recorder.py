"""A session written down as it happens, so that it can be run again: a bug report that is a test.

Lines as those of the tests' transcripts: `#` what the session began with, `+` seconds that passed, `>` an event of the client's, `~` any
other input, `%` the ids that were drawn, `<` an event that the client was sent, `!` any other effect. `realtime.replay` reads them.

Another `#` says that the recording was cut, or that the session broke on the input before it. A tool server's secrets are written as other
words, the same for the same secret: by them a session knows whether it was given another key.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET, Struct
from msgspec.structs import replace

from realtime.session.abilities import Abilities
from realtime.session.effects import CallTool, Effect, ListTools, Send
from realtime.session.ids import Ids
from realtime.session.inputs import FrameRefused, Input
from realtime.wire import client
from realtime.wire.mcp import McpTool, without_secrets
from realtime.wire.settings import PCM_RATE, AnySettings, Patch, PcmFormat, Settings, SettingsPatch, Tool

log = logging.getLogger(__name__)

VERSION = 1

MAX_BYTES = 256 * 1024 * 1024
"""Of one recording: an hour of speech both ways. Beyond it the file says that it was cut."""

MAX_WAITING = 32 * 1024 * 1024
"""Bytes that wait for the disk, of all sessions: beyond it a recording is cut."""

CUT = b'# {"cut":true}\n'

BROKE = b'# {"broke":true}'
"""A bug of ours: the session had no answer to the input, and was closed."""

_encode = msgspec.json.Encoder().encode


class Beginning(Struct, kw_only=True):
    """The first line."""

    version: int = VERSION
    abilities: Abilities
    records: dict[str, bytes]
    """Of the session as it is stored (`session.journal`)."""
    resumed: bool
    """Did it go on with what they say? Else it began, with their settings."""
    pcm_rate: int = PCM_RATE
    """Samples a second of whatever is PCM in the client's events, by its dialect; it is written with the wire's own rate."""
    ids: list[str] = []
    """Drawn before the first input."""


NOT_THE_SESSIONS = {"sess", "file"}
"""Kinds of ids that are drawn before it, and by the intake."""


class NotedIds:
    """Implements `Ids`: those of another, noted as far as the session itself draws them."""

    def __init__(self, ids: Ids) -> None:
        self._ids = ids
        self._drawn: list[str] = []

    def new(self, kind: str) -> str:
        id = self._ids.new(kind)
        if kind not in NOT_THE_SESSIONS:
            self._drawn.append(id)
        return id

    def take(self) -> list[str]:
        drawn, self._drawn = self._drawn, []
        return drawn


class Disk:
    """Where recordings go: one thread writes for all sessions."""

    def __init__(self, folder: Path) -> None:
        """The folder is made where it is not there, for the eyes of this user alone. Raises `OSError`."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder = folder
        self._numbers = count(1)
        self._waiting: deque[tuple[Path, bytes]] = deque()
        self._size = 0
        self._wake = threading.Condition()
        self._closed = False
        self._broken: set[Path] = set()
        self._thread = threading.Thread(target=self._work, name="recordings", daemon=True)
        self._thread.start()

    def path(self, session_id: str) -> Path:
        """Of a new file: a session that is resumed has several."""
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        return self.folder / f"{stamp}-{os.getpid()}-{next(self._numbers)}-{session_id}.jsonl"

    def put(self, path: Path, lines: bytes, *, anyway: bool = False) -> bool:
        """False where the disk is too far behind; then nothing is taken, unless `anyway`."""
        with self._wake:
            if self._size + len(lines) > MAX_WAITING and not anyway:
                return False
            self._size += len(lines)
            self._waiting.append((path, lines))
            self._wake.notify()
        return True

    def close(self) -> None:
        """Write what waits."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: bool(self._waiting) or self._closed)
                waiting, self._waiting, self._size = self._waiting, deque(), 0
            if not waiting:
                return
            together: dict[Path, list[bytes]] = {}
            for path, lines in waiting:
                together.setdefault(path, []).append(lines)
            for path, pieces in together.items():
                self._write(path, b"".join(pieces))

    def _write(self, path: Path, lines: bytes) -> None:
        if path in self._broken:
            return
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            with open(descriptor, "ab") as file:
                file.write(lines)
        except OSError as error:
            self._broken.add(path)
            log.error("The recording %s ends here: %s", path, error.strerror)


class Aliases:
    """Other words for the secrets of one session's tool servers."""

    def __init__(self) -> None:
        self._words: dict[str, str] = {}

    def of(self, secret: str) -> str:
        """The same for the same. Nothing can be learned from it, not even a length."""
        return self._words.setdefault(secret, f"secret-{len(self._words) + 1}") if secret else secret

    def settings(self, settings: AnySettings) -> AnySettings:
        return replace(settings, tools=self._tools(settings.tools)) if isinstance(settings, Settings) else settings

    def input(self, input: Any) -> Any:
        """The same event, whose tool servers have other words for keys."""
        if isinstance(input, client.SessionUpdate) and isinstance(input.session, SettingsPatch) and input.session.tools is not UNSET:
            return replace(input, session=replace(input.session, tools=self._tools(input.session.tools)))
        if isinstance(input, client.ResponseCreate) and input.response is not None and input.response.tools is not UNSET:
            return replace(input, response=replace(input.response, tools=self._tools(input.response.tools)))
        return input

    def _tools(self, tools: tuple[Tool, ...]) -> tuple[Tool, ...]:
        return tuple(self._tool(tool) if isinstance(tool, McpTool) else tool for tool in tools)

    def _tool(self, tool: McpTool) -> McpTool:
        token, headers = tool.authorization, tool.headers
        return replace(
            tool,
            authorization=self.of(token) if token else token,
            headers={name: self.of(value) for name, value in headers.items()} if headers else headers,
        )


class Recorder:
    """Of one session."""

    def __init__(self, disk: Disk, session_id: str, ids: NotedIds, beginning: Beginning, aliases: Aliases) -> None:
        """`aliases`: those that `beginning` was written with."""
        self.path = disk.path(session_id)
        self._disk = disk
        self._ids = ids
        self._aliases = aliases
        self._at = 0.0
        """As a reader of the file counts; so the first `+` is what our clock said, and the sum is exact whenever it is read."""
        self._size = 0
        self._pending = b""
        beginning.ids = ids.take()
        self._put(b"# " + _encode(beginning) + b"\n")

    def heard(self, input: Input, now: float) -> None:
        """Before the session gets it: it keeps items, and changes them."""
        passed = now - self._at
        self._at += passed
        sign = b">" if isinstance(input, client.ClientEventBase) else b"~"
        self._pending = b"+ %r\n" % passed if passed else b""
        self._pending += sign + b" " + written(self._aliases.input(input)) + b"\n"

    def did(self, effects: list[Effect]) -> None:
        """After it."""
        self._end([told(effect) for effect in effects])

    def broke(self) -> None:
        """Instead: this input is what somebody will want to know."""
        self._end([BROKE])

    def _end(self, lines: list[bytes]) -> None:
        if ids := self._ids.take():
            lines.insert(0, b"% " + _encode(ids))
        self._put(self._pending + b"".join(line + b"\n" for line in lines))

    def _put(self, lines: bytes) -> None:
        if self._size > MAX_BYTES:
            return
        self._size += len(lines)
        if self._size > MAX_BYTES or not self._disk.put(self.path, lines):
            self._size = MAX_BYTES + 1
            self._disk.put(self.path, CUT, anyway=True)
            log.warning("The recording %s is cut: it is too large, or the disk is too slow", self.path)


def written(input: Input) -> bytes:
    """An input as a line has it: JSON."""
    if isinstance(input, FrameRefused):
        error = input.error
        fields = {name: getattr(error, name) for name in ("code", "message", "param", "event_id", "type")}
        return _encode({"type": "FrameRefused", "error": fields})
    return _encode(at_rate(input, PCM_RATE))


def told(effect: Effect) -> bytes:
    """An effect as a line has it."""
    if isinstance(effect, Send):
        answers = b"" if effect.answers is None else b" " + _encode(effect.answers)
        return b"< " + _encode(effect.event) + answers
    if isinstance(effect, ListTools | CallTool):
        effect = replace(effect, server=without_secrets(effect.server))
    return b"! " + _encode(effect)


def at_rate(value: Any, rate: int) -> Any:
    """An event with that rate wherever it names PCM: in patches of settings, and in the wishes for a response."""
    if isinstance(value, PcmFormat):
        return PcmFormat(rate)
    if not isinstance(value, client.SessionUpdate | client.ResponseCreate | Patch | client.ResponseParams | _AUDIO):
        return value
    changed = {}
    for name in ("session", "response", "audio", "input", "output", "format"):
        old = getattr(value, name, UNSET)
        if isinstance(old, Struct) and (new := at_rate(old, rate)) is not old:
            changed[name] = new
    return replace(value, **changed) if changed else value


_AUDIO = client.ResponseAudio | client.ResponseAudioOutput
