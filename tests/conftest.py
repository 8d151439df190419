"""Shared by all tests: what one of them says to the whole process is not heard by the next."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(scope="session", autouse=True)
def no_logger_keeps_its_settings() -> Iterator[None]:
    """A command that runs in this process sets up its logs for as long as the process lives, and every logger that is used
    first under these settings keeps them: tests that listen to it afterwards would hear nothing."""
    configure = structlog.configure

    def without_keeping(**settings: object) -> None:
        configure(**{**settings, "cache_logger_on_first_use": False})  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(structlog, "configure", without_keeping)
        yield


@pytest.fixture
def all_is_logged() -> Iterator[None]:
    """Whatever the simulation or a command has set up for this process: every line is made, for capture_logs() to hear."""
    before = structlog.get_config()
    structlog.reset_defaults()
    yield
    structlog.configure(**before)
