"""Document: every setting is in the file with its default, and what a person wrote in it stays."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from xnode.config.catalog import Setting, known_names, sections
from xnode.config.document import make_document, next_document
from xnode.config.load import check_table
from xnode.config.settings import Settings
from xnode.home import Home

HOME = Home(Path("/home/of/xnode"))


def rows() -> list[Setting]:
    return [setting for section in sections() for setting in section.settings]


def table_of(settings: list[Setting]) -> dict[str, Any]:
    """A table with the example of each of these settings."""
    table: dict[str, Any] = {}
    for setting in settings:
        there = table
        for name in setting.section.split("."):
            there = there.setdefault(name, {})
        there[setting.name] = setting.example
    return table


REQUIRED = table_of([setting for setting in rows() if setting.required])

PERSONAL = """\
# Fleet 7, managed by Ada.
[provider]   # this host
region = "eu"          # the hall in Graz
owner = "0x%s"
interval = '2s'

# ours are cheap at night
prices = {vcpu_hour = "0.02", memory_gib_hour = "0.005"}

[chain]
manifest = "chain.json"

[provider.share]
disk = "10GiB"
memory = "2GiB"
vcpus = 1.5
# gpus = 2  # when they come
""" % ("ab" * 20)


def test_every_setting_says_what_it_is_for() -> None:
    for setting in rows():
        assert setting.description and not setting.description.endswith("."), setting
        assert setting.form, setting
        assert setting.example is not None, setting
    assert all(section.description for section in sections())


def test_a_new_file_shows_every_setting_of_the_models() -> None:
    shown = make_document(REQUIRED)

    def check(model: type[BaseModel]) -> None:
        for name, field in model.model_fields.items():
            inner = [
                kind for kind in getattr(field.annotation, "__args__", (field.annotation,)) if isinstance(kind, type)
            ]
            deeper = [kind for kind in inner if issubclass(kind, BaseModel)]
            for kind in deeper:
                check(kind)
            assert deeper or re.search(rf"^(# )?{field.alias or name} = ", shown, re.MULTILINE), name

    check(Settings)


def test_every_line_of_a_new_file_can_be_uncommented_and_changes_nothing() -> None:
    shown = make_document(REQUIRED)
    uncommented = re.sub(r"^# (\w+ = )", r"\1", shown, flags=re.MULTILINE)
    table = tomllib.loads(uncommented)
    assert sum(len(known_names(section.name.split("."))) for section in sections()) == len(rows()) + 3
    assert sorted(re.findall(r"^(\w+) = ", uncommented, re.MULTILINE)) == sorted(row.name for row in rows())
    assert check_table(HOME, table) == check_table(HOME, REQUIRED)


def test_a_table_that_says_the_same_changes_no_byte() -> None:
    for text in (PERSONAL, make_document(REQUIRED)):
        assert next_document(text, tomllib.loads(text)) == text


def test_a_changed_value_leaves_everything_else_as_it_was_written() -> None:
    table = tomllib.loads(PERSONAL)
    table["provider"]["prices"]["vcpu_hour"] = "0.03"
    table["provider"]["region"] = "us"
    changed = next_document(PERSONAL, table)
    assert changed == PERSONAL.replace("0.02", "0.03").replace('"eu" ', '"us" ')


def test_a_commented_out_setting_is_uncommented_in_its_place() -> None:
    shown = make_document(REQUIRED)
    table = tomllib.loads(shown)
    table["node"]["dht"] = False
    table["provider"]["prices"]["gpu_hour"] = "2"
    changed = next_document(shown, table).splitlines()
    different = [(a, b) for a, b in zip(shown.splitlines(), changed, strict=True) if a != b]
    assert [(a[:9], b[:15]) for a, b in different] == [
        ("# dht = t", "dht = false    "),
        ("# gpu_hou", 'gpu_hour = "2" '),
    ]
    assert all(a.partition("  # ")[2] == b.partition("  # ")[2] for a, b in different), "the descriptions stay"


def test_a_new_section_comes_last_with_its_comments() -> None:
    table = tomllib.loads(PERSONAL) | {"submitter": {"quotes": 5}}
    table["provider"]["sla"] = {"availability": 0.99, "refund": 0.1}
    changed = next_document(PERSONAL, table)
    assert changed.startswith(PERSONAL)
    added = changed.removeprefix(PERSONAL)
    assert "[submitter]" in added and "quotes = 5 " in added and "# silence = " in added
    assert "availability = 0.99 " in added


def test_what_the_table_leaves_out_is_removed_and_empty_sections_stay() -> None:
    table = tomllib.loads(PERSONAL)
    del table["provider"]["interval"]
    shown = next_document(PERSONAL + "\n[node]\n# mine\n", table)
    assert tomllib.loads(shown) == table | {"node": {}}
    assert "# mine" in shown and "interval" not in shown


def test_a_setting_that_only_looks_commented_out_inside_a_text_is_no_setting() -> None:
    text = '[node]\ndatabase_url = """\n[submitter]\n# quotes = 4\n"""\n[submitter]\n'
    table = tomllib.loads(text)
    table["submitter"]["quotes"] = 7
    assert tomllib.loads(next_document(text, table)) == table


texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=20)


@settings(max_examples=50)
@given(st.dictionaries(st.sampled_from(["node", "chain", "submitter", "provider", "x"]), st.dictionaries(texts, texts)))
@pytest.mark.parametrize("text", [PERSONAL, make_document(REQUIRED), "a.b = 1\n[a.c]\n[d]\n[a.e]\nf = [1]\n"])
def test_any_table_is_said_over_any_text(text: str, table: dict[str, Any]) -> None:
    # The functions themselves assert that the text says the table.
    assert next_document(text, table)
    assert make_document(table)
