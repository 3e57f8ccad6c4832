from __future__ import annotations

from random import Random

import pytest

from realtime.session.endings import COMPLETE, CUT, NOTHING, OPEN, UNDECIDED, UNMARKED, finished

HALF = 0.5
"""Above it a listener would rather answer."""


@pytest.mark.parametrize(
    "text",
    [
        *("Yes.", "No.", "Stop", "Paris", "Paris.", "Okay!", "Thank you.", "Seven", "Blue car", "Mm-hmm.", "Uh-huh.", "Maybe.", "What?"),
        *("What is the capital of France?", "Where are you from?", "What are you looking for?", "Who is it?", "How are you?", "Can you?"),
        *(
            "Yes, it is.",
            "I think they are.",
            "No, I can't.",
            "I do.",
            "She was not.",
            "Yes, please.",
            "I think so.",
            "As well.",
            "Guess what.",
        ),
        *(
            "Turn the lights off.",
            "Is it on?",
            "I would like a cup of tea.",
            "I want to go home.",
            "Tell me that.",
            "Say it again, please.",
        ),
        *(
            "Do you know?",
            "Could you please?",
            "It costs 3.5 dollars.",
            "My number is 555 1234.",
            'She said "no."',
            "(I left.)",
            "Who do you like?",
        ),
        *("what is the weather like today", "turn off the lights"),
        *("你好。", "今天怎么样？", "はい", "¿Cómo estás?", "هل أنت هنا؟", "मैं घर जाता हूँ।"),
    ],
)
def test_what_is_finished(text: str) -> None:
    assert finished(text) > HALF


@pytest.mark.parametrize(
    "text",
    [
        *(
            "I would like...",
            "I would like.",
            "I would like",
            "I'd like",
            "I want to",
            "I want to.",
            "I need",
            "because",
            "And then.",
            "and then",
        ),
        *(
            "What is the?",
            "Can you tell me the",
            "Could you please.",
            "Could you tell me",
            "I was wondering",
            "My name is",
            "The capital of France is.",
        ),
        *("The conference is now.", "The conference cannot be", "All circuits are", "You will now be placed in", "Your message has been"),
        *("Um", "Hmm.", "So, um,", "I think, uh.", "I went there, you know.", "It was like.", "Well.", "So", "Actually."),
        *("Please enter your.", "I have a", "We went with.", "Press star to", "It's.", "I think that's", "We'll", "If", "He and I"),
        *("Please enter the number,", "Let me see -", "The list:", "Wait…", "I saw the con-", "Well, I—", "我想，", "それは、", "لكن،"),
        *(
            "It is three point",
            "It is 3 point",
            "Tell me how.",
            "We put it on.",
            "I know what",
            "Please enter the conference",
            "You are currently the only person",
        ),
    ],
)
def test_what_goes_on(text: str) -> None:
    assert finished(text) < HALF


@pytest.mark.parametrize(
    ("text", "probability"),
    [
        ("Yes.", COMPLETE),
        ("Yes", UNMARKED),
        ("two words", UNMARKED),
        ("an ear that writes no marks", UNMARKED),
        ("Three words here", CUT),
        ("We put it on.", UNDECIDED),
        ("and", OPEN),
        ("", NOTHING),
        (' "" ', NOTHING),
        ("...", OPEN),
        ("!", COMPLETE),
    ],
)
def test_how_sure_it_is(text: str, probability: float) -> None:
    assert finished(text) == probability


def test_the_probabilities_are_in_order() -> None:
    assert 0 < OPEN < CUT < UNDECIDED < HALF == NOTHING < UNMARKED < COMPLETE < 1


@pytest.mark.parametrize(
    ("text", "language", "is_finished"),
    [
        ("Es ist an.", "de", True),
        ("Es ist an.", "en", False),
        ("Es ist an,", "de", False),
        ("Il y en a.", "fr", True),
        ("Kommst du mit?", "de", True),
        ("Je suis là où tu as.", None, True),
    ],
)
def test_english_words_count_in_english_alone(text: str, language: str | None, is_finished: bool) -> None:
    assert (finished(text, language) > HALF) is is_finished


def test_anything_gets_a_probability() -> None:
    dice = Random(8)
    for _ in range(2000):
        text = "".join(dice.choice("aI the is 5.,?!-… '谢\n\"") for _ in range(dice.randrange(20)))
        assert 0 < finished(text) < 1
