"""Models that listen and voices that speak, for tests, from the cache of the models that the daemon itself fetches.

The cache is `$REALTIME_CACHE_DIR`, else the daemon's own. Where a model is neither there nor to be had, the test that asked is skipped
and says why.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pytest

from realtime.app import TURN_MODEL
from realtime.config import default_cache
from realtime.engines import models
from realtime.errors import EngineError


@cache
def _fetched(name: str) -> Path | str:
    chosen = os.environ.get("REALTIME_CACHE_DIR")
    try:
        return models.fetch(name, Path(chosen) if chosen else default_cache())
    except EngineError as error:
        return error.message


def model_folder(name: str) -> Path:
    """The folder of a model, fetched if it must be: give the first test that asks a generous timeout."""
    found = _fetched(name)
    if isinstance(found, str):
        pytest.skip(found)
    return found


def turn_model() -> Path:
    """The file of Smart Turn."""
    return model_folder(TURN_MODEL) / models.CATALOGUE[TURN_MODEL].main
