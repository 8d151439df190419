"""Late: libraries that libp2p imports for what this node does not do are loaded when somebody else wants them, so never.

Its transports over QUIC and web sockets, its search by multicast and DNS, and its client for certificates bring a dozen
libraries: 20 MB of memory and a tenth of every start.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

UNUSED = ("httpx", "requests")
"""Of these libp2p wants nothing while it is imported."""

ABSENT = (
    "aioquic", "dns", "miniupnpc", "trio_websocket", "websockets", "zeroconf",
    "libp2p.bitswap", "libp2p.transport.quic.aioquic_compat",
)  # fmt: skip
"""Of these it takes names for its annotations, base classes and tables."""


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


def load_libp2p_alone() -> None:
    """When libp2p is imported, it finds stand-ins in the place of what is ABSENT; everyone else finds the libraries."""
    if "libp2p" not in sys.modules and not any(isinstance(one, _Libp2pFinder) for one in sys.meta_path):
        sys.meta_path.insert(0, _Libp2pFinder())


class StandIn(type):
    """A class, or a part of one, of a library that is not loaded: good as a base, an annotation, a kind of error or a value that
    nobody asks anything."""

    def __getattr__(cls, name: str) -> Any:
        return _stand_in(f"{cls.__module__}.{cls.__name__}", name)

    def __call__(cls, *_args: Any, **_named: Any) -> Any:
        return super().__call__()


class _StandInModule(ModuleType):
    def __getattr__(self, name: str) -> Any:
        found = _stand_in(self.__name__, name)
        setattr(self, name, found)
        return found


def _stand_in(of: str, name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    return StandIn(name, (Exception,), {"__module__": of})


class _StandInLoader(Loader, MetaPathFinder):
    def find_spec(
        self, fullname: str, _path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self, is_package=True) if _is_absent(fullname) else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _StandInModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing to run."""


class _Libp2pFinder(MetaPathFinder):
    def find_spec(
        self, fullname: str, _path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "libp2p":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _Libp2pLoader(spec.loader)
        return spec


class _Libp2pLoader(Loader):
    def __init__(self, real: Loader) -> None:
        self._real = real

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._real.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        with _standing_in():
            self._real.exec_module(module)


@contextmanager
def _standing_in() -> Iterator[None]:
    loaded = {name: sys.modules.pop(name) for name in list(sys.modules) if _is_absent(name)}
    finder = _StandInLoader()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if _is_absent(name)]:
            del sys.modules[name]
        sys.modules.update(loaded)


def _is_absent(name: str) -> bool:
    return any(name == one or name.startswith(f"{one}.") for one in ABSENT)
