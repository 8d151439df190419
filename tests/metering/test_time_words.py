"""Durations in texts: exact, in the units in which a job file is written."""

from __future__ import annotations

import pytest

from metering.time_words import say_duration
from metering.units import NANOS_PER_SECOND, U64_MAX


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0s"),
        (0.5, "0.5s"),
        (10, "10s"),
        (60, "1m"),
        (5400, "1h30m"),
        (86_399, "23h59m59s"),
        (86_400, "1d"),
        (8_640_000, "100d"),
    ],
)
def test_a_duration_is_said_as_a_job_file_spells_it(seconds: float, said: str) -> None:
    assert say_duration(int(seconds * NANOS_PER_SECOND)) == said


def test_every_duration_that_a_record_holds_is_said() -> None:
    assert say_duration(1) == "0.000000001s"
    assert say_duration(U64_MAX).startswith("213503d23h34m33.7")
