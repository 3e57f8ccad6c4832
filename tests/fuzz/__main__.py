"""Atheris over one target, for as long as somebody wants. Needs the package `atheris`, which is no part of any extra.

    python -m tests.fuzz TARGET [OPTION OF LIBFUZZER...]

Begins with what is kept in `corpus/TARGET` and puts what reaches new code into the first folder that is given, else into a temporary one.
What breaks something becomes a file `crash-...` in the working directory; in `corpus/TARGET` it is a test.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

TARGETS = ("codec", "session", "sse", "fragments", "requests", "sniffing", "sounds", "answers", "credentials", "journal")


def main(arguments: list[str]) -> None:
    if not arguments or arguments[0] not in TARGETS:
        sys.exit(f"usage: python -m tests.fuzz {{{','.join(TARGETS)}}} [-max_total_time=600] [-runs=1000] [FOLDER]")
    import atheris

    target, *options = arguments
    with atheris.instrument_imports(include=["realtime"]):
        module: Any = __import__(f"tests.fuzz.test_{target}", fromlist=["check"])
    with tempfile.TemporaryDirectory() as folder:
        given = [option for option in options if not option.startswith("-")] or [folder]
        flags = [option for option in options if option.startswith("-")]
        if words := getattr(module, "DICTIONARY", ()):
            flags.append(f"-dict={_written(words, Path(folder) / 'words.dict')}")
        kept = str(Path(__file__).parent / "corpus" / target)
        atheris.Setup([sys.argv[0], *flags, *given, kept], module.check)
        atheris.Fuzz()


def _written(words: list[str], file: Path) -> Path:
    """A dictionary as libFuzzer reads it."""
    bytes_of = (word.encode("latin-1", errors="ignore") for word in words)
    file.write_text("".join('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in bytes_of if word))
    return file


if __name__ == "__main__":
    main(sys.argv[1:])
