"""Given: what a person types where click takes more than can be meant: a path that is empty, a time that is no number."""

from __future__ import annotations

from math import isfinite
from typing import Any

import click
from click.types import StringParamType

MAX_SECONDS = 10 * 365 * 86_400
"""Ten years: longer than anything waits, and within what the system's clocks count."""


class GivenPath(click.Path):
    """A path, but not "": a variable that was not set would else mean the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("the path is empty", param, ctx)
        return super().convert(value, param, ctx)


class GivenText(StringParamType):
    """A text, but not "": where leaving it out means something else, a variable that was not set must not."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("it is empty: leave it out, or say what it is", param, ctx)
        return super().convert(value, param, ctx)


class Seconds(click.FloatRange):
    """A time in seconds that has an end."""

    def __init__(self, least: float) -> None:
        super().__init__(min=least, max=MAX_SECONDS)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        found = click.FloatRange.convert(self, value, param, ctx)
        if not isfinite(found):
            self.fail(f"{value!r} is not a number of seconds", param, ctx)
        return found
