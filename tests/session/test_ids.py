from __future__ import annotations

from realtime.session.ids import CountedIds


def test_ids_of_a_kind_are_counted_from_one() -> None:
    ids = CountedIds()
    assert [ids.new("item"), ids.new("item"), ids.new("resp"), ids.new("item")] == ["item_1", "item_2", "resp_1", "item_3"]


def test_two_sources_know_nothing_of_each_other() -> None:
    assert CountedIds().new("item") == CountedIds().new("item")
