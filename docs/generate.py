"""Generate: the reference pages, made from the code so that they cannot differ from it.

`python docs/generate.py` writes the pages in PAGES; --check only names those that
are not current, and fails when there is one.
"""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from code_words import CodeWord, find_codes, find_end_reasons
from control_page import control_sections
from wire_page import wire_sections

from xnode.cli.main import list_exit_codes
from xnode.cli.manual import VARIABLES
from xnode.config.catalog import Section, Setting, sections, settings
from xnode.jobfile.fields import Key
from xnode.jobfile.forms import WRITTEN
from xnode.jobfile.keys import JOB_KEYS
from xnode.jobfile.read import make_example

ROOT = Path(__file__).parent.parent
WIDTH = 100
MADE = "<!-- made by `python docs/generate.py`; change the code, not this page -->"


def make_config_page() -> str:
    """Every setting of config.toml and of the environment."""
    return _page(
        "# Configuration",
        MADE,
        "A node's settings are in `config.toml` in its home (`--home`, `XNODE_HOME`, or `~/.xnode`), or in the file that "
        "`--config` or `XNODE_CONFIG` names. `xnode daemon init` "
        "and `xnode provider init` write it with every setting in it, those left at their default as a comment. Commands "
        "that change it keep your comments and your order.",
        "An environment variable overrides the file: `XNODE_SECTION__KEY`, as the tables show. A list is written "
        "there with commas: `a, b`. Relative paths are below the home, also where `--config` or `XNODE_CONFIG` names "
        "another file than the home's.",
        "A running daemon takes new values of these by `xnode config reload` or SIGHUP: "
        + ", ".join(f"`{one.path}`" for one in settings() if one.is_live)
        + ". All others need a restart.",
        "Secrets are never settings: the node key's password is in the file that `node.password_file` names, a wallet's "
        "password is asked for or read from the file that `--password-file` names. A database password belongs in "
        "PostgreSQL's own password file, not in `database_url`.",
        *(part for section in sections() for part in _config_section(section)),
        "## Other variables",
        _table(("variable", "meaning"), ((f"`{name}`", meaning) for name, meaning in VARIABLES.items())),
    )


def _config_section(section: Section) -> Iterator[str]:
    yield f"## [{section.name}]"
    yield section.description
    rows = (
        (f"`{one.name}`", _default_of(one), _value_of(one), one.description, f"`{one.variable}`")
        for one in section.settings
    )
    yield _table(("key", "default", "value", "meaning", "variable"), rows)


def _default_of(setting: Setting) -> str:
    return "required" if setting.required else f"`{_toml(setting.default)}`"


def _toml(value: object) -> str:
    import tomlkit

    return tomlkit.item(value).as_string()


def _value_of(setting: Setting) -> str:
    return setting.form + (f"; {setting.limits}" if setting.limits else "")


def make_job_page() -> str:
    """Every key of a job file."""
    return _page(
        "# Job file",
        MADE,
        "A job file is one YAML page. `xnode job init` writes the example at the end of this page, `xnode job validate` "
        "names every problem with its line, and `xnode/jobfile/schema.json` is its JSON Schema, for editors. Anchors, "
        "aliases, tags and a second document are not read. Paths are relative to the job file.",
        "How values are written:",
        "\n".join(_wrapped(f"- **{name}**: {text}", "  ") for name, text in WRITTEN.items()),
        _table(
            ("key", "default", "meaning"),
            ((f"[`{name}`](#{name})", _job_default(key), key.description) for name, key in JOB_KEYS.items()),
        ),
        *(part for name, key in JOB_KEYS.items() for part in _key_section(name, key, 2)),
        "## Example",
        f"```yaml\n{make_example().rstrip()}\n```",
    )


def _key_section(name: str, key: Key, level: int) -> Iterator[str]:
    yield f"{'#' * level} {name}"
    yield key.description
    facts = [f"- value: {key.form.name}", f"- default: {_job_default(key)}"]
    yield "\n".join([*facts, *([f"- limits: {key.limits}"] if key.limits else [])])
    yield f"```yaml\n{name.rpartition('.')[2]}: {key.example}\n```"
    for inner, below in key.keys.items():
        yield from _key_section(f"{name}.{inner}", below, 3)


def _job_default(key: Key) -> str:
    return "required" if key.required else key.default


def make_codes_page() -> str:
    """Exit codes, end reasons, and the codes of refusals and failures."""
    return _page(
        "# Exit codes and error codes",
        MADE,
        "## Exit codes",
        "What `xnode` exits with. Messages go to stderr: `error:` says what and where, `hint:` what to do about it.",
        _table(("code", "meaning"), list_exit_codes()),
        "## End reasons",
        "Why a lease ended: the word before the colon of `reason` in `xnode job ls -o json`.",
        _table(("reason", "when"), ((f"`{code}`", text) for code, text in find_end_reasons())),
        "## Codes",
        "Programs can rely on a code; the message beside it may change. `…` stands for a value.",
        "### Why an offer does not fit",
        _code_table(find_codes("scheduler", "Misfit", "_miss")),
        "### Why a message from another party is refused",
        _code_table(find_codes("", "Refusal", "refuse", "_refuse")),
        "### Why an effect failed for good",
        _code_table(find_codes("xnode", "Permanent")),
    )


def make_control_page() -> str:
    """Every control method and view."""
    return _page("# The control socket", MADE, *control_sections())


def make_types_page() -> str:
    """Every type of the wire."""
    return _page("# The protocol's types", MADE, *wire_sections())


def _code_table(codes: Iterable[CodeWord]) -> str:
    return _table(("code", "message"), ((f"`{one.code}`", "<br>".join(one.details) or "…") for one in codes))


PAGES: dict[str, Callable[[], str]] = {
    "docs/config.md": make_config_page,
    "docs/job-file.md": make_job_page,
    "docs/exit-codes.md": make_codes_page,
    "docs/control.md": make_control_page,
    "docs/protocol-types.md": make_types_page,
}


def _page(*parts: str) -> str:
    as_is = re.compile(r"[#|`<-]")
    return "\n\n".join(part if as_is.match(part) else _wrapped(part) for part in parts) + "\n"


def _wrapped(text: str, indent: str = "") -> str:
    """The text at WIDTH; what stands in backquotes is kept on one line."""
    glued = re.sub(r"`[^`]+`", lambda code: code[0].replace(" ", "\0"), " ".join(text.split()))
    lines = textwrap.wrap(glued, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines).replace("\0", " ")


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def main(arguments: Sequence[str]) -> int:
    """Write the pages, or with --check say which are not current."""
    made = {name: make() for name, make in PAGES.items()}
    paths = {name: ROOT / name for name in PAGES}
    stale = [name for name, path in paths.items() if not path.exists() or path.read_text() != made[name]]
    for name in stale:
        if "--check" in arguments:
            print(f"{name} is not current: run python docs/generate.py", file=sys.stderr)
        else:
            paths[name].write_text(made[name])
            print(f"wrote {name}")
    return int("--check" in arguments and bool(stale))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
