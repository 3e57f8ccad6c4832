from __future__ import annotations

from pathlib import Path

import pytest
from websockets.datastructures import Headers
from websockets.http11 import Request

from realtime.server import pages
from realtime.server.pages import CHECKOUT, KINDS, Pages

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def asked(path: str, **headers: str) -> Request:
    return Request(path, Headers({name.replace("_", "-"): value for name, value in headers.items()}))


@pytest.fixture(scope="module")
def ours() -> Pages:
    return Pages()


def test_a_browser_gets_the_page_and_curl_does_not(ours: Pages) -> None:
    page = ours.answer("/", asked("/", **BROWSER))
    assert page is not None
    assert b"<!doctype html>" in page.body
    assert ours.answer("/", asked("/", Accept="*/*")) is None
    assert ours.answer("/", asked("/")) is None


def test_every_file_of_the_client_is_served_as_what_it_is(ours: Pages) -> None:
    for file in CHECKOUT.iterdir():
        response = ours.answer(f"/{file.name}", asked(f"/{file.name}"))
        if file.suffix not in KINDS:
            assert response is None
            continue
        assert response is not None
        assert (response.status_code, response.body) == (200, file.read_bytes())
        assert response.headers["Content-Type"] == KINDS[file.suffix]
        assert response.headers["Content-Length"] == str(len(response.body))


def test_nothing_of_others_may_run_in_it(ours: Pages) -> None:
    page = ours.answer("/app.js", asked("/app.js"))
    assert page is not None
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    assert page.headers["X-Content-Type-Options"] == "nosniff"


def test_what_the_browser_has_is_not_sent_again(ours: Pages) -> None:
    first = ours.answer("/app.js", asked("/app.js"))
    assert first is not None
    again = ours.answer("/app.js", asked("/app.js", If_None_Match=first.headers["ETag"]))
    assert again is not None
    assert (again.status_code, again.body) == (304, b"")
    other = ours.answer("/app.js", asked("/app.js", If_None_Match='"other"'))
    assert other is not None
    assert other.status_code == 200


@pytest.mark.parametrize("path", ["/../pyproject.toml", "/%2e%2e/pyproject.toml", "//etc/passwd", "/README.md", "/nothing.js", "/.js"])
def test_no_other_file_can_be_had(ours: Pages, path: str) -> None:
    assert ours.answer(path, asked(path, **BROWSER)) is None


def test_without_a_front_page_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.js").write_text("a")
    ours = Pages(tmp_path)
    assert ours.answer("/", asked("/", **BROWSER)) is None
    assert ours.answer("/a.js", asked("/a.js")) is not None


def test_an_installed_package_brings_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "index.html").write_text("installed")
    monkeypatch.setattr(pages, "CHECKOUT", tmp_path / "not there")
    monkeypatch.setattr(pages, "files", lambda package: tmp_path if package == "realtime.browser" else None)
    page = Pages().answer("/", asked("/", **BROWSER))
    assert page is not None
    assert page.body == b"installed"
