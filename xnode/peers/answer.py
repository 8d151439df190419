"""Answer: another node's request read or refused, and another node's refusal read."""

from __future__ import annotations

from typing import TypeVar

from metering.codec import decode_strict, encode
from metering.refusal import Refusal
from xnode.ports.net import RpcRefused
from xnode.text.told import MAX_CODE_CHARS, cut_told

T = TypeVar("T")


def read_request(body: bytes, kind: type[T]) -> T:
    """Another node's request. Raises RpcRefused when it is not one of this kind."""
    try:
        return decode_strict(body, kind)
    except ValueError as error:
        raise refuse("malformed", f"the request is not a {kind.__name__}: {str(error)[:200]}") from None


def refuse(code: str, detail: str) -> RpcRefused:
    """Our refusal, to be raised by a handler."""
    return RpcRefused(encode(Refusal(code, detail)))


def read_refusal(refused: RpcRefused) -> Refusal:
    """Why another node has refused."""
    try:
        said = decode_strict(refused.body, Refusal)
        return Refusal(cut_told(said.code, MAX_CODE_CHARS), cut_told(said.detail))
    except ValueError:
        return Refusal("malformed_refusal", "the node's refusal cannot be read")


def describe(error: Exception) -> str:
    """A fault or a refusal in a few words, for the log."""
    return read_refusal(error).code if isinstance(error, RpcRefused) else str(error)[:200]
