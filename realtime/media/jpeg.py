"""How often a JPEG goes over its picture: what a decoder does not ask itself, and a small file can make it do for minutes.

Reference: ISO/IEC 10918-1, annex B.
"""

from __future__ import annotations

import re

MAX_SCANS = 100
"""A progressive picture has about ten. Each goes over all of it, and may take no more than a hundred bytes of the file."""

_MARKER = re.compile(rb"\xff+[^\x00\xd0-\xd7\xff]")
"""In the midst of a scan: there a byte of 0xFF is followed by 0, or restarts the decoder (B.1.1.2)."""

_SCAN, _END = 0xDA, 0xD9


def scans(data: bytes) -> int:
    """Count those of a file's first picture: neither what lies in its segments (a thumbnail) nor behind it (a telephone's clip)."""
    count, at = 0, 2
    while (marker := _MARKER.search(data, at)) is not None and data[marker.end() - 1] != _END:
        count += data[marker.end() - 1] == _SCAN
        at = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2])
    return count
