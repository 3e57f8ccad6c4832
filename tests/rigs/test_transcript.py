"""The rig that everybody trusts is held to what it promises."""

from pathlib import Path

import pytest

from realtime.wire.settings import AudioFormat, PcmaFormat, PcmFormat, PcmuFormat
from tests.rigs.transcript import Sounds, Transcript

CLEAR = '> {"type": "input_audio_buffer.clear"}'
CLEARED = '< {"type": "input_audio_buffer.cleared"}'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "talk.jsonl"


def test_a_conversation_as_written_makes_no_difference(path: Path) -> None:
    path.write_text(f"# Clearing.\n\n{CLEAR}\n{CLEARED}\n")
    assert Transcript(path).difference() == ""


@pytest.mark.parametrize("written", [CLEAR, f"{CLEAR}\n{CLEARED}\n{CLEARED}", f'{CLEAR}\n< {{"type": "nonsense"}}', f"{CLEARED}\n{CLEAR}"])
def test_a_line_too_few_too_many_wrong_or_out_of_place_is_a_difference(path: Path, written: str) -> None:
    path.write_text(f"# Clearing.\n{written}\n")
    difference = Transcript(path).difference()
    assert "# Clearing." in difference, "the whole conversation is shown"
    assert CLEARED in difference


def test_rewriting_keeps_what_a_person_wrote_and_puts_the_outputs_in(path: Path) -> None:
    path.write_text(f"# Clearing.\n\n{CLEAR}\n< wrong\n# again\n{CLEAR}\n")
    transcript = Transcript(path)
    transcript.rewrite()
    assert transcript.difference() == ""
    assert path.read_text() == f"# Clearing.\n\n{CLEAR}\n{CLEARED}\n# again\n{CLEAR}\n{CLEARED}\n"


@pytest.mark.parametrize("format", [PcmFormat(), PcmuFormat(), PcmaFormat()])
@pytest.mark.parametrize("notation", ["@120ms", "@120ms:tone", "@300ms+@20ms:tone+@5samples:drum", "@0ms"])
def test_sounds_are_written_as_they_are_read(notation: str, format: AudioFormat) -> None:
    sounds = Sounds()
    assert sounds.notation(sounds.audio(notation, format), format) == notation


def test_half_a_sample_is_shown() -> None:
    sounds = Sounds()
    assert sounds.notation(sounds.audio("@3bytes:tone", PcmFormat()), PcmFormat()) == "@3bytes:tone"


def test_what_is_no_sound_is_refused() -> None:
    with pytest.raises(ValueError, match="not a sound"):
        Sounds().audio("@120ms+tone", PcmFormat())
