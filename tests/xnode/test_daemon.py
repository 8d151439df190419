"""The daemon's process, before anything else of it runs."""

from __future__ import annotations

import os
from pathlib import Path

from xnode.daemon import open_modes


def test_an_operators_umask_does_not_close_the_way_of_workloads_to_what_is_theirs(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        open_modes()
        (tmp_path / "leases").mkdir(mode=0o711)
        assert (tmp_path / "leases").stat().st_mode & 0o777 == 0o711
    finally:
        os.umask(before)
