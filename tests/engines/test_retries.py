"""Which failures are tried again, and when."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from realtime.engines.refusals import refused
from realtime.engines.retries import FIRST_BACKOFF, MAX_ATTEMPTS, MAX_BACKOFF, MAX_RETRY_AFTER, Unreachable, delay_before_retry
from realtime.errors import EngineError

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
LOST = Unreachable("connection_error", "Gone.")


def delay(error: EngineError, failures: int = 1, dice: float = 1.0) -> float | None:
    return delay_before_retry(error, failures, dice=lambda: dice, now=NOW)


def status(number: int, retry_after: str | None = None, body: bytes = b"") -> EngineError:
    return refused(number, body, secret="", retry_after=retry_after)


@pytest.mark.parametrize("error", [LOST, status(429), status(500), status(503)])
def test_a_passing_failure_is_tried_again(error: EngineError) -> None:
    assert delay(error) == FIRST_BACKOFF


@pytest.mark.parametrize("error", [status(400), status(401), status(404), EngineError("timeout", "Late.")])
def test_a_lasting_failure_is_not(error: EngineError) -> None:
    assert delay(error) is None


@pytest.mark.parametrize("code", ["insufficient_quota", "credit_balance_exhausted", "billing_hard_limit_reached"])
def test_an_empty_purse_is_not_asked_twice(code: str) -> None:
    assert delay(status(429, body=b'{"error":{"code":"%s"}}' % code.encode())) is None


@pytest.mark.parametrize("number", [400, 500, 502])
def test_a_prompt_that_is_too_long_is_as_long_the_next_time(number: int) -> None:
    assert delay(status(number, body=b'{"error":{"message":"Context size has been exceeded."}}')) is None


def test_attempts_are_bounded() -> None:
    assert delay(LOST, MAX_ATTEMPTS - 1) is not None
    assert delay(LOST, MAX_ATTEMPTS) is None


def test_the_backoff_doubles_up_to_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime.engines.retries.MAX_ATTEMPTS", 100)
    assert delay(LOST, 2) == 2 * FIRST_BACKOFF
    assert delay(LOST, 20) == MAX_BACKOFF


def test_the_jitter_is_full() -> None:
    assert delay(LOST, dice=0.0) == 0.0
    assert delay(LOST, dice=0.5) == FIRST_BACKOFF / 2


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("3", 3.0),
        ("0", 0.0),
        (" 2 ", 2.0),
        ("Thu, 01 Jan 2026 12:00:04 GMT", 4.0),
        ("Thu, 01 Jan 2026 12:00:04 -0000", 4.0),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0.0),
        ("soon", FIRST_BACKOFF),
    ],
)
def test_retry_after_is_honoured(header: str, seconds: float) -> None:
    assert delay(status(429, header)) == seconds


@pytest.mark.parametrize("header", [str(int(MAX_RETRY_AFTER) + 1), "Thu, 01 Jan 2026 13:00:00 GMT"])
def test_an_endpoint_that_wants_long_peace_is_left_in_peace(header: str) -> None:
    assert delay(status(429, header)) is None


def test_the_longest_retry_after_is_waited_for() -> None:
    assert delay(status(503, str(int(MAX_RETRY_AFTER)))) == MAX_RETRY_AFTER
