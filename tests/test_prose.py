"""The repository's Markdown is wrapped at one width, and wrapping changes nothing that a reader sees."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

ROOT = Path(__file__).parent.parent
TOOL = ROOT / ".ci" / "prose.py"
WIDTH = 100

PAGES = sorted(
    path for folder in (ROOT, ROOT / "docs", ROOT / "contracts", ROOT / ".github") for path in folder.glob("*.md")
)

LONG = "word " * 40
TEXT = f"""# {LONG.strip()}

{LONG}and `code that is never broken over lines` {LONG}

- {LONG}
  {LONG}
  - an item of an item {LONG}

    a paragraph of it {LONG}
1. {LONG}- not a list {LONG}# not a heading {LONG}1. not an item {LONG}

> {LONG}
> {LONG}

| a table | {LONG} |
|---|---|
| stays | {LONG} |

```
{LONG}
```

<!-- made -->
{LONG}
<!-- end -->

A line that ends here,  \nand one that begins here. {LONG}

    {LONG}
"""


def wrap(path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(TOOL), *options, str(path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def render(text: str) -> str:
    """As HTML, whatever its lines."""
    return re.sub(r"\s+", " ", MarkdownIt("commonmark").enable("table").render(text))


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.md"
    path.write_text(TEXT)
    return path


def test_paragraphs_are_filled_and_the_rest_stays(page: Path) -> None:
    assert wrap(page, "--check").returncode == 1 and page.read_text() == TEXT
    assert wrap(page).returncode == 0
    lines = page.read_text().splitlines()
    too_long = [line for line in lines if len(line) > WIDTH]
    assert [line.split()[0] for line in too_long] == ["#", "|", "|", "word", "word", "word"]
    assert any("`code that is never broken over lines`" in line for line in lines)


def test_what_is_wrapped_is_rendered_as_before(page: Path) -> None:
    wrap(page)
    assert render(page.read_text()) == render(TEXT)


def test_what_is_wrapped_stays_so(page: Path) -> None:
    wrap(page)
    once = page.read_text()
    assert wrap(page, "--check").returncode == 0
    wrap(page)
    assert page.read_text() == once


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_page_is_changed_in_what_it_says(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / path.name
    copy.write_text(path.read_text())
    wrap(copy)
    assert render(copy.read_text()) == render(path.read_text())
