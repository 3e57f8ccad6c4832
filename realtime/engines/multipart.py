"""A form with a file in it, as HTTP carries it: multipart/form-data (RFC 7578).

Owns the framing. Refuses to know what the fields mean; their names are ours, so they need no escaping, and their values may be anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from secrets import token_hex


def form(fields: Iterable[tuple[str, str]], *, name: str, filename: str, type: str, data: bytes) -> tuple[str, bytes]:
    """Return the media type and the body of a form with these fields and one file, which is called `name`."""
    # No guess finds it: a client whose prompt could close its part would write fields of its own.
    boundary = token_hex(16)
    parts = [_part(boundary, f'name="{key}"', value.encode()) for key, value in fields]
    parts.append(_part(boundary, f'name="{name}"; filename="{filename}"\r\nContent-Type: {type}', data))
    return f"multipart/form-data; boundary={boundary}", b"".join(parts) + f"--{boundary}--\r\n".encode()


def _part(boundary: str, head: str, content: bytes) -> bytes:
    return f"--{boundary}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + content + b"\r\n"
