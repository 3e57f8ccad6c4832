"""A Chromium without a screen, whose microphone is a sound file and whose camera a test picture."""

from __future__ import annotations

import shutil
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, async_playwright

from realtime.ports import Int16
from tests.rigs.sounds import WIRE_RATE

PATIENCE_MS = 30_000
"""For whatever a page is waited for, on a machine that does much else."""

WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 390, "height": 780}


def sound_file(path: Path, sound: Int16) -> Path:
    """Write what the microphone is to hear."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(WIRE_RATE)
        file.writeframes(sound.tobytes())
    return path


@asynccontextmanager
async def browsing(microphone: Path | None = None, *, size: dict[str, int] = WIDE, dark: bool = False) -> AsyncIterator[Page]:
    """A page that nothing has been opened in; what goes wrong in it fails the test. The microphone hears the file once it is opened."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("there is no chromium")
    flags = ["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    if microphone is not None:
        flags.append(f"--use-file-for-fake-audio-capture={microphone}%noloop")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=flags)
        context: Any = await browser.new_context(
            viewport=size,  # type: ignore[arg-type]
            color_scheme="dark" if dark else "light",
            permissions=["microphone", "camera"],
        )
        context.set_default_timeout(PATIENCE_MS)
        page: Page = await context.new_page()
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        yield page
        await browser.close()
        # A server that is gone is what some tests are about, and browsers say so by themselves.
        assert [what for what in wrong if "WebSocket" not in what] == []


async def until(page: Page, condition: str) -> None:
    """Wait until that expression is true in the page. (Playwright's own way of it needs `eval`, which the page forbids.)"""
    await page.evaluate(f"() => new Promise((done) => {{ const look = () => ({condition}) ? done() : setTimeout(look, 20); look(); }})")
