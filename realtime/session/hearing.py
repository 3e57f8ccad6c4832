"""What a model that hears is given to hear: the newest of what the user said. The rest it reads.

Sound is sent again with every question, and costs as much as hundreds of words, so there is a bound. What is older than the bound is let go
in big steps: while nothing is let go, the prompt of a turn begins with the prompt of the turn before, which the endpoint still remembers.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate

from realtime.ports import Recording
from realtime.session.conversation import Entry
from realtime.wire.items import InputAudio

MAX_MS = 60_000
"""Sound in one question: a minute, which is 4 MB of JSON at 24 kHz, and a dozen turns of a talk."""

STEP_MS = 30_000
"""How much is let go at once: half of it, so that much is still heard after, and a prompt changes its beginning only so often."""


def recordings(entries: Iterable[Entry]) -> tuple[Recording, ...]:
    """The spoken parts of these items, oldest first, that are heard: an item is heard whole or read whole, the newest is always heard."""
    spoken = [(entry, indexes) for entry in entries if (indexes := _spoken(entry))]
    lengths = [sum(entry.sounds[index].ms for index in indexes) for entry, indexes in spoken]
    excess = max(0, sum(lengths) - MAX_MS)
    cut = -(-excess // STEP_MS) * STEP_MS
    heard = [each for each, begin in zip(spoken, accumulate(lengths, initial=0), strict=False) if begin >= cut] or spoken[-1:]
    sounds = ((entry.id, index, entry.sounds[index]) for entry, indexes in heard for index in indexes)
    return tuple(Recording(id, index, sound.audio, sound.format) for id, index, sound in sounds)


def _spoken(entry: Entry) -> list[int]:
    """Indexes of what the user said aloud. Of a turn without sound, or whose sound was let go, there is nothing to hear."""
    return [index for index, sound in entry.sounds.items() if sound.held and isinstance(entry.part(index), InputAudio)]
