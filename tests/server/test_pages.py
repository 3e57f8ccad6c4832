"""The files of the browser client, over HTTP, and inside a wheel."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from realtime.server.pages import FOLDER, KINDS, Pages

ROOT = Path(__file__).parent.parent.parent
SOURCE = ROOT / "clients" / "browser"
BROWSER = ("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
PAGES = Pages()


def asked(path: str, *headers: tuple[str, str], method: str = "GET") -> Response | None:
    return PAGES.answer(Request(path, Headers(headers)), method)


def got(path: str, *headers: tuple[str, str], method: str = "GET") -> Response:
    response = asked(path, *headers, method=method)
    assert response is not None
    return response


def test_a_browser_is_shown_the_page_and_others_are_not() -> None:
    assert b"<!doctype html>" in got("/", BROWSER).body
    assert got("/", BROWSER).headers["Vary"] == "Accept"
    assert asked("/", ("Accept", "*/*")) is None
    assert asked("/") is None
    assert b"<!doctype html>" in got("/index.html").body


@pytest.mark.parametrize("path", [path for path in SOURCE.iterdir() if path.suffix in KINDS], ids=lambda path: path.name)
def test_every_file_is_served_as_what_it_is(path: Path) -> None:
    response = got(f"/{path.name}?x=1")
    assert response.status_code == 200
    assert response.body == path.read_bytes()
    assert response.headers["Content-Type"] == KINDS[path.suffix]
    assert response.headers["Content-Length"] == str(len(response.body))
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize(
    "path",
    [
        "/README.md",
        "/../pages.py",
        "/..%2fpages.py",
        "/%2e%2e/pages.py",
        "/./app.js",
        "//app.js",
        "/app.js/",
        "/etc/passwd",
        "/browser/app.js",
    ],
)
def test_nothing_else_is(path: str) -> None:
    assert asked(path, BROWSER) is None


def test_no_page_may_run_or_load_what_is_not_ours() -> None:
    policy = got("/", BROWSER).headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


def test_the_files_ask_for_no_other_server() -> None:
    elsewhere = re.compile(r"""(?:src|href|from|import|url)\s*[=(]?\s*["']?(?:https?:)?//""")
    assert [path.name for path in SOURCE.iterdir() if path.suffix in KINDS and elsewhere.search(path.read_text())] == []


def test_a_file_that_the_browser_has_is_not_sent_again() -> None:
    tag = got("/app.js").headers["ETag"]
    for given in (tag, f'"other", W/{tag}'):
        response = got("/app.js", ("If-None-Match", given))
        assert (response.status_code, response.body) == (304, b"")
        assert response.headers["ETag"] == tag
        assert "Content-Length" not in response.headers
    assert got("/app.js", ("If-None-Match", '"other"')).status_code == 200


def test_it_may_be_asked_for_its_head_alone_and_for_nothing_else() -> None:
    whole, head = got("/app.js"), got("/app.js", method="HEAD")
    assert head.body == b""
    assert head.headers == whole.headers
    refused = got("/app.js", method="POST")
    assert (refused.status_code, refused.headers["Allow"]) == (405, "GET, HEAD")


def test_a_folder_without_a_page_serves_none(tmp_path: Path) -> None:
    (tmp_path / "app.js").write_text("1")
    pages = Pages(tmp_path)
    assert pages.answer(Request("/", Headers([BROWSER])), "GET") is None
    assert pages.answer(Request("/app.js", Headers()), "GET") is not None


def test_in_a_checkout_they_are_the_source() -> None:
    assert FOLDER.resolve() == SOURCE


def test_a_wheel_carries_them(tmp_path: Path) -> None:
    """Not what is beside them: the README and the screenshots."""
    options = ["-q", "--disable-pip-version-check", "--no-deps", "-w", str(tmp_path)]
    command = [sys.executable, "-m", "pip", "wheel", *options, str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    prefix = "realtime/server/browser/"
    with zipfile.ZipFile(wheel) as file:
        carried = {name.removeprefix(prefix): file.read(name) for name in file.namelist() if name.startswith(prefix)}
    assert carried == {path.name: path.read_bytes() for path in SOURCE.iterdir() if path.suffix in KINDS}
