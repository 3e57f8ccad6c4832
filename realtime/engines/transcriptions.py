"""A transcription on the wire: the fields that are posted, and the JSON that comes back.

Owns which fields an endpoint knows and what its answer means. Refuses any I/O. Fields of the answer that we don't use are not even decoded.

Reference: OpenAI API, "Create transcription", "The transcription object (JSON)" and "(Verbose JSON)".
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Raw, Struct, structs

from realtime.engines.refusals import Refused, failed
from realtime.errors import EngineError
from realtime.ports import TokenLogprob, Transcript

Detail = Literal["logprobs", "verbose", "plain"]
"""How much an answer tells beside the words: every token's log probability, figures for every segment, or nothing."""


class Question(Struct, frozen=True, kw_only=True):
    """What is asked of one utterance."""

    language: str | None
    """ISO 639-1 code, None to have it detected."""
    prompt: str | None
    logprobs: bool


class Shape(Struct, frozen=True):
    """What an endpoint can tell: gpt-4o-transcribe knows no `verbose_json`, everything else no `include`."""

    logprobs: bool = True
    """`include[]=logprobs`, and then they come."""
    verbose: bool = True
    """`response_format=verbose_json`."""

    def detail(self, question: Question) -> Detail:
        """The most that can be asked for."""
        if question.logprobs and self.logprobs:
            return "logprobs"
        return "verbose" if self.verbose else "plain"

    def without(self, detail: Detail) -> Shape:
        """The shape of an endpoint that can't tell this."""
        return self if detail == "plain" else structs.replace(self, **{detail: False})


_WORDS: dict[Detail, tuple[bytes, ...]] = {
    "logprobs": (b"include", b"logprobs"),
    "verbose": (b"response_format", b"verbose_json"),
    "plain": (),
}
"""What a refusal speaks of when the detail is its reason."""


def fields(model: str, question: Question, detail: Detail) -> list[tuple[str, str]]:
    """Return the form's fields, without the file."""
    asked = [("model", model), ("response_format", "verbose_json" if detail == "verbose" else "json")]
    if detail == "logprobs":
        asked.append(("include[]", "logprobs"))
    if question.language:
        asked.append(("language", question.language))
    if question.prompt:
        asked.append(("prompt", question.prompt))
    return asked


def is_about(detail: Detail, error: Refused, *, accepted_before: bool) -> bool:
    """Whether less detail may cure a refusal. One that was never accepted is suspected of any 400."""
    # 422 is FastAPI's word for a form that does not fit.
    if detail == "plain" or error.status not in (400, 422):
        return False
    return not accepted_before or any(word in error.body for word in _WORDS[detail])


class _Token(Struct):
    token: str
    logprob: float


class _Segment(Struct):
    no_speech_prob: float | None = None
    avg_logprob: float | None = None
    tokens: list[Any] | None = None
    """Only their number matters."""


class _Answer(Struct):
    text: str | None = None
    language: str | None = None
    """A code from speaches and vLLM, an English name from OpenAI."""
    segments: list[_Segment] | None = None
    logprobs: list[_Token] | None = None
    error: Raw = Raw(b"")


_ANSWERS = msgspec.json.Decoder(_Answer)


def read(data: bytes, *, seconds: float, language: str | None, secret: str = "") -> Transcript:
    """Return what the JSON of an answer says of `seconds` of audio. Raises `EngineError` for an error object and for anything else."""
    try:
        answer = _ANSWERS.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise EngineError("server_error", f"The endpoint sent something that is not a transcription: {error}.") from error
    if answer.error and (problem := bytes(answer.error)) != b"null":
        raise failed(problem, secret=secret)
    if answer.text is None:
        raise EngineError("server_error", "The endpoint sent a transcription without a text.")
    return Transcript(
        answer.text.strip(),
        seconds,
        _code(answer.language) or language,
        no_speech=_no_speech(answer.segments or []),
        confidence=_confidence(answer),
        tokens=_tokens(answer.logprobs or []),
    )


def _code(language: str | None) -> str | None:
    # Codes have two letters, or three where ISO 639-1 has none (yue, haw); no language's English name is that short but Lao's.
    return language if language and len(language) <= 3 and language.islower() else None


def _no_speech(segments: list[_Segment]) -> float | None:
    """Nobody spoke where nobody spoke in any segment, so the surest voice decides."""
    told = [segment.no_speech_prob for segment in segments if segment.no_speech_prob is not None]
    return min(max(min(told), 0.0), 1.0) if told else None


def _confidence(answer: _Answer) -> float | None:
    """The mean over tokens; a segment weighs as much as it has of them."""
    if answer.logprobs:
        pairs = [(token.logprob, 1) for token in answer.logprobs]
    else:
        told = (segment for segment in answer.segments or [] if segment.avg_logprob is not None)
        pairs = [(segment.avg_logprob or 0.0, len(segment.tokens or ()) or 1) for segment in told]
    total = sum(weight for _, weight in pairs)
    return min(sum(value * weight for value, weight in pairs) / total, 0.0) if total else None


def _tokens(told: list[_Token]) -> tuple[TokenLogprob, ...]:
    """Together they are the text, which is stripped."""
    tokens = [TokenLogprob(token.token, min(token.logprob, 0.0)) for token in told]
    if tokens:
        tokens[0] = structs.replace(tokens[0], text=tokens[0].text.lstrip())
        tokens[-1] = structs.replace(tokens[-1], text=tokens[-1].text.rstrip())
    return tuple(tokens)
