from __future__ import annotations

from realtime.session.playback import Playback


def test_sound_plays_from_when_it_comes() -> None:
    playback = Playback()
    playback.add(2.0, 100.0)
    assert playback.until == 102.0


def test_more_of_it_plays_after_what_plays_already() -> None:
    playback = Playback()
    playback.add(2.0, 100.0)
    playback.add(3.0, 100.5)
    assert playback.until == 105.0


def test_who_is_interrupted_falls_silent() -> None:
    playback = Playback()
    playback.add(2.0, 100.0)
    playback.stop(101.0)
    assert playback.until == 101.0
    playback.stop(500.0)
    assert playback.until == 101.0
