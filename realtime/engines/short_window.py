"""Whisper's short way: only what was said is encoded, where stock always encodes 30 seconds.

The encoder is most of the work for an utterance, and its time grows with its window. But the model was trained on 30 seconds: given less,
it may not find the end, and says everything again. So the sound is followed by at least a second of silence, timestamps are decoded, which
tell where the speech ends, and what does not look like a plain ending is not believed (`None`): the caller then takes the long way.

Utterances of one shape are heard together: on one thread, four take 0.6 of the time that they take one after the other, for the decoder's
weights are read once for all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct

from realtime.engines.logprobs import Token, tokens_of
from realtime.ports import EAR_RATE, Float32

if TYPE_CHECKING:
    from ctranslate2 import StorageView
    from ctranslate2.models import WhisperGenerationResult
    from faster_whisper import WhisperModel
    from faster_whisper.tokenizer import Tokenizer

STEP_SECONDS = 5
"""Windows are multiples of it, and a second: with steps of one second, every seventh utterance was repeated."""

SILENCE_SECONDS = 1
"""The least silence behind what was said."""

LONGEST_SECONDS = 20.0
"""Longer utterances gain little, and have sentences: stock knows how to go on from one to the next."""

FRAMES = 100
"""Of the mel spectrogram, a second."""

STAMPS = 50
"""Timestamps a second."""

TOKENS_A_SECOND, TOKENS_AT_LEAST = 15, 16
"""What an utterance may come to: twice what fast speech does. One that repeats itself is cut here, which shows as a missing end."""

SURE = -0.9
"""Mean log probability of a token, below which the words are not believed."""

SILENT = 0.3
"""Probability that nobody spoke, above which they aren't, either: of 140 prompts the highest was 0.22."""

LANGUAGE_SURE = 0.5
"""Probability of a language that was found out; below it the long way decides."""

REPEATED = 3
"""Tokens that are a repetition when they come twice in succession. Two are "ha ha", or "no, no"."""


class Shape(Struct, frozen=True):
    """What utterances must have in common to be heard together."""

    seconds: int
    """Of the window, its silence included."""
    language: str | None
    """None to find it out."""
    prompt: str | None

    @staticmethod
    def of(seconds: float, language: str | None, prompt: str | None) -> Shape | None:
        """Of so many seconds of sound; None where the long way has to be gone."""
        if seconds > LONGEST_SECONDS:
            return None
        return Shape(math.ceil(seconds / STEP_SECONDS) * STEP_SECONDS + SILENCE_SECONDS, language, prompt)


class Heard(Struct, frozen=True):
    """What was said."""

    text: str
    no_speech: float
    confidence: float
    tokens: list[Token]


class ShortWindow:
    """Of one model; may be used by several threads."""

    def __init__(self, model: WhisperModel) -> None:
        self._model = model
        self._tokenizers: dict[str, Tokenizer] = {}

    def hear(self, audios: Sequence[Float32], shape: Shape, wanted: Callable[[], bool]) -> list[Heard | None]:
        """Blocking. None where the long way has to be gone; of all, where they aren't `wanted` any more once they are encoded."""
        encoded = self._encode(audios, shape.seconds)
        languages = [shape.language] * len(audios) if shape.language else self._languages(encoded)
        if not any(languages) or not wanted():
            return [None] * len(audios)
        tokenizers = [self._tokenizer(language or "en") for language in languages]
        results = self._generate(encoded, tokenizers, max(map(len, audios)) / EAR_RATE, shape.prompt)
        return [
            _believed(result, tokenizer, len(audio) / EAR_RATE) if language else None
            for audio, language, tokenizer, result in zip(audios, languages, tokenizers, results, strict=True)
        ]

    def _encode(self, audios: Sequence[Float32], seconds: int) -> StorageView:
        from ctranslate2 import StorageView

        features = []
        for audio in audios:
            sound = np.zeros(seconds * EAR_RATE, np.float32)
            sound[: len(audio)] = audio
            features.append(self._model.feature_extractor(sound)[:, : seconds * FRAMES])
        return self._model.model.encode(StorageView.from_array(np.stack(features)))

    def _languages(self, encoded: StorageView) -> list[str | None]:
        likely = [languages[0] for languages in self._model.model.detect_language(encoded)]
        return [mark.strip("<|>") if probability >= LANGUAGE_SURE else None for mark, probability in likely]

    def _tokenizer(self, language: str) -> Tokenizer:
        if language not in self._tokenizers:
            from faster_whisper.tokenizer import Tokenizer

            self._tokenizers[language] = Tokenizer(
                self._model.hf_tokenizer, self._model.model.is_multilingual, task="transcribe", language=language
            )
        return self._tokenizers[language]

    def _generate(
        self, encoded: StorageView, tokenizers: Sequence[Tokenizer], seconds: float, prompt: str | None
    ) -> list[WhisperGenerationResult]:
        from faster_whisper.transcribe import get_suppressed_tokens

        before = tokenizers[0].encode(f" {prompt.strip()}") if prompt else []
        asked = [self._model.get_prompt(tokenizer, before) for tokenizer in tokenizers]
        most = len(asked[0]) + TOKENS_AT_LEAST + math.ceil(TOKENS_A_SECOND * seconds)
        results: list[WhisperGenerationResult] = self._model.model.generate(
            encoded,
            asked,
            beam_size=1,
            max_length=min(most, self._model.max_length),
            return_no_speech_prob=True,
            return_logits_vocab=True,  # the mean of the scores counts timestamps, which are never sure
            suppress_tokens=get_suppressed_tokens(tokenizers[0], [-1]),
        )
        return results


def _believed(result: WhisperGenerationResult, tokenizer: Tokenizer, seconds: float) -> Heard | None:
    tokens = tokens_of(result)
    end = _end(result.sequences_ids[0], tokenizer.timestamp_begin, seconds)
    said = [token for token in tokens[:end] if token[0] < tokenizer.eot]
    numbers = [number for number, _ in said]
    if end is None or not said or _repeats(numbers) or result.no_speech_prob > SILENT:
        return None
    confidence = sum(logprob for _, logprob in said) / (len(said) + 1)  # as Whisper counts: with the end of text, which is sure
    return None if confidence < SURE else Heard(tokenizer.decode(numbers).strip(), result.no_speech_prob, confidence, said)


def _end(tokens: list[int], first_stamp: int, seconds: float) -> int | None:
    """How many tokens there are up to the end of what was said; None where it isn't told.

    A segment is `<begin> words <end>`. One that begins where there is silence is made up, and so is one whose words have no end.
    """
    end, words = None, False
    for index, token in enumerate(tokens):
        if token < first_stamp:
            words = True
        elif words:
            end, words = index, False
            if (token - first_stamp) / STAMPS >= seconds:
                break
        elif (token - first_stamp) / STAMPS >= seconds:
            break
    return None if words else end


def _repeats(words: list[int]) -> bool:
    """Is any run of them said again at once?"""
    return any(
        words[start : start + count] == words[start + count : start + 2 * count]
        for count in range(REPEATED, len(words) // 2 + 1)
        for start in range(len(words) - 2 * count + 1)
    )
