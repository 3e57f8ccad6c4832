"""What clients do to a daemon that should not: each as a function that does it to the end, for the tests and for bench/abuse.py.

Nobody here waits for a time: an abuser is done when the daemon has got rid of it, or when it has done all that it wanted.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from base64 import b64encode
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.rigs.raw_socket import CONTINUATION, PING, TEXT, frame, handshake

TEXT_ONLY = {"type": "response.create", "response": {"output_modalities": ["text"]}}
VOICE = b64encode(bytes(960) + b"\x00\x40\x00\xc0" * 12_000).decode()
"""A second of sound, PCM16 at 24 kHz, that the scripted detector takes for speech."""
PAUSE = b64encode(bytes(48_000)).decode()
LONG = b64encode(bytes(5_000_000)).decode()
"""So much sound that an item with it makes a frame of nearly 7 MB."""

Abuse = Callable[[int], Awaitable[Counter[str]]]
"""Does it to the daemon at a port; what came of it, counted."""


async def raw(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port)


async def opened(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Behind the handshake."""
    reader, writer = await raw(port)
    writer.write(handshake())
    await reader.readuntil(b"\r\n\r\n")
    return reader, writer


async def slow_handshakes(port: int, count: int = 200) -> Counter[str]:
    """So many connections, each of which stops at another byte of its handshake, and waits until it is cut off."""

    async def one(number: int) -> str:
        reader, writer = await raw(port)
        writer.write(handshake()[: number % len(handshake())])
        with suppress(ConnectionError):
            await reader.read()
        writer.close()
        return "cut off"

    return Counter(await asyncio.gather(*map(one, range(count))))


async def half_open(port: int, count: int = 200) -> Counter[str]:
    """Sessions whose clients have gone without a word: half of them with a reset, half by closing their sending side."""
    for number in range(count):
        reader, writer = await opened(port)
        if number % 2:
            writer.write_eof()
            with suppress(ConnectionError):
                await reader.read()
        else:
            peer: socket.socket = writer.get_extra_info("socket")
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.close()
    return Counter({"gone": count})


async def storm(port: int, count: int = 1_000, at_once: int = 20) -> Counter[str]:
    """So many clients that come, look and go, as fast as they are let in."""
    places, seen = asyncio.Semaphore(at_once), Counter[str]()

    async def one() -> None:
        async with places:
            try:
                async with connect(f"ws://127.0.0.1:{port}/v1/realtime", proxy=None, compression=None) as client:
                    await client.recv()
                    seen["let in"] += 1
            except InvalidStatus as error:
                seen[f"HTTP {error.response.status_code}"] += 1

    await asyncio.gather(*(one() for _ in range(count)))
    return seen


async def pings(port: int, count: int = 100_000) -> Counter[str]:
    """So many of the smallest frames there are, as fast as they go, and all of their pongs."""
    reader, writer = await opened(port)
    last = asyncio.ensure_future(_until(reader, b"\x8a\x03end"))
    for _ in range(count // 1_000):
        writer.write(frame(PING) * 1_000)
        await writer.drain()
    writer.write(frame(PING, b"end"))
    await last
    writer.close()
    return Counter({"answered": count})


async def _until(reader: asyncio.StreamReader, end: bytes) -> None:
    told = b""
    while end not in told:
        more = await reader.read(1 << 16)
        assert more, "the daemon goes on"
        told = told[-len(end) :] + more


async def unread_pongs(port: int, megabytes: float = 100) -> Counter[str]:
    """Pings as long as they may be, by a client that reads nothing, until it is dropped."""
    _, writer = await opened(port)
    sent = 0
    try:
        while sent < megabytes * 1e6:
            writer.write(frame(PING, bytes(125)) * 1_000)
            sent += 131_000
            await writer.drain()
    except ConnectionError:
        return Counter({"dropped": 1})
    finally:
        writer.close()
    return Counter({"never dropped": 1})


async def crumbs(port: int, count: int = 100_000) -> Counter[str]:
    """One message in so many fragments of a byte, until it is answered."""
    reader, writer = await opened(port)
    writer.write(frame(TEXT, b"[", fin=False))
    piece = frame(CONTINUATION, b" ", fin=False) * 1_000
    for _ in range(count // 1_000):
        writer.write(piece)
        await writer.drain()
    writer.write(frame(CONTINUATION, b"]"))
    await _until(reader, b"invalid_event")
    writer.close()
    return Counter({"fragments": count})


async def large_frames(port: int, count: int = 4, size: int = 32 << 20) -> Counter[str]:
    """Frames at the limit, of blanks; and one that says it is beyond it."""
    seen = Counter[str]()
    event = json.dumps({"type": "input_audio_buffer.commit"}).encode().ljust(size)
    reader, writer = await opened(port)
    for _ in range(count):
        writer.write(frame(TEXT, event))
        await writer.drain()
    told = b""
    while told.count(b"input_audio_buffer_commit_empty") < count:
        told += await reader.read(1 << 16)
        assert told
    seen["answered"] = count
    writer.write(b"\x81\xff" + (1 << 30).to_bytes(8) + bytes(4))
    with suppress(ConnectionError):
        seen["closed 1009"] += b"\x03\xf1" in await reader.read()
    writer.close()
    return seen


async def deaf(port: int, until: Callable[[], Awaitable[object]], count: int = 3) -> Counter[str]:
    """Clients that ask for much and stop reading in the middle of it. `until`: the daemon has dropped them, which they do not see."""
    writers = await asyncio.gather(*(_deaf(port) for _ in range(count)))
    await until()
    for writer in writers:
        writer.transport.abort()
    return Counter({"dropped": count})


async def _deaf(port: int) -> asyncio.StreamWriter:
    reader, writer = await opened(port)
    part = {"type": "input_audio", "audio": LONG}
    item = {"id": "a", "type": "message", "role": "user", "content": [part]}
    writer.write(frame(TEXT, json.dumps({"type": "conversation.item.create", "item": item}).encode()))
    await _until(reader, b"conversation.item.done")
    ask = json.dumps({"type": "conversation.item.retrieve", "item_id": "a"}).encode()
    writer.write(frame(TEXT, ask) * 10)  # of whose answers the reader takes no more than the first bytes
    return writer


async def choir(port: int, count: int = 200) -> Counter[str]:
    """So many sessions that all speak at once, each a second and a pause, and hear their answers to the end."""
    seen = Counter[str]()

    async def one() -> None:
        try:
            async with connect(
                f"ws://127.0.0.1:{port}/v1/realtime", proxy=None, compression=None, max_size=None, open_timeout=60
            ) as client:
                await _speak(client)
                seen["answered"] += 1
        except InvalidStatus as error:
            seen[f"HTTP {error.response.status_code}"] += 1

    await asyncio.gather(*(one() for _ in range(count)))
    return seen


async def _speak(client: ClientConnection) -> None:
    for sound in (PAUSE, VOICE, PAUSE):
        await client.send(json.dumps({"type": "input_audio_buffer.append", "audio": sound}))
    async for told in client:
        if json.loads(told)["type"] == "response.done":
            return


async def hasty(port: int, count: int = 300) -> Counter[str]:
    """A client that commits a tenth of a second, again and again, as fast as it can."""
    append = json.dumps({"type": "input_audio_buffer.append", "audio": b64encode(b"\x00\x40" * 2_400).decode()})
    seen = Counter[str]()
    async with connect(f"ws://127.0.0.1:{port}/v1/realtime", proxy=None, compression=None, max_size=None) as client:
        off = {"type": "realtime", "audio": {"input": {"turn_detection": None, "transcription": {"model": "whisper-1"}}}}
        await client.send(json.dumps({"type": "session.update", "session": off}))
        said = asyncio.ensure_future(_commit(client, append, count))
        while seen["conversation.item.input_audio_transcription.completed"] < count:
            with suppress(ConnectionClosed):
                seen[json.loads(await client.recv())["type"]] += 1
        await said
    return seen


async def _commit(client: ClientConnection, append: str, count: int) -> None:
    for _ in range(count):
        await client.send(append)
        await client.send('{"type":"input_audio_buffer.commit"}')
