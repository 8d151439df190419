"""Sparse: files written without the blocks that are all zeros, so that a hole that was copied is a hole again."""

from __future__ import annotations

from typing import IO

BLOCK_BYTES = 64 << 10

_ZEROS = bytes(BLOCK_BYTES)


def write_sparse(file: IO[bytes], data: bytes | bytearray | memoryview) -> None:
    """Write, leaving holes for zeros. Blocks; end_sparse() must follow the last one. The file must be new beyond its end."""
    view = memoryview(data)
    for start in range(0, len(view), BLOCK_BYTES):
        block = view[start : start + BLOCK_BYTES]
        if len(block) == BLOCK_BYTES and block == _ZEROS:
            file.seek(BLOCK_BYTES, 1)
        else:
            file.write(block)


def end_sparse(file: IO[bytes]) -> None:
    """Give the file its length, also when it ends with a hole. Blocks."""
    file.truncate(file.tell())
