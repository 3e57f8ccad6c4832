"""A chat completion on the wire: the request that is posted, and the answer that is streamed back.

Owns the JSON of both, what the pieces of an answer mean, and in which words an endpoint takes no pictures. Refuses any I/O. Fields that we
don't use are not even decoded.

Reference: OpenAI API, "Create chat completion" and "The chat completion chunk object".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from realtime.engines.prompt import ChatMessage, messages
from realtime.engines.refusals import failed
from realtime.engines.spoken import Sounds, Words
from realtime.errors import EngineError
from realtime.ports import ArgumentsDelta, AudioDelta, CallBegan, Finished, LlmRequest, TokenUsage
from realtime.wire.items import MAX_EXTRA
from realtime.wire.settings import Effort, FunctionChoice, FunctionTool, ToolChoice

_DONE = b"[DONE]"

_BLIND = re.compile(
    "|".join(
        [
            r"image_url is only supported by certain models",  # OpenAI, Azure (browser-use/web-ui#274)
            r"no endpoints found that support image input",  # OpenRouter (aaif-goose/goose#5396), MiMo: both with 404
            r"is not a multimodal model",  # vLLM (NousResearch/hermes-agent#85005)
            r"at most 0 image",  # vLLM with `--language-model-only`
            r"image inputs? (?:is|are) not supported",  # llama.cpp, with 500 (ggml-org/llama.cpp#13566); xAI
            r"unsupported content part type.{0,8}image_url",  # llama.cpp before it saw, with 500 (ngxson/smolvlm-realtime-webcam#13)
            r"missing data required for image input",  # Ollama, with 500 (valentinfrlch/ha-llmvision#691)
            r"image input (?:modality )?is not enabled",  # Mistral; Gemini's tuned models (google/generative-ai-docs#513)
            # Ollama's cloud (ollama/ollama#17301), LM Studio (lmstudio-ai/lmstudio-bug-tracker#908), Bedrock (earendil-works/pi#8960)
            r"does(?:n.{1,6}| no)t support (?:the )?(?:image (?:input|content|field)|images(?:[.\"\\]| \())",
            r"unknown variant .{0,8}image_url",  # DeepSeek (nesquena/hermes-webui#2297), and before that in these words:
            r"any variant of untagged enum ChatCompletionRequestContent",  # (browser-use/browser-use#159)
            r"invalid type: sequence, expected a string",  # (chatboxai/chatbox#1740)
            r"content must be a string",  # Groq (vercel/ai#2837)
            r"unexpected item type in content",  # Qwen's (NousResearch/hermes-agent#58120)
            r"content\.type.{0,100}\[.{1,7}text.{1,7}\]",  # Zhipu: all that a part may be (BigPizzaV3/CodexPlusPlus#1760)
            r"not supported for vision",  # GitHub Copilot (anomalyco/opencode#5291)
            r"image_url(?:\W|\\u0027){0,3} is not supported",  # infini-ai
            r"only .{1,7}text.{1,7} content type is supported",  # mlx-lm, with 404 (its server.py)
        ]
    ),
    re.IGNORECASE,
)
"""How it is said that the model takes no pictures at all; of one that is broken, too large or improper, other words are used."""


class StreamOptions(Struct, frozen=True):
    """What else the stream should carry."""

    include_usage: bool


class Shape(Struct, frozen=True):
    """Which fields an endpoint knows: they don't all speak the same year's API."""

    asks_usage: bool = True
    """`stream_options`: refused by Fireworks (FlowiseAI/Flowise#2866) and by Azure with data sources (openai/openai-python#2296)."""
    names_completion: bool = False
    """`max_completion_tokens`: OpenAI's reasoning models know no `max_tokens`; Ollama, vLLM, llama.cpp and Gemini all do."""
    knows_effort: bool = True
    """`reasoning_effort`: refused by OpenAI for models that don't reason, and by vLLM at levels that it does not know."""
    knows_modalities: bool = False
    """`modalities`: models that speak must be told when not to."""
    sounds_as_qwen: bool = False
    """Sound goes as a `data:` URI and is asked for as `wav`, which Qwen-Omni's compatible endpoint wants: it sends PCM16 all the same."""
    knows_pictures: bool = True
    """`image_url`: refused for models that see nothing; a picture is then told in words, for it stays in the conversation."""


class Function(Struct, frozen=True):
    """A function that may be, or must be, called."""

    name: str
    description: str | UnsetType = UNSET
    parameters: dict[str, Any] | UnsetType = UNSET
    strict: bool | UnsetType | None = UNSET


class Tool(Struct, frozen=True, tag="function"):
    """The chat shape of a tool: the function is an object of its own."""

    function: Function


class AudioOptions(Struct, frozen=True):
    """How the model should sound."""

    voice: str
    format: Literal["pcm16", "wav"]
    """`pcm16` is the only one that OpenAI streams: 24 kHz, mono."""


class ChatRequest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of the request."""

    model: str
    messages: list[ChatMessage]
    stream: bool
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    tools: list[Tool] | None = None
    tool_choice: str | Tool | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: Effort | None = None
    modalities: list[str] | None = None
    audio: AudioOptions | None = None


def body(model: str, request: LlmRequest, shape: Shape) -> bytes:
    """Return the JSON to post. Where there are sounds it takes milliseconds: call it from a worker thread."""
    limit, voice = request.max_output_tokens, request.voice
    heard: Literal["pcm16", "wav"] = "wav" if shape.sounds_as_qwen else "pcm16"
    return msgspec.json.encode(
        ChatRequest(
            model=model,
            messages=messages(request, data_uris=shape.sounds_as_qwen, pictures=shape.knows_pictures),
            stream=True,
            stream_options=StreamOptions(include_usage=True) if shape.asks_usage else None,
            max_tokens=None if shape.names_completion else limit,
            max_completion_tokens=limit if shape.names_completion else None,
            temperature=request.temperature,
            tools=[Tool(_function(tool)) for tool in request.tools] or None,
            tool_choice=_choice(request.tool_choice) if request.tools else None,
            parallel_tool_calls=request.parallel_tool_calls if request.tools else None,
            reasoning_effort=request.effort if shape.knows_effort else None,
            modalities=["text", "audio"] if voice else ["text"] if shape.knows_modalities else None,
            audio=AudioOptions(voice, heard) if voice else None,
        )
    )


def takes_no_pictures(refusal: bytes) -> bool:
    """Does an endpoint refuse a request because it takes no pictures, whichever they are?"""
    return _BLIND.search(refusal.decode(errors="replace")) is not None


def _function(tool: FunctionTool) -> Function:
    return Function(tool.name, tool.description, tool.parameters, tool.strict)


def _choice(choice: ToolChoice) -> str | Tool | None:
    if isinstance(choice, FunctionChoice):
        return Tool(Function(choice.name))
    return None if choice == "auto" else choice


class _Function(Struct):
    name: str | None = None
    arguments: object = None
    """JSON text in pieces; some servers send the object itself."""


class _Call(Struct):
    index: int | None = None
    """Missing at Gemini's compatible endpoint."""
    id: str | None = None
    function: _Function | None = None
    extra_content: dict[str, Any] | None = None
    """Gemini's, with the call or in a piece of its own after it."""


class _Audio(Struct):
    data: str | None = None
    transcript: str | None = None


class _Delta(Struct):
    content: str | None = None
    audio: _Audio | None = None
    """Of models that speak."""
    tool_calls: list[_Call] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    """DeepSeek, vLLM, llama.cpp: thoughts, which are never spoken."""
    reasoning: str | None = None
    """The same from Ollama, OpenRouter and Groq."""


class _Choice(Struct):
    delta: _Delta | None = None
    message: _Delta | None = None
    """In place of `delta` where the endpoint does not stream."""
    finish_reason: str | None = None


class _PromptDetails(Struct):
    cached_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None


class _CompletionDetails(Struct):
    audio_tokens: int | None = None


class _Usage(Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None


class _Chunk(Struct):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Raw = Raw(b"")
    modality: str | None = None
    """vLLM-Omni: `audio` where the content is sound."""


_CHUNKS = msgspec.json.Decoder(_Chunk)


class Calls:
    """Tells the calls of one answer apart, which endpoints do in different ways: by index, by id, or by nothing but a new name."""

    def __init__(self) -> None:
        self._keys: list[tuple[int | None, str]] = []
        """Index and id of each call, as the endpoint gave them."""
        self.extras: list[dict[str, Any] | None] = []
        """What goes back with each call."""

    def read(self, pieces: list[_Call]) -> list[CallBegan | ArgumentsDelta]:
        return [event for piece in pieces for event in self._piece(piece)]

    def _piece(self, piece: _Call) -> Iterator[CallBegan | ArgumentsDelta]:
        function = piece.function or _Function()
        place = self._place(piece, function)
        if place is None and not (piece.id or function.name):
            return  # nothing that it could belong to
        if place is None:
            place = len(self._keys)
            self._keys.append((piece.index, piece.id or ""))
            self.extras.append(None)
            yield CallBegan(place, function.name or "", piece.id or "")
        if piece.extra_content:
            self.extras[place] = piece.extra_content
            if len(msgspec.json.encode(self.extras)) > MAX_EXTRA:
                raise EngineError("server_error", f"The endpoint sent more than {MAX_EXTRA} bytes of JSON beside its calls.")
        if text := _json_text(function.arguments):
            yield ArgumentsDelta(place, text)

    def _place(self, piece: _Call, function: _Function) -> int | None:
        """Which call a piece belongs to; None for one that is new."""
        for place, (index, id) in reversed(list(enumerate(self._keys))):
            if piece.id and id and piece.id != id:
                continue  # even with the same index: some count every call of an answer as 0
            if piece.index is not None and index is not None:
                if piece.index == index:
                    return place
            elif (piece.id and piece.id == id) or not (piece.id or function.name):
                return place
        return None


def _json_text(arguments: object) -> str:
    if arguments is None or isinstance(arguments, str):
        return arguments or ""
    return msgspec.json.encode(arguments).decode()


class Answer:
    """What one answer has said so far. Give each piece to `read`; at the end of the stream `finished` sums up."""

    __slots__ = ("_calls", "_secret", "_sounds", "_usage", "_words", "begun", "called", "done", "reason", "sound")

    def __init__(self, secret: str = "", *, spoken: bool = False) -> None:
        """`spoken`: the answer is asked for in sound."""
        self._secret = secret
        self._words = Words() if spoken else None
        self._sounds = Sounds() if spoken else None
        self._usage: _Usage | None = None
        self._calls = Calls()
        self.called: list[CallBegan | ArgumentsDelta] = []
        """What the last piece told of tool calls."""
        self.sound: AudioDelta | None = None
        """What the last piece brought of sound; its text is said by it, or by the sound after it."""
        self.begun = False
        """The model has produced something, be it a thought."""
        self.done = False
        """The endpoint said that nothing more will come."""
        self.reason: str | None = None
        """Why the model stopped, in the endpoint's word; None while it has not."""

    def read(self, data: bytes) -> str:
        """Return the text of one piece of JSON, often empty. Raises `EngineError` for an error object and for what is not JSON."""
        self.called, self.sound = [], None
        if data == _DONE:
            self.done = True
            return ""
        try:
            chunk = _CHUNKS.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            if not data:
                # An event without data keeps a line warm.
                return ""
            raise EngineError("server_error", f"The endpoint sent something that is not a chat completion: {error}.") from error
        if chunk.usage is not None:
            self._usage = chunk.usage
        if chunk.error and (problem := bytes(chunk.error)) != b"null":
            raise failed(problem, secret=self._secret)
        choices = chunk.choices
        if not choices:
            return ""
        if len(choices) == 1:
            return self._read_choice(choices[0], chunk.modality)
        # Nobody asked for more than one; but vLLM-Omni, where it does not stream, puts the sound into one of its own.
        return "".join([self._read_choice(choice, chunk.modality) for choice in choices])

    def _read_choice(self, choice: _Choice, modality: str | None) -> str:
        if choice.finish_reason:
            self.reason = choice.finish_reason
        delta = choice.delta or choice.message
        if delta is None:
            return ""
        if self._words is not None or delta.audio is not None or modality is not None:
            text = self._hear(delta, modality)
        else:
            text = delta.content or delta.refusal or ""
        if delta.tool_calls:
            self.called += self._calls.read(delta.tool_calls)
        if not self.begun:
            self.begun = bool(text or self.sound or delta.tool_calls or delta.reasoning_content or delta.reasoning)
        return text

    def _hear(self, delta: _Delta, modality: str | None) -> str:
        """Return the text of a piece that may have sound; sound that nobody asked for is let go."""
        audio = delta.audio or _Audio()
        content, data = (None, delta.content) if modality == "audio" else (delta.content or delta.refusal, audio.data)
        if self._words is None or self._sounds is None:
            return content or audio.transcript or ""
        if data:
            self.sound = self._sounds.read(data)
        text = self._words.read("content", content) if content else ""
        return text + self._words.read("transcript", audio.transcript) if audio.transcript else text

    def finished(self) -> Finished:
        """Return the end of the answer. Raises `EngineError` where the stream just stopped."""
        if self.reason is None and not self.done:
            raise EngineError("stream_interrupted", "The endpoint broke off in the middle of its answer.")
        usage = self._token_usage()
        extras = tuple(self._calls.extras)
        if self.reason == "length":
            return Finished("length", usage, extras)
        # Every other reason (tool_calls, eos, ...) means that the model chose to stop.
        return Finished("content_filter" if self.reason == "content_filter" else "stop", usage, extras)

    def _token_usage(self) -> TokenUsage | None:
        usage = self._usage
        if usage is None:
            return None
        read, made = usage.prompt_tokens_details or _PromptDetails(), usage.completion_tokens_details or _CompletionDetails()
        return TokenUsage(
            usage.prompt_tokens or 0,
            usage.completion_tokens or 0,
            read.cached_tokens or 0,
            read.audio_tokens or 0,
            made.audio_tokens or 0,
            read.image_tokens or 0,
        )
