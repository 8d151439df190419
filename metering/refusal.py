"""A refusal: a value that names why we do not accept what another sent."""

from __future__ import annotations

import msgspec


class Refusal(msgspec.Struct, frozen=True):
    """`code` is stable and for programs (snake_case); `detail` is one line for people: what, where, what to do."""

    code: str
    detail: str

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"
