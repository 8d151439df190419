"""A refusal: a value that names why we do not accept what another sent."""

from __future__ import annotations

import msgspec

from metering.bounds import MAX_CODE_CHARS, MAX_DETAIL_CHARS, Code, Detail, cut


class Refusal(msgspec.Struct, frozen=True):
    """`code` is stable and for programs (snake_case); `detail` is one line for people: what, where, what to do."""

    code: Code
    detail: Detail

    def __post_init__(self) -> None:
        # Ours often quote what another party or a program said: a refusal that is too long could not be read by anyone.
        if len(self.detail) > MAX_DETAIL_CHARS or len(self.code) > MAX_CODE_CHARS:
            msgspec.structs.force_setattr(self, "code", cut(self.code, MAX_CODE_CHARS))
            msgspec.structs.force_setattr(self, "detail", cut(self.detail, MAX_DETAIL_CHARS))

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"
