"""What the client reads when an endpoint refuses."""

from __future__ import annotations

import msgspec
import pytest

from realtime.engines.refusals import MAX_CODE, MAX_MESSAGE, failed, masked, refused
from realtime.errors import CONTEXT_LENGTH_EXCEEDED

KEY = "sk-secret-0123456789"


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "invalid_request_error", "invalid_request_error"),
        (401, "invalid_api_key", "invalid_request_error"),
        (402, "insufficient_quota", "invalid_request_error"),
        (403, "invalid_api_key", "invalid_request_error"),
        (404, "model_not_found", "invalid_request_error"),
        (408, "timeout", "invalid_request_error"),
        (429, "rate_limit_exceeded", "rate_limit_error"),
        (500, "server_error", "server_error"),
        (599, "server_error", "server_error"),
    ],
)
def test_a_status_alone_has_its_code(status: int, code: str, kind: str) -> None:
    error = refused(status, b"", secret=KEY)
    assert (error.code, error.type, error.status) == (code, kind, status)


def test_a_status_alone_is_named() -> None:
    assert refused(503, b"<html>", secret=KEY).message == "The endpoint answered 503 Service Unavailable."


def test_a_status_without_a_name_is_a_number() -> None:
    assert refused(599, b"", secret=KEY).message == "The endpoint answered 599."


def test_the_endpoints_own_code_and_message_are_passed_on() -> None:
    error = refused(429, b'{"error":{"message":"No money.","type":"insufficient_quota","code":"insufficient_quota"}}', secret=KEY)
    assert (error.code, error.message) == ("insufficient_quota", "No money.")


@pytest.mark.parametrize(
    "body",
    [
        b'{"error":{"message":"Bad.","code":null}}',
        b'{"error":{"message":"Bad.","code":400}}',
        b'{"error":{"message":"Bad.","code":"400"}}',
        b'{"error":{"message":"Bad.","code":""}}',
        b'{"error":"Bad."}',
        b'{"object":"error","message":"Bad.","type":"BadRequestError","code":400}',
        b'[{"error":{"message":"Bad.","status":"INVALID_ARGUMENT","code":400}}]',
        b'{"detail":"Bad."}',
        b'{"detail":{"error":{"message":"Bad.","type":"invalid_request_error"}}}',
        b'"Bad."',
    ],
    ids=["OpenAI", "llama.cpp", "LiteLLM", "empty code", "bare text", "vLLM", "Gemini", "FastAPI", "faster-whisper-server", "JSON text"],
)
def test_every_shape_of_an_error_is_read(body: bytes) -> None:
    error = refused(400, body, secret=KEY)
    assert (error.code, error.message) == ("invalid_request_error", "Bad.")


def test_a_plain_error_beside_a_message_is_its_code() -> None:
    # Kokoro-FastAPI's.
    body = b'{"detail":{"error":"validation_error","message":"Voice alloy not found.","type":"invalid_request_error"}}'
    error = refused(400, body, secret=KEY)
    assert (error.code, error.message) == ("validation_error", "Voice alloy not found.")


def test_a_detail_of_a_detail_is_not_looked_for() -> None:
    assert refused(400, b'{"detail":{"detail":{"message":"Bad."}}}', secret=KEY).message == "The endpoint answered 400 Bad Request."


def test_a_list_of_what_is_wrong_is_shown_as_it_is() -> None:
    assert refused(422, b'{"detail":[{"loc":["body"]}]}', secret=KEY).message == '[{"loc":["body"]}]'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"<html>",
        b"[]",
        b"null",
        b"{}",
        b'{"error":5}',
        b'{"error":{"message":""}}',
        b'{"error":"\xff"}',
        b'{"detail":' + b"[" * 9999,
    ],
)
def test_a_body_that_says_nothing_leaves_the_status(body: bytes) -> None:
    assert refused(500, body, secret=KEY).message == "The endpoint answered 500 Internal Server Error."


def test_the_key_is_masked_in_message_and_code() -> None:
    error = refused(401, msgspec.json.encode({"error": {"message": f"Bad key {KEY}.", "code": f"bad_{KEY}"}}), secret=KEY)
    assert (error.message, error.code) == ("Bad key ***.", "bad_***")


def test_a_key_across_the_cut_leaves_no_half() -> None:
    message = "x" * (MAX_MESSAGE - 5) + KEY
    assert "sk-" not in refused(401, msgspec.json.encode({"error": message}), secret=KEY).message


def test_no_key_masks_nothing() -> None:
    assert masked("text", "") == "text"


def test_a_long_message_is_cut() -> None:
    assert len(refused(400, msgspec.json.encode({"error": "x" * (MAX_MESSAGE + 1)}), secret=KEY).message) == MAX_MESSAGE


def test_a_long_code_is_cut() -> None:
    assert len(refused(400, msgspec.json.encode({"error": {"code": "x" * (MAX_CODE + 1)}}), secret=KEY).code) == MAX_CODE


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (b'{"message":"Overloaded.","code":"overloaded"}', "overloaded", "Overloaded."),
        (b'{"message":"Slow down.","code":429}', "rate_limit_exceeded", "Slow down."),
        (b'"Out of memory."', "server_error", "Out of memory."),
        (b"{}", "server_error", "The endpoint failed while it was answering."),
        (b"7", "server_error", "The endpoint failed while it was answering."),
        (b'{"message":"Bad key sk-secret-0123456789."}', "server_error", "Bad key ***."),
    ],
)
def test_an_error_inside_an_answer(error: bytes, code: str, message: str) -> None:
    found = failed(error, secret=KEY)
    assert (found.code, found.message) == (code, message)


def said(message: str, **more: object) -> bytes:
    return msgspec.json.encode({"error": {"message": message, **more}})


TOO_LONG: dict[str, tuple[int, bytes]] = {
    "OpenAI": (
        400,
        said(
            "This model's maximum context length is 4097 tokens. However, your messages resulted in 4294 tokens. "
            "Please reduce the length of the messages.",
            type="invalid_request_error",
            param="messages",
            code="context_length_exceeded",
        ),
    ),
    "OpenAI, GPT-5": (
        400,
        said("Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 289650 tokens.", code="invalid_request"),
    ),
    "OpenAI, responses": (400, said("Your input exceeds the context window of this model. Please adjust your input and try again.")),
    "vLLM": (
        400,
        msgspec.json.encode(
            {
                "object": "error",
                "message": "This model's maximum context length is 6048 tokens. However, you requested 6616 tokens (568 in the messages, "
                "6048 in the completion). Please reduce the length of the messages or completion.",
                "type": "BadRequestError",
                "param": None,
                "code": 400,
            }
        ),
    ),
    "DeepSeek": (400, said("This model's maximum context length is 131072 tokens. However, ...", code="invalid_request_error")),
    "llama.cpp": (400, said("request (4390 tokens) exceeds the available context size (4096 tokens), try increasing it", code=400)),
    "llama.cpp, by its type": (400, said("Too much.", type="exceed_context_size_error", code=400)),
    "llama.cpp, late": (500, said("Context size has been exceeded.", type="server_error", code=500)),
    "Gemini": (
        400,
        b"[" + said("The input token count (1200293) exceeds the maximum number of tokens allowed (1048576).", code=400) + b"]",
    ),
    "Groq": (400, said("Please reduce the length of the messages or completion.", code="context_length_exceeded")),
    "Cerebras": (400, said("Please reduce the length of the messages or completion. Current length is 42328 while limit is 40000")),
    "Mistral": (400, b'{"object":"error","message":"Prompt contains 40000 tokens, too large for model with 32768 maximum context length"}'),
    "OpenRouter": (
        400,
        said("This endpoint's maximum context length is 40960 tokens. However, you requested about 42988 tokens.", code=400),
    ),
    "OpenRouter, of a provider": (
        502,
        said(
            "Provider returned error",
            code=502,
            metadata={"raw": '{"error":{"message":"This model\'s maximum context length is 262144 tokens."}}', "provider_name": "Nvidia"},
        ),
    ),
    "GitHub Models": (413, said("Request body too large for gpt-4o model. Max size: 8000 tokens.", code="tokens_limit_reached")),
    "LiteLLM": (400, said("litellm.ContextWindowExceededError: Context Window exceeded for given call.", code="400")),
    "Anthropic": (400, said("prompt is too long: 210094 tokens > 200000 maximum")),
    "Anthropic, with its answer": (400, said("input length and `max_tokens` exceed context limit: 199759 + 8192 > 200000")),
    "Perplexity": (400, said("The total length of all messages is too long.")),
    "SGLang": (400, said("The input (9000 tokens) is longer than the model's context length (8192 tokens).")),
    "LM Studio": (400, b'{"error":"Trying to keep the first 10136 tokens when context the overflows. However, ..."}'),
    "TGI": (422, b'{"error":"Input validation error: `inputs` tokens + `max_new_tokens` must be <= 1512. Given: 1000"}'),
    "llama-cpp-python": (400, said("Requested tokens (2285) exceed context window of 2048")),
}


@pytest.mark.parametrize(("status", "body"), TOO_LONG.values(), ids=TOO_LONG.keys())
def test_a_prompt_that_is_too_long_has_one_code_however_it_is_said(status: int, body: bytes) -> None:
    error = refused(status, body, secret=KEY)
    assert (error.code, error.status) == (CONTEXT_LENGTH_EXCEEDED, status)
    assert error.message


@pytest.mark.parametrize(
    "body",
    [
        said("Unsupported parameter: 'max_tokens' is not supported with this model.", code="unsupported_parameter"),
        said("max_tokens is too large: 100000. This model supports at most 4096 completion tokens."),
        said("Provider returned error", metadata=None),
        said("Provider returned error", metadata={"raw": "upstream is busy"}),
        said("Bad.", code=["a", "list"], type={"an": "object"}),
    ],
)
def test_what_is_refused_for_another_reason_has_another_code(body: bytes) -> None:
    assert refused(400, body, secret=KEY).code != CONTEXT_LENGTH_EXCEEDED


def test_a_body_that_is_too_large_for_the_minute_is_a_matter_of_time() -> None:
    body = said(
        "Request too large for model on tokens per minute (TPM): Limit 6000, Requested 7000.", type="tokens", code="rate_limit_exceeded"
    )
    assert refused(413, body, secret=KEY).code == "rate_limit_exceeded"


def test_a_throttle_speaks_of_tokens_too() -> None:
    body = said("Too many input tokens per minute: the input is too long for now.")
    assert refused(429, body, secret=KEY).code == "rate_limit_exceeded"


def test_a_stream_that_broke_may_mean_that_the_prompt_is_too_long() -> None:
    error = b'{"code":400,"message":"the request exceeds the available context size.","type":"exceed_context_size_error","n_ctx":8192}'
    assert failed(error, secret=KEY).code == CONTEXT_LENGTH_EXCEEDED
