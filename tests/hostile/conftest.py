"""What the hostile runs share: default settings, real sockets, and strangers who mean harm. The long one: `make test-hostile`."""

from __future__ import annotations

from tests.field.conftest import image
from tests.xnode.net.conftest import remotes

__all__ = ["image", "remotes"]
