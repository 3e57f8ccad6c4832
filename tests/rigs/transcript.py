"""Conversations as text: what came in, what went out, one line each, so that a person can read what the session does.

    # why it is worth keeping; comments and blank lines stand before the line that they are about
    @ dialect       of the client, in the first line that counts: beta or classic; else it is GA
    & transcription the session only transcribes (PROTOCOL 2.7)
    ^ {..}          what the server can do, where that is not everything (`session.abilities`)
    = {..}          what the session starts with, as a `session.update` of GA writes it
    > {..}          a frame of the client (or any text at all: it need not be JSON)
    ~ Name {..}     an outcome (`session.inputs`)
    + seconds       the clock moves; the session is told when its deadline has come
    < {..}          an event to the client, without its `event_id`
    ! Name {..}     an effect that is no event (`session.effects`)

Outputs stand after the input that caused them. A conversation that does not begin with `~ Opened {}` has been opened already.

What a `Generate` asks for only of models that hear, speak or think is left out where it is not asked for.

Audio is written as `@120ms` (silence) or `@120ms:NAME` (a sound that is told from others by its name), and as `@300ms+@120ms:NAME` for one
after the other; what is no whole number of milliseconds as `@7samples:NAME`. `@3bytes:NAME` takes no heed of samples.
"""

from __future__ import annotations

import base64
import difflib
import json
import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, get_args

import msgspec
from msgspec.structs import replace

from realtime.errors import ClientError
from realtime.session import inputs
from realtime.session.abilities import Abilities
from realtime.session.effects import Effect, Generate, Read, Send
from realtime.session.ids import CountedIds
from realtime.session.inputs import Happening
from realtime.session.intake import Intake
from realtime.session.machine import Session
from realtime.session.updates import updated
from realtime.wire.beta import BetaCodec
from realtime.wire.classic import ClassicCodec
from realtime.wire.codec import Codec, GaCodec
from realtime.wire.settings import (
    AnySettings,
    AudioFormat,
    PcmaFormat,
    PcmFormat,
    PcmuFormat,
    Settings,
    SettingsPatch,
    Transcription,
    TranscriptionAudio,
    TranscriptionSettings,
    TranscriptionSettingsPatch,
    sample_rate,
    sample_width,
)

HEADS = ("@", "&", "^", "=")
INPUTS = (">", "~", "+")
OUTPUTS = ("<", "!")

START = Settings(id="sess_1", model="any", instructions="Be brief.", expires_at=3600)
"""What a session begins with where a transcript does not say."""

_RUN = re.compile(r"@(?P<count>\d+)(?P<unit>ms|samples|bytes)(?::(?P<name>[a-z]+))?")

_SILENCE = {PcmFormat: 0, PcmuFormat: 0xFF, PcmaFormat: 0xD5}
"""The byte of no sound: G.711 puts it on the line with bits inverted."""

CODECS: dict[str, Codec] = {"@ ga": GaCodec(), "@ beta": BetaCodec(), "@ classic": ClassicCodec(16_000)}

_patch = msgspec.json.Decoder(SettingsPatch | TranscriptionSettingsPatch)


class Sounds:
    """The names of sounds: each is one byte, over and over, numbered as they come."""

    def __init__(self) -> None:
        self._names: list[str] = []

    def audio(self, notation: str, format: AudioFormat) -> bytes:
        return b"".join(self._run(run, format) for run in notation.split("+"))

    def _run(self, notation: str, format: AudioFormat) -> bytes:
        run = _RUN.fullmatch(notation)
        if run is None:
            raise ValueError(f"not a sound: {notation}")
        count, width = int(run["count"]), sample_width(format)
        size = {"ms": count * sample_rate(format) // 1000 * width, "samples": count * width, "bytes": count}
        return bytes([self._mark(run["name"], format)]) * size[run["unit"]]

    def _mark(self, name: str | None, format: AudioFormat) -> int:
        if name is None:
            return _SILENCE[type(format)]
        if name not in self._names:
            self._names.append(name)
        return self._names.index(name) + 1

    def notation(self, audio: bytes, format: AudioFormat) -> str:
        runs = [(mark, len(list(same))) for mark, same in groupby(audio)]
        return "+".join(self._written(mark, size, format) for mark, size in runs) or "@0ms"

    def _written(self, mark: int, size: int, format: AudioFormat) -> str:
        samples, odd = divmod(size, sample_width(format))
        ms, rest = divmod(samples * 1000, sample_rate(format))
        length = f"{size}bytes" if odd else f"{samples}samples" if rest else f"{ms}ms"
        return f"@{length}" if mark == _SILENCE[type(format)] else f"@{length}:{self._names[mark - 1]}"


class Transcript:
    """One file, and what the session makes of it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines = path.read_text(encoding="utf-8").splitlines()
        self._sounds = Sounds()
        self._now = 0.0

    def difference(self) -> str:
        """A diff of the whole conversation; empty where the session did as written."""
        played = list(self.play())
        lines = difflib.unified_diff(self._lines, played, f"{self._path.name} as written", "as played", n=len(self._lines), lineterm="")
        return "\n".join(lines)

    def rewrite(self) -> None:
        """Have the file say what the session does now, for a person to review."""
        self._lines = list(self.play())
        self._path.write_text("".join(f"{line}\n" for line in self._lines), encoding="utf-8")

    def play(self) -> Iterator[str]:
        """Every line, with the outputs as they are now."""
        self._sounds, self._now = Sounds(), 0.0
        script = [line for line in self._lines if not line.startswith(OUTPUTS)]
        self._session = self._start(script)
        for line in script:
            yield line
            if line.startswith(INPUTS):
                yield from self._taken(line)

    def _start(self, script: list[str]) -> Session:
        said = [line for line in script if line.startswith(HEADS + INPUTS)]
        dialect = said.pop(0) if said and said[0].startswith("@") else "@ ga"
        self._codec = CODECS[dialect]
        transcribes = bool(said) and said[0] == "& transcription"
        if transcribes:
            said.pop(0)
        abilities = Abilities()
        if said and said[0].startswith("^"):
            abilities = msgspec.json.decode(said.pop(0)[1:], type=Abilities)
        settings = self._beginning(transcribes)
        if said and said[0].startswith("="):
            kind = "transcription" if transcribes else "realtime"
            patch = _patch.decode(json.dumps({"type": kind, **json.loads(said.pop(0)[1:])}))
            settings = updated(settings, patch, abilities, spoken=False)
        ids = CountedIds()
        session = Session(settings, ids, abilities)
        self._intake = Intake(ids, abilities)
        if not said or said[0] != "~ Opened {}":
            session.receive(inputs.Opened(), now=0.0)
        return session

    def _beginning(self, transcribes: bool) -> AnySettings:
        if not transcribes:
            return replace(START, audio=self._codec.audio)
        heard = replace(self._codec.audio.input, transcription=Transcription())
        return TranscriptionSettings(id="sess_1", expires_at=3600, audio=TranscriptionAudio(heard))

    def _taken(self, line: str) -> Iterator[str]:
        posted = self._read(line[0], line[1:].strip())
        session, format = self._session, self._session.settings.audio.input.format
        for input in [] if posted is None else self._intake.take(posted, format, now=self._now):
            for effect in session.receive(input, now=self._now):
                yield from self._shown(effect)
        for effect in self._intake.effects():
            yield from self._shown(effect)

    # Reading

    def _read(self, sign: str, text: str) -> Happening | None:
        if sign == "+":
            return self._wait(float(text))
        return self._frame(text) if sign == ">" else self._outcome(*text.split(" ", 1))

    def _wait(self, seconds: float) -> Happening | None:
        self._now += seconds
        deadline = self._session.deadline()
        return inputs.TimePassed() if deadline is not None and self._now >= deadline else None

    def _frame(self, text: str) -> Happening:
        try:
            event = json.loads(text)
        except ValueError:
            frame = text
        else:
            frame = json.dumps(self._sounding(event, self._session.settings.audio.input.format))
        try:
            return self._codec.decode(frame)
        except ClientError as error:
            return inputs.FrameRefused(error)

    def _outcome(self, name: str, body: str) -> Happening:
        read = PcmFormat(sample_rate(self._session.settings.audio.input.format))
        fields = self._sounding(json.loads(body), read if name == "FileRead" else self._output_format)
        kind = next(cls for cls in get_args(Happening) if cls.__name__ == name)
        outcome: Happening = msgspec.convert({"type": name, **fields}, kind)
        return outcome

    def _sounding(self, value: Any, format: AudioFormat) -> Any:
        """With every sound in base64."""
        match value:
            case dict():
                return {key: self._sounding(each, format) for key, each in value.items()}
            case list():
                return [self._sounding(each, format) for each in value]
            case str() if _RUN.match(value):
                return base64.b64encode(self._sounds.audio(value, format)).decode()
            case _:
                return value

    # Writing

    def _shown(self, effect: Effect) -> Iterator[str]:
        if isinstance(effect, Send):
            for frame in self._codec.encode(effect.event, effect.answers):
                event = json.loads(frame)
                del event["event_id"]
                yield f"< {json.dumps(self._event(event), ensure_ascii=False)}"
            return
        # A file is written as it was in the event, in base64; sounds stay bytes, to be written by their names.
        fields = msgspec.json.decode(msgspec.json.encode(effect)) if isinstance(effect, Read) else _fields(effect)
        name = fields.pop("type")
        if "audio" in fields:
            fields["audio"] = self._sounds.notation(fields["audio"], getattr(effect, "format"))  # noqa: B009 - not every effect has one
        if isinstance(effect, Generate):
            self._tidy(fields, effect)
        yield f"! {name} {json.dumps(fields, ensure_ascii=False)}"

    @property
    def _output_format(self) -> AudioFormat:
        settings = self._session.settings
        return settings.audio.output.format if isinstance(settings, Settings) else PcmFormat()

    def _tidy(self, fields: dict[str, Any], effect: Generate) -> None:
        """Leave out what nobody asks for, and name the sounds."""
        asked = fields["request"]
        for place, name in ((fields, "format"), (fields, "speculative"), (asked, "voice"), (asked, "effort"), (asked, "sounds")):
            if not place[name]:
                del place[name]
        for shown, sound in zip(asked.get("sounds", ()), effect.request.sounds, strict=False):
            shown["audio"] = self._sounds.notation(sound.audio, sound.format)

    def _event(self, event: dict[str, Any]) -> dict[str, Any]:
        input = self._session.settings.audio.input
        if event["type"] in ("response.output_audio.delta", "response.audio.delta"):
            event["delta"] = self._sounds.notation(base64.b64decode(event["delta"]), self._output_format)
        for part in event.get("item", {}).get("content", []):
            if "audio" in part:
                format = input.format if part["type"] == "input_audio" else self._output_format
                part["audio"] = self._sounds.notation(base64.b64decode(part["audio"]), format)
        return event


def _fields(effect: Effect) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(effect, builtin_types=(bytes,))
    return fields
