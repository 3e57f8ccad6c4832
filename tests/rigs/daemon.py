"""The daemon as a process of its own, started the way a person starts it, with an environment in which nothing is configured."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from signal import SIGTERM, Signals
from urllib.parse import urlsplit

from realtime.options import SETTINGS
from realtime.supervisor import OURS_ALONE, WORKER
from tests.rigs.program import Program

SCRIPTED = ("--llm", "scripted", "--stt", "scripted", "--tts", "scripted", "--vad", "scripted", "--turn-model", "words")
"""No model at all: it starts in half a second."""

SCRIPTED_EARS = SCRIPTED[2:]
"""Only the language model is real."""

ANYWHERE = ("--host", "127.0.0.1", "--port", "0")
"""A free port; later options win."""

SUPERVISION = {"CREDENTIALS_DIRECTORY", "STATE_DIRECTORY", WORKER, *OURS_ALONE}
"""What a service manager that runs the tests means for them alone."""

START_PATIENCE = 60.0
"""Seconds until it listens: five on an idle machine with every model loaded."""

KEPT = {"REALTIME_CACHE_DIR"}
"""What the environment may say: models are not fetched anew for the tests."""


STATE = tempfile.TemporaryDirectory(prefix="realtime-state-")
"""Where daemons of the tests keep sessions, unless a test has them do otherwise."""


def bare_environment(**more: str) -> dict[str, str]:
    """This process's environment without any setting of the daemon, and with `more`."""
    settings = {setting.env for setting in SETTINGS} - KEPT | SUPERVISION
    return (
        {name: value for name, value in os.environ.items() if name not in settings}
        | {"PYTHONUNBUFFERED": "1", "XDG_STATE_HOME": STATE.name}
        | more
    )


class Daemon(Program):
    """`with Daemon(*SCRIPTED) as daemon:` it listens inside, and has ended in peace after."""

    python: Sequence[str] = ("-m", "realtime")
    """What Python runs."""
    keep: Sequence[int] = ()
    """Descriptors that it inherits."""

    def __init__(self, *options: str, **environment: str) -> None:
        command = [sys.executable, *self.python, "serve", *ANYWHERE, *options]
        super().__init__(command, env=bare_environment(**environment), keep=self.keep)
        try:
            self.address = self.wait_for_line(r"listening\s+(wss?://[^/\s]+|unix:\S+)", START_PATIENCE)[1]
        except AssertionError:
            super().stop()
            raise

    @property
    def port(self) -> int:
        port = urlsplit(self.address).port
        assert port is not None
        return port

    def url(self, path: str = "/v1/realtime") -> str:
        return self.address + path

    def stop(self, number: Signals = SIGTERM) -> int:
        """End it and return its exit status. Fails if anything ever went wrong inside."""
        status = super().stop(number)
        assert "Traceback" not in self.output, self.output
        return status
