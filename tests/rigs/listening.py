"""A listener on a free port of the loopback, in this process, with scripted engines."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from realtime.ports import Llm, Stt, Tts, Vad
from realtime.server.access import Access
from realtime.server.client_secrets import ClientSecrets
from realtime.server.ids import RandomIds
from realtime.server.listener import Listener
from realtime.server.origins import Origins
from realtime.server.service import Service
from realtime.session.abilities import Abilities
from tests.rigs.engines import scripted_engines


@asynccontextmanager
async def listening(
    llm: Llm | None = None,
    stt: Stt | None = None,
    tts: Tts | None = None,
    vad: Vad | None = None,
    *,
    mute: bool = False,
    session_seconds: float = 3600,
    grace_seconds: float = 10,
    access: Access | None = None,
    sockets: Sequence[socket.socket] = (),
    **more: Any,
) -> AsyncIterator[tuple[Listener, str]]:
    """The listener, and `ws://127.0.0.1:<port>`; without `access`, nobody needs a key. `sockets` are its own, `more` its `Service`'s."""
    access = access or Access(None, ClientSecrets(None), Origins(loopback=True, keys=False))
    with scripted_engines(llm, stt, tts, vad, mute=mute) as engines:
        abilities = Abilities(speech=not mute, session_seconds=session_seconds)
        service = Service(engines=engines, abilities=abilities, sample_rate=16_000, new_ids=RandomIds, access=access, **more)
        async with Listener(service, host="127.0.0.1", port=0, grace_seconds=grace_seconds, sockets=sockets) as listener:
            yield listener, f"ws://127.0.0.1:{listener.port}"
