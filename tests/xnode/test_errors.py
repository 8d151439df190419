"""Errors: what a group of errors is about."""

from __future__ import annotations

import pytest

from xnode.errors import Permanent, Retryable, UserError, real_error_of

USER, FINAL, AWAY = UserError("no such file"), Permanent("wrong chain"), Retryable("away")
BUG, OTHER_BUG, STOPPED = ValueError("bug"), KeyError("bug"), KeyboardInterrupt()


def test_an_error_outside_a_group_is_itself() -> None:
    assert real_error_of(BUG) is BUG
    assert real_error_of(STOPPED) is STOPPED


def test_the_only_error_of_nested_groups_is_found() -> None:
    assert real_error_of(ExceptionGroup("outer", [ExceptionGroup("inner", [BUG])])) is BUG


@pytest.mark.parametrize(
    ("errors", "real"),
    [
        ((BUG, AWAY), AWAY),
        ((AWAY, FINAL), FINAL),
        ((AWAY, FINAL, USER), USER),
        ((USER, STOPPED), STOPPED),
    ],
)
def test_what_says_most_about_what_to_do_comes_first(errors: tuple[BaseException, ...], real: BaseException) -> None:
    head, *rest = errors
    group = BaseExceptionGroup("outer", [head, BaseExceptionGroup("inner", rest)])
    assert real_error_of(group) is real


def test_several_bugs_stay_a_group() -> None:
    group = ExceptionGroup("nursery", [BUG, OTHER_BUG])
    assert real_error_of(group) is group
