from __future__ import annotations

import random

import pytest

from realtime.runner.bucket import Bucket


def test_a_minutes_worth_may_come_at_once() -> None:
    bucket = Bucket(60, 100.0)
    for _ in range(60):
        assert bucket.wait(1, 100.0) == 0
        bucket.take(1, 100.0)
    assert bucket.wait(1, 100.0) == pytest.approx(1)
    assert bucket.remaining(100.0) == 0
    assert bucket.reset_seconds(100.0) == pytest.approx(60)


def test_who_waits_for_as_long_as_was_said_is_let_through() -> None:
    dice, now = random.Random(7), 1_000_000.0
    bucket = Bucket(7, now)
    for _ in range(1000):
        amount = dice.uniform(0.1, 7)
        now += bucket.wait(amount, now)
        assert bucket.wait(amount, now) == 0
        bucket.take(amount, now)


def test_asking_takes_nothing() -> None:
    bucket = Bucket(10, 0.0)
    assert [bucket.wait(10, 0.0), bucket.wait(10, 0.0)] == [0, 0]
    assert (bucket.remaining(0.0), bucket.reset_seconds(0.0)) == (10, 0)


def test_what_was_not_taken_does_not_add_up() -> None:
    bucket = Bucket(10, 0.0)
    assert bucket.remaining(3600.0) == 10
    bucket.take(10, 3600.0)
    assert bucket.remaining(3630.0) == 5


def test_more_than_a_minutes_worth_takes_a_full_bucket_and_is_paid_for_after() -> None:
    bucket = Bucket(60, 0.0)
    assert bucket.wait(300, 0.0) == 0
    bucket.take(300, 0.0)
    assert bucket.remaining(0.0) == 0
    assert bucket.reset_seconds(0.0) == pytest.approx(300)
    assert bucket.wait(1, 0.0) == pytest.approx(241)
    assert bucket.wait(300, 240.0) == pytest.approx(60)


def test_it_is_full_again_to_the_last_bit() -> None:
    bucket = Bucket(7, 0.1)
    bucket.take(1, 0.2)
    assert bucket.reset_seconds(30.0) == 0
