"""Stored image: what an image that is on this host says of how it is to be run."""

from __future__ import annotations

import platform
import signal
from dataclasses import dataclass

import msgspec

from xnode.errors import Permanent
from xnode.runtime.host.reservations import UID_RANGE

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""The kernel's names for machines, as images write them."""


@dataclass(frozen=True, slots=True)
class StoredImage:
    """id: the engine's own name of it; user, workdir, stop_signal: as the image sets them, "" where it does not;
    env: names of the variables that it sets."""

    id: str
    architecture: str = ""
    user: str = ""
    workdir: str = ""
    stop_signal: str = ""
    env: frozenset[str] = frozenset()

    @property
    def is_root(self) -> bool:
        """True when the image names no user, or root."""
        return self.user.partition(":")[0] in ("", "0", "root")

    @property
    def uid(self) -> int | None:
        """The user id that the image names as a number, None when it names none, root or a name of its own."""
        name = self.user.partition(":")[0]
        return int(name) if name.isdecimal() and name.isascii() and not self.is_root else None

    def check(self, machine: str = platform.machine()) -> None:
        """Raises Permanent when no container of this host can be made of it."""
        ours = ARCHITECTURES.get(machine, machine)
        if self.architecture not in ("", ours):
            what = f"the image is for {self.architecture[:32]}, this host is {ours}"
            raise Permanent(what, hint=f"build the image for linux/{ours}", told=what)
        if self.uid is not None and self.uid >= UID_RANGE:
            what = f"the image runs as user {self.uid}, a container here has the users 0 to {UID_RANGE - 1}"
            raise Permanent(what, hint="set a lower USER in the image", told=what)


class _Config(msgspec.Struct, rename="pascal"):
    user: str | None = None
    working_dir: str | None = None
    stop_signal: str | None = None
    env: list[str] | None = None


class _Image(msgspec.Struct, rename="pascal"):
    id: str
    architecture: str | None = None
    config: _Config | None = None


def read_inspection(text: bytes) -> StoredImage:
    """The image in what `image inspect` prints of one."""
    (image,) = msgspec.json.decode(text, type=tuple[_Image])
    config = image.config or _Config()
    workdir = config.working_dir or ""
    return StoredImage(
        id=image.id,
        architecture=image.architecture or "",
        user=config.user or "",
        workdir="" if workdir == "/" else workdir,
        stop_signal=config.stop_signal or "",
        env=frozenset(pair.partition("=")[0] for pair in config.env or ()),
    )


def choose_signal(job_signal: str, image_signal: str) -> int:
    """The number of the signal that asks a workload to end: the job's, else the image's, else SIGTERM."""
    return _find_signal(job_signal) or _find_signal(image_signal) or signal.SIGTERM.value


def _find_signal(name: str) -> int | None:
    """A signal by any of the forms in which images write it: SIGINT, int, 2, RTMIN+3."""
    word = name.strip().upper().removeprefix("SIG")
    if word.isascii() and word.isdecimal():
        return int(word) if 0 < int(word) < signal.NSIG else None
    base, _, more = word.partition("+")
    found = signal.Signals.__members__.get(f"SIG{base}")
    number = found + int(more or 0) if found is not None and (more or "0").isdecimal() else None
    return number if number is not None and number < signal.NSIG else None
