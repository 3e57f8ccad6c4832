"""Fetches one model of the Hugging Face hub: a program, run as a child so that it can be killed and has its own imports.

    python hub.py REPOSITORY FOLDER [ENDPOINT]

As soon as the hub has answered it writes the bytes to expect into `FOLDER/total`, then the files into `FOLDER/files`. A failure is one
line on stderr and status 1: the exceptions behind it differ from version to version of huggingface_hub, so nobody is asked to catch them.
It imports nothing of this package.
"""

from __future__ import annotations

import sys
from fnmatch import fnmatch
from pathlib import Path
from types import TracebackType

PATTERNS = ("config.json", "preprocessor_config.json", "model.bin", "tokenizer.json", "vocabulary.*")
"""The files of a model for ctranslate2: the list of faster_whisper.utils.download_model."""

CONNECT_SECONDS = 5
"""For the connection and for each read of the first answer; a machine without network should not wait longer to learn of it."""


def main(arguments: list[str]) -> None:
    from huggingface_hub import HfApi, snapshot_download

    repository, folder, endpoint = arguments[0], Path(arguments[1]), (arguments[2] if len(arguments) > 2 else None)
    info = HfApi(endpoint=endpoint).model_info(repository, files_metadata=True, timeout=CONNECT_SECONDS)
    files = info.siblings or []
    total = sum(file.size or 0 for file in files if any(fnmatch(file.rfilename, pattern) for pattern in PATTERNS))
    (folder / "total").write_text(str(total))
    snapshot_download(
        repository,
        revision=info.sha,  # one commit for all files, even if somebody pushes meanwhile
        local_dir=folder / "files",
        allow_patterns=list(PATTERNS),
        etag_timeout=CONNECT_SECONDS,
        endpoint=endpoint,
    )


def say(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """An `excepthook` for a reader who wants the reason and not the traceback; the hub's errors go on for many lines."""
    print(f"{kind.__name__}: {str(error).strip().partition(chr(10))[0]}", file=sys.stderr)


if __name__ == "__main__":
    sys.excepthook = say
    main(sys.argv[1:])
