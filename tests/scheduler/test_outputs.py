"""The rules of outputs, held by the honest and against the others."""

from __future__ import annotations

import posixpath
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metering.codec import encode
from metering.units import Hash32
from scheduler import outputs as rules
from scheduler.job import Blob
from scheduler.outputs import (
    MAX_ENTRIES,
    MAX_INVENTORY_BYTES,
    Entry,
    FileEntry,
    FolderEntry,
    Inventory,
    LeftOut,
    LinkEntry,
    Selection,
    encode_inventory,
    find_inner_target,
    path_order,
    read_inventory,
    show_path,
)

BLOB = Blob(Hash32(bytes(32)), 100)
LIMIT = 10_000
NAMES = st.sampled_from([b"a", b"b", b"..", b".", b"", b"a\xff", b"\n", b"c" * 256, b"a\0"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map(b"/".join)
BLOBS = st.builds(Blob, st.sampled_from([bytes(32), b"short"]).map(Hash32), st.integers(0, 2**64 - 1))
ENTRIES: st.SearchStrategy[Entry] = st.one_of(
    st.builds(FileEntry, PATHS, BLOBS | st.just(BLOB), st.booleans(), st.integers(0, 2**64 - 1)),
    st.builds(LinkEntry, PATHS, PATHS | st.binary(max_size=9)),
    st.builds(FolderEntry, PATHS),
)


def inventory_of(*entries: Entry) -> bytes:
    return encode_inventory(Inventory(entries))


@given(st.lists(ENTRIES, max_size=12))
@settings(max_examples=300)
def test_whatever_a_provider_lists_only_what_keeps_the_rules_is_taken(listed: list[Entry]) -> None:
    found = read_inventory(inventory_of(*listed), LIMIT)
    assert len(found.entries) + found.left_out_count == len(listed), "each is taken or left out, and none is lost"
    assert found.size_bytes <= LIMIT
    paths = [one.path for one in found.entries]
    assert len(set(paths)) == len(paths) and paths == sorted(paths, key=path_order)
    folders = {one.path for one in found.entries if isinstance(one, FolderEntry)}
    for path in paths:
        assert posixpath.normpath(path) == path and not path.startswith((b"/", b"..")) and b"\0" not in path
        above = {path[:end] for end, char in enumerate(path) if char == ord("/")}
        assert not (above & set(paths)) - folders, "nothing lies below a file or a link"
    assert read_inventory(encode_inventory(found), LIMIT).entries == found.entries, "what was taken is taken again"


@given(st.dictionaries(PATHS.filter(lambda path: rules.check_path(path) is None), PATHS, min_size=1, max_size=8))
@settings(max_examples=300)
def test_links_that_are_taken_never_lead_outside_even_together(
    tmp_path_factory: pytest.TempPathFactory, links: dict[bytes, bytes]
) -> None:
    found = read_inventory(inventory_of(*(LinkEntry(path, target) for path, target in links.items())), LIMIT)
    root = tmp_path_factory.mktemp("out").resolve()
    for one in found.entries:
        place = root / one.path.decode("utf-8", "surrogateescape")
        place.parent.mkdir(parents=True, exist_ok=True)
        assert isinstance(one, LinkEntry)
        place.symlink_to(one.target.decode("utf-8", "surrogateescape"))
    for one in found.entries:
        place = root / one.path.decode("utf-8", "surrogateescape")
        try:
            end = Path(posixpath.realpath(place))
        except (OSError, ValueError):
            continue
        assert end.is_relative_to(root)


@pytest.mark.parametrize(
    "path, target, inner",
    [
        (b"a", b"b", b"b"), (b"a/b", b"../c", b"../c"), (b"a", b"./x//y/", b"x/y"), (b"a", b".", b"."),
        (b"a/b/c", b"/work/out/d", b"../../d"), (b"a", b"/work/out", b"."), (b"a", b"/work/output", None),
        (b"a", b"..", None), (b"a", b"/etc", None), (b"a/b", b"../../c", None), (b"a", b"x/../../y", None),
        (b"a", b"x/..", None), (b"a", b"", None), (b"a", b"/work/out/../x", None), (b"a", b"x" * 256, None),
    ],
)  # fmt: skip
def test_a_link_is_kept_in_the_form_that_stays_inside(path: bytes, target: bytes, inner: bytes | None) -> None:
    assert find_inner_target(path, target) == inner


@pytest.mark.parametrize(
    "listed, reason",
    [
        ([FileEntry(b"a", BLOB), FileEntry(b"a", BLOB)], "another one of this name"),
        ([FileEntry(b"a", BLOB), FileEntry(b"a/b", BLOB)], "not a folder"),
        ([LinkEntry(b"a", b"b"), FileEntry(b"a/x", BLOB)], "not a folder"),
        ([FileEntry(b"a", BLOB), FileEntry(b"b", Blob(BLOB.sha256, LIMIT))], "the lease's disk"),
        ([FileEntry(b"a", BLOB), LinkEntry(b"b", b"/etc")], "outside"),
        ([FileEntry(b"a", BLOB), FileEntry(b"../b", BLOB)], "stay inside"),
    ],
)
def test_what_breaks_the_rules_is_left_out_by_name_and_the_rest_is_taken(listed: list[Entry], reason: str) -> None:
    found = read_inventory(inventory_of(*listed), LIMIT)
    assert [one.path for one in found.entries] == [b"a"]
    assert found.left_out_count == 1 and found.left_out[0].path == listed[1].path and reason in found.left_out[0].reason


def test_a_list_of_too_many_is_taken_up_to_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "MAX_ENTRIES", 50)
    found = read_inventory(inventory_of(*(FolderEntry(b"%d" % number) for number in range(1_000))), LIMIT)
    assert (len(found.entries), found.left_out_count) == (50, 950)


def test_a_list_that_cannot_be_read_in_places_is_read_elsewhere() -> None:
    rows = inventory_of(FolderEntry(b"a")), b"\x00\x03abc", encode_inventory(Inventory((), (LeftOut(b"p", "why"),)))
    found = read_inventory(b"".join(rows) + b"\xff\xff\x01", LIMIT, left_out_count=7)
    assert [one.path for one in found.entries] == [b"a"] and found.left_out == (LeftOut(b"p", "why"),)
    assert found.left_out_count == 7 + 2
    assert read_inventory(rows[0], LIMIT, left_out_count=2**64 - 1).left_out_count <= 2**53


@given(st.binary(max_size=300))
def test_no_bytes_make_reading_a_list_fail(data: bytes) -> None:
    read_inventory(data, LIMIT)


def test_what_a_stranger_says_is_cut_to_its_length() -> None:
    listed = LeftOut(b"x" * 9_000, "y" * 4_000)
    (left,) = read_inventory(encode_inventory(Inventory((), (listed,))), LIMIT).left_out
    assert (len(left.path), len(left.reason)) == (rules.MAX_PATH_BYTES, rules.MAX_REASON_CHARS)


def test_what_a_stranger_says_at_too_great_a_length_is_only_counted() -> None:
    told = encode_inventory(Inventory((), (LeftOut(b"x", "y" * 5_000),)))
    found = read_inventory(told, LIMIT, left_out_count=1)
    assert (found.left_out, found.left_out_count) == ((), 2)


def test_names_are_limited_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "MAX_NAMES_BYTES", 100)
    selection = Selection(LIMIT)
    selection.take(FolderEntry(b"a" * 60))
    assert "longer than" in str(selection.check(b"b" * 41))
    assert selection.check(b"b" * 40) is None


def test_the_longest_list_that_the_rules_allow_fits_its_limit() -> None:
    file = len(encode(FileEntry(b"", Blob(Hash32(bytes(32)), 2**63), True, 2**63))) + 2 + 3
    left_out = rules.MAX_LISTED * (rules.MAX_PATH_BYTES + rules.MAX_REASON_CHARS * 4 + 20)
    assert file * MAX_ENTRIES + rules.MAX_NAMES_BYTES + left_out <= MAX_INVENTORY_BYTES


@pytest.mark.parametrize(
    "path, shown",
    [
        (b"a b/c", "a b/c"), ("ü".encode(), "ü"), (b"a\nb\x1b", "a\\x0ab\\x1b"), (b"\xff", "\\xff"),
        ("\u202e".encode(), "\\xe2\\x80\\xae"),
    ],
)  # fmt: skip
def test_a_path_is_shown_without_what_steers_a_terminal(path: bytes, shown: str) -> None:
    assert show_path(path) == shown
