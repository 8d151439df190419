"""Late: libraries that libp2p imports for what this node does not do are loaded when they are first used, so never.

Its client for certificates of browsers' web sockets brings two HTTP libraries: 7 MB of memory and a tenth of a second of
every start.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Any

UNUSED = ("httpx", "requests")


class LateModule(ModuleType):
    """Stands for a module until something of it is wanted."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


def load_late(names: tuple[str, ...] = UNUSED) -> None:
    """From now on an import of these costs nothing; the first attribute that is used loads them. Twice does no harm.

    `importlib.util.LazyLoader` would do it, but for Python 3.11 the import itself is a use.
    """
    for name in names:
        if name not in sys.modules and (spec := importlib.util.find_spec(name)) is not None:
            late = LateModule(name)
            late.__spec__ = spec
            sys.modules[name] = late
