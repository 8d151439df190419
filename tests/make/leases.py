"""Leases as both sides signed them, and what the registry knows of the keys that signed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metering.authors import Authors, BoundKey
from metering.evidence import LeaseDocument
from metering.signature import sign_digest
from metering.terms import LeaseTerms, lease_id_of
from metering.units import Address
from tests.make.values import DOMAIN, NOW_NS, make_escrow, make_key, make_terms

FAR_S = NOW_NS // 10**9 + 365 * 86_400


def make_lease(submitter: int = 0, node: int = 1, **changes: Any) -> LeaseDocument:
    """Signed by these keys, whatever the terms say."""
    return sign_lease(make_terms(**changes), submitter, node)


def sign_lease(terms: LeaseTerms, submitter: int = 0, node: int = 1) -> LeaseDocument:
    """The terms with the signatures of these keys."""
    lease_id = lease_id_of(DOMAIN.separator(), terms)
    ours, theirs = (sign_digest(make_key(key), lease_id) for key in (submitter, node))
    return LeaseDocument(DOMAIN.chain_id, DOMAIN.contract, make_escrow(), terms, ours, theirs)


def make_authors(owners: Mapping[Address, Address], now_s: int = FAR_S, thaw_s: int = 14 * 86_400) -> Authors:
    """Every key is bound, and always was."""
    return Authors({node: BoundKey(owner) for node, owner in owners.items()}, now_s, thaw_s)
