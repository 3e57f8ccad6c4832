"""What an endpoint says when it won't: its error bodies, as the `EngineError` that the client may read.

Owns the codes, the shapes that endpoints give to an error, and the mask over the API key. Refuses to decide whether to try again:
`retries` does.
"""

from __future__ import annotations

import re
from http import HTTPStatus

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from realtime.errors import CONTEXT_LENGTH_EXCEEDED, EngineError

MAX_MESSAGE = 1_000
"""Characters of an endpoint's message that are passed on: a paragraph, for a person reads it."""

MAX_CODE = 64
"""Characters of an endpoint's code that are passed on: it is a name, not a text."""

_CODES: dict[int, str] = {
    401: "invalid_api_key",
    402: "insufficient_quota",
    403: "invalid_api_key",
    404: "model_not_found",
    408: "timeout",
    429: "rate_limit_exceeded",
}
"""Where the endpoint gives no code of its own (PROTOCOL 6)."""

NO_CODE = "invalid_request_error"
"""Of a refusal that says no more than that it is one."""

_TOO_LONG_NAMES = (CONTEXT_LENGTH_EXCEEDED, "tokens_limit_reached", "exceed_context_size_error")
"""`code` at OpenAI, Azure and Groq (thepersonalaicompany/amurex-backend#51); `code` at GitHub Models, with 413 (evalstate/fast-agent#346);
`type` at llama.cpp (ggml-org/llama.cpp#15780)."""

_TOO_LONG = re.compile(
    "|".join(
        [
            r"maximum context length",  # OpenAI, vLLM (vllm-project/vllm#20409), DeepSeek, OpenRouter (OpenHands/OpenHands#8149), Mistral
            r"exceeds? the available context size",  # llama.cpp (ggml-org/llama.cpp#15780)
            r"context size has been exceeded",  # llama.cpp and LM Studio, in the middle of an answer (ggml-org/llama.cpp#19774)
            r"exceed(?:s|ed)? (?:the )?(?:context window|context limit|configured limit)",  # OpenAI (cline/cline#5474), Anthropic
            r"context ?window ?exceeded",  # LiteLLM (anomalyco/opencode#44888)
            r"input token count.{0,40}exceeds the maximum",  # Gemini (google-gemini/gemini-cli#6678)
            r"reduce the length of (?:the messages|either one)",  # Groq, Cerebras (cline/cline#5140), OpenRouter
            r"too large for model with",  # Mistral (BerriAI/litellm#21647)
            r"(?:prompt|input|length of all messages) is too long|too many input tokens",  # Anthropic, Perplexity (BerriAI/litellm#21647)
            r"longer than the model's context length",  # SGLang (BerriAI/litellm#10793)
            r"when context the overflows",  # LM Studio, to the letter (lmstudio-ai/lmstudio-bug-tracker#546)
            r"`inputs` (?:tokens \+ `max_new_tokens` )?must",  # Hugging Face TGI (huggingface/chat-ui#340)
        ]
    ),
    re.IGNORECASE,
)
"""How those say it that have no code for it. Ollama is not among them: it cuts the prompt and says nothing (ollama/ollama#7661)."""


class Problem(Struct):
    """The OpenAI error object. Fields may hold anything: each imitator fills them its own way."""

    message: object = None
    code: object = None
    """A word; a number in llama.cpp, vLLM, OpenRouter and Gemini, which is then the HTTP status."""
    type: object = None
    metadata: Raw | UnsetType = UNSET
    """OpenRouter: what the provider behind it said, under a message that says only that it failed (cline/cline#13194)."""


class _Body(Struct):
    error: Problem | str | None = None
    message: object = None
    """vLLM has put the error object on the top level (vllm-project/vllm#10463)."""
    code: object = None
    type: object = None
    detail: object = None
    """FastAPI: a text, a list of what is wrong with the request, or (Kokoro-FastAPI, faster-whisper-server) an error object."""


_BODIES = msgspec.json.Decoder(_Body | list[_Body] | str | None)
"""Gemini's compatible endpoint wraps the object into a list."""


class Refused(EngineError):
    """Raised when the endpoint answered with an HTTP status of 400 or more."""

    def __init__(self, code: str, message: str, *, type: str, status: int, body: bytes, retry_after: str | None) -> None:
        super().__init__(code, message, type=type)
        self.status = status
        self.body = body
        self.retry_after = retry_after


def refused(status: int, body: bytes, *, secret: str, retry_after: str | None = None) -> Refused:
    """Return the error that an HTTP answer stands for."""
    problem = _problem(body)
    code = _meant_code(problem, status, secret)
    message = _own_message(problem, secret) or f"The endpoint answered {status} {_phrase(status)}".rstrip() + "."
    return Refused(code, message, type=_type(status), status=status, body=body, retry_after=retry_after)


def failed(error: bytes, *, secret: str) -> EngineError:
    """Return the error that an error object inside an answer stands for."""
    problem = _problem(b'{"error":' + error + b"}")
    status = problem.code if isinstance(problem.code, int) else 500
    message = _own_message(problem, secret) or "The endpoint failed while it was answering."
    return EngineError(_meant_code(problem, status, secret), message, type=_type(status))


def masked(text: str, secret: str) -> str:
    """Return the text without the key: some endpoints repeat what they were sent."""
    return text.replace(secret, "***") if secret else text


def _problem(body: bytes) -> Problem:
    try:
        found = _BODIES.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Problem()
    if isinstance(found, list):
        found = found[0] if found else None
    if not isinstance(found, _Body):
        return Problem(found)
    if isinstance(found.error, Problem):
        return found.error
    if isinstance(found.detail, dict):
        return _problem(msgspec.json.encode({key: value for key, value in found.detail.items() if key != "detail"}))
    # Beside a message, a plain `error` is its name.
    return Problem(found.message or found.error or _text(found.detail), found.code or (found.error if found.message else None), found.type)


def _text(detail: object) -> object:
    return detail if detail is None or isinstance(detail, str) else msgspec.json.encode(detail).decode()


def _own_message(problem: Problem, secret: str) -> str | None:
    # The key goes before the text is cut, or half a key might stay.
    return masked(problem.message, secret)[:MAX_MESSAGE] if isinstance(problem.message, str) else None


def _meant_code(problem: Problem, status: int, secret: str) -> str:
    """The endpoint's own code, but the one code for a prompt that is too long, however that is said."""
    if _is_too_long(problem) and status != HTTPStatus.TOO_MANY_REQUESTS:  # Bedrock's throttle speaks of tokens, too
        return CONTEXT_LENGTH_EXCEEDED
    return _own_code(problem, secret) or _code(status)


def _is_too_long(problem: Problem) -> bool:
    if problem.code in _TOO_LONG_NAMES or problem.type in _TOO_LONG_NAMES:
        return True
    said = problem.message if isinstance(problem.message, str) else ""
    behind = b"" if problem.metadata is UNSET else bytes(problem.metadata)
    return any(_TOO_LONG.search(text) for text in (said, behind.decode(errors="replace")))


def _own_code(problem: Problem, secret: str) -> str | None:
    code = problem.code
    # LiteLLM sends the status as text: that is no code.
    if not isinstance(code, str) or not code or code.isdigit():
        return None
    return masked(code, secret)[:MAX_CODE]


def _code(status: int) -> str:
    return _CODES.get(status) or ("server_error" if status >= 500 else NO_CODE)


def _type(status: int) -> str:
    if status == 429:
        return "rate_limit_error"
    return "server_error" if status >= 500 else "invalid_request_error"


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
