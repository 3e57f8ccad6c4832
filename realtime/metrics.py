"""What the daemon counts and measures: the registry, and every metric by its name.

Names, help texts and buckets are here and nowhere else; the README has a table of them, held to this by its tests. Labels are bounded: no
id, key, address or text of a client's becomes one, and a code that is not of `ERROR_CODES` is `other`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

_CODES = """
    array_above_max_length audio_disabled audio_file_too_large audio_parse_error audio_timeout audio_too_long audio_unintelligible
    cannot_update_voice connection_error context_length_exceeded conversation_already_has_active_response credit_balance_exhausted
    decimal_above_max_value decimal_below_min_value engine_closed generation_failed image_disabled image_file_too_large
    image_parse_error image_timeout image_too_large inference_rate_limit_exceeded input_audio_buffer_commit_empty
    input_audio_buffer_full insufficient_quota integer_above_max_value integer_below_min_value internal_error invalid_api_key
    invalid_audio_format invalid_event invalid_image_format invalid_json invalid_parameter invalid_request_error invalid_type
    invalid_value invalid_video_format item_create_duplicate_item_id item_create_invalid_previous_item_id item_delete_invalid_item_id
    item_retrieve_invalid_item_id item_truncate_invalid_item_id judgement_failed media_unavailable missing_required_parameter
    model_not_found model_unavailable not_installed object_above_max_length overloaded rate_limit_exceeded response_cancel_not_active
    server_error server_stopping session_expired session_not_found session_taken_over speech_failed store_unavailable
    stream_interrupted string_above_max_length string_below_min_length timeout tool_execution_error transcription_failed
    unknown_parameter unsupported_content_type unsupported_language video_disabled video_file_too_large video_parse_error
    video_timeout video_too_large video_too_long
"""

ERROR_CODES = frozenset(_CODES.split())
"""Codes of errors that are ours, or that we give to what endpoints say. An endpoint's own codes may be anything."""

LATENCIES = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
"""Seconds that somebody waits: fine where a conversation feels the difference, up to the longest patience of the defaults."""

LONG = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds of work: a whole answer, a file, a tool."""

LIVES = (1.0, 10.0, 60.0, 300.0, 900.0, 1800.0, 3600.0)
"""Seconds of a session, up to the hour that one lasts by default."""

RATIOS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0)
"""Of the time that it takes to hear a sound to the time that it lasts: 1 is as fast as it is spoken."""

LAGS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
"""Seconds that the loop was late: a detector's window is 0.032."""


def known(code: str | None) -> str:
    """The code as a label."""
    return code if code in ERROR_CODES else "other"


def _sum(name: str, help: str, registry: CollectorRegistry, labels: Sequence[str] = ()) -> Gauge:
    """Of several workers, what all have that live."""
    return Gauge(name, help, labels, registry=registry, multiprocess_mode="livesum")


def _most(name: str, help: str, registry: CollectorRegistry, labels: Sequence[str] = ()) -> Gauge:
    """Of several workers, what one of them has at the most."""
    return Gauge(name, help, labels, registry=registry, multiprocess_mode="livemax")


class Sessions:
    """Clients, from their connection to their goodbye."""

    def __init__(self, registry: CollectorRegistry) -> None:
        dialect = ["dialect"]
        self.open = _sum("realtime_sessions_open", "Sessions that are connected", registry, dialect)
        self.opened = Counter("realtime_sessions_opened", "Sessions that began", dialect, registry=registry)
        self.closed = Counter("realtime_sessions_closed", "Sessions that ended, by reason", ["dialect", "reason"], registry=registry)
        self.seconds = Histogram("realtime_session_duration_seconds", "How long sessions lasted", registry=registry, buckets=LIVES)
        self.errors = Counter("realtime_errors", "Failures that clients were told of, by code", ["where", "code"], registry=registry)
        self.refused = Counter("realtime_sessions_refused", "Sessions that a limit kept out", ["limit"], registry=registry)
        self.events_refused = Counter("realtime_events_refused", "Events that a limit kept out", ["limit"], registry=registry)
        self.outbox = _sum("realtime_outbox_bytes", "Bytes that wait for clients to read them", registry)


class Turns:
    """What people say, and how long they wait for an answer."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def waited(name: str, help: str) -> Histogram:
            return Histogram(name, help, registry=registry, buckets=LATENCIES)

        self.turns = Counter("realtime_turns", "Turns that were committed, by who ended them", ["ended_by"], registry=registry)
        self.transcript = waited("realtime_turn_transcript_seconds", "From the end of speech to its transcript")
        self.first_token = waited("realtime_turn_first_token_seconds", "From the end of speech to the answer's first token")
        self.first_sound = waited("realtime_turn_first_sound_seconds", "From the end of speech to the answer's first sound")
        self.judgement = waited("realtime_turn_judgement_seconds", "Time to judge by its sound whether a turn is over")
        self.interruption = waited(
            "realtime_interruption_seconds", "From the first sound of an interruption to the last that was written of the answer"
        )
        self.audio = Counter("realtime_audio_seconds", "Sound that came in and went out", ["direction"], registry=registry)
        self.backlog = _most(
            "realtime_detector_backlog_seconds", "Sound that waits for the detector, in the session furthest behind", registry
        )


class Responses:
    """Answers, and what they cost."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.running = _sum("realtime_responses_running", "Responses that are being made", registry)
        self.done = Counter("realtime_responses", "Responses that ended, by status and reason", ["status", "reason"], registry=registry)
        self.seconds = Histogram("realtime_response_duration_seconds", "How long responses took", registry=registry, buckets=LONG)
        self.first_token = Histogram(
            "realtime_model_first_token_seconds", "From the question to the model's first token", registry=registry, buckets=LATENCIES
        )
        self.speculations = Counter(
            "realtime_speculations",
            "Answers that were asked for before the turn was over, by what came of them",
            ["outcome"],
            registry=registry,
        )
        self.tokens = Counter("realtime_tokens", "Tokens that models read and wrote", ["kind"], registry=registry)


class Engines:
    """The models and helpers behind the sessions."""

    def __init__(self, registry: CollectorRegistry) -> None:
        hearing = ["hearing"]
        self.transcription = Histogram(
            "realtime_transcription_seconds", "Time to transcribe", hearing, registry=registry, buckets=LATENCIES
        )
        self.pace = Histogram(
            "realtime_transcription_pace_ratio",
            "Time to transcribe over the length of the sound",
            hearing,
            registry=registry,
            buckets=RATIOS,
        )
        self.first_sound = Histogram(
            "realtime_voice_first_sound_seconds", "From a clause to its first sound", registry=registry, buckets=LATENCIES
        )
        self.tools = Histogram("realtime_tool_seconds", "Time of tool servers", ["what", "outcome"], registry=registry, buckets=LONG)
        self.file = Histogram("realtime_file_seconds", "Time to read a file of a client's", ["kind"], registry=registry, buckets=LONG)
        self.files = Counter("realtime_files", "Files of clients, by what came of them", ["kind", "outcome"], registry=registry)
        self.queue = _sum("realtime_queue_jobs", "Jobs that wait", registry, ["queue"])


class Store:
    """What outlives the process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.commit_seconds = Histogram(
            "realtime_store_commit_seconds", "Time to store a change of a session", registry=registry, buckets=LATENCIES
        )
        self.errors = Counter("realtime_store_errors", "Tries to store a change that failed", registry=registry)
        self.resumed = Counter(
            "realtime_sessions_resumed", "Sessions that went on, from memory or from the store", ["source"], registry=registry
        )
        self.waiting = _sum("realtime_sessions_waiting", "Sessions that wait for their client to come back", registry)


class Process:
    """The process itself."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.build = _most("realtime_build_info", "Always 1; the label says which version runs", registry, ["version"])
        self.lag = Histogram("realtime_loop_lag_seconds", "How late the event loop's timers were", registry=registry, buckets=LAGS)
        self.tasks = _sum("realtime_tasks", "Tasks of the event loop", registry)
        ProcessCollector(registry=registry)


class Processes(Collector):
    """The processes that keep their numbers in a folder, as if they were one: prometheus-client has nothing for that."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        for pid in self._pids():
            for family in ProcessCollector(pid=lambda pid=pid: pid, registry=None).collect():  # type: ignore[misc]
                families[family.name] = _together(families.get(family.name), family)
        yield from families.values()

    def _pids(self) -> list[int]:
        return [int(path.stem.rpartition("_")[2]) for path in self._folder.glob("gauge_livesum_*.db")]


def _together(known: Metric | None, more: Metric) -> Metric:
    """The sum; of times of a start, the first."""
    if known is None:
        return more
    add: Callable[[float, float], float] = min if known.name == "process_start_time_seconds" else lambda one, other: one + other
    pairs = zip(known.samples, more.samples, strict=True)
    known.samples = [one._replace(value=add(one.value, other.value)) for one, other in pairs]
    return known


def forget(folder: Path, pid: int) -> None:
    """That process is gone: what it had is no more, what it counted stays."""
    mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]


class Metrics:
    """All of one process, or of all workers. Not for the path of a token: each call takes a lock, and half a microsecond."""

    def __init__(self, shared: Path | None = None) -> None:
        """`shared`: the folder where all workers keep theirs."""
        self.shared = shared
        disable_created_metrics()  # type: ignore[no-untyped-call]  # it would be a series more for each
        self.registry = CollectorRegistry()
        self.sessions = Sessions(self.registry)
        self.turns = Turns(self.registry)
        self.responses = Responses(self.registry)
        self.engines = Engines(self.registry)
        self.store = Store(self.registry)
        self.process = Process(self.registry)

    def text(self) -> bytes:
        """Everything, in Prometheus's text format 0.0.4."""
        if self.shared is not None:
            together = CollectorRegistry()
            MultiProcessCollector(together, str(self.shared))  # type: ignore[no-untyped-call]
            together.register(Processes(self.shared))
            return generate_latest(together)
        return generate_latest(self.registry)

    def names(self) -> dict[str, str]:
        """The type of every metric of ours, by the name that queries use."""
        kinds = {family.name: family.type for family in self.registry.collect() if family.name.startswith("realtime_")}
        return {f"{name}_total" if kind == "counter" else name: kind for name, kind in kinds.items()}
