"""What clients send: one of every event in each dialect, and the first frames of the clients that this server is for."""

from __future__ import annotations

from typing import Any

Event = dict[str, Any]

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
"""One pixel."""

TOOL: Event = {
    "type": "function",
    "name": "get_weather",
    "description": "Weather of a city",
    "parameters": {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "get_weather",
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}
"""With the keys that clients put around a schema (PROTOCOL 2.5)."""


def user(*parts: Event, **fields: Any) -> Event:
    """A `conversation.item.create` of a user message."""
    return {"type": "conversation.item.create", "item": {"type": "message", "role": "user", "content": list(parts), **fields}}


COMMON: list[Event] = [
    {"type": "input_audio_buffer.append", "audio": "AAAA", "event_id": "evt_1"},
    {"type": "input_audio_buffer.commit"},
    {"type": "input_audio_buffer.clear"},
    {"type": "conversation.item.retrieve", "item_id": "item_1"},
    {"type": "conversation.item.truncate", "item_id": "item_1", "content_index": 0, "audio_end_ms": 1200},
    {"type": "conversation.item.delete", "item_id": "item_1"},
    {"type": "input_image_buffer.append", "image": PNG},
    user({"type": "input_video", "video": "AAAA"}, {"type": "video", "video": "AA\\/A", "detail": "high"}),
    user({"type": "image", "image": PNG, "detail": "low"}),
    {"type": "response.cancel"},
    {"type": "response.cancel", "response_id": "resp_1"},
    {"type": "output_audio_buffer.clear"},
    {"type": "response.create"},
    {"type": "response.create", "response": {"instructions": None, "metadata": {"client_event_id": "e1"}}},
    {"type": "response.create", "response": {"conversation": "none", "input": [{"type": "item_reference", "id": "item_1"}]}},
    user({"type": "input_text", "text": "Hello"}, id="item_1", object="realtime.item", status="completed"),
    user({"type": "input_audio", "audio": "AAAA", "transcript": "hello"}),
    {
        "type": "conversation.item.create",
        "previous_item_id": "root",
        "item": {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "Hi"}]},
    },
    {
        "type": "conversation.item.create",
        "item": {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "call_1", "id": "item_2"},
    },
    {"type": "conversation.item.create", "item": {"type": "function_call_output", "call_id": "call_1", "output": "{}"}},
]
"""Same in every dialect."""

GA: list[Event] = [
    *COMMON,
    user({"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "low"}),
    {
        "type": "session.update",
        "event_id": "evt_2",
        "session": {
            "type": "realtime",
            "model": "gpt-realtime",
            "output_modalities": ["audio"],
            "instructions": "Be brief.",
            "tools": [TOOL],
            "tool_choice": {"type": "function", "name": "get_weather"},
            "max_output_tokens": 4096,
            "tracing": {"workflow_name": "w", "group_id": "g", "metadata": {}},
            "truncation": {"type": "retention_ratio", "retention_ratio": 0.8, "token_limits": {"post_instructions": 8000}},
            "prompt": None,
            "include": ["item.input_audio_transcription.logprobs"],
            "temperature": 0.8,
            "parallel_tool_calls": True,
            "reasoning": {"effort": "low"},
            "audio": {
                "input": {
                    "format": {"type": "audio/pcm", "rate": 24000},
                    "transcription": {"model": "gpt-transcribe", "language": "en", "prompt": "names", "languages": ["en"], "delay": "low"},
                    "noise_reduction": {"type": "near_field", "strength": 1},
                    "turn_detection": {
                        "type": "server_vad",
                        "threshold": 0.6,
                        "prefix_padding_ms": 200,
                        "silence_duration_ms": 400,
                        "idle_timeout_ms": 6000,
                        "create_response": False,
                        "interrupt_response": False,
                    },
                },
                "output": {"format": {"type": "audio/pcmu"}, "voice": {"id": "voice_1"}, "speed": 1.25},
            },
        },
    },
    {
        "type": "session.update",
        "session": {"type": "transcription", "audio": {"input": {"format": {"type": "audio/pcma"}}}, "include": None},
    },
    {
        "type": "response.create",
        "response": {
            "output_modalities": ["text"],
            "audio": {"output": {"format": {"type": "audio/pcma"}, "voice": "ash"}},
            "tools": [],
            "tool_choice": "none",
            "max_output_tokens": "inf",
            "temperature": 1,
            "prompt": None,
            "input": [{"type": "message", "role": "system", "content": [{"type": "input_text", "text": "x"}]}],
        },
    },
]

BETA: list[Event] = [
    *COMMON,
    {
        "type": "session.update",
        "event_id": "evt_2",
        "session": {
            "model": "gpt-4o-realtime-preview",
            "modalities": ["text", "audio"],
            "instructions": "Be brief.",
            "voice": "sage",
            "input_audio_format": "g711_ulaw",
            "output_audio_format": "g711_alaw",
            "input_audio_transcription": {"model": "whisper-1", "language": "en"},
            "input_audio_noise_reduction": {"type": "far_field"},
            "turn_detection": {"type": "semantic_vad", "eagerness": "high", "create_response": True, "interrupt_response": True},
            "tools": [TOOL],
            "tool_choice": "auto",
            "temperature": 0.6,
            "max_response_output_tokens": "inf",
            "speed": 1.1,
            "tracing": "auto",
            "truncation": "auto",
            "prompt": None,
            "include": [],
            "client_secret": {"expires_after": {"anchor": "created_at", "seconds": 600}},
        },
    },
    {
        "type": "transcription_session.update",
        "event_id": "evt_3",
        "session": {
            "input_audio_format": "pcm16",
            "input_audio_transcription": {"model": "gpt-4o-transcribe", "language": "en", "prompt": "names"},
            "turn_detection": {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 500},
            "input_audio_noise_reduction": {"type": "near_field"},
            "include": ["item.input_audio_transcription.logprobs"],
            "modalities": ["text"],
            "client_secret": {"expires_at": {"anchor": "created_at", "seconds": 600}},
        },
    },
    {
        "type": "response.create",
        "response": {
            "modalities": ["text"],
            "voice": "alloy",
            "output_audio_format": "pcm16",
            "temperature": 0.9,
            "max_response_output_tokens": 100,
            "tools": [TOOL],
            "tool_choice": "required",
        },
    },
]

EXAMPLES: list[Event] = [
    {
        "event_id": "event_1",
        "type": "session.update",
        "session": {
            "instructions": "You are a helpful assistant.",
            "modalities": ["text", "audio", "image", "video"],
            "input_audio_format": "pcm16",
            "output_audio_format": "pcm16",
            "input_audio_transcription": {"model": "whisper-1"},
            "turn_detection": {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 200},
            "tools": [],
            "tool_choice": "auto",
            "temperature": 0.8,
            "max_response_output_tokens": 4096,
        },
    },
    {"event_id": "event_2", **user({"type": "text", "text": "Hello, how are you?"}, id="msg_1")},
    {"event_id": "event_3", **user({"type": "input_audio", "audio": "AAAA"}, id="msg_2")},
    {"event_id": "event_4", **user({"type": "image", "image": PNG}, id="msg_3")},
    {"event_id": "event_5", "type": "response.create"},
]
"""The classic clients' own."""

CLASSIC: list[Event] = [*BETA, *EXAMPLES, user({"type": "image", "image": f"data:image/png;base64,{PNG}"})]

PCM: Event = {"type": "audio/pcm", "rate": 24000}

FIRST: dict[str, tuple[str, list[Event]]] = {
    "openai-python": (
        "ga",
        [
            {"type": "session.update", "session": {"type": "realtime", "output_modalities": ["text"]}},
            user({"type": "input_text", "text": "Say hello!"}),
            {"type": "response.create"},
        ],
    ),
    "openai-agents": (
        "ga",
        [
            {
                "type": "session.update",
                "session": {
                    "type": "realtime",
                    "model": "gpt-realtime-2.1",
                    "output_modalities": ["audio"],
                    "audio": {
                        "input": {
                            "format": PCM,
                            "transcription": {"model": "gpt-4o-mini-transcribe"},
                            "turn_detection": {"type": "semantic_vad", "interrupt_response": True},
                        },
                        "output": {"format": PCM, "voice": "ash"},
                    },
                    "instructions": "Help.",
                    "tools": [TOOL],
                },
            },
            {"type": "session.update", "session": {"type": "realtime", "model": "gpt-realtime-2.1", "tracing": "auto"}},
            {"type": "response.create", "event_id": "agents_py_response_create_1"},
        ],
    ),
    "agents-realtime": (
        "ga",
        [
            {
                "type": "session.update",
                "session": {
                    "type": "realtime",
                    "model": "gpt-realtime",
                    "instructions": "Help.",
                    "output_modalities": ["audio"],
                    "audio": {
                        "input": {
                            "format": PCM,
                            "noise_reduction": None,
                            "transcription": {"model": "gpt-4o-mini-transcribe"},
                            "turn_detection": {"type": "semantic_vad", "model_version": "default"},
                        },
                        "output": {"format": PCM, "speed": 1},
                    },
                    "tools": [{**TOOL, "strict": True}],
                },
            },
            {"type": "session.update", "session": {"type": "realtime", "tracing": "auto"}},
            {"type": "response.create", "event_id": "agents_js_response_create_1"},
        ],
    ),
    "livekit": (
        "ga",
        [
            {
                "type": "session.update",
                "event_id": "session_update_1",
                "session": {
                    "type": "realtime",
                    "model": "gpt-realtime",
                    "output_modalities": ["audio"],
                    "audio": {
                        "input": {
                            "format": PCM,
                            "noise_reduction": None,
                            "transcription": {"model": "gpt-4o-mini-transcribe"},
                            "turn_detection": {
                                "type": "semantic_vad",
                                "create_response": True,
                                "eagerness": "medium",
                                "interrupt_response": True,
                            },
                        },
                        "output": {"format": PCM, "speed": 1.0, "voice": "marin"},
                    },
                    "max_output_tokens": "inf",
                    "tool_choice": "auto",
                    "tracing": None,
                },
            },
            {"type": "session.update", "event_id": "instructions_update_1", "session": {"type": "realtime", "instructions": "Help."}},
            {"type": "session.update", "event_id": "tools_update_1", "session": {"type": "realtime", "model": "m", "tools": [TOOL]}},
            {"event_id": "chat_ctx_create_1", "previous_item_id": "root", **user({"type": "input_text", "text": "Hi"}, id="item_a")},
            {
                "type": "response.create",
                "event_id": "response_create_1",
                "response": {"instructions": None, "metadata": {"client_event_id": "response_create_1"}},
            },
        ],
    ),
    "pipecat": (
        "ga",
        [
            {"type": "session.update", "event_id": "e-1", "session": {"type": "realtime", "model": "gpt-realtime-2.1"}},
            user({"type": "input_text", "text": "Hi"}, id="0123456789abcdef0123456789abcdef"),
            {"type": "session.update", "session": {"type": "realtime", "tools": [TOOL]}},
            {"type": "response.create", "response": {"output_modalities": ["audio"]}},
        ],
    ),
    "realtime-api-beta": (
        "beta",
        [
            {
                "event_id": "evt_ABCDEFGHIJKLMNOPQ",
                "type": "session.update",
                "session": {
                    "modalities": ["text", "audio"],
                    "instructions": "",
                    "voice": "verse",
                    "input_audio_format": "pcm16",
                    "output_audio_format": "pcm16",
                    "input_audio_transcription": None,
                    "turn_detection": None,
                    "tools": [TOOL],
                    "tool_choice": "auto",
                    "temperature": 0.8,
                    "max_response_output_tokens": 4096,
                },
            },
            {"event_id": "evt_B", **user({"type": "input_text", "text": "Hi"})},
            {"event_id": "evt_C", "type": "response.create"},
        ],
    ),
}
"""As observed (PROTOCOL 2.9), by client: the dialect that it speaks, and its frames in order."""
