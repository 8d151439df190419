"""After an absence of ours: every record with an alarm says what becomes of it."""

from __future__ import annotations

import typing

from xnode.node import step
from xnode.node.records import Record
from xnode.node.registry import KEEPS_TIME, resumes

assert step


def test_every_record_with_an_alarm_says_what_an_absence_makes_of_it() -> None:
    with_alarm = {kind for kind in typing.get_args(Record) if "wake_at_ns" in kind.__struct_fields__}
    assert resumes.subjects() == with_alarm
    assert all(len(why) > 10 for why in KEEPS_TIME.values())
