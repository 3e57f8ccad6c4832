"""How many examples hypothesis tries here, and that they are the same on every run."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

EXAMPLES = int(os.environ.get("REALTIME_FUZZ_EXAMPLES", "300"))
"""Of each test: all of them take half a minute, unless more are asked for."""

DERANDOMIZED = "REALTIME_FUZZ_EXAMPLES" not in os.environ
"""Whoever asks for more wants others than yesterday's."""

settings.register_profile(
    "fuzz",
    max_examples=EXAMPLES,
    derandomize=DERANDOMIZED,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
settings.load_profile("fuzz")
