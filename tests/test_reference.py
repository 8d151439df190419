"""The reference pages are made from the code, and are current."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from xnode.config.catalog import sections
from xnode.jobfile.keys import JOB_KEYS

ROOT = Path(__file__).parent.parent


def test_the_reference_pages_are_current() -> None:
    command = [sys.executable, "docs/generate.py", "--check"]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_every_setting_has_a_row_with_its_variable() -> None:
    page = (ROOT / "docs/config.md").read_text()
    for section in sections():
        for setting in section.settings:
            assert f"| `{setting.name}` | " in page and f"| `{setting.variable}` |" in page, setting


def test_every_key_of_a_job_file_has_a_section() -> None:
    page = (ROOT / "docs/job-file.md").read_text()
    for name, key in JOB_KEYS.items():
        assert f"\n## {name}\n" in page
        assert all(f"\n### {name}.{inner}\n" in page for inner in key.keys)


def test_the_pages_name_no_place_of_this_machine() -> None:
    for name in ("config", "job-file", "exit-codes", "control"):
        assert str(ROOT) not in (ROOT / f"docs/{name}.md").read_text()
