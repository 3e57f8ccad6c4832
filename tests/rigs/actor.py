"""The process that reads files (`media_process`), whole but for the reading: it does what the file says."""

from __future__ import annotations

import sys

ACTOR = """
import ctypes, os, socket, sys
from pathlib import Path
from types import ModuleType
import realtime.media
from realtime.engines import media_process
from realtime.media.readings import Clip, Frame, Picture, Samples

files = 0

def act(data):
    global files
    files += 1
    match data.decode("latin-1").strip().split(" "):
        case ["pid"]: return str(os.getpid())
        case ["files"]: return str(files)
        case ["environment"]: return chr(10).join(f"{name}={value}" for name, value in os.environ.items())
        case ["wait", begun, gate]:
            Path(begun).write_text(str(os.getpid()))
            return Path(gate).read_text()
        case ["write", path]:
            try:
                Path(path).write_text("evil")
            except OSError as error:
                return error.strerror
        case ["eat"]: return str(len(bytearray(1 << 40)))
        case ["crash"]: ctypes.string_at(0)
        case ["bug"]: return 1 // 0
        case ["shout"]: os.write(2, b"heard" * 1000)
        case ["flood"]:
            while True:
                try: os.write(2, b"x" * 4096)
                except BlockingIOError: return "no room"
        case ["rubbish", hex]: os.write(3, bytes.fromhex(hex))
        case ["exit"]: os._exit(0)
        case [words]: return words
    return "done"

def read(data, wanted, limits):
    picture = Picture(act(data).encode(), 1, 1, "")
    return {"image": picture, "audio": Samples(picture.jpeg), "video": Clip(1, (Frame(0, picture),), None, "")}[media_process.kind(wanted)]

for name in ("image", "sound_file", "video"):
    module = ModuleType(name)
    module.read = read
    setattr(realtime.media, name, module)
    sys.modules[f"realtime.media.{name}"] = module
media_process.main(sys.argv[1:])
"""

ACTORS = (sys.executable, "-c", ACTOR)
"""Its command line."""
