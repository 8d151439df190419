"""Inputs: the files that a workload finds under /work/in."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from xnode.errors import Permanent
from xnode.runtime.lease.spec import check_inside
from xnode.runtime.oci_layout import link_or_copy


def link_inputs(inputs: Iterable[tuple[str, Path]], folder: Path) -> None:
    """/work/in as a folder of hard links: any name is possible, and no mount a file is needed."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o755)
    for path, source in inputs:
        target = folder / check_inside(path)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(source, target)
        except OSError as error:
            raise Permanent(f"input {path}: {error.strerror} ({source})") from error
        target.chmod(0o444)  # the workload has no user on this host: it reads as "others" do
