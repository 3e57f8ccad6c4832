"""The Python client as a program: driven through a terminal, through pipes, and as a check of a server."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import wave
from pathlib import Path
from signal import SIGKILL

import pytest

from tests.e2e.conftest import Start
from tests.rigs.chat_endpoint import ChatEndpoint, answer
from tests.rigs.daemon import SCRIPTED, SCRIPTED_EARS, Daemon, bare_environment
from tests.rigs.pictures import drawn
from tests.rigs.program import Program

FOLDER = Path(__file__).parents[2] / "clients" / "python"
CLIENT = [sys.executable, str(FOLDER / "realtime_client.py")]


async def ran(*arguments: str, said: str = "") -> tuple[int, str, str]:
    """Status, output and errors of the program with this typed into its pipe."""

    def run() -> tuple[int, str, str]:
        done = subprocess.run(
            [*CLIENT, *arguments], input=said.encode(), capture_output=True, env=bare_environment(), timeout=120, check=False
        )
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    return await asyncio.to_thread(run)


def test_a_conversation_in_a_terminal(scripted: Daemon, tmp_path: Path) -> None:
    picture, saved = tmp_path / "red.png", tmp_path / "saved.txt"
    picture.write_bytes(drawn("PNG", (30, 20)))
    with Program([*CLIENT, "--url", scripted.url()], env=bare_environment(), terminal=True) as program:
        program.wait_for_line(r"\[connected, sess_")
        program.type("Good morning.")
        program.wait_for_line("You said: Good morning.")
        program.type("/instructions Be brief.")
        program.wait_for_line("instructions are changed")
        program.type(f"/image {picture} What is this?")
        program.wait_for_line("You said: .*What is this")
        program.type(f"/audio {FOLDER / 'recording.wav'}")
        program.wait_for_line(r"\[you: ")
        program.type("/nonsense")
        program.wait_for_line("there is no /nonsense")
        program.type("/image")
        program.wait_for_line("/image needs a file")
        program.type(f"/save {saved}")
        program.wait_for_line("saved in")
        program.type("/quit")
        assert program.wait() == 0
    assert "user: Good morning." in saved.read_text()
    assert "assistant: You said: Good morning." in saved.read_text()


def test_a_terminal_whose_server_is_killed_goes_on_with_the_conversation(start: Start, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    options = (*SCRIPTED, "--port", port, "--state-dir", str(tmp_path))
    daemon = start(*options)
    with Program([*CLIENT, "--url", daemon.url()], env=bare_environment(), terminal=True) as program:
        program.wait_for_line(r"\[connected, sess_")
        program.type("My name is Ada.")
        program.wait_for_line("You said: My name is Ada.")
        daemon.signal(SIGKILL)
        program.wait_for_line("attempt 1 in")
        daemon.wait()
        start(*options)
        program.wait_for_line(r"\[connected again, sess_")
        program.type("And now?")
        program.wait_for_line("You said: And now?")
        program.type("/quit")
        assert program.wait() == 0


async def test_the_check_passes_with_a_server_that_hears_and_answers(embedded: Daemon) -> None:
    status, output, errors = await ran("--url", embedded.url(), "test")
    assert (status, errors) == (0, ""), output
    assert output.endswith("passed\n")
    assert [line.partition(":")[0] for line in output.splitlines() if line.startswith("ok")] == [
        "ok  connects",
        "ok  text turn",
        "ok  audio turn",
    ]


async def test_the_check_fails_where_nobody_listens_and_where_nobody_hears(scripted: Daemon) -> None:
    status, output, _ = await ran("--url", "ws://127.0.0.1:9/v1/realtime", "test")
    assert status == 1
    assert "FAILED" in output
    status, output, _ = await ran("--url", scripted.url(), "test")
    assert status == 1, "the scripted ear makes its words up"
    assert "should have heard" in output


async def test_one_question_by_a_pipe_and_its_answer_as_a_file(start: Start, endpoint: ChatEndpoint, tmp_path: Path) -> None:
    daemon = start(*SCRIPTED_EARS, OPENAI_BASE_URL=endpoint.base_url)
    endpoint.script(answer("Paris."), answer("A cat."))
    assert await ran("--url", daemon.url(), said="What is the capital of France?\n") == (0, "Paris.\n", "")
    picture, speech = tmp_path / "cat.png", tmp_path / "answer.wav"
    picture.write_bytes(drawn("PNG", (30, 20)))
    status, output, _ = await ran("--url", daemon.url(), "say", "What is this?", "--image", str(picture), "--speech", str(speech))
    assert (status, output) == (0, "A cat.\n")
    with wave.open(str(speech)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getnframes() > 0) == (24_000, 1, True)


async def test_nothing_to_say_is_a_mistake(scripted: Daemon) -> None:
    status, _, errors = await ran("--url", scripted.url(), "say")
    assert status == 1
    assert "nothing to say" in errors


@pytest.mark.parametrize("folder", ["browser", "python"])
def test_no_client_needs_the_server_s_code(folder: str) -> None:
    sources = [path for path in (FOLDER.parent / folder).iterdir() if path.suffix in (".py", ".js")]
    assert sources
    assert [path.name for path in sources if "from realtime." in path.read_text() or "import realtime\n" in path.read_text()] == []
