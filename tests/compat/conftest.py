"""A daemon behind a tap, whose every frame is judged at the end of the test by the SDK's own types."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.e2e.conftest import Start
from tests.e2e.conftest import endpoint as endpoint
from tests.e2e.conftest import pytest_runtest_makereport as pytest_runtest_makereport
from tests.e2e.conftest import start as start
from tests.rigs.chat_endpoint import ChatEndpoint
from tests.rigs.daemon import SCRIPTED_EARS, Daemon
from tests.rigs.tap import Tap


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment may name a proxy, which the SDKs would use for this machine too."""
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def daemon(start: Start, endpoint: ChatEndpoint) -> Daemon:
    """Scripted ears and voice, and the stub for a model."""
    return start(*SCRIPTED_EARS, OPENAI_BASE_URL=endpoint.base_url)


@pytest.fixture
async def tap(daemon: Daemon) -> AsyncIterator[Tap]:
    """For clients of GA."""
    from tests.compat.schemas import GA, faults

    async with Tap(daemon.port) as tap:
        yield tap
    assert tap.received
    assert faults(tap.received, GA) == []


@pytest.fixture
async def beta_tap(daemon: Daemon) -> AsyncIterator[Tap]:
    """For clients of beta."""
    from tests.compat.schemas import BETA, faults

    async with Tap(daemon.port) as tap:
        yield tap
    assert tap.received
    assert faults(tap.received, BETA) == []
