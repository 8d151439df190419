"""Image list: the images whose bytes this node keeps in its blob store, by name and digest, in one file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from scheduler.job import Image
from xnode.durable import replace_file
from xnode.errors import ExitCode, Permanent, UserError

MAX_IMAGES = 1_000
"""Kept at once: each is some gigabytes."""


class Stamp(msgspec.Struct, frozen=True):
    """A file as it was when it was read: what has the same stamp need not be read again."""

    path: str
    size_bytes: int
    changed_at_ns: int
    inode: int
    platform: str = ""
    name: str = ""


class KeptImage(msgspec.Struct, frozen=True):
    """image: with its blobs; platform: "linux/amd64"; names: what `image:` may call it; source: what it was taken from;
    stamp: of the file, when it was one."""

    image: Image
    platform: str
    added_at_ns: int
    names: tuple[str, ...] = ()
    source: str = ""
    stamp: Stamp | None = None


class ImageList:
    """Read at each question and written whole at each change: it is short, and rarely asked."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def all(self) -> tuple[KeptImage, ...]:
        """Every image, the oldest first. Raises Permanent when the list cannot be read."""
        try:
            return tuple(msgspec.json.decode(self._path.read_bytes(), type=list[KeptImage]))
        except FileNotFoundError:
            return ()
        except (OSError, msgspec.DecodeError) as error:
            raise Permanent(
                f"{self._path} cannot be read ({error})", hint="move it away and import the images again"
            ) from error

    def find(self, text: str) -> KeptImage:
        """The image of this name or digest, or of a digest that begins so. Raises UserError when there is none, or several."""
        kept = self.all()
        named = [one for one in kept if text in one.names]
        digits = text.removeprefix("sha256:")
        found = named or [one for one in kept if len(digits) >= 6 and one.image.digest[7:].startswith(digits)]
        if len(found) == 1:
            return found[0]
        if found:
            raise UserError(f"{len(found)} images begin with {text}", where="image", code=ExitCode.NOT_FOUND)
        raise UserError(
            f"no image {text} is kept here",
            where="image",
            hint="`xnode image ls` shows what is; `xnode image import podman:NAME` keeps one; one in a registry must be "
            "pinned, NAME@sha256:DIGEST",
            code=ExitCode.NOT_FOUND,
        )

    def find_stamp(self, stamp: Stamp) -> KeptImage | None:
        """What was read from the file when it was as it is now."""
        return next((one for one in self.all() if one.stamp == stamp), None)

    def add(self, new: KeptImage) -> KeptImage:
        """Keep an image; a name moves to the one that takes it last. Durable when this returns."""
        rest, names = [], list(new.names)
        for one in self.all():
            if one.image.digest == new.image.digest:
                names = [*(name for name in one.names if name not in names), *names]
            else:
                left = tuple(name for name in one.names if name not in new.names)
                rest.append(msgspec.structs.replace(one, names=left))
        if len(rest) >= MAX_IMAGES:
            raise Permanent(f"{MAX_IMAGES} images are kept already", hint="remove some with `xnode image rm`")
        kept = msgspec.structs.replace(new, names=tuple(names))
        self._write([*rest, kept])
        return kept

    def remove(self, digest: str) -> None:
        """Forget an image."""
        self._write(one for one in self.all() if one.image.digest != digest)

    def _write(self, kept: Iterable[KeptImage]) -> None:
        try:
            replace_file(self._path, msgspec.json.encode(list(kept)))
        except OSError as error:
            raise Permanent(f"{self._path} cannot be written: {error.strerror}") from error
