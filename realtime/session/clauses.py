"""Cutting a stream of text into clauses that can be spoken as soon as they are whole."""

from __future__ import annotations

import re

FIRST_CLAUSE = 12
"""Characters from which the first clause may end at a comma: the first sound matters most."""

LATER_CLAUSE = 60
"""The same for later clauses: longer ones have better prosody, and the listener is busy already."""

MAX_FIRST_CLAUSE = 96
"""Characters after which the first clause is cut at a space, where no pause has come: somebody waits for it. Of 24 answers of the embedded
model it cuts three, and 21 tokens are the most before the first sound, not 27. 72 would cut seven, for one token less on average."""

MAX_CLAUSE = 240
"""Characters after which any clause is cut at a space (or anywhere, if there is none): no voice should get a page at once."""

_SENTENCE_END = re.compile(r"""[.!?…]+["'”’)\]]*(?=\s)|[。！？]["'”’)」』]*|\n+""")
"""An end of sentence with the space after it (so that `3.14` and `example.com` stay whole), a full-width one, or a line break."""

_PAUSE = re.compile(r"[,;:—–](?=\s)|[，；：、]")

_ABBREVIATION = re.compile(r"(?:\b(?:[A-Z]|Mr|Mrs|Ms|Dr|Prof|St|vs|etc|e\.g|i\.e|No|approx))\.$")


class ClauseCutter:
    """Feed it text, it gives back clauses, with the white space before it. Together they are the text, its last white space aside."""

    def __init__(self) -> None:
        self._rest = ""
        self._space = ""
        """White space that was cut off before a clause."""
        self._first = True

    def push(self, text: str) -> list[str]:
        """The clauses that became whole."""
        self._rest += text
        clauses: list[str] = []
        while (cut := self._cut()) is not None:
            self._keep(self._rest[:cut], clauses)
            self._rest = self._rest[cut:]
        return clauses

    def flush(self) -> list[str]:
        """What is left when the text has ended."""
        clauses: list[str] = []
        self._keep(self._rest, clauses)
        self._rest = ""
        return clauses

    def _keep(self, clause: str, clauses: list[str]) -> None:
        if clause and not clause.isspace():
            clauses.append(self._space + clause)
            self._space, self._first = "", False
        else:
            self._space += clause

    def _cut(self) -> int | None:
        """Where the next clause ends, if it does."""
        shortest, longest = (FIRST_CLAUSE, MAX_FIRST_CLAUSE) if self._first else (LATER_CLAUSE, MAX_CLAUSE)
        for end in _SENTENCE_END.finditer(self._rest):
            if end.end() > longest:
                break
            if not _ABBREVIATION.search(self._rest[: end.end()]):
                return end.end()
        pause = _PAUSE.search(self._rest, shortest, longest)
        if pause:
            return pause.end()
        if len(self._rest) <= longest:
            return None
        space = self._rest.rfind(" ", 1, longest)
        return longest if space < 0 else space
