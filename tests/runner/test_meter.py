from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from msgspec import Struct

from realtime import logs
from realtime.media.readings import Clip, Wanted, WantedClip, WantedPicture, WantedSound
from realtime.metrics import Metrics
from realtime.ports import LlmRequest
from realtime.runner.meter import MAX_ARRIVALS, STALE_SECONDS, Meter
from realtime.session import inputs
from realtime.session.effects import Abandon, CallTool, Forgo, Generate, Judge, ListTools, Read, Speak, Transcribe
from realtime.wire import server
from realtime.wire.client import InputAudioBufferAppend
from realtime.wire.items import Item, Message, OutputText
from realtime.wire.mcp import McpTool
from realtime.wire.settings import AudioInput, AudioSettings, PcmFormat, PcmuFormat, ServerVad, Settings

ERROR = server.ErrorInfo(code="timeout", message="Too late.")
MS = 48
"""Bytes of a millisecond of sound, both ways."""


class Watched:
    """A meter, the clock that it goes by, and what it has measured."""

    def __init__(self, *, words: bool = False) -> None:
        self.now = 100.0
        self.metrics = Metrics()
        self.unwritten: list[Callable[[], None]] = []
        self.meter = Meter(self.metrics, "ga", clock=lambda: self.now, when_written=self.unwritten.append, words=words)
        self.meter.open()
        self.told(server.SessionCreated(session=settings(PcmFormat())))

    def happened(self, *happenings: Any) -> None:
        for happening in happenings:
            self.meter.happened(happening, self.now)

    def asked(self, *effects: Any) -> None:
        for effect in effects:
            self.meter.asked(effect, self.now)

    def told(self, *events: Any) -> None:
        for event in events:
            self.meter.told(event, self.now)

    def value(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"realtime_{name}", labels) or 0.0

    def measured(self, name: str, **labels: str) -> tuple[float, float]:
        """How often, and the sum."""
        return self.value(f"{name}_count", **labels), round(self.value(f"{name}_sum", **labels), 6)

    def stop_speaking(self, item_id: str = "item_1") -> None:
        self.told(server.InputAudioBufferSpeechStopped(audio_end_ms=0, item_id=item_id), committed(item_id))


@pytest.fixture
def ours() -> Watched:
    return Watched()


def settings(format: PcmFormat | PcmuFormat, padding_ms: int = 300) -> Settings:
    heard = AudioInput(format=format, turn_detection=ServerVad(prefix_padding_ms=padding_ms))
    return Settings(id="sess_1", model="m", expires_at=0, output_modalities=("audio",), audio=AudioSettings(heard))


def committed(item_id: str = "item_1") -> server.InputAudioBufferCommitted:
    return server.InputAudioBufferCommitted(previous_item_id=None, item_id=item_id)


def response(status: server.ResponseStatus = "in_progress", id: str = "resp_1", **fields: Any) -> server.Response:
    output = server.ResponseAudioOutput(format=PcmFormat(), voice="alloy")
    given = {"output": [], "conversation_id": "conv_1", "output_modalities": ("audio",), "max_output_tokens": "inf"} | fields
    return server.Response(id=id, status=status, audio=server.ResponseAudio(output=output), **given)


def created(**fields: Any) -> server.ResponseCreated:
    return server.ResponseCreated(response=response(**fields))


def done(status: server.ResponseStatus = "completed", **fields: Any) -> server.ResponseDone:
    return server.ResponseDone(response=response(status, **fields))


def generate() -> Generate:
    return Generate("resp_1", LlmRequest(instructions="", items=()))


def transcribe(attempt: int = 0) -> Transcribe:
    return Transcribe("item_1", 0, b"", PcmFormat(), None, None, attempt)


def transcribed(attempt: int = 0, text: str = "Hello.") -> inputs.SpeechTranscribed:
    return inputs.SpeechTranscribed("item_1", 0, text, 2.0, attempt)


def item_added(item: Item | None = None) -> server.ResponseOutputItemAdded:
    return server.ResponseOutputItemAdded(response_id="resp_1", output_index=0, item=item or Message("assistant", []))


def sound(ms: int = 100) -> server.ResponseOutputAudioDelta:
    return server.ResponseOutputAudioDelta(response_id="resp_1", item_id="item_2", output_index=0, content_index=0, delta=bytes(ms * MS))


def speech_started(at_ms: int) -> server.InputAudioBufferSpeechStarted:
    return server.InputAudioBufferSpeechStarted(audio_start_ms=at_ms, item_id="item_3")


def interrupted() -> server.ResponseDone:
    return done("cancelled", status_details=server.StatusDetails(type="cancelled", reason="turn_detected"))


# Sessions


def test_a_session_is_counted_when_it_begins_and_when_it_ends(ours: Watched, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logs.OURS)
    assert ours.value("sessions_open", dialect="ga") == ours.value("sessions_opened_total", dialect="ga") == 1
    ours.told(committed(), created())
    ours.asked(Read("file_1", 0, "", WantedPicture()))
    ours.now += 12
    ours.meter.close("client", 1000)
    assert ours.value("sessions_open", dialect="ga") == ours.value("responses_running") == 0
    assert ours.value("sessions_closed_total", dialect="ga", reason="client") == 1
    assert ours.value("files_total", kind="image", outcome="abandoned") == 1
    assert ours.measured("session_duration_seconds") == (1, 12)
    [closed] = [record for record in caplog.records if record.message == "Session closed"]
    assert vars(closed)["facts"] == {"dialect": "ga", "reason": "client", "close_code": 1000, "turns": 1, "responses": 0, "seconds": 12}


def test_sound_is_added_up_in_whatever_format_it_comes_and_counted_when_somebody_looks(ours: Watched) -> None:
    ours.happened(InputAudioBufferAppend(audio=bytes(48_000)))
    ours.told(server.SessionUpdated(session=settings(PcmuFormat())))
    ours.happened(InputAudioBufferAppend(audio=bytes(16_000)))
    ours.told(created(), sound(500), sound(250))
    assert ours.value("audio_seconds_total", direction="in") == 0
    for _ in range(2):
        ours.meter.settle()
        assert ours.value("audio_seconds_total", direction="in") == 3
        assert ours.value("audio_seconds_total", direction="out") == 0.75


def test_errors_are_counted_by_where_they_showed_and_by_a_bounded_code(ours: Watched) -> None:
    detail = server.ErrorDetail(code="invalid_json", message="")
    ours.told(server.Error(error=detail), server.Error(error=detail), server.Error(error=server.ErrorDetail(code="xyz", message="")))
    ours.told(server.TranscriptionFailed(item_id="item_1", content_index=0, error=ERROR))
    failure = server.Failure(type="server_error", code="timeout", message="")
    ours.told(created(), done("failed", status_details=server.StatusDetails(type="failed", error=failure)))
    assert ours.value("errors_total", where="event", code="invalid_json") == 2
    assert ours.value("errors_total", where="event", code="other") == 1
    assert ours.value("errors_total", where="transcription", code="timeout") == 1
    assert ours.value("errors_total", where="response", code="timeout") == 1
    assert ours.value("responses_total", status="failed", reason="timeout") == 1


# Turns


def test_a_turn_is_counted_by_who_ended_it(ours: Watched) -> None:
    ours.stop_speaking()
    ours.told(committed("item_2"))
    ours.told(server.InputAudioBufferTimeoutTriggered(audio_start_ms=0, audio_end_ms=0, item_id="item_3"), committed("item_3"))
    assert [ours.value("turns_total", ended_by=by) for by in ("detector", "client", "silence")] == [1, 1, 1]


def test_the_latencies_of_a_spoken_turn(ours: Watched) -> None:
    ours.stop_speaking()
    ours.asked(transcribe())
    ours.told(created())
    ours.now += 0.25
    ours.happened(transcribed())
    ours.asked(generate())
    ours.now += 0.5
    ours.told(item_added())
    ours.asked(Speak("resp_1", 0, "Hi.", "alloy", 1.0, PcmFormat()))
    ours.now += 0.125
    for _ in range(2):  # the first counts
        ours.happened(inputs.ClauseSounded("resp_1", 0, b""))
        ours.told(sound(), item_added())
        ours.now += 0.125
    ours.told(done())
    assert ours.measured("turn_transcript_seconds") == (1, 0.25)
    assert ours.measured("transcription_seconds", hearing="whole") == (1, 0.25)
    assert ours.measured("transcription_pace_ratio", hearing="whole") == (1, 0.125)
    assert ours.measured("model_first_token_seconds") == (1, 0.5)
    assert ours.measured("turn_first_token_seconds") == (1, 0.75)
    assert ours.measured("voice_first_sound_seconds") == (1, 0.125)
    assert ours.measured("turn_first_sound_seconds") == (1, 0.875)
    assert ours.measured("response_duration_seconds") == (1, 1.125)


def test_a_turn_whose_words_were_known_at_its_end_waited_for_no_transcript(ours: Watched) -> None:
    ours.asked(transcribe(1))
    ours.now += 0.5
    ours.happened(transcribed(1))
    ours.stop_speaking()
    ours.told(created())
    ours.asked(generate())
    assert ours.measured("turn_transcript_seconds") == (1, 0)
    assert ours.measured("transcription_seconds", hearing="draft") == (1, 0.5)


def test_a_model_that_hears_is_asked_before_the_words_are_known(ours: Watched) -> None:
    ours.stop_speaking()
    ours.asked(transcribe())
    ours.told(created())
    ours.asked(generate())
    ours.now += 0.5
    ours.happened(transcribed())
    assert ours.measured("turn_transcript_seconds") == (1, 0.5)


def test_only_the_first_answer_to_a_turn_is_its_answer(ours: Watched) -> None:
    ours.stop_speaking()
    ours.told(created(id="resp_0", conversation_id=None), created())
    ours.now += 1
    ours.told(item_added(), done(), created(), item_added())
    assert ours.measured("turn_first_token_seconds") == (1, 1)


def test_an_answer_long_after_a_turn_was_wanted_for_something_else(ours: Watched) -> None:
    ours.stop_speaking()
    ours.now += STALE_SECONDS
    ours.told(created(), item_added())
    assert ours.measured("turn_first_token_seconds") == (0, 0)


def test_what_the_session_says_by_itself_is_no_token_of_the_models(ours: Watched) -> None:
    ours.stop_speaking()
    ours.told(created())
    ours.asked(generate())
    ours.told(item_added())
    assert ours.measured("model_first_token_seconds") == (0, 0)
    assert ours.measured("turn_first_token_seconds") == (1, 0)


def test_a_judgement_and_one_that_nobody_waited_for(ours: Watched) -> None:
    for _ in range(2):
        ours.asked(Judge("item_1", 1, b"", PcmFormat()))
        ours.now += 0.25
        ours.happened(inputs.TurnJudged("item_1", 1, 0.9))
        ours.asked(Judge("item_1", 2, b"", PcmFormat()), Abandon("item_1"))
        ours.happened(inputs.TurnJudged("item_1", 2, 0.9))
    assert ours.measured("turn_judgement_seconds") == (2, 0.5)


# Interruptions


def test_an_interruption_lasts_from_its_first_sound_until_the_answer_has_been_written(ours: Watched) -> None:
    ours.told(created(), sound())
    for _ in range(20):
        ours.happened(InputAudioBufferAppend(audio=bytes(20 * MS)))
        ours.now += 0.02
    # The turn includes 300 ms from before the speech, which began with the 17th piece: 80 ms ago.
    ours.told(speech_started(25), interrupted())
    assert ours.measured("interruption_seconds") == (0, 0)
    ours.now += 0.005
    for callback in ours.unwritten:
        callback()
    assert ours.measured("interruption_seconds") == (1, 0.085)


def test_an_answer_that_was_not_heard_yet_needs_no_silencing(ours: Watched) -> None:
    ours.told(created(), speech_started(0), interrupted())
    ours.told(created(), sound(), done("cancelled", status_details=server.StatusDetails(type="cancelled", reason="client_cancelled")))
    assert ours.unwritten == []
    assert ours.value("responses_total", status="cancelled", reason="turn_detected") == 1


def test_arrivals_are_remembered_while_answers_run_and_no_longer(ours: Watched) -> None:
    append = InputAudioBufferAppend(audio=bytes(20 * MS))
    ours.happened(append)
    assert len(ours.meter._arrivals) == 0
    ours.told(created())
    ours.happened(*[append] * 2 * MAX_ARRIVALS)
    assert len(ours.meter._arrivals) == MAX_ARRIVALS
    ours.told(done())
    assert len(ours.meter._arrivals) == 0


# Responses


def test_tokens_are_counted_by_kind(ours: Watched) -> None:
    usage = server.Usage(
        input_tokens=10,
        output_tokens=5,
        input_token_details=server.InputTokenDetails(text_tokens=6, audio_tokens=3, image_tokens=1, cached_tokens=4),
        output_token_details=server.OutputTokenDetails(text_tokens=2, audio_tokens=3),
    )
    ours.told(created(), done(usage=usage))
    kinds = ("input_text", "input_audio", "input_image", "input_cached", "output_text", "output_audio")
    assert [ours.value("tokens_total", kind=kind) for kind in kinds] == [6, 3, 1, 4, 2, 3]


def test_an_incomplete_answer_says_why(ours: Watched) -> None:
    ours.told(created(), done("incomplete", status_details=server.StatusDetails(type="incomplete", reason="max_output_tokens")))
    ours.told(created(), done("incomplete", status_details=server.StatusDetails(type="incomplete")))
    assert ours.value("responses_total", status="incomplete", reason="max_output_tokens") == 1
    assert ours.value("responses_total", status="incomplete", reason="none") == 1
    assert ours.value("responses_running") == 0


def test_what_comes_for_a_response_that_is_over_is_nothing(ours: Watched) -> None:
    ours.told(item_added(), sound(), done())
    ours.asked(generate())
    ours.meter.settle()
    assert ours.value("audio_seconds_total", direction="out") == ours.value("responses_running") == 0


# Jobs


class Job(Struct):
    asked: Any
    outcome: Any
    name: str
    labels: dict[str, str]


TOOL = McpTool(server_label="a", server_url="https://a.example/mcp")


@pytest.mark.parametrize(
    "job",
    [
        Job(ListTools("item_1", TOOL), inputs.ToolsListed("item_1", ()), "tool_seconds", {"what": "list", "outcome": "done"}),
        Job(ListTools("item_1", TOOL), inputs.ToolListingBroke("item_1", ERROR), "tool_seconds", {"what": "list", "outcome": "failed"}),
        Job(CallTool("item_1", TOOL, "f", {}), inputs.ToolReturned("item_1", ""), "tool_seconds", {"what": "call", "outcome": "done"}),
        Job(CallTool("item_1", TOOL, "f", {}), inputs.ToolBroke("item_1", ERROR), "tool_seconds", {"what": "call", "outcome": "failed"}),
    ],
    ids=lambda job: f"{job.labels['what']}-{job.labels['outcome']}",
)
def test_the_time_of_a_tool_server(ours: Watched, job: Job) -> None:
    ours.asked(job.asked)
    ours.now += 2
    ours.happened(job.outcome, job.outcome)
    assert ours.measured(job.name, **job.labels) == (1, 2)


@pytest.mark.parametrize(
    ("wanted", "kind"), [(WantedPicture(), "image"), (WantedSound(24_000), "audio"), (WantedClip("low", None), "video")]
)
def test_a_file_is_counted_by_what_came_of_it(ours: Watched, wanted: Wanted, kind: str) -> None:
    ours.asked(*[Read("file_1", index, "", wanted) for index in range(3)])
    ours.now += 0.5
    ours.happened(inputs.FileRead("file_1", 0, Clip(1, (), None, "")), inputs.FileBroke("file_1", 1, ERROR))
    ours.asked(Abandon("file_1"))
    ours.happened(inputs.FileRead("file_1", 2, Clip(1, (), None, "")))
    assert [ours.value("files_total", kind=kind, outcome=outcome) for outcome in ("read", "timeout", "abandoned")] == [1, 1, 1]
    assert ours.measured("file_seconds", kind=kind) == (2, 1)


def test_a_hearing_that_failed_is_not_measured(ours: Watched) -> None:
    ours.asked(transcribe())
    ours.happened(inputs.TranscriptionBroke("item_1", 0, ERROR), transcribed())
    assert ours.measured("transcription_seconds", hearing="whole") == (0, 0)


def test_no_job_is_remembered_once_its_response_is_over(ours: Watched) -> None:
    ours.told(created())
    ours.asked(Speak("resp_1", 0, "...", "alloy", 1.0, PcmFormat()))
    ours.told(done())
    assert ours.meter._jobs == {}


# The log


@pytest.mark.parametrize("words", [False, True])
def test_what_is_said_is_in_the_log_only_on_request(words: bool, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logs.OURS)
    ours = Watched(words=words)
    ours.stop_speaking()
    ours.asked(transcribe())
    ours.happened(transcribed(text="My secret."))
    ours.told(created(), item_added())
    ours.now += 1.5
    ours.told(done(output=[Message("assistant", [OutputText("I will keep it.")])]))
    told = {record.message: vars(record)["facts"] for record in caplog.records}
    assert told["Turn ended"] == {"item_id": "item_1", "ended_by": "detector"}
    assert told["Speech transcribed"].get("heard") == ("My secret." if words else None)
    assert told["Response ended"].get("said") == ("I will keep it." if words else None)
    assert (told["Response ended"]["response_id"], told["Response ended"]["seconds"]) == ("resp_1", 1.5)
    assert ("secret" in str(told)) is words


# Speculations


def test_a_speculation_that_is_used_has_waited_for_nothing(ours: Watched) -> None:
    ours.asked(transcribe(1))
    ours.now += 0.25
    ours.happened(transcribed(1))
    ours.asked(Generate("resp_1", LlmRequest(instructions="", items=()), speculative=True))
    ours.now += 0.5
    ours.stop_speaking()
    ours.told(created(), item_added(), sound())
    assert ours.value("speculations_total", outcome="used") == 1
    for name in ("turn_transcript_seconds", "turn_first_token_seconds", "turn_first_sound_seconds"):
        assert ours.measured(name) == (1, 0)
    assert ours.measured("model_first_token_seconds") == (0, 0), "when it came is not known"


def test_a_speculation_that_is_dropped_has_its_cost(ours: Watched) -> None:
    ours.asked(Generate("resp_1", LlmRequest(instructions="", items=()), speculative=True))
    cost = server.Usage(input_token_details=server.InputTokenDetails(text_tokens=6))
    ours.asked(Forgo("resp_1", cost))
    assert ours.value("speculations_total", outcome="dropped") == 1
    assert ours.value("tokens_total", kind="input_text") == 6
    ours.told(created(id="resp_2"))
    assert ours.value("speculations_total", outcome="used") == 0
