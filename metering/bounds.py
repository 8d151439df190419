"""Bounds: how large what another party sends may be, as types: the decoder refuses what is larger before it is looked at.

Numbers have their bounds in `units`. What is said here of one text, list or signature comes on top of the limit of a whole
message, a record or a page. `docs/protocol-types.md` shows every field with its bound.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

MAX_CODE_CHARS = 64
MAX_DETAIL_CHARS = 4_096
"""A sentence with its reason; a reader keeps and shows less (xnode.text.told)."""

MAX_LABEL_CHARS = 64
MAX_LINE_CHARS = 256
MAX_MULTIADDR_CHARS = 256
"""Room for a relay's DNS name and two peer ids."""

MAX_MULTIADDRS = 16
"""Addresses that one node may name for itself."""

MAX_COVERED = 16_384
"""Leases of one escrow that are not folded away."""

MAX_ROOTS = 1_024
"""Devices of one challenge."""

Code = Annotated[str, msgspec.Meta(max_length=MAX_CODE_CHARS)]
"""A name for programs, such as `offer_expired`."""

Detail = Annotated[str, msgspec.Meta(max_length=MAX_DETAIL_CHARS)]
"""A line for people."""

Label = Annotated[str, msgspec.Meta(max_length=MAX_LABEL_CHARS)]
"""A name that people gave: of a region, a GPU's model, a driver."""

Line = Annotated[str, msgspec.Meta(max_length=MAX_LINE_CHARS)]
"""What a host says of itself: of its processor, its kernel."""

SignatureBytes = Annotated[bytes, msgspec.Meta(max_length=65)]
"""65 bytes, or none where a signature may be missing; what it is worth is seen when it is checked."""

Multiaddr = Annotated[str, msgspec.Meta(max_length=MAX_MULTIADDR_CHARS)]
Multiaddrs = Annotated[tuple[Multiaddr, ...], msgspec.Meta(max_length=MAX_MULTIADDRS)]


def cut(text: str, most: int) -> str:
    """At most so many characters; of what is longer the beginning, and a sign that there was more."""
    return text if len(text) <= most else text[: most - 3] + "..."
