from __future__ import annotations

from itertools import pairwise

import pytest

from realtime.session.camera import Camera
from realtime.wire.items import InputImage


def seen(camera: Camera) -> str:
    return "".join(str(picture.image_url) for picture in camera.take())


def watch(camera: Camera, frames: str, *, talking: bool = True, every: float = 1.0) -> Camera:
    """Show it these, a second apart."""
    for number, name in enumerate(frames):
        camera.see(InputImage(name), talking=talking, now=number * every)
    return camera


def test_the_frames_of_a_turn_are_given_once_and_in_order() -> None:
    camera = watch(Camera(12), "abc")
    assert (seen(camera), seen(camera)) == ("abc", "")


def test_while_nobody_speaks_the_newest_frame_alone_is_held() -> None:
    assert seen(watch(Camera(12), "abc", talking=False)) == "c"


def test_a_turn_begins_with_the_frame_before_it() -> None:
    camera = watch(Camera(12), "ab", talking=False)
    assert seen(watch(camera, "cd")) == "bcd"


def test_a_long_turn_keeps_frames_from_all_of_it() -> None:
    kept = seen(watch(Camera(4), "abcdefghijklmnop"))
    assert (len(kept), kept[0], kept[-1]) == (4, "a", "p")
    assert max(ord(after) - ord(before) for before, after in pairwise(kept)) <= 10


def test_of_frames_that_came_at_once_one_is_let_go_first() -> None:
    camera = Camera(3)
    for name, at in (("a", 0.0), ("b", 5.0), ("c", 5.1), ("d", 10.0)):
        camera.see(InputImage(name), talking=True, now=at)
    assert seen(camera) in ("abd", "acd")


@pytest.mark.parametrize(("most", "kept"), [(1, "c"), (2, "ac")])
def test_where_few_may_stay_the_newest_does(most: int, kept: str) -> None:
    assert seen(watch(Camera(most), "abc")) == kept


def test_what_has_been_seen_can_be_looked_at_before_the_turn_is_over() -> None:
    camera = watch(Camera(2), "ab")
    assert camera.frames == [InputImage("a"), InputImage("b")]
    assert seen(camera) == "ab"
    assert camera.frames == []
