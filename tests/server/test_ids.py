from __future__ import annotations

from realtime.server.ids import LENGTH, RandomIds


def test_ids_have_the_upstream_form() -> None:
    ids = RandomIds()
    for kind in ("event", "item", "resp", "conv", "sess"):
        prefix, _, rest = ids.new(kind).partition("_")
        assert prefix == kind
        assert len(rest) == LENGTH
        assert rest.isalnum()


def test_no_two_ids_are_the_same() -> None:
    sources = [RandomIds() for _ in range(20)]
    ids = [source.new(kind) for source in sources for kind in ("item", "item", "resp", "sess", "sess")]
    assert len(set(ids)) == len(ids)


def test_who_knows_an_item_does_not_know_the_session() -> None:
    ids = RandomIds()
    assert ids.new("item").partition("_")[2][:8] not in ids.new("sess")
