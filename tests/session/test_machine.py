"""The session as a whole: conversations as they are written down, and a walk that tries what nobody thought of."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from realtime.session import conversation as conversations
from realtime.session import inputs
from realtime.session.abilities import Abilities
from realtime.session.conversation import Entry
from realtime.session.effects import Abandon, CallTool, Close, Effect, Generate, ListTools, Send, Transcribe
from realtime.session.ids import CountedIds
from realtime.session.inputs import (
    CallGenerated,
    GenerationFinished,
    Input,
    Opened,
    SpeechTranscribed,
    TimePassed,
    ToolBroke,
    ToolReturned,
    ToolsListed,
)
from realtime.session.machine import GOING_AWAY, Session
from realtime.session.sound import Sound
from realtime.wire.client import ResponseCancel, ResponseCreate, ResponseParams
from realtime.wire.items import InputAudio, ListedTool, Message, OutputText
from realtime.wire.mcp import McpTool
from realtime.wire.server import MAX_FRAME, Conversation, ConversationCreated, Error, ErrorInfo, SessionCreated
from realtime.wire.settings import PcmFormat, Settings, TranscriptionSettings
from tests.rigs import largest
from tests.rigs.transcript import Transcript
from tests.rigs.walk import CODECS, walk

SETTINGS = Settings(id="sess_1", model="any", expires_at=0)

TRANSCRIPTS = sorted((Path(__file__).parent.parent / "transcripts").glob("*.jsonl"))


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_the_conversation_goes_as_it_is_written(path: Path, request: pytest.FixtureRequest) -> None:
    transcript = Transcript(path)
    if request.config.getoption("--rewrite"):
        transcript.rewrite()
    difference = transcript.difference()
    assert not difference, f"\n{difference}"


def test_a_client_is_greeted_with_its_session_and_its_conversation() -> None:
    greetings = Session(SETTINGS, CountedIds()).receive(Opened(), now=0.0)
    events = [greeting.event for greeting in greetings if isinstance(greeting, Send)]
    assert events == [
        SessionCreated(event_id="event_1", session=SETTINGS),
        ConversationCreated(event_id="event_2", conversation=Conversation("conv_1")),
    ]


def test_tool_servers_that_it_begins_with_are_asked_once_it_is_open() -> None:
    server = McpTool(server_label="maths", server_url="https://maths.example/mcp")
    effects = Session(replace(SETTINGS, tools=(server,)), CountedIds()).receive(Opened(), now=0.0)
    assert [type(effect) for effect in effects].index(ListTools) > 1
    assert isinstance(effects[0], Send)
    assert isinstance(effects[0].event, SessionCreated)


def test_before_it_is_opened_there_is_no_deadline() -> None:
    session = Session(SETTINGS, CountedIds())
    assert session.deadline() is None
    assert session.receive(TimePassed(), now=1e9) == []


def test_its_time_begins_when_it_is_opened() -> None:
    session = Session(SETTINGS, CountedIds(), Abilities(session_seconds=90))
    session.receive(Opened(), now=1000.0)
    assert session.deadline() == 1090.0


def test_a_call_that_comes_early_ends_nothing() -> None:
    session = Session(SETTINGS, CountedIds(), Abilities(session_seconds=90))
    session.receive(Opened(), now=1000.0)
    assert session.receive(TimePassed(), now=1089.9) == []
    assert session.deadline() == 1090.0


def test_the_limit_is_told_in_minutes() -> None:
    session = Session(SETTINGS, CountedIds(), Abilities(session_seconds=90))
    session.receive(Opened(), now=0.0)
    error, close = session.receive(TimePassed(), now=90.0)
    assert isinstance(error, Send)
    assert isinstance(error.event, Error)
    assert error.event.error.message == "Your session hit the maximum duration of 1.5 minutes."
    assert close == Close(GOING_AWAY, "session_expired")
    assert session.deadline() is None


def test_it_is_busy_while_a_response_runs() -> None:
    session = Session(SETTINGS, CountedIds())
    states = [session.busy]
    for event in (ResponseCreate(), ResponseCreate(response=ResponseParams(conversation="none")), ResponseCancel()):
        session.receive(event, now=0.0)
        states.append(session.busy)
    session.receive(ResponseCancel(response_id="resp_2"), now=0.0)
    assert [*states, session.busy] == [False, True, True, True, False]


class Longest:
    """The longest frame that each dialect wrote of a session."""

    def __init__(self) -> None:
        self._session = Session(SETTINGS, CountedIds(), Abilities(audio_bytes=100_000_000))
        self.lengths = dict.fromkeys(CODECS, 0)

    def take(self, input: Input) -> list[Effect]:
        effects = self._session.receive(input, now=0.0)
        for sent in [effect for effect in effects if isinstance(effect, Send)]:
            for codec in CODECS:
                self.lengths[codec] = max(self.lengths[codec], *map(len, codec.encode(sent.event, sent.answers)), 0)
        return effects

    def answer(self, frame: str, outcomes: Callable[[str], Iterator[Input]]) -> None:
        (id,) = [effect.response_id for effect in self.take(largest.read(frame)) if isinstance(effect, Generate)]
        for outcome in outcomes(id):
            if not self._session.busy:
                return
            self.take(outcome)


def check_longest(longest: Longest, least: int) -> None:
    """And it is a frame of a size that matters, or nothing would have been tried."""
    assert all(least < length < MAX_FRAME for length in longest.lengths.values()), longest.lengths


def test_nothing_that_a_client_may_write_makes_too_long_a_frame() -> None:
    longest = Longest()
    for frame in largest.client():
        effects = longest.take(largest.read(frame))
        for effect in effects:
            if isinstance(effect, Transcribe):
                longest.take(SpeechTranscribed(effect.item_id, effect.content_index, largest.ENDLESS, 1.0))
    check_longest(longest, 5_000_000)


@pytest.mark.parametrize(
    ("modality", "outcomes", "least"),
    [
        ("text", largest.spoken, 1_500_000),
        ("audio", largest.spoken, 1_500_000),
        ("audio", largest.called, 900_000),
        ("text", largest.finished, 2_500_000),
    ],
)
def test_nothing_that_an_endpoint_may_write_makes_too_long_a_frame(
    modality: str, outcomes: Callable[[str], Iterator[Input]], least: int
) -> None:
    longest = Longest()
    longest.answer(largest.response(modality), outcomes)
    check_longest(longest, least)


def test_nothing_that_tools_may_return_makes_too_long_a_frame() -> None:
    longest = Longest()
    tool = {"type": "mcp", "server_label": "s", "server_url": "https://s.example/", "require_approval": "never"}
    event = {"type": "session.update", "session": {"type": "realtime", "output_modalities": ["text"], "tools": [tool]}}
    (listing,) = [effect for effect in longest.take(largest.read(json.dumps(event))) if isinstance(effect, ListTools)]
    longest.take(ToolsListed(listing.item_id, (ListedTool("f", {}),)))
    (asked,) = [effect for effect in longest.take(ResponseCreate()) if isinstance(effect, Generate)]
    for number in range(20):
        longest.take(CallGenerated(asked.response_id, number, "f", ""))
    calls = [effect for effect in longest.take(GenerationFinished(asked.response_id, "stop", None)) if isinstance(effect, CallTool)]
    for call in calls[:10]:
        longest.take(ToolReturned(call.item_id, largest.TEXT))
    for call in calls[10:]:
        longest.take(ToolBroke(call.item_id, ErrorInfo(type="server_error", code="oops", message=largest.TEXT)))
    assert len(calls) == 20
    assert 1_500_000 < longest.lengths[CODECS[0]] < MAX_FRAME


WALKS = 4
WALK_STEPS = int(os.environ.get("REALTIME_WALK_STEPS", "40000"))
"""Steps of all walks together: a few seconds, unless a longer walk is asked for, as CI does."""


@pytest.mark.timeout(max(60, WALK_STEPS // 100))
@pytest.mark.parametrize("seed", range(1, WALKS + 1))
def test_a_walk_that_nobody_planned_breaks_no_rule(seed: int) -> None:
    seen = walk(seed, WALK_STEPS // WALKS)
    assert seen.keys() >= (EVERYDAY | RARE if WALK_STEPS >= LONG_WALK else EVERYDAY), "the walk has become too tame to prove anything"


LONG_WALK = 100_000
RARE = {"InputAudioBufferTimeoutTriggered"}
"""What a short walk may miss."""


EVERYDAY = {
    *("SessionCreated", "SessionUpdated", "Error", "Close", "Detect", "Transcribe", "Generate", "Speak", "Abandon"),
    *("InputAudioBufferSpeechStarted", "InputAudioBufferSpeechStopped", "InputAudioBufferCommitted", "InputAudioBufferCleared"),
    *("ConversationItemRetrieved", "ConversationItemDeleted", "ConversationItemTruncated", "TranscriptionCompleted", "TranscriptionFailed"),
    *("Judge", "TranscriptionDelta"),
    *("McpListToolsCompleted", "McpListToolsFailed", "ResponseMcpCallCompleted", "ResponseMcpCallFailed", "ListTools", "CallTool"),
    *("ResponseOutputTextDone", "ResponseOutputAudioDelta", "ResponseOutputAudioDone"),
    *("completed", "cancelled", "incomplete", "failed"),
    *("heard", "speaks", "Read"),
}
"""What every walk comes across."""


# Sessions that go on


def remembered() -> conversations.Conversation:
    """One in which somebody spoke, and nobody knows what."""
    conversation = conversations.Conversation("conv_7")
    conversation.remember(Entry(Message("user", [InputAudio()], "a"), {0: Sound(PcmFormat(), bytes(4800))}))
    return conversation


@pytest.mark.parametrize("whole", [True, False])
def test_a_session_that_goes_on_says_what_there_is_and_asks_for_what_nobody_knows(whole: bool) -> None:
    session = Session(Settings(id="sess_1", model="m", expires_at=0), CountedIds(), conversation=remembered())
    effects = session.receive(inputs.Resumed(9, whole=whole), now=5.0)
    told = [effect.event for effect in effects if isinstance(effect, Send)]
    created, conversation, *items = told
    assert isinstance(created, SessionCreated)
    assert (created.session.id, created.session.expires_at) == ("sess_1", 9)
    assert isinstance(conversation, ConversationCreated)
    assert conversation.conversation.id == "conv_7"
    assert len(items) == (2 if whole else 0)
    assert [effect.item_id for effect in effects if isinstance(effect, Transcribe)] == ["a"]
    assert session.deadline() == 5.0 + 3600


def test_a_transcription_session_goes_on_too() -> None:
    session = Session(TranscriptionSettings(id="sess_1", expires_at=0), CountedIds(), conversation=remembered())
    effects = session.receive(inputs.Resumed(9, whole=False), now=0.0)
    assert [type(effect.event) for effect in effects if isinstance(effect, Send)] == [SessionCreated]
    assert [effect.item_id for effect in effects if isinstance(effect, Transcribe)] == ["a"]


def test_whoever_left_is_answered_no_more_and_what_was_said_stays() -> None:
    session = Session(Settings(id="sess_1", model="m", expires_at=0, output_modalities=("text",)), CountedIds())
    session.receive(inputs.Opened(), now=0.0)
    session.receive(ResponseCreate(), now=0.0)
    session.receive(inputs.TextGenerated("resp_1", "Half of"), now=0.0)
    effects = session.receive(inputs.ClientLeft(), now=1.0)
    assert Abandon("resp_1") in effects
    [entry] = session.conversation
    assert isinstance(entry.item, Message)
    assert (entry.item.status, entry.item.content) == ("incomplete", [OutputText("Half of")])
    assert session.receive(inputs.TextGenerated("resp_1", " it."), now=2.0) == []
    assert session.deadline() is None
