"""One of every event that the server has, and the classes themselves, found by looking."""

from __future__ import annotations

import inspect
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from realtime.wire import server
from realtime.wire.items import (
    FunctionCall,
    HttpError,
    InputAudio,
    Item,
    ListedTool,
    McpApprovalRequest,
    McpApprovalResponse,
    McpCall,
    McpListTools,
    Message,
    OutputAudio,
    ProtocolError,
    ToolExecutionError,
)
from realtime.wire.mcp import McpApproval, McpChoice, McpFilter, McpTool
from realtime.wire.settings import (
    AudioInput,
    AudioOutput,
    AudioSettings,
    FunctionTool,
    NoiseReduction,
    PcmFormat,
    PcmuFormat,
    ServerVad,
    Settings,
    Transcription,
    TranscriptionSettings,
)


def event_classes() -> set[type[server.ServerEvent]]:
    """Every event class: those with a `type` of their own on the wire."""
    classes = (cls for _, cls in inspect.getmembers(server, inspect.isclass) if issubclass(cls, server.ServerEvent))
    return {cls for cls in classes if cls.__struct_config__.tag is not None}


def tag(cls: type[Struct]) -> str:
    """The `type` that a class has on the wire."""
    return str(cls.__struct_config__.tag)


SETTINGS = Settings(id="sess_A", model="M", instructions="...", expires_at=1_790_000_000)

TRANSCRIBING = TranscriptionSettings(id="sess_A", expires_at=1_790_000_000)

TUNED = replace(
    SETTINGS,
    instructions="Be brief.",
    tools=(FunctionTool("f"),),
    tracing="auto",
    include=("item.input_audio_transcription.logprobs",),
    temperature=0.3,
    audio=AudioSettings(
        AudioInput(
            transcription=Transcription("whisper-1", "en", "names"),
            noise_reduction=NoiseReduction("near_field", 0.5),
            turn_detection=ServerVad(0.9, 100, 700, 6000, False, False),
        ),
        AudioOutput(PcmuFormat(), "ash", 1.25),
    ),
)
"""With everything set that can be cleared."""

SPOKEN = Message("assistant", [OutputAudio("Hi.")], "item_Y")
HEARD = Message("user", [InputAudio()], "item_X")
CALL = FunctionCall("f", '{"x":1}', "call_A", "item_F")

SERVER = McpTool(
    server_label="rig",
    server_url="https://rig.example/mcp",
    server_description="A rig.",
    allowed_tools=McpFilter(("add",), True),
    require_approval=McpApproval(always=McpFilter(("add",)), never=McpFilter(read_only=True)),
    allowed_callers=("direct",),
    defer_loading=False,
)
SERVED = replace(SETTINGS, tools=(SERVER, FunctionTool("f")), tool_choice=McpChoice("rig", "add"))

LISTED = McpListTools("rig", [ListedTool("add", {"type": "object"}, "Adds.", {"readOnlyHint": True})], "item_L")
UNLISTED = McpListTools("rig", [], "item_L", "incomplete", error="Nobody is there.")
CALLED = McpCall("rig", "add", "{}", "item_R", "3", None, "item_C", extra_content={"google": {}})
FAILED = [
    McpCall("rig", "add", "{}", error=error, id="item_C")
    for error in (ProtocolError(-32602, "No."), ToolExecutionError("No."), HttpError(503, "No."))
]
ASKED = McpApprovalRequest("rig", "add", "{}", "item_R")
APPROVED = McpApprovalResponse("item_R", True, "Why not.", "item_A")

ITEMS: list[Item] = [LISTED, UNLISTED, CALLED, *FAILED, ASKED, APPROVED]

_RESPONSE: dict[str, Any] = {
    "id": "resp_A",
    "conversation_id": "conv_A",
    "output_modalities": ("audio",),
    "max_output_tokens": "inf",
    "audio": server.ResponseAudio(server.ResponseAudioOutput(PcmFormat(), "alloy")),
}
BEGUN = server.Response(status="in_progress", output=[], **_RESPONSE)
ENDED = server.Response(
    status="completed",
    output=[SPOKEN],
    usage=server.Usage(3, 1, 2, server.InputTokenDetails(text_tokens=1), server.OutputTokenDetails(text_tokens=2)),
    **_RESPONSE,
)

_PLACE: dict[str, Any] = {"response_id": "resp_A", "item_id": "item_Y", "output_index": 0}
_PART: dict[str, Any] = {**_PLACE, "content_index": 0}

SAMPLES: list[server.ServerEvent] = [
    server.Error(error=server.ErrorDetail(code="invalid_value", message="No.", param="session.audio.output.voice", event_id="evt_1")),
    server.SessionCreated(session=SETTINGS),
    server.SessionUpdated(session=SETTINGS),
    server.ConversationCreated(conversation=server.Conversation("conv_A")),
    server.ConversationItemAdded(previous_item_id=None, item=HEARD),
    server.ConversationItemDone(previous_item_id=None, item=HEARD),
    server.ConversationItemRetrieved(item=Message("assistant", [OutputAudio("Hi.", b"\0\0\0")], "item_Y")),
    server.ConversationItemTruncated(item_id="item_Y", content_index=0, audio_end_ms=1200),
    server.ConversationItemDeleted(item_id="item_Y"),
    server.InputAudioBufferSpeechStarted(audio_start_ms=100, item_id="item_X"),
    server.InputAudioBufferSpeechStopped(audio_end_ms=900, item_id="item_X"),
    server.InputAudioBufferCommitted(previous_item_id=None, item_id="item_X"),
    server.InputAudioBufferCleared(),
    server.InputAudioBufferTimeoutTriggered(audio_start_ms=0, audio_end_ms=5000, item_id="item_X"),
    server.TranscriptionDelta(item_id="item_X", content_index=0, delta="hel"),
    server.TranscriptionCompleted(
        item_id="item_X",
        content_index=0,
        transcript="hello",
        usage=server.DurationUsage(0.8),
        logprobs=[server.LogProb("hello", -0.1, [104])],
    ),
    server.TranscriptionSegment(item_id="item_X", content_index=0, text="hello", id="seg_1", speaker="A", start=0.0, end=0.8),
    server.TranscriptionFailed(
        item_id="item_X",
        content_index=0,
        error=server.ErrorInfo(type="transcription_error", code="audio_unintelligible", message="No words.", param="audio"),
    ),
    server.ResponseCreated(response=BEGUN),
    server.ResponseDone(response=ENDED),
    server.RateLimitsUpdated(rate_limits=[server.RateLimit("tokens", 1000, 900, 0.5)]),
    server.ResponseOutputItemAdded(response_id="resp_A", output_index=0, item=CALL),
    server.ResponseOutputItemDone(response_id="resp_A", output_index=0, item=SPOKEN),
    server.ResponseContentPartAdded(part=server.AudioPart(""), **_PART),
    server.ResponseContentPartDone(part=server.AudioPart("Hi."), **_PART),
    server.ResponseOutputTextDelta(delta="H", **_PART),
    server.ResponseOutputTextDone(text="Hi.", **_PART),
    server.ResponseOutputAudioDelta(delta=b"\0\0\0", **_PART),
    server.ResponseOutputAudioDone(**_PART),
    server.ResponseOutputAudioTranscriptDelta(delta="H", **_PART),
    server.ResponseOutputAudioTranscriptDone(transcript="Hi.", **_PART),
    server.ResponseFunctionCallArgumentsDelta(call_id="call_A", delta='{"x"', **_PLACE),
    server.ResponseFunctionCallArgumentsDone(call_id="call_A", name="f", arguments='{"x":1}', **_PLACE),
    server.McpListToolsInProgress(item_id="item_L"),
    server.McpListToolsCompleted(item_id="item_L"),
    server.McpListToolsFailed(item_id="item_L"),
    server.ResponseMcpCallArgumentsDelta(delta='{"x"', **_PLACE),
    server.ResponseMcpCallArgumentsDone(arguments='{"x":1}', **_PLACE),
    server.ResponseMcpCallInProgress(item_id="item_C", output_index=1),
    server.ResponseMcpCallCompleted(item_id="item_C", output_index=1),
    server.ResponseMcpCallFailed(item_id="item_C", output_index=1),
    server.OutputAudioBufferStarted(response_id="resp_A"),
    server.OutputAudioBufferStopped(response_id="resp_A"),
    server.OutputAudioBufferCleared(response_id="resp_A"),
]

TRANSCRIPTION_SAMPLES: list[server.ServerEvent] = [
    server.SessionCreated(session=TRANSCRIBING),
    server.SessionUpdated(session=TRANSCRIBING),
]
"""Those that are something else in a transcription-only session."""

MCP_SAMPLES: list[server.ServerEvent] = [
    *(server.SessionUpdated(session=replace(SERVED, tool_choice=choice)) for choice in (McpChoice("rig"), McpChoice("rig", "add"))),
    *(server.ConversationItemAdded(previous_item_id="item_X", item=item) for item in ITEMS),
    server.ConversationItemDone(previous_item_id="item_X", item=LISTED),
    server.ConversationItemRetrieved(item=CALLED),
    server.ResponseOutputItemAdded(response_id="resp_A", output_index=1, item=ASKED),
    server.ResponseOutputItemDone(response_id="resp_A", output_index=1, item=CALLED),
    server.ResponseDone(response=replace(ENDED, output=[SPOKEN, CALLED, *FAILED, ASKED])),
]
"""Events of other things that tell of a server and its tools: GA alone has them."""

for number, event in enumerate([*SAMPLES, *TRANSCRIPTION_SAMPLES, *MCP_SAMPLES]):
    event.event_id = f"event_{number}"
