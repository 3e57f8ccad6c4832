"""The examples of the user's own description, run as they stand: `examples/client.py` and `examples/client.js`, each to the letter.

They connect to port 8001 of localhost, so that is where the daemon has to be.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rigs.daemon import SCRIPTED, Daemon, bare_environment
from tests.rigs.program import Program

EXAMPLES = Path(__file__).parent / "examples"
PORT = 8001
HELLO = "You said: Hello!"
"""What the scripted model makes of what both of them say."""

SEND = "ws.addEventListener('open', () => sendText('Hello!'));\n"
"""The JavaScript example says how to send a text and leaves the sending to the reader."""


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", PORT)) == 0:
            pytest.fail(f"Port {PORT} of this machine is taken; the examples need it: end what listens there and try again.")
    with Daemon(*SCRIPTED, "--host", "localhost", "--port", str(PORT)) as daemon:
        yield daemon


def node() -> list[str]:
    """The command that runs JavaScript with a `WebSocket`, which Node.js has since 22, and behind a flag since 20.10."""
    path = shutil.which("node")
    if path is None:
        pytest.skip("node is not installed")
    version = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    major = int(version.removeprefix("v").split(".")[0])
    if major < 20:
        pytest.skip(f"node {version} has no WebSocket: 20 or newer is needed")
    return [path] if major >= 22 else [path, "--experimental-websocket"]


def test_the_python_example_prints_the_answer(daemon: Daemon) -> None:
    with Program([sys.executable, str(EXAMPLES / "client.py")], env=bare_environment()) as example:
        example.wait_for_line("^Received: session.created$")
        example.wait_for_line("^Received: session.updated$")
        assert example.wait_for_line("^Assistant: (.*)")[1] == HELLO


def test_the_javascript_example_prints_the_answer(daemon: Daemon, tmp_path: Path) -> None:
    command = node()
    script = tmp_path / "client.js"
    script.write_text((EXAMPLES / "client.js").read_text() + SEND)
    with Program([*command, str(script)], env=bare_environment()) as example:
        example.wait_for_line("^Connected to WebSocket$")
        example.wait_for_line("^Received: session.updated$")
        assert example.wait_for_line("^Assistant: (.*)")[1] == HELLO
