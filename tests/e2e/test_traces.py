"""What a daemon tells an OpenTelemetry collector."""

from __future__ import annotations

import asyncio

from tests.e2e.conftest import Start
from tests.e2e.test_watched import SAID, speak_a_turn
from tests.rigs.chat_endpoint import ChatEndpoint, refusal
from tests.rigs.collector import Collector, attributes
from tests.rigs.daemon import SCRIPTED, SCRIPTED_EARS
from tests.rigs.wire_client import WireClient

ERROR = 2
"""The status of a span that failed (OTLP, `Status.StatusCode`)."""


async def test_a_spoken_turn_is_a_tree_of_spans(start: Start) -> None:
    async with Collector() as collector:
        daemon = start(*SCRIPTED, REALTIME_TRACES="true", OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_SERVICE_NAME="voice")
        async with WireClient(daemon.url()) as client:
            response = await speak_a_turn(client)
        await asyncio.to_thread(daemon.stop)
        assert collector.service["service.name"] == "voice"
        (turn,), (answer,), (chat,) = collector.named("turn"), collector.named("response"), collector.named("chat")
        hearings, clauses = collector.named("transcribe"), collector.named("speak")
        assert not turn.parent_span_id
        assert {event.name for event in turn.events} == {"speech_stopped", "committed"}
        assert hearings
        assert clauses
        assert {span.parent_span_id for span in [answer, *hearings]} == {turn.span_id}
        assert {span.parent_span_id for span in [chat, *clauses]} == {answer.span_id}
        assert {span.trace_id for span in collector.spans} == {turn.trace_id}
        assert len({attributes(span)["session.id"] for span in collector.spans}) == 1
        assert attributes(answer)["gen_ai.response.id"] == response["id"]
        assert attributes(answer)["realtime.response.status"] == "completed"
        assert attributes(chat)["gen_ai.response.finish_reasons"] == ["stop"]
        assert [event.name for event in chat.events] == ["first_token"]
        assert [event.name for event in clauses[0].events] == ["first_sound"]
        assert all(turn.start_time_unix_nano <= span.start_time_unix_nano for span in collector.spans)
        assert all(span.end_time_unix_nano <= turn.end_time_unix_nano for span in collector.spans)
        assert SAID not in str(collector.spans)


async def test_a_failed_answer_is_an_error_with_its_code(start: Start) -> None:
    async with Collector() as collector, ChatEndpoint() as endpoint:
        endpoint.script(refusal(401))
        url = endpoint.base_url
        daemon = start(*SCRIPTED_EARS, OPENAI_BASE_URL=url, REALTIME_TRACES="true", OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
        async with WireClient(daemon.url()) as client:
            response = await speak_a_turn(client)
        await asyncio.to_thread(daemon.stop)
        code = response["status_details"]["error"]["code"]
        failed = [span for name in ("turn", "response", "chat") for span in collector.named(name)]
        assert [span.status.code for span in failed] == [ERROR] * 3
        assert {attributes(span)["error.type"] for span in failed} == {code}


async def test_a_callers_trace_goes_on_and_what_is_said_is_told_where_it_may_be(start: Start) -> None:
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    async with Collector() as collector:
        daemon = start(*SCRIPTED, REALTIME_TRACES="true", REALTIME_LOG_CONTENT="true", OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
        async with WireClient(daemon.url(), headers={"Traceparent": f"00-{trace}-{parent}-01"}) as client:
            await speak_a_turn(client)
        await asyncio.to_thread(daemon.stop)
        (turn,) = collector.named("turn")
        assert collector.service["service.name"] == "realtime"
        assert {span.trace_id.hex() for span in collector.spans} == {trace}
        assert turn.parent_span_id.hex() == parent
        assert SAID in [attributes(span).get("realtime.text") for span in collector.named("transcribe")]


async def test_a_collector_that_is_not_there_costs_nobody_an_answer(start: Start) -> None:
    async with Collector() as collector:
        gone = collector.url
    daemon = start(*SCRIPTED, REALTIME_TRACES="true", OTEL_EXPORTER_OTLP_ENDPOINT=gone)
    async with WireClient(daemon.url()) as client:
        assert (await speak_a_turn(client))["status"] == "completed"
    assert await asyncio.to_thread(daemon.stop) == 0
