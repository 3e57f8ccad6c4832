from __future__ import annotations

from typing import get_args

import msgspec
import pytest

from realtime.session import inputs
from realtime.wire.client import ClientEvent


def test_inputs_are_the_clients_events_the_outcomes_and_what_befalls_a_connection() -> None:
    others = {inputs.Opened, inputs.Resumed, inputs.ClientLeft, inputs.FrameRefused, inputs.TimePassed, inputs.ServerStopping}
    files = {inputs.PictureSeen, inputs.FilesAwaited, inputs.FilesSettled}
    assert set(get_args(inputs.Input)) == {*get_args(ClientEvent), *get_args(inputs.Outcome), *others, *files}


def test_what_may_happen_is_an_input_or_the_end_of_reading_a_file() -> None:
    assert set(get_args(inputs.Happening)) == {*get_args(inputs.Input), inputs.FileRead, inputs.FileBroke}


def test_every_outcome_names_what_it_serves() -> None:
    served = {"response_id", "item_id", "epoch"}
    assert [cls.__name__ for cls in get_args(inputs.Outcome) if not served & set(cls.__struct_fields__)] == []


@pytest.mark.parametrize(
    "cls",
    [*get_args(inputs.Outcome), *get_args(inputs.FileOutcome), inputs.Opened, inputs.TimePassed, inputs.ServerStopping],
    ids=lambda cls: cls.__name__,
)
def test_an_outcome_can_be_told_by_its_name(cls: type[msgspec.Struct]) -> None:
    assert cls.__struct_config__.tag == cls.__name__
    assert cls.__struct_config__.frozen, "two sessions may be given the same one"
