"""What is asked and answered; over a socket it is tried in tests/e2e/test_authentication.py."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

import pytest
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from realtime.server.access import Access
from realtime.server.bodies import Incoming
from realtime.server.client_secrets import MAX_LENGTH, ClientSecrets
from realtime.server.http import SECRETS_PATH
from realtime.server.ids import RandomIds
from realtime.server.keys import Key, Keys, hashed
from realtime.server.minting import BETA_PATH, BETA_TRANSCRIPTION_PATH, Mint
from realtime.server.origins import Origins
from realtime.session.abilities import Abilities
from realtime.wire.beta import BetaCodec
from realtime.wire.codec import GaCodec

KEY = "a-long-random-key"
NOW = 1_000.5


def minting(*, abilities: Abilities = Abilities(), origins: frozenset[str] = frozenset()) -> Mint:  # noqa: B008 - frozen
    rules = Origins(allowed=origins, loopback=False, keys=True)
    access = Access(lambda: Keys([Key("phone", hashed(KEY))]), ClientSecrets(None), rules)
    return Mint(access=access, ga=GaCodec(), beta=BetaCodec(), abilities=abilities, model="parrot", new_ids=RandomIds)


def asked(body: object = None, *, method: str = "POST", fault: HTTPStatus | None = None) -> Incoming:
    incoming = Incoming()
    incoming.method, incoming.fault = method, fault
    incoming.body = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    return incoming


def post(mint: Mint, incoming: Incoming, path: str = SECRETS_PATH, key: str | None = KEY, **headers: str) -> Response:
    lines = [(name.replace("_", "-"), value) for name, value in headers.items()]
    bearer = [("Authorization", f"Bearer {key}")] if key else []
    return mint.answer(Request(path, Headers([*bearer, *lines])), incoming, NOW)


def said(response: Response, status: int = 200) -> dict[str, Any]:
    made = json.loads(response.body)
    assert response.status_code == status, made
    assert isinstance(made, dict)
    return made


def bound(mint: Mint, secret: str) -> tuple[dict[str, Any] | None, int]:
    """What a client secret binds its session to, and when it expires."""
    claims = mint.access.admit(Request("/v1/realtime", Headers({"Authorization": f"Bearer {secret}"})), NOW).claims
    assert claims is not None
    return None if claims.update is None else json.loads(claims.update), claims.expires_at


def test_ga_shows_the_whole_session_and_binds_what_was_asked_for() -> None:
    mint, session = minting(), {"type": "realtime", "instructions": "Be brief.", "audio": {"output": {"voice": "ash"}}}
    response = post(mint, asked({"expires_after": {"anchor": "created_at", "seconds": 10}, "session": session}))
    made = said(response)
    assert made.keys() == {"value", "expires_at", "session"}
    shown = made["session"]
    assert (shown["type"], shown["object"], shown["model"], shown["expires_at"]) == ("realtime", "realtime.session", "parrot", 0)
    assert (shown["instructions"], shown["audio"]["output"]["voice"]) == ("Be brief.", "ash")
    assert shown["id"].startswith("sess_")
    assert bound(mint, made["value"]) == ({"type": "session.update", "session": session}, 1_010)
    assert made["expires_at"] == 1_010
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("body", [None, {}, {"session": None}, {"expires_after": None}])
def test_nothing_said_is_ten_minutes_for_any_session(body: object) -> None:
    mint = minting()
    made = said(post(mint, asked(body)))
    assert bound(mint, made["value"]) == (None, 1_600)
    assert made["session"]["type"] == "realtime"


def test_ga_mints_for_transcription() -> None:
    made = said(post(minting(), asked({"session": {"type": "transcription"}})))
    assert made["session"]["object"] == "realtime.transcription_session"


def test_keywords_are_bound_as_they_were_said() -> None:
    """Decoding them twice would say them twice."""
    mint, heard = minting(), {"input": {"transcription": {"prompt": "p", "keywords": ["k"]}}}
    made = said(post(mint, asked({"session": {"type": "realtime", "audio": heard}})))
    assert made["session"]["audio"]["input"]["transcription"]["prompt"] == "p k"
    update, _ = bound(mint, made["value"])
    assert update is not None
    assert update["session"]["audio"] == heard


def test_beta_is_flat() -> None:
    mint = minting()
    made = said(post(mint, asked({"model": "mine", "voice": "ash", "modalities": ["text"]}), BETA_PATH))
    assert (made["object"], made["model"], made["voice"], made["modalities"]) == ("realtime.session", "mine", "ash", ["text"])
    assert made["client_secret"]["expires_at"] == 1_060
    update, expires_at = bound(mint, made["client_secret"]["value"])
    assert update is not None
    assert (update["type"], expires_at) == ("session.update", 1_060)


def test_beta_may_say_how_long() -> None:
    body = {"client_secret": {"expires_after": {"anchor": "created_at", "seconds": 7200}}}
    assert said(post(minting(), asked(body), BETA_PATH))["client_secret"]["expires_at"] == 8_200


def test_beta_transcription_is_flat_too() -> None:
    mint, body = minting(), {"input_audio_format": "g711_ulaw", "input_audio_transcription": {"model": "whisper-1", "language": "de"}}
    made = said(post(mint, asked(body), BETA_TRANSCRIPTION_PATH))
    assert (made["object"], made["input_audio_format"]) == ("realtime.transcription_session", "g711_ulaw")
    assert made["input_audio_transcription"]["language"] == "de"
    update, _ = bound(mint, made["client_secret"]["value"])
    assert update is not None
    assert update["type"] == "transcription_session.update"


@pytest.mark.parametrize(
    ("path", "body", "code", "param"),
    [
        (SECRETS_PATH, b"{", "invalid_json", None),
        (SECRETS_PATH, b'{"session":"\xff"}', "invalid_json", None),
        (SECRETS_PATH, b'{"session":' + b"[" * 5_000, "invalid_json", None),
        (SECRETS_PATH, [], "invalid_type", ""),
        (SECRETS_PATH, {"expires_after": {"seconds": 9}}, "integer_below_min_value", "expires_after.seconds"),
        (SECRETS_PATH, {"expires_after": {"seconds": 7201}}, "integer_above_max_value", "expires_after.seconds"),
        (SECRETS_PATH, {"nope": 1}, "unknown_parameter", "nope"),
        (SECRETS_PATH, {"session": {}}, "missing_required_parameter", "session.type"),
        (SECRETS_PATH, {"session": {"type": "realtime", "nope": 1}}, "unknown_parameter", "session.nope"),
        (SECRETS_PATH, {"session": {"type": "realtime", "output_modalities": []}}, "invalid_value", "session.output_modalities"),
        (BETA_PATH, {"voice": 7}, "invalid_type", "voice"),
        (BETA_PATH, b"{", "invalid_json", None),
        (BETA_PATH, {"client_secret": {"expires_after": {"seconds": 1}}}, "integer_below_min_value", "client_secret.expires_after.seconds"),
        (BETA_TRANSCRIPTION_PATH, {"voice": "ash"}, "unknown_parameter", "voice"),
    ],
)
def test_a_wrong_wish_is_told_its_place(path: str, body: object, code: str, param: str | None) -> None:
    error = said(post(minting(), asked(body), path), 400)["error"]
    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", code, param)


def test_a_session_that_does_not_fit_is_refused() -> None:
    words = "".join(map(chr, range(0x4E00, 0x4E00 + MAX_LENGTH)))
    error = said(post(minting(), asked({"session": {"type": "realtime", "instructions": words}})), 400)["error"]
    assert (error["code"], error["param"]) == ("string_above_max_length", "session")


@pytest.mark.parametrize("secret", [{"authorization": "token"}, {"headers": {"X-Key": "k"}}])
def test_what_opens_somebody_elses_server_does_not_get_into_a_client_secret(secret: dict[str, Any]) -> None:
    tool = {"type": "mcp", "server_label": "maths", "server_url": "https://maths.example/mcp"}
    open_one = said(post(minting(), asked({"session": {"type": "realtime", "tools": [tool]}})))
    assert open_one["session"]["tools"] == [tool]
    error = said(post(minting(), asked({"session": {"type": "realtime", "tools": [tool | secret]}})), 400)["error"]
    assert error["param"] == "session.tools"


@pytest.mark.parametrize(("key", "code"), [(None, None), ("wrong", "invalid_api_key")])
@pytest.mark.parametrize("path", [SECRETS_PATH, BETA_PATH, BETA_TRANSCRIPTION_PATH])
def test_who_has_no_key_mints_nothing(path: str, key: str | None, code: str | None) -> None:
    response = post(minting(), asked(b"{"), path, key)
    assert said(response, 401)["error"]["code"] == code
    assert "WWW-Authenticate" in response.headers


def test_a_client_secret_mints_nothing() -> None:
    mint = minting()
    secret = said(post(mint, asked()))["value"]
    assert "can't mint another" in said(post(mint, asked(), key=secret), 401)["error"]["message"]


@pytest.mark.parametrize("fault", [HTTPStatus.LENGTH_REQUIRED, HTTPStatus.REQUEST_ENTITY_TOO_LARGE])
def test_a_body_that_could_not_be_read_is_told(fault: HTTPStatus) -> None:
    assert "Content-Length" in said(post(minting(), asked(fault=fault)), fault.value)["error"]["message"]


def test_other_methods_are_refused() -> None:
    response = post(minting(), asked(method="GET"))
    assert (response.status_code, response.headers["Allow"]) == (405, "POST, OPTIONS")


APP = "https://app.example"


def test_a_page_that_may_asks_first_and_reads_the_answer() -> None:
    mint = minting(origins=frozenset({APP}))
    preflight = post(
        mint,
        asked(method="OPTIONS"),
        key=None,
        Origin=APP,
        Access_Control_Request_Method="POST",
        Access_Control_Request_Headers="authorization,content-type,x-stainless-lang",
    )
    assert (preflight.status_code, preflight.body) == (204, b"")
    assert preflight.headers["Access-Control-Allow-Origin"] == APP
    assert preflight.headers["Access-Control-Allow-Methods"] == "POST"
    assert preflight.headers["Access-Control-Allow-Headers"] == "authorization,content-type,x-stainless-lang"
    made = post(mint, asked(), Origin=APP)
    assert (made.status_code, made.headers["Access-Control-Allow-Origin"], made.headers["Vary"]) == (200, APP, "Origin")
    assert post(mint, asked(), key=None, Origin=APP).headers["Access-Control-Allow-Origin"] == APP


def test_who_is_no_browser_is_told_nothing_of_origins() -> None:
    assert "Access-Control-Allow-Origin" not in post(minting(), asked()).headers
    assert "Access-Control-Allow-Headers" not in post(minting(), asked(method="OPTIONS")).headers


@pytest.mark.parametrize("method", ["POST", "OPTIONS"])
def test_a_strange_page_is_refused_even_with_a_key(method: str) -> None:
    response = post(minting(origins=frozenset({APP})), asked(method=method), Origin="https://evil.example")
    assert "REALTIME_ALLOWED_ORIGINS" in said(response, 403)["error"]["message"]
    assert "Access-Control-Allow-Origin" not in response.headers
