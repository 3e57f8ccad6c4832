from __future__ import annotations

import re
from email.message import Message
from email.parser import BytesParser

from realtime.engines.multipart import form


def parsed(type: str, body: bytes) -> list[Message]:
    """Read by Python's own parser, which knows nothing of ours."""
    parts = BytesParser().parsebytes(b"Content-Type: " + type.encode() + b"\r\n\r\n" + body).get_payload()
    assert isinstance(parts, list)
    return [part for part in parts if isinstance(part, Message)]


def a_form(*fields: tuple[str, str], data: bytes = b"RIFF\x00\xff\r\n") -> tuple[str, bytes]:
    return form(fields, name="file", filename="audio.wav", type="audio/wav", data=data)


def test_fields_come_in_order_and_the_file_last() -> None:
    model, prompt, file = parsed(*a_form(("model", "whisper-1"), ("prompt", "Zürich")))
    assert (model.get_param("name", header="content-disposition"), model.get_payload(decode=True)) == ("model", b"whisper-1")
    assert (prompt.get_param("name", header="content-disposition"), prompt.get_payload(decode=True)) == ("prompt", "Zürich".encode())
    assert file.get_param("name", header="content-disposition") == "file"
    assert (file.get_filename(), file.get_content_type()) == ("audio.wav", "audio/wav")


def test_the_file_arrives_byte_for_byte() -> None:
    data = bytes(range(256)) + b"\r\n--\r\n"
    type, body = a_form(data=data)
    boundary = type.partition("boundary=")[2].encode()
    assert body.endswith(data + b"\r\n--" + boundary + b"--\r\n")


def test_no_value_can_close_its_part() -> None:
    boundaries = {a_form()[0] for _ in range(3)}
    assert len(boundaries) == 3
    assert all(re.fullmatch("multipart/form-data; boundary=[0-9a-f]{32}", boundary) for boundary in boundaries)
    injected = '\r\n--x\r\nContent-Disposition: form-data; name="model"\r\n\r\nother'
    [prompt, _] = parsed(*a_form(("prompt", injected)))
    assert prompt.get_payload(decode=True) == injected.encode()
