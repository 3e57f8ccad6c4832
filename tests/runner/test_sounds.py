from __future__ import annotations

import numpy as np
import pytest

from realtime.runner.sounds import Mouth, heard
from realtime.wire.settings import AudioFormat, PcmaFormat, PcmFormat, PcmuFormat, sample_rate, sample_width

FORMATS: list[AudioFormat] = [PcmFormat(), PcmFormat(16_000), PcmFormat(8_000), PcmuFormat(), PcmaFormat()]


def tone(rate: int, seconds: float = 1.0) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    at = np.arange(int(rate * seconds)) / rate
    return (np.sin(2 * np.pi * 440 * at) * 8000).astype(np.int16)


@pytest.mark.parametrize("format", FORMATS, ids=str)
def test_what_is_said_is_heard_again_at_the_rate_of_the_ear(format: AudioFormat) -> None:
    mouth = Mouth(24_000, format)
    sound = tone(24_000)
    pieces = [mouth.say(sound[start : start + 2400]) for start in range(0, len(sound), 2400)]
    audio = b"".join([*pieces, mouth.finish()])
    assert len(audio) == sample_rate(format) * sample_width(format)
    back = heard(audio, format)
    assert back.dtype == np.float32
    assert len(back) == 16_000
    middle = slice(1000, 15_000)
    expected = tone(16_000)[middle] / 32768
    assert np.corrcoef(back[middle], expected)[0, 1] > 0.99
