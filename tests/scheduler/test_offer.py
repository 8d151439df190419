"""What a host says of itself stays within what an offer may say."""

from __future__ import annotations

from metering.bounds import MAX_LABEL_CHARS
from metering.codec import decode_strict, encode
from metering.units import ZERO_HASH, Hash32
from scheduler.offer import (
    MAX_GPUS,
    SETTINGS_HASH_CHARS,
    Gpu,
    HardwareProfile,
    OfferBody,
    fit_profile,
    name_software,
    read_software,
)
from tests.make.values import make_offer_body, make_profile


def test_a_host_that_says_too_much_of_itself_is_cut_to_what_others_read() -> None:
    gpu = Gpu("v" * 1_000, "m" * 1_000, 1, "d" * 1_000, "u" * 1_000)
    loud = make_profile(cpu_model="c" * 1_000, architecture="a" * 1_000, kernel="k" * 1_000, gpus=(gpu,) * 1_000)
    profile = fit_profile(loud)
    assert decode_strict(encode(profile), HardwareProfile) == profile
    assert len(profile.gpus) == MAX_GPUS and profile.gpus[0].model == "m" * 61 + "..."


def test_an_ordinary_profile_stays_as_it_is() -> None:
    profile = make_profile(gpus=(Gpu("nvidia", "NVIDIA H200", 150 << 30, "550.54", "GPU-1"),))
    assert fit_profile(profile) == profile


def test_an_offer_names_its_software_and_the_hash_of_its_settings_within_the_text_that_older_nodes_read() -> None:
    settings = Hash32(bytes(range(32)))
    text = name_software("xnode/0.5.0", settings)
    assert text == "xnode/0.5.0 settings/000102030405060708090a0b"
    assert read_software(text) == ("xnode/0.5.0", settings.hex()[:SETTINGS_HASH_CHARS])
    body = make_offer_body(software=text)
    assert decode_strict(encode(body), OfferBody) == body


def test_a_long_name_of_software_never_costs_the_hash() -> None:
    text = name_software("xnode/" + "9" * 90, Hash32(b"\xab" * 32))
    assert len(text) == MAX_LABEL_CHARS and read_software(text)[1] == "ab" * (SETTINGS_HASH_CHARS // 2)


def test_software_without_a_hash_is_all_of_the_text() -> None:
    assert name_software("xnode/0.4.0", ZERO_HASH) == "xnode/0.4.0"
    for text in ("xnode/0.4.0", "other/1 settings/", "other/1 settings/zz", "other/1 settings/" + "g" * 24):
        assert read_software(text) == (text, "")
