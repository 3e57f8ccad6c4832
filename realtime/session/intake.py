"""What stands before a session: the client's events whose files have to be read, and those that came after them.

    an event --without files, nobody waits--> to the session, at once
             --with files-------------------> each of them is asked to be `Read`; held until all are, and told with what was read
             --behind one that is held------> held, too: a client's events are obeyed in its order

So the session never sees a file, and an item is acknowledged when it can be used. What must not wait does not: sound that is spoken while a
clip is read goes past, and so does a cancel. As pure as the session: inputs in; inputs and effects out.
"""

from __future__ import annotations

from base64 import b64encode
from collections import deque
from collections.abc import Iterator
from math import inf
from typing import get_args

from msgspec import Raw, Struct, field
from msgspec.structs import replace

from realtime.errors import ClientError
from realtime.media import files, formats, pcm
from realtime.media.readings import URI_HEAD, Clip, Picture, Reading, Samples, Wanted, WantedClip, WantedPicture, WantedSound
from realtime.session.abilities import Abilities
from realtime.session.effects import Abandon, Effect, Read
from realtime.session.ids import Ids
from realtime.session.inputs import FileBroke, FileRead, FilesAwaited, FilesSettled, FrameRefused, Happening, Input, PictureSeen
from realtime.wire import client
from realtime.wire.items import Detail, Image, InputAudio, InputImage, InputText, InputVideo, Item, ItemReference, Message, Part, Video
from realtime.wire.settings import AudioFormat, encoding, sample_rate

MAX_FILES = 64
"""Files in one event: more pictures than any endpoint takes at once."""

MAX_HELD = 256
"""Events that are held before the client is no longer listened to: a camera's frames of minutes."""

MAX_HELD_BYTES = 64 * 1024 * 1024
"""Characters and bytes of files that are held before it: one that is larger may come, the next must wait."""

FRAME: Detail = "low"
"""How closely the frames of a camera are looked at: there are many."""

CLIP = "[A video of {}. Its pictures, each after its time:]"
SOUND_TRACK = "[What is heard in the video:]"
"""What a model is told before the parts that a clip becomes."""


CONCERNS: frozenset[type] = frozenset((*get_args(client.ClientEvent), FileRead, FileBroke))
"""What has to come here first; whatever else happens may go straight to the session."""


class File(Struct):
    """A file of an event, and where it stands there."""

    file: str | bytes | Raw
    wanted: Wanted
    param: str
    message: Message | None = None
    """None for a frame of the camera."""
    index: int = 0
    """Of the part among those of the message."""


class Held(Struct):
    """An event that waits: for its own files, or behind one that does."""

    event: client.ClientEvent
    id: str = ""
    files: list[File] = field(default_factory=list)
    readings: list[Reading | None] = field(default_factory=list)
    """Of each file; None until it is read."""
    refusal: ClientError | None = None
    format: AudioFormat | None = None
    """In which its sounds are wanted."""

    @property
    def whole(self) -> bool:
        return self.refusal is not None or None not in self.readings

    @property
    def size(self) -> int:
        return sum(len(memoryview(file.file) if isinstance(file.file, Raw) else file.file) for file in self.files)


class Intake:
    """Of one session."""

    def __init__(self, ids: Ids, abilities: Abilities) -> None:
        self._ids = ids
        self._abilities = abilities
        self._held: deque[Held] = deque()
        self._size = 0
        """Of the files that are held."""
        self._effects: list[Effect] = []
        self._next_frame = -inf
        """When the next frame of the camera is taken, on the session's clock."""
        self.origins: dict[int, list[int]] = {}
        """Of the messages with files that `take` returned last, by their `id()`: the client's part that each part stands for."""

    @property
    def full(self) -> bool:
        """Should the client be made to wait?"""
        return len(self._held) >= MAX_HELD or self._size >= MAX_HELD_BYTES

    def take(self, happening: Happening, format: AudioFormat, *, now: float) -> list[Input]:
        """Take what happened; returns what the session is to receive, in order. `format` is that of its input."""
        if self.origins:
            self.origins = {}
        match happening:
            case client.ConversationItemCreate() | client.ResponseCreate() | client.InputImageBufferAppend():
                return self._hold(happening, format, now)
            case FileRead() | FileBroke():
                return self._settle(happening)
            case client.ClientEventBase() if self._held and not self._overtakes(happening):
                self._held.append(Held(happening))
                return []
            case _:
                return [happening]

    def effects(self) -> list[Effect]:
        """What is to be done about what was taken, once."""
        effects, self._effects = self._effects, []
        return effects

    def _overtakes(self, event: client.ClientEvent) -> bool:
        """Sound is late if it waits; but it must not pass what ends the buffer, or changes what sound is."""
        if isinstance(event, client.InputAudioBufferAppend):
            ends = client.InputAudioBufferCommit | client.InputAudioBufferClear | client.SessionUpdate
            return not any(isinstance(held.event, ends) for held in self._held)
        return isinstance(event, client.ResponseCancel | client.OutputAudioBufferClear)

    def _hold(self, event: client.ClientEvent, format: AudioFormat, now: float) -> list[Input]:
        if isinstance(event, client.InputImageBufferAppend) and self._abilities.images:
            if now < self._next_frame:
                return []
            self._next_frame = max(self._next_frame + 1 / self._abilities.camera_fps, now)
        held = Held(event, format=format)
        try:
            held.files = list(self._files(event, format))
        except ClientError as error:
            held.refusal = error
            error.event_id = event.event_id
        if not self._held and not held.files:
            return [self._told(held)]
        self._held.append(held)
        if held.files:
            held.id = self._ids.new("file")
            held.readings = [None] * len(held.files)
            self._size += held.size
            self._effects += [Read(held.id, index, file.file, file.wanted) for index, file in enumerate(held.files)]
        return [FilesAwaited(held.id)] if held.files and isinstance(event, client.ConversationItemCreate) else []

    # Which files

    def _files(self, event: client.ClientEvent, format: AudioFormat) -> Iterator[File]:
        """Raises `ClientError` for a file that is not even worth reading."""
        found: list[File] = []
        match event:
            case client.InputImageBufferAppend(image=image):
                found = [self._picture(image, FRAME, "image")]
            case client.ConversationItemCreate(item=item):
                found = list(self._files_of(item, "item", format))
            case client.ResponseCreate(response=client.ResponseParams(input=list() as items)):
                found = [file for index, item in enumerate(items) for file in self._files_of(item, f"response.input[{index}]", format)]
            case _:
                pass
        if len(found) > MAX_FILES:
            message = f"Invalid '{found[MAX_FILES].param}'. Expected at most {MAX_FILES} pictures, sounds and clips in one event."
            raise ClientError("array_above_max_length", message, param=found[MAX_FILES].param)
        yield from found

    def _files_of(self, item: Item | ItemReference, param: str, format: AudioFormat) -> Iterator[File]:
        if not isinstance(item, Message) or item.role != "user":  # whoever else has files is refused for it
            return
        for index, part in enumerate(item.content):
            where = f"{param}.content[{index}]"
            file = self._file(part, where, format)
            if file is not None:
                file.message, file.index = item, index
                yield file

    def _file(self, part: Part, where: str, format: AudioFormat) -> File | None:
        """None for a part that is no file, or that `admission` refuses."""
        match part:
            case InputImage(image_url=str() as url, detail=detail) if url.startswith("data:image/"):
                return self._picture(url, detail, f"{where}.image_url")
            case Image(image=image, detail=detail):
                return self._picture(image, detail, f"{where}.image")
            case InputVideo(video=video, detail=detail) | Video(video=video, detail=detail):
                return self._clip(video, detail, f"{where}.video", format)
            case InputAudio(audio=bytes() as audio) if self._abilities.audio and files.sound_format(audio):
                return File(audio, WantedSound(sample_rate(format)), f"{where}.audio")
            case _:
                return None

    def _picture(self, text: str, detail: Detail, param: str) -> File:
        if not self._abilities.images:
            raise ClientError("image_disabled", "Images are switched off on this server (ENABLE_IMAGE_PROCESSING).", param=param)
        if _decoded(len(text), text[:URI_HEAD]) > self._abilities.media_bytes:
            raise ClientError("image_file_too_large", self._too_large("image"), param=param)
        return File(text, WantedPicture(detail), param)

    def _clip(self, literal: Raw, detail: Detail, param: str, format: AudioFormat) -> File:
        if not self._abilities.videos:
            raise ClientError("video_disabled", "Video is switched off on this server (ENABLE_VIDEO_PROCESSING).", param=param)
        text = memoryview(literal)
        if bytes(text[:1]) != b'"':
            raise ClientError("invalid_type", f"Invalid type for '{param}': expected str.", param=param)
        if _decoded(len(text) - 2, str(text[1:URI_HEAD], "ascii", "replace")) > self._abilities.media_bytes:
            raise ClientError("video_file_too_large", self._too_large("video"), param=param)
        return File(literal, WantedClip(detail, sample_rate(format) if self._abilities.audio else None), param)

    def _too_large(self, kind: str) -> str:
        return f"The {kind} file is larger than {self._abilities.media_bytes} bytes (MAX_MEDIA_BYTES)."

    # What comes of them

    def _settle(self, outcome: FileRead | FileBroke) -> list[Input]:
        held = next((held for held in self._held if held.id == outcome.id), None)
        if held is None or held.whole:
            return []  # late: nobody waits for it any more
        if isinstance(outcome, FileRead):
            held.readings[outcome.index] = outcome.reading
        else:
            error, param = outcome.error, held.files[outcome.index].param
            held.refusal = ClientError(error.code, error.message, param=param, event_id=held.event.event_id, type=error.type)
            self._effects.append(Abandon(held.id))
        told: list[Input] = []
        while self._held and self._held[0].whole:
            first = self._held.popleft()
            self._size -= first.size
            told.append(self._told(first))
            if first.id and isinstance(first.event, client.ConversationItemCreate):
                told.append(FilesSettled(first.id))
        return told

    def _told(self, held: Held) -> Input:
        """The event with what was read, or its refusal."""
        if held.refusal is not None:
            return FrameRefused(held.refusal)
        readings = list(zip(held.files, held.readings, strict=True))
        if isinstance(held.event, client.InputImageBufferAppend):
            ((_, reading),) = readings
            assert isinstance(reading, Picture)
            return PictureSeen(_image(reading, FRAME), held.event.event_id)
        for message in {id(file.message): file.message for file in held.files}.values():
            assert message is not None
            parts = {file.index: _parts(file, reading, held.format) for file, reading in readings if file.message is message}
            made = [(index, new) for index, old in enumerate(message.content) for new in parts.get(index, [old])]
            message.content = [new for _, new in made]
            self.origins[id(message)] = [index for index, _ in made]
        return held.event


def _decoded(characters: int, beginning: str) -> int:
    """Bytes of a file that comes as so many characters, at the least: who reads it counts them to the last."""
    return (characters - beginning.find(",") - 1) * 3 // 4 - 2


def _parts(file: File, reading: Reading | None, format: AudioFormat | None) -> list[Part]:
    """The parts that stand for a file."""
    assert format is not None
    match file.wanted, reading:
        case WantedPicture(detail=detail), Picture():
            return [_image(reading, detail)]
        case WantedSound(), Samples():
            assert file.message is not None
            spoken = file.message.content[file.index]
            assert isinstance(spoken, InputAudio)
            return [replace(spoken, audio=_encoded(reading.pcm, format))]
        case WantedClip(detail=detail), Clip():
            return list(_clip_parts(reading, "low" if detail == "auto" else detail, format))
        case _:
            raise AssertionError("something else was read than was wanted")


def _clip_parts(clip: Clip, detail: Detail, format: AudioFormat) -> Iterator[Part]:
    yield InputText(CLIP.format(_time(clip.ms)))
    for frame in clip.frames:
        yield InputText(f"[{_time(frame.ms)}]")
        yield _image(frame.picture, detail)
    if clip.pcm:
        yield InputText(SOUND_TRACK)
        yield InputAudio(audio=_encoded(clip.pcm, format))


def _time(ms: int) -> str:
    """`1:02.5`"""
    minutes, tenths = divmod(ms // 100, 600)
    return f"{minutes}:{tenths // 10:02}.{tenths % 10}"


def _image(picture: Picture, detail: Detail) -> InputImage:
    url = f"data:image/jpeg;base64,{b64encode(picture.jpeg).decode()}"
    return InputImage(url, detail, picture.width, picture.height, picture.format)


def _encoded(samples: bytes, format: AudioFormat) -> bytes:
    kind = encoding(format)
    return samples if kind == "pcm16" else formats.encode(kind, pcm.from_bytes(samples))
