"""Whether a request that failed is tried again, and after how long.

Owns the arithmetic of backing off. Refuses to wait: the dice, the date and the pause are the caller's.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from realtime.engines.refusals import Refused
from realtime.errors import CONTEXT_LENGTH_EXCEEDED, EngineError

MAX_ATTEMPTS = 3
"""Requests for one answer: somebody is waiting on the line, and a third failure is seldom the last."""

FIRST_BACKOFF = 0.25
"""Seconds, at most, before the second attempt; doubled for each one after."""

MAX_BACKOFF = 2.0
"""Seconds, at most, between two attempts: more is a silence in which people hang up."""

MAX_RETRY_AFTER = 5.0
"""Seconds. An endpoint that asks for more is not asked again: coming back too early would only cost more of its patience."""

_FINAL = frozenset({"insufficient_quota", "credit_balance_exhausted", "billing_hard_limit_reached"})
"""Codes that come with 429 and that waiting does not cure."""


class Unreachable(EngineError):
    """Raised when no answer came: no connection, or one that broke before the status line."""


def delay_before_retry(error: EngineError, failures: int, *, dice: Callable[[], float], now: datetime) -> float | None:
    """Return the seconds to wait after so many failures, the last one being `error`; None to give up. `dice` gives 0..1."""
    if failures >= MAX_ATTEMPTS or not _is_passing(error):
        return None
    asked = _seconds(error.retry_after, now) if isinstance(error, Refused) and error.retry_after else None
    if asked is not None:
        return asked if asked <= MAX_RETRY_AFTER else None
    # Full jitter: a crowd that failed together must not come back together (AWS Architecture Blog, "Exponential Backoff And Jitter").
    return dice() * min(MAX_BACKOFF, FIRST_BACKOFF * 2.0 ** (failures - 1))


def _is_passing(error: EngineError) -> bool:
    if error.code == CONTEXT_LENGTH_EXCEEDED:
        return False  # llama.cpp and OpenRouter say it with 500 and 502, and the same prompt is as long the next time
    if isinstance(error, Refused):
        return error.status >= 500 or (error.status == 429 and error.code not in _FINAL)
    return isinstance(error, Unreachable)


def _seconds(retry_after: str, now: datetime) -> float | None:
    """Read a Retry-After header: seconds or an HTTP date (RFC 9110, section 10.2.3); None where it is neither."""
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        date = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return max(0.0, ((date if date.tzinfo else date.replace(tzinfo=UTC)) - now).total_seconds())
