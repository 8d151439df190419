"""Image maker: from where a job file says its image is to an Image whose blobs lie in the blob store."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trio
from msgspec.structs import replace

from metering.units import Hash32
from scheduler.job import Blob, Image
from xnode.console.image_list import ImageList, KeptImage, Stamp
from xnode.errors import ExitCode, Permanent, UserError
from xnode.jobfile.image_place import find_place
from xnode.jobfile.jobfile import ImageSource
from xnode.ports.clock import Clock
from xnode.ports.store import Blobs
from xnode.progress import Board, Work
from xnode.runtime.oci_archive import read_archive
from xnode.runtime.oci_layout import FoundImage, blob_path, find_image
from xnode.runtime.oci_manifest import digest_of
from xnode.single_flight import SingleFlight


@dataclass(slots=True)
class ImageMaker:
    """Takes images in, each once however many ask for it. find_needed: hashes that something else here still needs."""

    blobs: Blobs
    images: ImageList
    clock: Clock
    board: Board
    find_needed: Callable[[], frozenset[Hash32]]
    _taking: SingleFlight[tuple[str, str, str], KeptImage] = field(default_factory=SingleFlight)
    _busy: int = 0
    _garbage: set[Blob] = field(default_factory=set)

    async def take(
        self, source: ImageSource, folder: Path, platform: str = "", name: str = "", origin: str = ""
    ) -> KeptImage:
        """The image, kept here after this, under the name where one is given; origin: what it came from, "" for its path.
        Raises UserError or Permanent with what is wrong."""
        if source.kind in ("digest", "name"):
            return self._check_platform(self.images.find(source.digest or source.name), platform)
        if source.kind == "registry":
            return KeptImage(Image(source.digest, 0, source.reference), platform, self.clock.now_ns())
        place, tag = find_place(folder, source.path)
        with self.busy():
            kept = await self._taking.run((str(place), tag, platform), lambda: self._take(place, tag, platform))
            named = replace(kept, names=(name,) if name else (), source=origin or str(place))
            return self.images.add(named)

    async def look(self, source: ImageSource, folder: Path, platform: str = "") -> FoundImage:
        """The image, good for a search: a layout's bytes are left where they are."""
        if source.path:
            place, tag = find_place(folder, source.path)
            if place.is_dir():
                return await trio.to_thread.run_sync(find_image, place, platform, tag)
        kept = await self.take(source, folder, platform)
        return FoundImage(kept.image, kept.platform)

    async def remove(self, text: str, users: Callable[[KeptImage], str]) -> KeptImage:
        """Forget an image and free what nothing else needs. users: who needs it still, "" for nobody."""
        kept = self.images.find(text)
        if self._busy:
            raise UserError("an image or a job is being taken in", hint="try again when it is", code=ExitCode.CONFLICT)
        needed_by = users(kept)
        if needed_by:
            raise UserError(
                f"{needed_by} still needs it", where=text, hint="wait for its end, or stop it", code=ExitCode.CONFLICT
            )
        self.images.remove(kept.image.digest)
        self._free(kept.image.blobs)
        return kept

    def is_busy(self) -> bool:
        """True while something is taken in that no record names yet."""
        return self._busy > 0

    def kept_blobs(self) -> frozenset[Hash32]:
        """Of all images that are kept here."""
        return frozenset(blob.sha256 for one in self.images.all() for blob in one.image.blobs)

    def forget_unused(self, keep_ns: int) -> None:
        """Forget images without a name that were not taken in for so long: they were kept so that the same file is not read
        twice."""
        before_ns = self.clock.now_ns() - keep_ns
        for one in self.images.all():
            if not one.names and one.added_at_ns < before_ns and not self._busy:
                self.images.remove(one.image.digest)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Nothing is removed as long as anybody is inside: what is on its way into a job, nothing needs yet, and what one
        import leaves over may be what another has just found."""
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1
            if not self._busy:
                garbage, self._garbage = self._garbage, set()
                self._free(garbage)

    async def _take(self, place: Path, tag: str, platform: str) -> KeptImage:
        """The image, its blobs in the store. Kept from here on: what nothing names would be removed with the next image."""
        info, now_ns = _stat(place), self.clock.now_ns()
        if stat.S_ISDIR(info.st_mode):
            found = await trio.to_thread.run_sync(find_image, place, platform, tag)
            await self._copy(found, place)
            return self.images.add(KeptImage(found.image, found.platform, now_ns))
        is_file = stat.S_ISREG(info.st_mode)
        stamp = Stamp(str(place), info.st_size, info.st_mtime_ns, info.st_ino, platform, tag)
        known = self.images.find_stamp(stamp) if is_file else None
        if known is not None and all(self.blobs.has(blob) for blob in known.image.blobs):
            return self.images.add(replace(known, added_at_ns=now_ns))
        with self.board.show(f"image {place.name}", info.st_size if is_file else 0) as work:
            found = await trio.to_thread.run_sync(self._read_archive, place, work, platform, tag)
        return self.images.add(KeptImage(found.image, found.platform, now_ns, stamp=stamp if is_file else None))

    async def _copy(self, found: FoundImage, layout: Path) -> None:
        with self.board.show(f"image {layout.name}", found.image.size_bytes) as work:
            for blob in found.image.blobs:
                if self.blobs.has(blob):
                    work.add(blob.size_bytes)
                    continue
                source = blob_path(layout, digest_of(blob))
                added = await self.blobs.add_file(source, stoppable(work))
                if added != blob:
                    self._garbage.add(added)
                    raise UserError(
                        f"blob {digest_of(blob)} does not match its digest",
                        where=str(layout),
                        hint="build the image again",
                    )

    def _read_archive(self, place: Path, work: Work, platform: str, tag: str) -> FoundImage:
        """Blocks. What is not the image's is garbage, whether this succeeds or not."""
        keep = _Recording(self.blobs)
        found: FoundImage | None = None
        try:
            with place.open("rb") as file:
                found, _ = read_archive(file, keep, place.name, stoppable(work), platform, tag)
            return found
        except OSError as error:
            raise Permanent(f"{place} cannot be read: {error.strerror}") from error
        finally:
            self._garbage.update(set(keep.taken) - set(found.image.blobs if found else ()))

    def _free(self, blobs: Collection[Blob]) -> None:
        """Remove what nothing here needs. On trio's thread: the state must not change meanwhile."""
        if not blobs:
            return
        needed = {blob.sha256 for one in self.images.all() for blob in one.image.blobs} | self.find_needed()
        for blob in blobs:
            if blob.sha256 not in needed:
                self.blobs.remove(blob.sha256)

    def _check_platform(self, kept: KeptImage, platform: str) -> KeptImage:
        if platform and kept.platform != platform and not kept.platform.startswith(platform + "/"):
            raise UserError(
                f"the image is for {kept.platform}, the job asks for {platform}",
                where="platform",
                hint="import the other one from where it came",
            )
        return kept


@dataclass(slots=True)
class _Recording:
    """A blob store, and what was put into it."""

    blobs: Blobs
    taken: list[Blob] = field(default_factory=list)

    def path(self, sha256: Hash32) -> Path:
        return self.blobs.path(sha256)

    def take_pieces(self, pieces: Iterable[bytes]) -> Blob:
        self.taken.append(self.blobs.take_pieces(pieces))
        return self.taken[-1]


def stoppable(work: Work) -> Callable[[int], None]:
    """Reports progress from a thread, and ends there when who waits for it was cancelled."""

    def add(count: int) -> None:
        trio.from_thread.check_cancelled()
        work.add(count)

    return add


def _stat(place: Path) -> os.stat_result:
    try:
        return place.stat()
    except FileNotFoundError:
        raise UserError("there is no such image", where=str(place), code=ExitCode.NOT_FOUND) from None
    except OSError as error:
        raise UserError(f"the image cannot be read: {error.strerror}", where=str(place)) from error
