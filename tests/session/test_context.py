"""What the prompt forgets, and what it never does. A word of four characters is a token."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from realtime.ports import LlmRequest, TokenUsage
from realtime.session.context import ANSWER_SHARE, MAX_SCALE, SAMPLE, Context, Items
from realtime.session.response import Terms
from realtime.wire.items import FunctionCall, FunctionCallOutput, InputImage, InputText, Item, Message, OutputText
from realtime.wire.settings import FunctionTool, PcmFormat, RetentionRatio, TokenLimits

TERMS = Terms(
    modality="text", instructions="", max_output_tokens=1, temperature=0.0, voice="alloy", speed=1.0, format=PcmFormat(), truncation="auto"
)
HALF = replace(TERMS, truncation=RetentionRatio(0.5))
DISABLED = replace(TERMS, truncation="disabled")


def words(count: int) -> str:
    return "word" * count


def user(id: str, tokens: int = 10) -> Message:
    return Message("user", [InputText(words(tokens))], id)


def model(id: str, tokens: int = 10) -> Message:
    return Message("assistant", [OutputText(words(tokens))], id)


def system(id: str, tokens: int = 10) -> Message:
    return Message("system", [InputText(words(tokens))], id)


def call(id: str, call_id: str = "c") -> FunctionCall:
    return FunctionCall("f", words(5), call_id, id)


def result(id: str, call_id: str = "c") -> FunctionCallOutput:
    return FunctionCallOutput(call_id, words(5), id)


def turns(count: int) -> Items:
    """Of twenty tokens each: u1 a1 u2 a2 ..."""
    return tuple(item for number in range(1, count + 1) for item in (user(f"u{number}"), model(f"a{number}")))


def ids(items: Items | None) -> str | None:
    return None if items is None else " ".join(str(item.id) for item in items)


def test_what_fits_is_told_whole() -> None:
    assert ids(Context(101).tell(turns(5), TERMS)) == "u1 a1 u2 a2 u3 a3 u4 a4 u5 a5"


def test_where_no_limit_is_known_everything_is_told() -> None:
    assert len(Context().tell(turns(500), TERMS) or ()) == 1000


def test_what_is_over_the_limit_is_cut_to_four_fifths() -> None:
    assert ids(Context(100).tell(turns(5), TERMS)) == "u3 a3 u4 a4 u5 a5"  # 99 is the room, 79 what is kept: three turns have 60


def test_a_ratio_says_how_much_is_kept() -> None:
    assert ids(Context(101).tell(turns(6), HALF)) == "u5 a5 u6 a6"


def test_what_was_left_out_stays_out_until_the_next_cut() -> None:
    context = Context(101)
    told = [ids(context.tell(turns(count), HALF)) for count in range(5, 9)]
    assert told == ["u1 a1 u2 a2 u3 a3 u4 a4 u5 a5", "u5 a5 u6 a6", "u5 a5 u6 a6 u7 a7", "u5 a5 u6 a6 u7 a7 u8 a8"]


def test_the_newest_turn_is_told_whatever_it_has() -> None:
    items = (*turns(2), user("big", 1000), model("more", 1000))
    assert ids(Context(100).tell(items, TERMS)) == "big more"


def test_what_stands_before_the_first_turn_leaves_first() -> None:
    assert ids(Context(101).tell((model("hello"), *turns(5)), replace(TERMS, truncation=RetentionRatio(1)))) == ids(turns(5))


def test_a_conversation_without_a_user_is_one_turn() -> None:
    assert ids(Context(10).tell((model("one"), model("two")), TERMS)) == "one two"


def test_instructions_inside_the_conversation_stay_at_their_places() -> None:
    items = (system("s1"), user("u1"), system("s2"), model("a1"), *turns(5)[2:], system("s3"))
    assert ids(Context(100).tell(items, HALF)) == "s1 s2 u5 a5 s3"


def test_no_item_leaves_in_vain() -> None:
    assert Context(100).tell((), TERMS) == ()
    assert ids(Context(10).tell((system("s1", 100),), TERMS)) == "s1"


# The room


def test_instructions_and_tools_take_their_part() -> None:
    tool = FunctionTool("f", "what it does " * 5)
    assert ids(Context(101).tell(turns(5), replace(TERMS, instructions=words(1)))) == "u3 a3 u4 a4 u5 a5"
    assert ids(Context(101).tell(turns(5), replace(TERMS, tools=(tool,)))) != ids(turns(5))


@pytest.mark.parametrize(("wanted", "limit"), [(20, 120), (4096, 200), ("inf", int(100 / (1 - ANSWER_SHARE)) + 1)])
def test_the_answer_needs_room_too(wanted: Any, limit: int) -> None:
    terms = replace(TERMS, max_output_tokens=wanted)
    assert ids(Context(limit).tell(turns(5), terms)) == ids(turns(5))
    assert ids(Context(limit - 2).tell(turns(5), terms)) == "u3 a3 u4 a4 u5 a5"


def test_a_client_may_allow_less_than_the_model_takes() -> None:
    narrow = replace(TERMS, truncation=RetentionRatio(1, TokenLimits(40)), instructions=words(50))
    assert ids(Context().tell(turns(5), narrow)) == "u4 a4 u5 a5"
    assert ids(Context(10_000).tell(turns(5), narrow)) == "u4 a4 u5 a5"
    assert ids(Context(71).tell(turns(5), narrow)) == "u5 a5"


def test_limits_without_a_limit_change_nothing() -> None:
    assert ids(Context().tell(turns(5), replace(TERMS, truncation=RetentionRatio(1, TokenLimits())))) == ids(turns(5))


def test_a_picture_costs() -> None:
    picture = Message("user", [InputText("Look:"), InputImage("data:image/png;base64,AA", "high", 1024, 1024)], "picture")
    assert ids(Context(765 + 15).tell((user("u1"), picture, user("u2", 5)), TERMS)) == "u2"


# Disabled


def test_disabled_cuts_nothing() -> None:
    context = Context(101)
    assert ids(context.tell(turns(5), DISABLED)) == ids(turns(5))
    assert context.tell(turns(6), DISABLED) is None
    assert ids(context.tell(turns(4), DISABLED)) == ids(turns(4))


# Tools


def test_a_call_leaves_with_its_result_wherever_that_is() -> None:
    items = (user("u1"), call("c1"), user("u2"), result("r1"), model("a2"), user("u3", 50))
    assert ids(Context(76).tell(items, replace(TERMS, truncation=RetentionRatio(1)))) == "u2 a2 u3"


def test_a_result_in_the_newest_turn_keeps_the_turn_of_its_call() -> None:
    items = (user("u1"), call("c1"), user("u2"), model("a2"), user("u3"), result("r1"))
    assert ids(Context(41).tell(items, TERMS)) == "u1 c1 u3 r1"


def test_turns_that_hang_together_by_several_calls_stay_together() -> None:
    items = (user("u1"), call("c1", "x"), user("u2"), call("c2", "y"), result("r1", "x"), user("u3"), user("u4"), result("r2", "y"))
    assert ids(Context(10).tell(items, TERMS)) == "u1 c1 u2 c2 r1 u4 r2"


def test_a_call_whose_result_comes_after_it_was_forgotten_is_told_again() -> None:
    context = Context(60)
    items: Items = (user("u1"), call("c1"), *turns(4)[2:])
    assert ids(context.tell(items, TERMS)) == "u3 a3 u4 a4"
    items += (user("u5", 5), result("r1"))
    assert ids(context.tell(items, TERMS)) == "u1 c1 u4 a4 u5 r1"


def test_a_result_that_joins_a_forgotten_call_is_forgotten() -> None:
    context = Context(60)
    items: Items = (user("u1"), call("c1"), *turns(4)[2:])
    context.tell(items, TERMS)
    assert ids(context.tell((*items[:4], result("r1"), *items[4:]), TERMS)) == "u3 a3 u4 a4"


# A conversation that changes


def test_what_joins_a_forgotten_turn_is_forgotten() -> None:
    context = Context(100)
    context.tell(turns(5), HALF)
    assert ids(context.tell((*turns(5)[:1], model("late"), *turns(5)[1:]), HALF)) == "u4 a4 u5 a5"


def test_what_a_client_puts_before_everything_is_told() -> None:
    context = Context(100)
    context.tell(turns(5), HALF)
    assert ids(context.tell((user("summary", 5), *turns(5)), HALF)) == "summary u4 a4 u5 a5"


def test_a_turn_that_becomes_the_newest_again_is_told_again() -> None:
    context = Context(100)
    context.tell(turns(5), HALF)
    assert ids(context.tell(turns(2), HALF)) == "u2 a2"


def test_an_id_that_comes_back_is_somebody_else() -> None:
    context = Context(100)
    context.tell(turns(5), HALF)
    context.release("a1")
    assert ids(context.tell((system("a1", 1), *turns(5)[2:]), HALF)) == "a1 u4 a4 u5 a5"


# Refused


def test_a_refused_prompt_is_cut_to_half() -> None:
    context = Context()
    assert ids(context.shorten(turns(10), TERMS)) == "u6 a6 u7 a7 u8 a8 u9 a9 u10 a10"
    assert ids(context.tell(turns(11), TERMS)) == "u6 a6 u7 a7 u8 a8 u9 a9 u10 a10 u11 a11"


def test_a_smaller_share_is_kept_of_a_limit_that_is_known() -> None:
    assert ids(Context(101).shorten(turns(5), replace(TERMS, truncation=RetentionRatio(0.2)))) == "u5 a5"


def test_one_turn_leaves_at_the_least() -> None:
    assert ids(Context().shorten((user("u1", 0), user("u2", 0), user("u3", 0)), TERMS)) == "u2 u3"


@pytest.mark.parametrize("items", [(), turns(1), (system("s1"), user("u1")), (user("u1"), call("c1"), user("u2"), result("r1"))])
def test_where_nothing_can_leave_there_is_nothing_shorter(items: Items) -> None:
    assert Context().shorten(items, TERMS) is None


# What the endpoint counts


def request(tokens: int) -> LlmRequest:
    return LlmRequest(instructions=words(tokens - 20), items=turns(1))


@pytest.mark.parametrize(
    ("estimated", "counted", "fits"),
    [(SAMPLE, 2 * SAMPLE, 5), (SAMPLE, SAMPLE // 2, 10), (SAMPLE - 1, 10_000, 10), (SAMPLE, 100 * SAMPLE, int(10 // MAX_SCALE))],
    ids=["twice as many", "fewer", "too short to tell", "many more than can be"],
)
def test_the_endpoints_count_improves_the_estimate(estimated: int, counted: int, fits: int) -> None:
    context = Context(202)
    context.learn(request(estimated), TokenUsage(counted, 1))
    assert ids(context.tell(turns(fits), TERMS)) == ids(turns(fits))
    assert ids(context.tell(turns(fits + 1), TERMS)) != ids(turns(fits + 1))


# Anything at all


def random_conversation(dice: Random) -> list[Item]:
    items: list[Item] = []
    for number in range(dice.randrange(30)):
        id, call_id = f"i{number}", f"c{dice.randrange(4)}"
        kinds: list[Item] = [user(id), model(id), system(id), call(id, call_id), result(id, call_id)]
        items.insert(dice.choice([len(items), len(items), dice.randrange(len(items) + 1)]), dice.choices(kinds, [4, 4, 1, 2, 2])[0])
    return items


def check(items: Items, told: Items) -> None:
    by_id = {item.id: item for item in items}
    assert [item for item in items if item in told] == list(told), "in order, and nothing else"
    for item in items:
        if isinstance(item, Message) and item.role == "system":
            assert item in told
    newest = max((place for place, item in enumerate(items) if isinstance(item, Message) and item.role == "user"), default=0)
    assert all(item in told for item in items[newest:])
    for half in told:
        if isinstance(half, FunctionCall | FunctionCallOutput):
            others = [
                item for item in by_id.values() if isinstance(item, FunctionCall | FunctionCallOutput) and item.call_id == half.call_id
            ]
            assert all(other in told for other in others), "no half of a tool call"


@pytest.mark.parametrize("seed", range(300))
def test_whatever_happens_to_a_conversation_the_rules_hold(seed: int) -> None:
    dice = Random(seed)
    context = Context(dice.choice([30, 60, 200]))
    items = random_conversation(dice)
    for step in range(12):
        told = context.tell(tuple(items), dice.choice([TERMS, HALF]))
        assert told is not None
        check(tuple(items), told)
        again = context.tell(tuple(items), TERMS)
        assert again is not None
        if dice.random() < 0.3 and (shorter := context.shorten(again, TERMS)) is not None:
            check(again, shorter)
            assert set(map(id, shorter)) < set(map(id, again))
        if items and dice.random() < 0.4:
            gone = items.pop(dice.randrange(len(items)))
            context.release(str(gone.id))
        new: list[Item] = [user(f"s{step}"), model(f"s{step}"), call(f"s{step}"), result(f"s{step}")]
        items.append(dice.choice(new))


def test_what_a_fork_forgets_the_other_remembers() -> None:
    context = Context(101)
    fork = context.fork()
    assert ids(fork.tell(turns(6), HALF)) == "u5 a5 u6 a6"
    assert len(context.tell(turns(5), HALF) or ()) == 10
    assert ids(fork.fork().tell(turns(6), HALF)) == "u5 a5 u6 a6", "and a fork knows what is forgotten"
