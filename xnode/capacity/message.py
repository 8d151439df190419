"""Messages of a challenge between the challenged node and its verifiers: methods and the values they carry."""

from __future__ import annotations

from typing import Annotated

import msgspec

from metering.capacity import OPENED_ROWS
from metering.units import U32, Hash32
from xnode.capacity.challenge import MAX_DECLARED, MAX_DEVICES

ANSWER = "capacity.answer"
"""Verifier -> challenged: AnswerQuery -> Answers. Waits while the devices compute; not_ready: ask again."""

PRODUCT = "capacity.product"
"""Verifier -> challenged: ProductQuery -> the product times the vector, n numbers of 8 bytes, big-endian, modulo 2^64."""

OPEN = "capacity.open"
"""Verifier -> challenged: OpenQuery -> OpenedRow."""

VERDICT = "capacity.verdict"
"""Verifier -> verifier: SignedVerdict -> SignedVerdict. not_ready: heard, but the other has none yet."""


class AnswerQuery(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """class_index: which of the challenge's declared classes; each has a time limit of its own."""

    challenge_id: Hash32
    class_index: Annotated[int, msgspec.Meta(ge=0, lt=MAX_DECLARED)]


class AnsweredDevice(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What is not known of a CapacityAnswer beforehand: the product's root, and the node's signature."""

    root: Hash32
    signature: Annotated[bytes, msgspec.Meta(min_length=65, max_length=65)]


class Answers(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A declared class's devices in order."""

    devices: Annotated[tuple[AnsweredDevice, ...], msgspec.Meta(max_length=MAX_DEVICES)]


class ProductQuery(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """vector_seed: one and the same for all devices; see challenge.make_vector."""

    challenge_id: Hash32
    device: U32
    vector_seed: Hash32


class OpenQuery(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """k: which of the rows that the opening seed gives for the device."""

    challenge_id: Hash32
    device: U32
    opening_seed: Hash32
    k: Annotated[int, msgspec.Meta(ge=0, lt=OPENED_ROWS)]
