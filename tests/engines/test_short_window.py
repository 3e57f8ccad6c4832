from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from faster_whisper import WhisperModel

from realtime.engines.short_window import LONGEST_SECONDS, TOKENS_A_SECOND, Heard, Shape, ShortWindow, _believed, _end, _repeats
from realtime.ports import Float32
from tests.rigs.noises import coloured
from tests.rigs.recordings import RATE, recordings, spread, word_error_rate
from tests.rigs.speech_models import model_folder

pytestmark = pytest.mark.timeout(600)

STAMP = 1000
"""The number of the first timestamp, in the made-up vocabulary of these tests; the end of text is one below."""


def at(seconds: float) -> int:
    return STAMP + round(seconds * 50)


@pytest.fixture(scope="module")
def tiny() -> ShortWindow:
    return ShortWindow(WhisperModel(str(model_folder("tiny.en")), device="cpu", compute_type="int8", cpu_threads=1, local_files_only=True))


@pytest.fixture(scope="module")
def base() -> ShortWindow:
    return ShortWindow(WhisperModel(str(model_folder("base")), device="cpu", compute_type="int8", cpu_threads=1, local_files_only=True))


def hear(ears: ShortWindow, audio: Float32, *, language: str | None = "en", wanted: bool = True) -> Heard | None:
    found = Shape.of(len(audio) / RATE, language, None)
    assert found is not None
    [heard] = ears.hear([audio], found, lambda: wanted)
    return heard


def test_words_are_heard_with_how_sure_they_are(tiny: ShortWindow) -> None:
    for prompt in spread(3):
        heard = hear(tiny, prompt.audio)
        assert heard is not None
        assert word_error_rate([prompt.text], [heard.text]) <= 0.25
        assert heard.confidence > -0.5
        assert heard.no_speech < 0.2


def test_the_silence_after_speech_adds_no_word(tiny: ShortWindow) -> None:
    """A turn ends with half a second of silence or more, and often with much more."""
    for prompt in spread(3):
        room = coloured(2.0, 0.0, 1) * np.float32(0.001)
        heard = hear(tiny, np.concatenate([prompt.audio, room]))
        assert heard is not None
        assert word_error_rate([prompt.text], [heard.text]) <= 0.25


def test_a_language_is_found_out(base: ShortWindow) -> None:
    heard = hear(base, spread(1)[0].audio, language=None)
    assert heard is not None
    assert word_error_rate([spread(1)[0].text], [heard.text]) <= 0.25


def test_a_language_that_is_not_clear_is_left_to_the_long_way(base: ShortWindow, monkeypatch: pytest.MonkeyPatch) -> None:
    unsure = SimpleNamespace(encode=base._model.model.encode, detect_language=lambda encoded: [[("<|nn|>", 0.3), ("<|en|>", 0.29)]])
    monkeypatch.setattr(base, "_model", SimpleNamespace(model=unsure, feature_extractor=base._model.feature_extractor))
    assert hear(base, spread(1)[0].audio, language=None) is None


def test_the_window_is_a_multiple_of_five_seconds_and_one_of_silence() -> None:
    windows = [Shape.of(seconds, "en", None) for seconds in (0.1, 5.0, 5.01, LONGEST_SECONDS)]
    assert [window and window.seconds for window in windows] == [6, 6, 11, 21]


def test_what_is_long_goes_the_long_way() -> None:
    assert Shape.of(LONGEST_SECONDS + 0.01, "en", None) is None


def test_noise_is_left_to_the_long_way(tiny: ShortWindow) -> None:
    assert hear(tiny, coloured(2.0, 0.0, 1) * np.float32(0.01)) is None


def test_who_is_not_waited_for_does_not_decode(tiny: ShortWindow) -> None:
    assert hear(tiny, spread(1)[0].audio, wanted=False) is None


def test_several_are_heard_at_once_and_each_as_by_itself(tiny: ShortWindow) -> None:
    prompts = [prompt for prompt in recordings() if 2 < prompt.seconds < 5][:7]
    together = Shape.of(5.0, "en", None)
    assert together is not None
    noise = coloured(2.0, 0.0, 1) * np.float32(0.01)
    alone = [hear(tiny, prompt.audio) for prompt in prompts]
    *heard, unheard = tiny.hear([*(prompt.audio for prompt in prompts), noise], together, lambda: True)
    assert [each and each.text for each in heard] == [each and each.text for each in alone]
    assert [each and each.confidence for each in heard] == [each and pytest.approx(each.confidence, abs=0.05) for each in alone]
    assert all(heard)
    assert unheard is None


def test_of_several_each_may_speak_its_own_language(base: ShortWindow, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = [prompt for prompt in recordings() if 2 < prompt.seconds < 5][:3]
    alone = [hear(base, prompt.audio) for prompt in prompts]
    found = [[("<|en|>", 0.9)], [("<|ja|>", 0.9)], [("<|en|>", 0.4)]]
    model = base._model
    ears = SimpleNamespace(encode=model.model.encode, generate=model.model.generate, is_multilingual=True, detect_language=lambda _: found)
    double = {name: getattr(model, name) for name in ("feature_extractor", "hf_tokenizer", "get_prompt", "max_length")}
    monkeypatch.setattr(base, "_model", SimpleNamespace(model=ears, **double))
    together = Shape.of(5.0, None, None)
    assert together is not None
    english, japanese, unsure = base.hear([prompt.audio for prompt in prompts], together, lambda: True)
    assert (english and english.text) == (alone[0] and alone[0].text)
    assert japanese is None or not japanese.text.isascii()
    assert unsure is None


# What is believed


def answer(tokens: list[int], *, no_speech: float = 0.0, odds: float = 20.0) -> Any:
    """What the decoder says; `odds`: by how much each token's logit is above all others."""
    rows = [np.eye(1, 2 * STAMP, token, dtype=np.float32) * np.float32(odds) for token in [*tokens, STAMP - 1]]
    return SimpleNamespace(sequences_ids=[tokens], logits=[rows], no_speech_prob=no_speech)


TOKENIZER = cast("Any", SimpleNamespace(timestamp_begin=STAMP, eot=STAMP - 1, decode=lambda numbers: " ".join(map(str, numbers))))
PLAIN = [at(0), 1, 2, 3, at(1.5)]


def test_a_plain_ending_is_believed() -> None:
    heard = _believed(answer(PLAIN), TOKENIZER, 2.0)
    assert heard is not None
    assert (heard.text, [number for number, _ in heard.tokens]) == ("1 2 3", [1, 2, 3])


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(answer([at(0), 1, 2, 3]), id="no end"),
        pytest.param(answer([at(0), 1, 2, 3, 1, 2, 3, at(1.5)]), id="a repetition"),
        pytest.param(answer([at(0), at(1.5)]), id="no words"),
        pytest.param(answer([]), id="nothing"),
        pytest.param(answer(PLAIN, no_speech=0.4), id="nobody spoke"),
        pytest.param(answer(PLAIN, odds=1.0), id="doubt"),
    ],
)
def test_anything_else_is_not(said: Any) -> None:
    assert _believed(said, TOKENIZER, 2.0) is None


@pytest.mark.parametrize(
    ("tokens", "end"),
    [
        ([at(0), 1, 2, at(1)], 3),
        ([at(0), 1, at(1), at(1), 2, at(2)], 5),  # two segments
        ([at(0), 1, at(1), at(2.5), 2, at(2.8)], 2),  # the second begins in the silence behind
        ([at(0), 1, at(2.2), at(2.2), 2, at(2.8)], 2),  # the first ends there
        ([at(0), 1, at(1), at(1), 2], None),  # the second has no end
        ([], None),
    ],
)
def test_the_end_of_what_was_said(tokens: list[int], end: int | None) -> None:
    assert _end(tokens, STAMP, 2.0) == end


@pytest.mark.parametrize(
    ("words", "repeated"),
    [([1, 2, 3, 1, 2, 3], True), ([9, 1, 2, 3, 1, 2, 3, 8], True), ([1, 2, 1, 2], False), ([1, 2, 3, 4, 1, 2, 3], False), ([], False)],
)
def test_repetitions(words: list[int], repeated: bool) -> None:
    assert _repeats(words) is repeated


def test_one_that_repeats_itself_is_cut(tiny: ShortWindow) -> None:
    """So that it costs no more than fast speech would."""
    asked: dict[str, Any] = {}

    def generate(encoded: object, prompts: object, **options: Any) -> list[Any]:
        asked.update(options)
        return [answer(PLAIN)]

    model = SimpleNamespace(generate=generate, is_multilingual=False)
    short = ShortWindow(cast("Any", SimpleNamespace(model=model, get_prompt=tiny._model.get_prompt, max_length=448)))
    short._generate(cast("Any", None), [tiny._tokenizer("en")], 2.0, None)
    assert asked["max_length"] < 2 * TOKENS_A_SECOND + 30
