"""The daemons that tests share, and what they said beside every test that fails."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import pytest

from realtime.config import default_cache
from realtime.engines import models
from realtime.errors import EngineError
from tests.rigs.chat_endpoint import ChatEndpoint
from tests.rigs.daemon import SCRIPTED, Daemon
from tests.rigs.program import Program
from tests.rigs.redis_server import RedisServer


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        values = {name: value for name, value in getattr(item, "funcargs", {}).items() if isinstance(value, Program | Starter)}
        report.sections += [(f"{name} said", value.output) for name, value in values.items()]
    return report


@pytest.fixture(scope="session")
def scripted() -> Iterator[Daemon]:
    """A daemon without any model."""
    with Daemon(*SCRIPTED) as daemon:
        yield daemon


@pytest.fixture(scope="session")
def embedded() -> Iterator[Daemon]:
    """A daemon as it comes: nothing is configured, every model is its own."""
    need_models("base", "smollm2-135m-instruct")
    with Daemon() as daemon:
        yield daemon


@pytest.fixture(scope="session")
def redis() -> Iterator[RedisServer]:
    """A store that daemons share."""
    with RedisServer() as server:
        yield server


@pytest.fixture
async def endpoint() -> AsyncIterator[ChatEndpoint]:
    async with ChatEndpoint() as endpoint:
        yield endpoint


class Start(Protocol):
    """`start(*options, OPENAI_MODEL=...)`: a daemon for this one test."""

    def __call__(self, *options: str, **environment: str) -> Daemon: ...


class Starter:
    """Starts daemons, and ends them all after the test."""

    def __init__(self, ends: ExitStack) -> None:
        self._ends = ends
        self._daemons: list[Daemon] = []

    def __call__(self, *options: str, **environment: str) -> Daemon:
        daemon = self._ends.enter_context(Daemon(*options, **environment))
        self._daemons.append(daemon)
        return daemon

    @property
    def output(self) -> str:
        return "\n".join(daemon.output for daemon in self._daemons)


@pytest.fixture
def start() -> Iterator[Start]:
    with ExitStack() as ends:
        yield Starter(ends)


def need_models(*names: str) -> None:
    """Skip the test where the embedded voice or one of these models is neither here nor to be had."""
    if find_spec("hibari") is None:
        pytest.skip("hibari-tts is not installed (extra: local)")
    chosen = os.environ.get("REALTIME_CACHE_DIR")
    for name in names:
        try:
            models.fetch(name, Path(chosen) if chosen else default_cache())
        except EngineError as error:
            pytest.skip(error.message)
