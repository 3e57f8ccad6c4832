"""Those who come: they talk, write, interrupt, send rubbish, stop reading, hang up in every way there is, and come back.

A person keeps account of what it was told. What it was told is a promise.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.uri import parse_uri

from tests.simulation.network import Pipe

if TYPE_CHECKING:
    from tests.simulation.world import World

PATIENCE = 400.0
"""Seconds: every deadline of the daemon's put together is shorter."""

PACE = 16_000
"""Bytes a second. Behind what waits for who reads less, a ping is not answered in time, and a goodbye not heard within five seconds."""

PATHS = {"ga": "/v1/realtime?model=m", "beta": "/v1/realtime?model=m", "classic": "/ws/realtime?x=y"}

LOUD = base64.b64encode(b"\x00\x40" * 2400).decode()
QUIET = base64.b64encode(bytes(4800)).decode()
"""A tenth of a second at 24 kHz."""

RUBBISH = (
    "{", "[]", "\x00", '{"type": "nope"}', '{"type": "response.create", "x": 1}', '{"type": 7}', '{"event_id": "x"}', "null", "a" * 3000,
    '{"type": "input_audio_buffer.append", "audio": "!"}', '{"type": "input_audio_buffer.append", "audio": "QQ=="}',
    '{"type": "conversation.item.create", "item": {"type": "message"}}', '{"type": "session.update", "session": 3}',
)  # fmt: skip
PNG = "data:image/png;base64,iVBORw0KGgo="


class Promises(Struct):
    """What a person was told of one session."""

    items: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    version: int = 0
    """Of its instructions, the newest that was acknowledged."""


class Line(asyncio.Protocol):
    """One connection of a person's."""

    def __init__(self, person: Person, path: str, headers: dict[str, str]) -> None:
        self._person = person
        self._protocol = ClientProtocol(parse_uri(f"ws://daemon{path}"), max_size=None)
        self._headers = headers
        self.pipe: Pipe
        self.changed = asyncio.Event()
        self.status: int | None = None
        """HTTP's, once the handshake is answered."""
        self.lost = False
        self.injured = False
        """The world did something to it, or we did: nobody owes it a goodbye."""
        self.running: set[str] = set()
        self.answered: set[str] = set()
        """Ids of our events that an error has answered."""
        self.session_id: str | None = None
        self.last_event: str | None = None
        self.said: Counter[str] = Counter()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, Pipe)
        self.pipe = transport
        request = self._protocol.connect()
        for name, value in self._headers.items():
            request.headers[name] = value
        self._protocol.send_request(request)
        self._flush()

    def data_received(self, data: bytes) -> None:
        self._protocol.receive_data(data)
        self._take()

    def eof_received(self) -> None:
        self._protocol.receive_eof()
        self._take()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if self._protocol.state is not State.CLOSED and not self._protocol.eof_sent:
            self._protocol.receive_eof()
        self.changed.set()

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...

    def send(self, text: str) -> None:
        if self._protocol.state is State.OPEN and not self.lost:
            self._protocol.send_text(text.encode())
            self._flush()

    def say_goodbye(self) -> None:
        if self._protocol.state is State.OPEN and not self.lost:
            self._protocol.send_close(1000)
            self._flush()

    @property
    def over(self) -> bool:
        return self.lost

    @property
    def close_code(self) -> int | None:
        """That the server gave; None for none."""
        received = self._protocol.close_rcvd
        return None if received is None else int(received.code)

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                if not self.pipe.ending:
                    self.pipe.write(data)
            else:
                self.pipe.close()

    def _take(self) -> None:
        for event in self._protocol.events_received():
            if isinstance(event, Response):
                self.status = event.status_code
            elif isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                self._person.read(self, json.loads(bytes(event.data)))
        if not self.lost:
            self._flush()
        if self._protocol.handshake_exc is not None and self.status is None:
            self.status = 0
        self.changed.set()

    async def until(self, *reached: Any, seconds: float = PATIENCE) -> bool:
        """Wait for one of these conditions; False where time ran out."""
        deadline = self._person.world.loop.time() + seconds
        while not any(condition() for condition in reached):
            self.changed.clear()
            left = deadline - self._person.world.loop.time()
            if left <= 0:
                return False
            try:
                await asyncio.wait_for(self.changed.wait(), left)
            except TimeoutError:
                return False
        return True


class Person:
    """Comes a few times, and does what its dice say."""

    def __init__(self, world: World, name: str, dice: Random) -> None:
        self.world, self.name, self.dice = world, name, dice
        self.dialect = dice.choice(("ga", "ga", "ga", "beta", "classic"))
        self.promises: dict[str, Promises] = {}
        self.lines: list[Line] = []
        self.asked_to_delete: set[str] = set()
        """Of whatever session: an item may be gone before we are told so."""
        self._count = 0
        self._versions = 0
        self._transcribes = self.dialect == "ga" and dice.random() < 0.1
        self._known: list[str] = []

    async def live(self) -> None:
        dice = self.dice
        last: Line | None = None
        for _ in range(dice.choice((1, 1, 2, 3, 4))):
            line = await self._connect(last if dice.random() < 0.8 else None)
            if line is not None:
                if line.status == 101:
                    await self._visit(line)
                    last = line if line.session_id else last
                await self._leave(line)
            await asyncio.sleep(dice.choice((0.0, 0.1, 1.0, 8.0)))

    async def _connect(self, last: Line | None) -> Line | None:
        path, headers = PATHS[self.dialect], {}
        if self._transcribes:
            path = "/v1/realtime?intent=transcription"
        if self.dialect == "beta":
            headers["OpenAI-Beta"] = "realtime=v1"
        if last is not None and last.session_id is not None:
            path += f"&session_id={last.session_id}"
            if last.last_event is not None and self.dice.random() < 0.6:
                path += f"&last_event_id={last.last_event}"
        line = Line(self, path, headers)
        try:
            await self.world.loop.network.connect(lambda: line, self.world.address(), None)
        except ConnectionRefusedError:
            return None
        self.lines.append(line)
        if self.dice.random() < 0.02:
            line.injured = True
            line.pipe.abort()
        if not await line.until(lambda: line.status is not None, lambda: line.over) and not line.injured:
            self.world.failed(f"{self.name}: nobody answered the handshake")
        return line

    async def _visit(self, line: Line) -> None:
        dice = self.dice
        for _ in range(dice.choice((0, 1, 3, 6, 12))):
            if line.over:
                return
            await self._act(line)
            await asyncio.sleep(dice.choice((0.0, 0.0, 0.05, 0.5, 3.0)))

    async def _leave(self, line: Line) -> None:
        """In peace, once all is answered; or not."""
        dice = self.dice
        match dice.choice(("peace", "peace", "peace", "goodbye", "abort", "eof", "silent", "close")):
            case "peace":
                await self._part(line)
            case "goodbye":
                line.say_goodbye()
                await self._over(line)
            case "abort":
                self.world.faults["client aborts"] += 1
                line.injured = True
                line.pipe.abort()
            case "eof":
                if not line.pipe.is_closing():
                    line.pipe.write_eof()
                    line.injured = True
                    await self._over(line)
            case "silent":
                self.world.faults["client vanishes"] += 1
                line.injured = True
                line.pipe.cut()
                await asyncio.sleep(dice.choice((0, 5, 60)))
            case "close":
                line.injured = True
                line.pipe.close()
        line.pipe.resume_reading()
        line.pipe.abort()

    async def _over(self, line: Line) -> None:
        if not await line.until(lambda: line.over) and not line.injured:
            self.world.failed(f"{self.name}: the server did not end the connection")

    async def _part(self, line: Line) -> None:
        """Everything that was asked has an answer, or the connection a reason."""
        line.pipe.resume_reading()
        probe = self._send(line, {"type": "nonsense"})
        done = await line.until(lambda: line.over, lambda: probe in line.answered and not line.running)
        if not done and not line.injured:
            self.world.failed(f"{self.name}: waits for {line.running or probe} for {PATIENCE:g} s")
        if line.over:
            hurried = line.pipe.pace(self.world.slowest) >= PACE
            if line.close_code is None and line.status == 101 and hurried and not line.injured:
                self.world.failed(f"{self.name}: the connection ended without a reason")
            return
        line.say_goodbye()
        await self._over(line)

    # What it does

    async def _act(self, line: Line) -> None:
        dice = self.dice
        actions = (self._write, self._write, self._talk, self._talk, self._respond, self._cancel, self._delete, self._update, self._update)
        others = (self._rubbish, self._audio, self._truncate, self._retrieve, self._image, self._large, self._ping, self._stop_reading)
        await dice.choice(actions if dice.random() < 0.7 else others)(line)

    def _send(self, line: Line, event: dict[str, Any]) -> str:
        self._count += 1
        id = f"{self.name}_{self._count}"
        line.send(json.dumps({"event_id": id, **event}))
        self.world.events["sent"] += 1
        return id

    async def _write(self, line: Line) -> None:
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Well? " * self.dice.randrange(1, 5)}]}
        self._send(line, {"type": "conversation.item.create", "item": item})
        if self.dice.random() < 0.7:
            self._send(line, {"type": "response.create"})

    async def _talk(self, line: Line) -> None:
        dice = self.dice
        pace = dice.choice((0.0, 0.1, 0.1))
        for sound in [LOUD] * dice.randrange(1, 12) + [QUIET] * dice.randrange(2, 12):
            self._send(line, {"type": "input_audio_buffer.append", "audio": sound})
            if pace:
                await asyncio.sleep(pace)

    async def _respond(self, line: Line) -> None:
        wanted: dict[str, Any] = self.dice.choice(({}, {"instructions": "Sing."}, {"conversation": "none"}, {"max_output_tokens": 9}))
        self._send(line, {"type": "response.create", "response": wanted})

    async def _cancel(self, line: Line) -> None:
        await asyncio.sleep(self.dice.expovariate(5))
        self._send(line, {"type": "response.cancel"})

    def _item_id(self) -> str:
        return self.dice.choice(self._known[-8:]) if self._known else "item_none"

    async def _delete(self, line: Line) -> None:
        id = self._item_id()
        self.asked_to_delete.add(id)
        self._send(line, {"type": "conversation.item.delete", "item_id": id})

    async def _truncate(self, line: Line) -> None:
        end = self.dice.choice((0, 100, 2000))
        self._send(line, {"type": "conversation.item.truncate", "item_id": self._item_id(), "content_index": 0, "audio_end_ms": end})

    async def _retrieve(self, line: Line) -> None:
        self._send(line, {"type": "conversation.item.retrieve", "item_id": self._item_id()})

    async def _update(self, line: Line) -> None:
        self._versions += 1
        dice = self.dice
        vad = {"type": "server_vad", "silence_duration_ms": dice.choice((100, 300)), "interrupt_response": dice.random() < 0.7}
        turns = dice.choice((None, vad, vad, {"type": "semantic_vad", "eagerness": "high"}))
        if self._transcribes:
            session: dict[str, Any] = {"type": "transcription", "audio": {"input": {"turn_detection": turns}}}
        elif self.dialect == "ga":
            session = {"type": "realtime", "instructions": f"v{self._versions}", "output_modalities": [dice.choice(("text", "audio"))]}
            session["audio"] = {"input": {"turn_detection": turns}}
            if dice.random() < 0.15:
                approval = dice.choice(("always", "never"))
                server = {"type": "mcp", "server_label": "a", "server_url": "http://tools.example/mcp", "require_approval": approval}
                session["tools"] = [server, {"type": "function", "name": "f"}]
        else:
            session = {
                "instructions": f"v{self._versions}",
                "turn_detection": turns if turns is None or "silence_duration_ms" in turns else vad,
            }
        self._send(line, {"type": "session.update", "session": session})

    async def _rubbish(self, line: Line) -> None:
        line.send(self.dice.choice(RUBBISH))

    async def _audio(self, line: Line) -> None:
        self._send(line, {"type": f"input_audio_buffer.{self.dice.choice(('commit', 'clear'))}"})

    async def _image(self, line: Line) -> None:
        item = {"type": "message", "role": "user", "content": [{"type": "input_image", "image_url": PNG}]}
        self._send(line, {"type": "conversation.item.create", "item": item})

    async def _large(self, line: Line) -> None:
        if self.dice.random() < 0.3:
            line.send('{"type": "session.update", "session": {"instructions": "' + "a" * 1_100_000 + '"}}')

    async def _ping(self, line: Line) -> None:
        line._protocol.send_ping(b"x") if line._protocol.state is State.OPEN and not line.lost else None
        if not line.lost:
            line._flush()

    async def _stop_reading(self, line: Line) -> None:
        seconds = self.dice.choice((1.0, 10.0, 70.0))
        self.world.faults["client stops reading"] += 1
        line.injured = line.injured or seconds > 2  # whoever does not read hears no goodbye, and answers no pings
        line.pipe.pause_reading()
        await asyncio.sleep(seconds)
        line.pipe.resume_reading()

    # What it is told

    def _promises(self, line: Line) -> Promises:
        assert line.session_id is not None
        return self.promises.setdefault(line.session_id, Promises())

    def read(self, line: Line, event: dict[str, Any]) -> None:
        world, type = self.world, event["type"]
        world.events["received"] += 1
        line.said[type] += 1
        if type not in ("error",) or line.session_id is not None:
            line.last_event = event.get("event_id")
        match type:
            case "session.created" | "transcription_session.created":
                line.session_id = event["session"]["id"]
            case "response.created":
                if event["response"]["id"] in line.running:
                    world.failed(f"{self.name}: a response began twice")
                line.running.add(event["response"]["id"])
            case "response.done":
                if event["response"]["id"] not in line.running and line.said["session.created"] == 1 and not self.resumed(line):
                    world.failed(f"{self.name}: response.done without response.created")
                line.running.discard(event["response"]["id"])
            case "error":
                line.answered.add(str((event.get("error") or {}).get("event_id")))
                self._check_error(event)
            case _:
                self._note(line, event)

    def resumed(self, line: Line) -> bool:
        return line is not self.lines[0]

    def _check_error(self, event: dict[str, Any]) -> None:
        if (event.get("error") or {}).get("code") == "internal_error" and not self.world.raised:
            self.world.failed(f"{self.name}: an internal error")

    def _note(self, line: Line, event: dict[str, Any]) -> None:
        promises, item = self._promises(line), event.get("item") or {}
        match event["type"]:
            case "conversation.item.done":
                self._known.append(item["id"])
                promises.items.add(item["id"])
            case "conversation.item.created" if self.dialect != "ga" and item.get("status") == "completed":
                self._known.append(item["id"])
                promises.items.add(item["id"])
            case "conversation.item.deleted":
                promises.deleted.add(event["item_id"])
                promises.items.discard(event["item_id"])
            case "session.updated":
                said = event["session"].get("instructions") or ""
                if said.startswith("v"):
                    promises.version = int(said[1:])
