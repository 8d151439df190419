"""Inputs: the files that a workload finds under /work/in."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterable
from pathlib import Path

from xnode.errors import Permanent
from xnode.runtime.lease.pack import unpack
from xnode.runtime.lease.spec import check_inside
from xnode.runtime.oci_layout import link_or_copy


def link_inputs(
    inputs: Iterable[tuple[str, Path]],
    folder: Path,
    executable: frozenset[str] = frozenset(),
    packed: frozenset[str] = frozenset(),
) -> None:
    """/work/in as a folder of hard links: any name is possible, and no mount a file is needed.

    executable, packed: paths of the inputs that are programs, and of those that are a pack of files for that folder.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o755)
    for path, source in inputs:
        try:
            if path in packed:
                unpack(source, folder)
            else:
                _link(source, folder / check_inside(path), path in executable)
        except OSError as error:
            raise Permanent(f"input {path}: {error.strerror} ({source})") from error


def _link(source: Path, target: Path, executable: bool) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        raise FileExistsError(errno.EEXIST, "two inputs have this path")
    if executable:
        # A copy: a mode belongs to the file, and the same bytes may be another lease's data.
        shutil.copyfile(source, target)
        target.chmod(0o555)
    else:
        link_or_copy(source, target)
        target.chmod(0o444)  # the workload has no user on this host: it reads as "others" do
