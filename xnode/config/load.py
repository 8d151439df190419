"""Load: one node's Config from home's config.toml and the environment (XNODE_SECTION__KEY), all errors at once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from xnode.config.catalog import describe_value, is_local, known_names, variable_of
from xnode.config.file import read_table
from xnode.config.origins import find_written
from xnode.config.settings import Config, NodeConfig, Settings
from xnode.errors import ExitCode, InvalidValue, UserError
from xnode.home import Home


def load_config(home: Home) -> Config:
    """The settings of this home. Raises UserError with one line for every wrong one."""
    if home.config_file is not None and not home.config_file.exists():
        # Only one that is named must be there: the environment alone can configure a node.
        raise UserError(
            "the settings are not there",
            where=str(home.config_file),
            hint="name a file that is with --config or XNODE_CONFIG",
            code=ExitCode.NOT_FOUND,
        )
    return check_table(home, read_table(home))


def check_table(home: Home, table: Mapping[str, Any]) -> Config:
    """The settings if config.toml said this. Raises UserError as load_config does; what is checked first is safe to write."""
    try:
        settings = Settings(**table)
    except ValidationError as error:
        raise UserError("\n".join(_describe(home, details) for details in error.errors())) from error
    except ValueError as error:
        # pydantic-settings: a whole section in one variable that is not JSON.
        raise UserError(str(error), where="environment", hint="set XNODE_SECTION__KEY, one for each setting") from error
    node = settings.node.model_copy(update=_paths_of(home, settings.node))
    chain = settings.chain.model_copy(update={"manifest": _resolve(home, settings.chain.manifest)})
    return Config(home, node, chain, settings.provider, settings.submitter, find_written(table))


def _paths_of(home: Home, node: NodeConfig) -> dict[str, Any]:
    # An empty path is the default: never the home itself, which holds the keys.
    data = home.data if node.data_dir == Path() else _resolve(home, node.data_dir)
    return {
        "data_dir": data,
        "database_url": node.database_url or f"sqlite:///{data / 'xnode.db'}",
        "password_file": home.password if node.password_file == Path() else _resolve(home, node.password_file),
    }


def _resolve(home: Home, path: Path) -> Path:
    """Relative to the home, so that a daemon means the same file from wherever it was started."""
    return home.folder / path.expanduser()


# ------------------------------------------------------------------------------------------------------ error messages


def _describe(home: Home, details: ErrorDetails) -> str:
    names = [str(part) for part in details["loc"]]
    variable = _find_variable(names)
    where = f"environment {variable}" if variable else str(home.config)
    what, hint = _explain(names, details)
    return f"{where}: {'.'.join(names)}: {what}" + (f"\nhint: {hint}" if hint else "")


def _explain(names: list[str], details: ErrorDetails) -> tuple[str, str]:
    kind, message = details["type"], details["msg"]
    if kind == "extra_forbidden":
        near = get_close_matches(names[-1], known_names(names[:-1]), n=1)
        return "unknown key", f'did you mean "{near[0]}"?' if near else "remove it"
    if kind == "missing" and names == ["chain"]:
        return "required section", "run `xnode provider init --chain MANIFEST` or `xnode daemon init --chain MANIFEST`"
    if kind == "missing":
        return "required key", "add it"
    if kind in ("string_pattern_mismatch", "literal_error"):
        # A chain node's address may hold an access key.
        shown = "what it is" if is_local(names) else repr(details["input"])
        return f"{shown} cannot be its value", f"allowed: {describe_value(names)}"
    error = details.get("ctx", {}).get("error")
    if isinstance(error, InvalidValue):
        return error.what, error.hint
    return message.removeprefix("Value error, "), ""


def _find_variable(names: list[str]) -> str:
    """The variable of the environment that sets this, or ""."""
    wanted = variable_of(name for name in names if not name.isdecimal())
    return next((name for name in os.environ if name.upper() == wanted), "")
