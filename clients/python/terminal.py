"""`realtime_client.py` as a program: a quick check of a server, a conversation in the terminal, one question and its answer."""

from __future__ import annotations

import argparse
import asyncio
import atexit
import os
import shlex
import sys
import threading
import time
import wave
from contextlib import suppress
from pathlib import Path

from realtime_client import (
    RATE,
    URL,
    AudioDelta,
    RealtimeClient,
    RealtimeError,
    Reconnecting,
    ResponseDone,
    Resumed,
    ServerError,
    SoundMissing,
    SpeechStarted,
    StartedAnew,
    TextDelta,
    Transcript,
    words,
)

RECORDING = Path(__file__).with_name("recording.wav")
RECORDING_SAYS = {"phone", "number", "area", "code"}
"""Of "Please enter your phone number, starting with the area code", words one of which must have been heard."""

TEST_SECONDS = 120.0
"""Longest that each turn of the check may take, on a slow machine with its own models."""

HEARD = {"input": {"transcription": {"model": "whisper-1"}}}

HELP = """\
  anything else          say it
  /audio FILE [WORDS]    send a recording       /image FILE [WORDS]    show a picture
  /video FILE [WORDS]    show a clip            /mic                   talk; again: stop
  /cancel                stop the answer        /instructions TEXT     how it should answer
  /save FILE             write down what was said
  /help                  this                   /quit                  end, as does Ctrl-D"""


def main() -> None:
    options = _parser().parse_args()
    work = {"test": test, "say": say}.get(options.command, converse if sys.stdin.isatty() else say)
    try:
        sys.exit(asyncio.run(work(options)))
    except (RealtimeError, SoundMissing, TimeoutError, ValueError, OSError) as error:
        sys.exit(f"realtime_client: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="realtime_client.py", description=__doc__, epilog="$REALTIME_API_KEY: the server's key, if it needs one."
    )
    parser.add_argument("--url", default=os.environ.get("REALTIME_URL", URL), help="the server; $REALTIME_URL, else %(default)s")
    parser.add_argument("--model", default="", help="model to name to it")
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", description="Without one: a conversation, or the answer to what is piped in."
    )
    commands.add_parser("test", help="a quick check: exit status 0 if the server writes, hears and answers")
    question = commands.add_parser("say", help="one question and its answer")
    question.add_argument("words", nargs="*", help="what to say; what is piped in, if there are none")
    for kind in ("audio", "image", "video"):
        question.add_argument(f"--{kind}", metavar="FILE", help=f"send it, too ({kind})")
    question.add_argument("--speech", metavar="FILE", help="have the answer spoken, into a WAV file")
    parser.set_defaults(words=[], audio=None, image=None, video=None, speech=None)
    return parser


def client(options: argparse.Namespace, *, speak: bool = False, play: bool = False) -> RealtimeClient:
    key = os.environ.get("REALTIME_API_KEY", "")
    modality = "audio" if speak or play else "text"
    return RealtimeClient(options.url, api_key=key, model=options.model, play=play, output_modalities=[modality], audio=HEARD)


# ---------------------------------------------------------------- one question


async def say(options: argparse.Namespace) -> int:
    """The answer goes to standard output, everything else to standard error. Returns the exit status."""
    text = " ".join(options.words) or ("" if sys.stdin.isatty() else sys.stdin.read().strip())
    if not (text or options.audio or options.image or options.video):
        raise ValueError("nothing to say: give it words, a file, or pipe them in")
    sound = bytearray()
    async with client(options, speak=bool(options.speech)) as rt:
        if options.audio:
            await rt.send_audio_file(options.audio, respond=False)
        if options.image:
            await rt.send_image(options.image, respond=False)
        if options.video:
            await rt.send_video(options.video, respond=False)
        if text:
            await rt.send_text(text, respond=False)
        await rt.respond()
        async for event in rt:
            match event:
                case TextDelta(text=piece):
                    print(piece, end="", flush=True)
                case AudioDelta(audio=audio):
                    sound += audio
                case ServerError(message=message):
                    raise ValueError(message)
                case ResponseDone(status=status, message=message):
                    print()
                    if options.speech:
                        write_wav(options.speech, bytes(sound))
                    if status != "completed":
                        print(f"realtime_client: {status}: {message}", file=sys.stderr)
                    return int(status != "completed")
    return 1


def write_wav(path: str, sound: bytes) -> None:
    """PCM16, mono, at `RATE`."""
    with wave.open(path, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(sound)


# ---------------------------------------------------------------- the check


class Failed(Exception):
    """What the check found."""


async def test(options: argparse.Namespace) -> int:
    """Connect, ask in writing, ask aloud. Returns the exit status."""
    try:
        began = time.perf_counter()
        async with client(options) as rt:
            _report("connects", f"{options.url}, {rt.session_id}", time.perf_counter() - began)
            await rt.send_text("Say hello.")
            await _turn(rt, "text turn")
            await rt.update(output_modalities=["audio"])
            await rt.send_audio_file(RECORDING)
            heard, sound = await _turn(rt, "audio turn", hear=True)
            if not RECORDING_SAYS & set(heard.lower().replace(",", " ").replace(".", " ").split()):
                raise Failed(f"it heard {heard!r}, and should have heard one of {', '.join(sorted(RECORDING_SAYS))}")
            if not sound:
                print("note: the answer had no sound")
    except (Failed, RealtimeError, TimeoutError, OSError) as error:
        print(f"FAILED  {error or 'nothing came in time'}")
        return 1
    print("passed")
    return 0


async def _turn(rt: RealtimeClient, name: str, *, hear: bool = False) -> tuple[str, int]:
    """See one answer to its end, with what was heard if `hear`; returns that, and how much sound came."""
    began, first, heard, sound, done = time.perf_counter(), 0.0, "", 0, False
    async with asyncio.timeout(TEST_SECONDS):
        async for event in rt:
            match event:
                case TextDelta() | AudioDelta():
                    first = first or time.perf_counter() - began
                    sound += len(event.audio) if isinstance(event, AudioDelta) else 0
                case Transcript(text=heard):
                    print(f"    heard: {heard}")
                case ServerError(code=code, message=message):
                    raise Failed(f"{name}: {code}: {message}")
                case ResponseDone(status=status, text=text, message=message):
                    if status != "completed" or not text:
                        raise Failed(f"{name}: {status}: {message or 'no words'}")
                    print(f"    answer: {text}")
                    _report(name, f"first delta after {first:.2f} s", time.perf_counter() - began)
                    done = True
            if done and (heard or not hear):
                break
    return heard, sound


def _report(name: str, text: str, seconds: float) -> None:
    print(f"ok  {name}: {text}, {seconds:.2f} s in all")


# ---------------------------------------------------------------- a conversation


async def converse(options: argparse.Namespace) -> int:
    """Until /quit or the end of the input. Returns the exit status."""
    try:
        rt = client(options, play=True)
        rt.open_speaker()
    except SoundMissing as error:
        print(f"[answers are written: {error}]")
        rt = client(options)
    async with rt:
        await Conversation(rt).run()
    return 0


class Conversation:
    """What is typed goes to the server, what it says to the screen."""

    def __init__(self, rt: RealtimeClient) -> None:
        self._rt = rt
        self._microphone: asyncio.Task[None] | None = None
        self._in_line = False
        """An answer is being written."""

    async def run(self) -> None:
        self._note(f"connected, {self._rt.session_id}; /help tells what can be typed")
        tasks = [asyncio.create_task(self._show()), asyncio.create_task(self._obey())]
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
        finally:
            for task in [*tasks, *([self._microphone] if self._microphone else [])]:
                task.cancel()

    async def _obey(self) -> None:
        typed = typed_lines()
        while (line := await typed.get()) is not None:
            try:
                await self._do(line)
            except RealtimeError:
                raise
            except (OSError, ValueError) as error:
                self._note(str(error))

    async def _do(self, line: str) -> None:
        command, _, rest = line.partition(" ")
        match command:
            case "":
                pass
            case "/audio" | "/image" | "/video":
                send = {"/audio": self._rt.send_audio_file, "/image": self._rt.send_image, "/video": self._rt.send_video}[command]
                path, *text = shlex.split(rest) or [""]
                if not path:
                    raise ValueError(f"{command} needs a file")
                await send(path, " ".join(text))
            case "/mic":
                self._switch_microphone()
            case "/cancel":
                await self._rt.cancel()
            case "/instructions":
                await self._rt.update(instructions=rest)
                self._note("instructions are changed")
            case "/save" if not rest:
                raise ValueError("/save needs a file")
            case "/save":
                await asyncio.to_thread(Path(rest).write_text, self._written(), encoding="utf-8")
                self._note(f"saved in {rest}")
            case "/help":
                print(HELP)
            case _ if command.startswith("/"):
                self._note(f"there is no {command}; /help tells what there is")
            case _:
                await self._rt.send_text(line)

    def _written(self) -> str:
        """The conversation, a line for each item that says something."""
        said = ((item.get("role", ""), words(item)) for item in self._rt.items.values())
        return "".join(f"{role}: {text}\n" for role, text in said if text)

    def _switch_microphone(self) -> None:
        if self._microphone and not self._microphone.done():
            self._microphone.cancel()
            self._note("the microphone is off")
            return
        self._note("the microphone is on: speak")
        self._microphone = asyncio.create_task(self._rt.stream_microphone())
        self._microphone.add_done_callback(self._microphone_ended)

    def _microphone_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            self._note(str(error))

    async def _show(self) -> None:
        async for event in self._rt:
            match event:
                case TextDelta(text=text):
                    print(text, end="", flush=True)
                    self._in_line = True
                case ResponseDone(status=status, message=message):
                    self._end_line()
                    if status != "completed":
                        self._note(f"{status}: {message}" if message else status)
                case Transcript(text=text):
                    self._note(f"you: {text}")
                case SpeechStarted():
                    self._note("listening")
                case ServerError(code=code, message=message):
                    self._note(f"{code}: {message}")
                case Reconnecting(attempt=attempt, delay=delay, why=why):
                    self._note(f"{why}; attempt {attempt} in {delay:.1f} s")
                case Resumed(session_id=id):
                    self._note(f"connected again, {id}")
                case StartedAnew(session_id=id):
                    self._note(f"the session is gone; a new one, {id}, knows nothing of it")

    def _note(self, text: str) -> None:
        self._end_line()
        print(f"[{text}]", flush=True)

    def _end_line(self) -> None:
        if self._in_line:
            print(flush=True)
        self._in_line = False


def typed_lines() -> asyncio.Queue[str | None]:
    """Lines of the terminal as they are typed, up to /quit, then None. A thread waits for them, and keeps no program from ending."""
    with suppress(ImportError):
        import readline  # noqa: F401  # lines can be edited, and come back
        import termios

        # Whoever ends while a line is being edited would leave the terminal to the next program as the editor needs it.
        atexit.register(termios.tcsetattr, sys.stdin, termios.TCSANOW, termios.tcgetattr(sys.stdin))
    loop, queue = asyncio.get_running_loop(), asyncio.Queue[str | None]()

    def read() -> None:
        with suppress(EOFError, RuntimeError):  # the loop may have ended meanwhile
            while (line := input().strip()) != "/quit":
                loop.call_soon_threadsafe(queue.put_nowait, line)
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(queue.put_nowait, None)

    threading.Thread(target=read, daemon=True).start()
    return queue
