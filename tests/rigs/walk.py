"""A walk through the session that nobody planned: a client, engines and a clock do what the dice say, in any order, late and twice.

Two sessions take every input, and must do the same; the referee judges the first, and a reader of each dialect its frames. One seed is one
walk.
"""

from __future__ import annotations

import base64
import json
from collections import Counter, deque
from random import Random
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import replace

from realtime.errors import CONTEXT_LENGTH_EXCEEDED, ClientError
from realtime.media import wav
from realtime.media.readings import Clip, Frame, Picture, Samples, WantedClip, WantedPicture, WantedSound
from realtime.ports import TokenUsage
from realtime.session import inputs
from realtime.session.abilities import Abilities
from realtime.session.effects import Abandon, CallTool, Detect, Effect, Forgo, Generate, Judge, ListTools, Read, Send, Speak, Transcribe
from realtime.session.ids import CountedIds
from realtime.session.inputs import Happening
from realtime.session.intake import Intake
from realtime.session.machine import Session
from realtime.session.turns import WINDOW_MS
from realtime.wire.beta import BetaCodec
from realtime.wire.classic import ClassicCodec
from realtime.wire.codec import Codec, GaCodec
from realtime.wire.items import ListedTool
from realtime.wire.server import ErrorInfo, ResponseDone
from realtime.wire.settings import (
    PCM_RATE,
    AnySettings,
    Modality,
    Settings,
    Transcription,
    TranscriptionAudio,
    TranscriptionSettings,
    sample_rate,
    sample_width,
)
from tests.rigs.reader import Reader
from tests.rigs.referee import Referee
from tests.rigs.shadow import Shadow

SESSION_SECONDS = 150.0
"""Short, so that a walk sees sessions end: a few hundred steps of half a second."""

AFTER_CLOSE = 5
"""Steps that are still tried on a closed session."""

MANY_ITEMS = 20
"""From here on the client tidies up, so that long walks stay fast."""

CODECS: tuple[Codec, ...] = (GaCodec(), BetaCodec(), ClassicCodec(PCM_RATE), ClassicCodec(16_000))

TEXTS = ("Hello", ", world", ". ", " It is 3.14", "!\n", " and so on, and on, and on", "。", " Dr. Who?", "a" * 100)
HEARD = ("", "Hello.", "What is this?", "What is", "What is the", "Hello, hello,")
TOOLS = (ListedTool("add", {"type": "object"}), ListedTool("disk.wipe", {"type": "object"}, None, {"readOnlyHint": True}))
SERVERS: tuple[dict[str, Any], ...] = tuple(
    {"type": "mcp", "server_label": label, "server_url": "http://tools.example/mcp", "authorization": "hush", "require_approval": approval}
    for label in ("a", "b")
    for approval in ("always", "never", "never")
)
FUNCTION: dict[str, Any] = {"type": "function", "name": "f"}
OOPS = ErrorInfo(type="server_error", code="oops", message="Oops.", param="none")

TOO_LONG = ErrorInfo(code=CONTEXT_LENGTH_EXCEEDED, message="Too long.")

PICTURE = Picture(b"\xff\xd8\xff", 640, 480, "PNG")
PNG = "data:image/png;base64,iVBORw0KGgo="
WAV = base64.b64encode(wav.write(np.zeros(240, np.int16), PCM_RATE)).decode()

Job = Generate | Speak | Transcribe | Judge | Detect | Read | ListTools | CallTool

_encode = msgspec.json.Encoder().encode


def walk(seed: int, steps: int) -> Counter[str]:
    """Take so many steps; returns how often each thing was seen. What fails names the seed and the step."""
    dice, seen = Random(seed), Counter[str]()
    life = Life(dice, seen)
    for step in range(steps):
        try:
            if life.over:
                life = Life(dice, seen)
            life.step()
        except Exception as error:
            error.add_note(f"seed {seed}, step {step}, after {list(life.recent)}")
            raise
    return seen


class Life:
    """One session, from its opening to a little after its end."""

    def __init__(self, dice: Random, seen: Counter[str]) -> None:
        self._dice, self._seen = dice, seen
        self.recent: deque[str | Happening] = deque(maxlen=6)
        self._now = dice.uniform(0, 1000)
        speaks = dice.random() < 0.4
        foresees = dice.random() < 0.3
        """Much is said, and answered before it is over."""
        abilities = Abilities(
            speech=speaks or dice.random() < 0.9,
            hears=not foresees and dice.random() < 0.4,
            speaks=speaks,
            audio=dice.random() < 0.9,
            images=dice.random() < 0.8,
            videos=dice.random() < 0.8,
            sees=dice.random() < 0.7,
            image_bytes=dice.choice([0, 200, 100_000_000]),
            camera_frames=dice.choice([1, 2, 12]),
            judges=dice.random() < 0.7,
            speculation="respond" if foresees else dice.choice(["off", "transcribe", "respond"]),
            interruption_ms=dice.choice([32, 96]),
            session_seconds=SESSION_SECONDS,
            context_tokens=dice.choice([0, 0, 40, 200]),
            audio_bytes=dice.choice([0, 20_000, 100_000_000]),
        )
        settings = _beginning(dice, abilities)
        sources = [CountedIds() for _ in range(2)]
        self._session, self._twin = (Session(settings, ids, abilities) for ids in sources)
        self._intake, self._twin_intake = (Intake(ids, abilities) for ids in sources)
        self._referee = Referee(self._session)
        self._shadow, self._abilities = Shadow(self._session), abilities
        # A rate that only classic knows is nothing for the others.
        self._readers = [Reader(codec) for codec in CODECS if codec.audio.input.format == settings.audio.input.format]
        self._engines = Engines(dice)
        self._client = Client(dice, self._referee, says=100 if foresees else 14)
        self._left = AFTER_CLOSE
        self._give(inputs.Opened())

    @property
    def over(self) -> bool:
        return self._left == 0

    def step(self) -> None:
        self._left -= self._referee.closed
        if self._dice.random() < 0.02:
            self._shadow.compare()
            self._seen.update(f"resumed{name}" for name in self._shadow.resume(self._abilities))
        self._now += self._dice.expovariate(2)
        due = self._session.deadline()
        if due is not None and self._now >= due:
            self._give(inputs.TimePassed() if self._dice.random() < 0.9 else inputs.ServerStopping())
        elif self._dice.random() < 0.01:
            self._give(inputs.TimePassed())
        elif self._dice.random() < 0.65 and (outcome := self._engines.outcome()) is not None:
            self._give(outcome)
        else:
            self._give(self._client.frame())

    def _give(self, what: str | Happening) -> None:
        self.recent.append(what[:300] if isinstance(what, str) else what)
        format = self._session.settings.audio.input.format
        told = self._intake.take(self._read(what), format, now=self._now)
        twins = self._twin_intake.take(self._read(what), format, now=self._now)
        for input, twin in zip(told, twins, strict=True):
            effects = self._session.receive(input, now=self._now)
            assert _encode(effects) == _encode(self._twin.receive(twin, now=self._now)), "same inputs, same effects"
            self._referee.judge(input, effects)
            self._shadow.follow(effects)
            self._do(effects)
        effects = self._intake.effects()
        assert _encode(effects) == _encode(self._twin_intake.effects()), "same inputs, same effects"
        self._do(effects)

    def _do(self, effects: list[Effect]) -> None:
        for effect in effects:
            self._note(effect)
        self._engines.take(effects)

    def _read(self, what: str | Happening) -> Happening:
        """An input of its own for each session: sessions keep items, and change them."""
        if not isinstance(what, str):
            return what
        try:
            return CODECS[0].decode(what)
        except ClientError as error:
            return inputs.FrameRefused(error)

    def _note(self, effect: Effect) -> None:
        if not isinstance(effect, Send):
            self._seen[type(effect).__name__] += 1
            if isinstance(effect, Generate):
                self._seen["foreseen"] += effect.speculative
                self._seen.update(["heard"] * bool(effect.request.sounds) + ["speaks"] * bool(effect.format))
            return
        event = effect.event
        for reader in self._readers:
            reader.read(event, effect.answers)
        self._seen[type(event).__name__] += 1
        if isinstance(event, ResponseDone):
            ga, *others = (reader.answered.pop(event.response.id) for reader in self._readers)
            assert all(answered == ga for answered in others), "the same answer in every dialect"
            self._seen[event.response.status] += 1


def _beginning(dice: Random, abilities: Abilities) -> AnySettings:
    audio = dice.choice(CODECS).audio
    if dice.random() < 0.2:
        return TranscriptionSettings(
            id="sess_1", expires_at=0, audio=TranscriptionAudio(replace(audio.input, transcription=Transcription()))
        )
    modalities: tuple[Modality, ...] = ("audio",) if abilities.speech else ("text",)
    return Settings(id="sess_1", model="any", expires_at=0, output_modalities=modalities, audio=audio)


class Engines:
    """Does what the session asked for, in any order; sometimes goes on with what it was to abandon, and repeats itself."""

    def __init__(self, dice: Random) -> None:
        self._dice = dice
        self._jobs: list[Job] = []
        self._past: deque[Happening] = deque(maxlen=30)
        self._unscored: Counter[int] = Counter()
        """Microseconds of audio of each epoch that make no whole window yet."""
        self._speech = False
        self._calls: Counter[str] = Counter()
        """Tool calls of each response."""

    def take(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Abandon | Forgo):
                id = effect.id if isinstance(effect, Abandon) else effect.response_id
                self._jobs = [job for job in self._jobs if _serves(job) != id or self._dice.random() < 0.3]
            elif isinstance(effect, Job):
                self._jobs.append(effect)

    def outcome(self) -> Happening | None:
        if self._past and self._dice.random() < 0.05:
            return self._dice.choice(self._past)
        if not self._jobs:
            return None
        # What is done while a turn lasts has little time, or nobody would see it end well.
        urgent = [job for job in self._jobs if isinstance(job, Transcribe | Generate) and _is_urgent(job)]
        job = self._dice.choice(urgent if urgent and self._dice.random() < 0.6 else self._jobs)
        outcome, ended = self._work(job)
        if ended:
            self._jobs = [other for other in self._jobs if other is not job]
        if outcome is not None:
            self._past.append(outcome)
        return outcome

    def _work(self, job: Job) -> tuple[Happening | None, bool]:
        """What comes of a job now, and whether that is the end of it."""
        dice = self._dice.random()
        match job:
            case Generate(response_id=id):
                if job.format is not None and self._dice.random() < 0.3:
                    return inputs.SpeechGenerated(id, self._dice.randbytes(480)), False
                if dice < 0.5:
                    return inputs.TextGenerated(id, self._dice.choice(TEXTS)), False
                if dice < 0.7:
                    return self._call(job), False
                reason: Any = self._dice.choices(["stop", "length", "content_filter"], [6, 1, 1])[0]
                if dice < 0.94:
                    return inputs.GenerationFinished(id, reason, self._dice.choice([None, TokenUsage(300, 7)])), True
                return inputs.ResponseBroke(id, OOPS if dice < 0.96 else TOO_LONG), True
            case Speak(response_id=id, clause=clause):
                if dice < 0.5:
                    return inputs.ClauseSounded(id, clause, self._dice.randbytes(480)), False
                return (inputs.ClauseSpoken(id, clause) if dice < 0.97 else inputs.ResponseBroke(id, OOPS)), True
            case Transcribe(item_id=id, content_index=index, attempt=attempt):
                text = self._dice.choice(HEARD)
                if dice < 0.25:
                    return inputs.TranscriptionBroke(id, index, OOPS, attempt), True
                return inputs.SpeechTranscribed(id, index, text, 0.5, attempt, self._dice.choice([None, 0.1, 0.9]), -0.5), True
            case Judge(item_id=id, attempt=attempt):
                return inputs.TurnJudged(id, attempt, self._dice.choice([None, 0.1, 0.9])), True
            case Read(id=id, index=index):
                return (inputs.FileRead(id, index, self._reading(job)) if dice < 0.9 else inputs.FileBroke(id, index, OOPS)), True
            case ListTools(item_id=id):
                return (inputs.ToolsListed(id, TOOLS) if dice < 0.8 else inputs.ToolListingBroke(id, OOPS)), True
            case CallTool(item_id=id):
                return (inputs.ToolReturned(id, "It is done.") if dice < 0.7 else inputs.ToolBroke(id, OOPS)), True
            case Detect(epoch=epoch):
                return (self._scored(job) if dice < 0.98 else inputs.DetectionFailed(epoch, OOPS)), True

    def _reading(self, job: Read) -> Picture | Samples | Clip:
        match job.wanted:
            case WantedPicture():
                return PICTURE
            case WantedSound():
                return Samples(self._dice.randbytes(480))
            case WantedClip(rate=rate):
                frames = tuple(Frame(1000 * number, PICTURE) for number in range(self._dice.randrange(1, 4)))
                return Clip(3000, frames, self._dice.choice([None, b"", self._dice.randbytes(480)]) if rate else None, "MP4")

    def _call(self, job: Generate) -> Happening:
        """A tool call begins, or goes on."""
        response_id = job.response_id
        begun = self._calls[response_id]
        if not begun or self._dice.random() < 0.2:
            self._calls[response_id] += 1
            offered = [tool.name for tool in job.request.tools if tool.name != "f"]
            name = self._dice.choice(offered) if offered and self._dice.random() < 0.8 else "f"
            return inputs.CallGenerated(response_id, begun, name, self._dice.choice(["", f"call_of_{response_id}_{begun}"]))
        return inputs.ArgumentsGenerated(response_id, self._dice.randrange(begun), self._dice.choice(['{"a":', "{}", " "]))

    def _scored(self, job: Detect) -> Happening | None:
        self._unscored[job.epoch] += len(job.audio) // sample_width(job.format) * 1_000_000 // sample_rate(job.format)
        windows, self._unscored[job.epoch] = divmod(self._unscored[job.epoch], WINDOW_MS * 1000)
        return inputs.SpeechScored(job.epoch, [self._score() for _ in range(windows)]) if windows else None

    def _score(self) -> float:
        self._speech ^= self._dice.random() < 0.15
        return self._dice.uniform(0.5, 1) if self._speech else self._dice.uniform(0, 0.6)


def _is_urgent(job: Transcribe | Generate) -> bool:
    return job.partial if isinstance(job, Transcribe) else job.speculative


def _serves(job: Job) -> str:
    if isinstance(job, Read):
        return job.id
    return job.item_id if isinstance(job, Transcribe | Judge | ListTools | CallTool) else "" if isinstance(job, Detect) else job.response_id


class Client:
    """Says what clients say, and some of what they should not."""

    def __init__(self, dice: Random, referee: Referee, *, says: int) -> None:
        """`says`: how often it speaks, as a weight."""
        self._dice = dice
        self._referee = referee
        self._says = says
        self._count = 0

    def frame(self) -> str:
        says = {
            self._append: self._says,
            self._commit: 3,
            self._clear: 1,
            self._look: 3,
            self._create: 3,
            self._approve: 3 if self._referee.asked else 1,
            self._retrieve: 1,
            self._delete: 12 if len(self._referee.order) > MANY_ITEMS else 1,
            self._truncate: 4,
            self._respond: 40 if self._referee.calling else 6,
            self._cancel: 2,
            self._update: 3,
            self._nonsense: 1,
        }
        event = self._dice.choices(list(says), list(says.values()))[0]()
        if isinstance(event, dict) and self._dice.random() < 0.3:
            event["event_id"] = "mine"
        return event if isinstance(event, str) else json.dumps(event)

    def _audio(self, size: int) -> str:
        return base64.b64encode(self._dice.randbytes(size)).decode()

    def _item_id(self) -> str:
        return self._dice.choice([*self._referee.order, self._referee.turn or "root", "nobody"])

    def _append(self) -> Any:
        return {"type": "input_audio_buffer.append", "audio": self._audio(self._dice.randrange(9600))}

    def _commit(self) -> Any:
        return {"type": "input_audio_buffer.commit"}

    def _clear(self) -> Any:
        return {"type": "input_audio_buffer.clear"}

    def _look(self) -> Any:
        return {"type": "input_image_buffer.append", "image": PNG}

    def _create(self) -> Any:
        event: dict[str, Any] = {"type": "conversation.item.create", "item": self._item()}
        if self._dice.random() < 0.5:
            event["previous_item_id"] = self._dice.choice([None, "", "root", self._item_id()])
        return event

    def _approve(self) -> Any:
        id = self._dice.choice([*sorted(self._referee.asked), "nobody"])
        item: dict[str, Any] = {"type": "mcp_approval_response", "approval_request_id": id, "approve": self._dice.random() < 0.8}
        return {"type": "conversation.item.create", "item": item}

    def _tools(self) -> list[dict[str, Any]]:
        return self._dice.sample([FUNCTION, *SERVERS], self._dice.randrange(1, 5))

    def _item(self) -> dict[str, Any]:
        items: list[dict[str, Any]] = [
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi."}]},
            {"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": self._audio(960)} for _ in range(2)]},
            {"type": "message", "role": "user", "content": [{"type": "input_image", "image_url": PNG}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "What?"}, {"type": "image", "image": PNG}]},
            {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_audio", "audio": WAV}, {"type": "input_image", "image_url": PNG}],
            },
            {"type": "message", "role": "user", "content": [{"type": "video", "video": "AAAA"}]},
            {"type": "message", "role": "system", "content": [{"type": "input_image", "image_url": PNG}]},
            {"type": "message", "role": "assistant", "content": [{"type": "output_audio", "transcript": "Hello."}]},
            {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "call_1"},
            {"type": "function_call_output", "call_id": "call_1", "output": "4"},
            {"type": "message", "role": "system", "content": []},
            {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "Be kind."}]},
            {"type": "mcp_call", "server_label": "a", "name": "add", "arguments": "{}", "output": "4"},
            {"type": "mcp_approval_request", "server_label": "a", "name": "add", "arguments": "{}"},
            {"type": "mcp_list_tools", "server_label": "a", "tools": []},
        ]
        item = self._dice.choice(items)
        self._count += 1
        id = self._dice.choice([None, f"mine_{self._count}", self._item_id()])
        return item if id is None else {**item, "id": id}

    def _retrieve(self) -> Any:
        return {"type": "conversation.item.retrieve", "item_id": self._item_id()}

    def _delete(self) -> Any:
        return {"type": "conversation.item.delete", "item_id": self._item_id()}

    def _truncate(self) -> Any:
        end = self._dice.choice([0, 5, 10, 20, 100])
        ids = [opened.id for run in self._referee.running.values() for opened in run.items] or [self._item_id()]
        id = self._dice.choice([*ids, self._item_id()])
        return {"type": "conversation.item.truncate", "item_id": id, "content_index": 0, "audio_end_ms": end}

    def _respond(self) -> Any:
        event: dict[str, Any] = {"type": "response.create"}
        if self._dice.random() < 0.6:
            event["response"] = self._params()
        return event

    def _params(self) -> dict[str, Any]:
        every: dict[str, Any] = {
            "output_modalities": self._dice.choice([["text"], ["audio"], []]),
            "conversation": "none",
            "instructions": self._dice.choice([None, "Sing."]),
            "metadata": {"k": "v"},
            "max_output_tokens": 7,
            "temperature": 0.5,
            "audio": {"output": self._dice.choice([{"voice": "ash"}, {"voice": {"id": "x"}}, {"format": {"type": "audio/pcma"}}])},
            "tools": self._tools(),
            "tool_choice": self._dice.choice(["required", {"type": "function", "name": "f"}, {"type": "mcp", "server_label": "a"}]),
            "input": [self._item(), {"type": "item_reference", "id": self._item_id()}][: self._dice.randrange(3)],
        }
        return {name: value for name, value in every.items() if self._dice.random() < 0.3}

    def _cancel(self) -> Any:
        id = self._dice.choice([None, "resp_none", *self._referee.running])
        return {"type": "response.cancel", "response_id": id}

    def _update(self) -> Any:
        vad = {
            "type": "server_vad",
            "silence_duration_ms": self._dice.choice([0, 100, 300, 1000]),
            "create_response": self._dice.random() < 0.7,
            "interrupt_response": self._dice.random() < 0.6,
            "idle_timeout_ms": self._dice.choice([None, 5000]),
        }
        semantic = {"type": "semantic_vad", "eagerness": self._dice.choice(["high", "low"])}
        input: dict[str, Any] = {
            "turn_detection": self._dice.choice([None, vad, vad, semantic, semantic]),
            "transcription": self._dice.choice([None, {"model": "whisper-1", "language": "en"}, {"model": "gpt-realtime-whisper"}]),
            "format": {"type": self._dice.choice(["audio/pcm", "audio/pcmu", "audio/pcma"])},
        }
        session: dict[str, Any] = {
            "instructions": self._dice.choice(["Talk.", ""]),
            "output_modalities": self._dice.choice([["text"], ["audio"], ["text", "audio"]]),
            "audio": {
                "input": {name: value for name, value in input.items() if self._dice.random() < 0.5},
                "output": {"voice": self._dice.choice(["alloy", "ash"]), "speed": self._dice.choice([0.5, 1.0])},
            },
            "max_output_tokens": self._dice.choice(["inf", 10]),
            "prompt": None,
            "include": self._dice.choice([None, ["item.input_audio_transcription.logprobs"]]),
            "truncation": self._dice.choice(["auto", "disabled", {"type": "retention_ratio", "retention_ratio": 0.5}]),
            "tools": self._tools(),
        }
        named = {name: value for name, value in session.items() if self._dice.random() < 0.5}
        transcribes = isinstance(self._referee.settings, TranscriptionSettings) ^ (self._dice.random() < 0.1)
        if transcribes:
            heard = {"audio": {"input": named["audio"]["input"]}} if "audio" in named else {}
            named = heard | {name: value for name, value in named.items() if name == "include"}
        return {"type": "session.update", "session": {"type": "transcription" if transcribes else "realtime", **named}}

    def _nonsense(self) -> Any:
        return self._dice.choice(
            ["{", "[]", '{"type": "nope"}', '{"type": "output_audio_buffer.clear"}', '{"type": "response.create", "x": 1}']
        )
