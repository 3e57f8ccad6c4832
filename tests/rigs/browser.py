"""A real browser: Chromium without a window, driven by Playwright, with a microphone that hears what the test gives it.

Chromium is the machine's own (Debian's `chromium`); the test that asked is skipped where there is none. Nothing is waited for by time:
`until` asks the page in its own loop. It evaluates beside the page's Content-Security-Policy, which Playwright's own waiting does not.
"""

from __future__ import annotations

import asyncio
import shutil
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright

from realtime.media.resample import Float32, resample
from tests.rigs.recordings import RATE

NAMES = ("chromium", "chromium-browser", "google-chrome")
MICROPHONE_RATE = 48_000
"""Samples a second: what a sound card gives."""

PATIENCE = 30.0
"""Seconds, on a machine that does much else."""

TAP = """
(() => {  // hears what goes to the loudspeaker, whatever the page says of it
  const connect = AudioNode.prototype.connect;
  window.heard = {energy: 0, loudest: 0, times: []};
  AudioNode.prototype.connect = function (to, ...rest) {
    if (to instanceof AudioDestinationNode) {
      const analyser = new AnalyserNode(this.context, {fftSize: 2048});
      const block = new Float32Array(2048);
      connect.call(this, analyser);
      setInterval(() => {
        analyser.getFloatTimeDomainData(block);
        window.heard.energy = Math.sqrt(block.reduce((sum, each) => sum + each * each, 0) / block.length);
        window.heard.loudest = Math.max(window.heard.loudest, window.heard.energy);
        if (window.heard.energy > 1e-3) window.heard.times.push(performance.now());
      }, 20);
    }
    return connect.call(this, to, ...rest);
  };
})();
"""

SPOKEN_TO = """
(() => {  // a microphone that hears what `say` is given, when it is given it
  const context = new AudioContext({sampleRate: 48000});
  const microphone = context.createMediaStreamDestination();
  const media = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = async (wanted) => {
    if (!wanted.audio) return media(wanted);
    await context.resume();
    return microphone.stream.clone();
  };
  window.say = async (base64) => {
    const bytes = Uint8Array.from(atob(base64), (each) => each.charCodeAt(0));
    const source = context.createBufferSource();
    source.buffer = await context.decodeAudioData(bytes.buffer);
    source.connect(microphone);
    source.start();
  };
})();
"""


def chromium() -> str:
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("there is no Chromium: apt install chromium")
    return found


@asynccontextmanager
async def browser(microphone: Path | None = None) -> AsyncIterator[Browser]:
    """`microphone`: a WAV that is heard once, from when the page asks for one; else a beep a second."""
    options = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    if microphone is not None:
        options.append(f"--use-file-for-fake-audio-capture={microphone}%noloop")
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=chromium(), args=options)
        try:
            yield started
        finally:
            await started.close()


@asynccontextmanager
async def visit(browser: Browser, url: str, *scripts: str, **options: Any) -> AsyncIterator[Page]:
    """The page at `url`, in a profile of its own. Fails if anything went wrong in its scripts."""
    context = await browser.new_context(**options)
    page, wrong = await context.new_page(), []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if _is_wrong(message) else None)
    for script in (TAP, *scripts):
        await page.add_init_script(script)
    await page.goto(url)
    try:
        yield page
    finally:
        await context.close()
    assert not wrong, wrong


def _is_wrong(message: ConsoleMessage) -> bool:
    """Chromium reports as errors that a server is away, and that an address without a page has no icon, which no script can prevent."""
    away = message.text.startswith("WebSocket connection to") or "ERR_CONNECTION_REFUSED" in message.text
    expected = away or message.location["url"].endswith("/favicon.ico")
    return message.type in ("error", "warning") and not expected


async def until(page: Page, condition: str, patience: float = PATIENCE) -> Any:
    """Wait until the expression is true, in the page, and return its value."""
    loop = f"async () => {{ for (;;) {{ const it = {condition}; if (it) return it; await new Promise((go) => setTimeout(go, 20)); }} }}"
    try:
        async with asyncio.timeout(patience):
            return await page.evaluate(loop)
    except TimeoutError:
        shown = await page.inner_text("#stage") if await page.query_selector("#stage") else await page.content()
        raise AssertionError(f"{patience} s went by without {condition}. The page shows:\n{shown}") from None


def sounding(path: Path, audio: Float32, *, before: float = 0.5, after: float = 30.0) -> Path:
    """A WAV for a microphone: seconds of silence, the recording (at `recordings.RATE`), seconds of silence."""
    silent = [np.zeros(int(seconds * MICROPHONE_RATE), np.float32) for seconds in (before, after)]
    samples = np.concatenate([silent[0], resample(audio, RATE, MICROPHONE_RATE), silent[1]])
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(MICROPHONE_RATE)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return path
