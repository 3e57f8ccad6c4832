"""What the client reads when an endpoint refuses."""

from __future__ import annotations

import msgspec
import pytest

from realtime.engines.refusals import MAX_CODE, MAX_MESSAGE, failed, masked, refused

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
    "body", [b"", b"\xff", b"<html>", b"[]", b"null", b"{}", b'{"error":5}', b'{"error":{"message":""}}', b'{"error":"\xff"}']
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
