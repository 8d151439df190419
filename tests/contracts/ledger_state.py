"""Every number that the model keeps, beside the same number of the contracts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.contracts.ledger_chain import Market, hex_of
from tests.contracts.ledger_history import PARTIES, PAYERS, PROVIDERS, RECIPIENTS, RICH, SIGNERS, Act
from tests.contracts.ledger_model import Ledger
from tests.contracts.ledger_words import ASSETS, MOST_PPM, SPLITS, Terms


class Question(NamedTuple):
    """A view of a contract and what the model answers."""

    contract: str
    function: str
    args: tuple[Any, ...]
    answer: tuple[Any, ...]
    about: str


def find_differences(market: Market, ledger: Ledger, acts: list[Act]) -> list[str]:
    """One line for each number in which the two differ."""
    asked = list(ask(market, ledger, acts))
    calls = []
    for question in asked:
        data = market.abi[question.contract].encode(question.function, *question.args)
        calls.append(("eth_call", [{"to": hex_of(market.address[question.contract]), "data": hex_of(data)}, "latest"]))
    answers = market.node.call_all(calls)
    return [line for question, told in zip(asked, answers, strict=True) if (line := compare(market, question, told))]


def compare(market: Market, question: Question, told: str) -> str:
    found = market.abi[question.contract].decode(question.function, bytes.fromhex(told[2:]))
    flat = found[0] if len(found) == 1 and isinstance(found[0], tuple) else found
    plain = tuple(market.name_of(value) if isinstance(value, str) else value for value in flat)
    if plain[: len(question.answer)] == question.answer:
        return ""
    return f"{question.contract}.{question.function} of {question.about}: contract {plain}, model {question.answer}"


def ask(market: Market, ledger: Ledger, acts: list[Act]) -> Iterator[Question]:
    yield from ask_escrow(market, ledger)
    yield from ask_terms(market, ledger, acts)
    yield from ask_splits(market, ledger)
    yield from ask_tokens(market, ledger)
    yield from ask_providers(market, ledger)


def ask_escrow(market: Market, ledger: Ledger) -> Iterator[Question]:
    where = market.address
    yield Question("escrow", "feeRecipient", (), (ledger.fee_recipient,), "")
    for asset in ASSETS:
        told = (ledger.liabilities(asset), ledger.fees[asset], ledger.fee_ppm[asset])
        more = (True, asset != "usd", asset in ledger.stopped)
        yield Question("escrow", "assetOf", (where[asset],), told + more, asset)
        for payer in (*PAYERS, "stranger"):
            yield Question(
                "escrow", "free", (where[payer], where[asset]), (ledger.free[payer, asset],), f"{payer} {asset}"
            )
        for provider in PROVIDERS:
            place = provider, asset
            account = (ledger.settled[place], ledger.refunded[place], ledger.owed[place])
            yield Question("escrow", "accountOf", (where[provider], where[asset]), account, " ".join(place))
        for split, id_ in market.split_ids.items():
            waits = (ledger.owed_to_split[split, asset],)
            yield Question("escrow", "owedToSplit", (id_, where[asset]), waits, f"{split} {asset}")
        for payer in PAYERS:
            for opener in (*SIGNERS, payer):
                cap = (ledger.caps[payer, opener, asset],)
                asked = (where[payer], where[opener], where[asset])
                yield Question("escrow", "openerCap", asked, cap, f"{payer} {opener} {asset}")


def ask_terms(market: Market, ledger: Ledger, acts: list[Act]) -> Iterator[Question]:
    """All escrows that the history names."""
    for terms in dict.fromkeys(arg for act in acts for arg in act.args if isinstance(arg, Terms)):
        funds = (ledger.deposited[terms], ledger.claimed[terms])
        yield Question("escrow", "funds", (market.id_of(terms),), funds, str(terms))
        yield Question(
            "escrow", "thawEnd", (market.id_of(terms),), (ledger.thaws.get(terms, (0, False))[0],), str(terms)
        )
    for who, nonce in ledger.nonces:
        yield Question("escrow", "isNonceUsed", (market.address[who], nonce), (True,), f"{who} {nonce}")


def ask_splits(market: Market, ledger: Ledger) -> Iterator[Question]:
    for asset in ASSETS:
        for recipient in (*RECIPIENTS, "payer0"):
            asked = (market.address[recipient], market.address[asset])
            yield Question("splits", "owedTo", asked, (ledger.owed_to[recipient, asset],), f"{recipient} {asset}")
        for split in SPLITS:
            received, distributed = ledger.pots[split, asset]
            asked_of = (market.split_ids[split], market.address[asset])
            yield Question("splits", "accruedOf", asked_of, (received - distributed,), f"{split} {asset}")


def ask_tokens(market: Market, ledger: Ledger) -> Iterator[Question]:
    for asset in ASSETS:
        yield Question(asset, "totalSupply", (), (ledger.tokens.supply[asset],), "")
        for who in (*PARTIES, "escrow", "splits"):
            yield Question(asset, "balanceOf", (market.address[who],), (ledger.tokens.balance[who, asset],), who)
        for who in RICH:
            asked = (market.address[who], market.address["escrow"])
            yield Question(asset, "allowance", asked, (ledger.tokens.allowance[who, asset],), who)
    yield Question("openx", "totalSupply", (), (ledger.tokens.supply["openx"],), "")
    for who in (*RICH, "registry", "treasury"):
        yield Question("openx", "balanceOf", (market.address[who],), (ledger.tokens.balance[who, "openx"],), who)


def ask_providers(market: Market, ledger: Ledger) -> Iterator[Question]:
    for provider in PROVIDERS:
        where = market.address[provider]
        yield Question("registry", "payoutOf", (where,), (ledger.payout_of(provider),), provider)
        yield from ask_stake(market, ledger, provider)
        for credit in ("tgpu", "tcpu"):
            yield Question(credit, "outstanding", (where,), (ledger.outstanding[provider, credit],), provider)
            yield Question(credit, "limitOf", (where,), (ledger.limit_of(provider, credit),), provider)
            yield Question(credit, "collateralOf", (where,), (ledger.collateral_of(provider, credit),), provider)
            yield Question(credit, "redeemableOf", (where,), (ledger.redeemable_of(provider, credit),), provider)


def ask_stake(market: Market, ledger: Ledger, provider: str) -> Iterator[Question]:
    where, judge = market.address[provider], market.address["judge"]
    yield Question("registry", "backingOf", (where,), (ledger.backing_of(provider),), provider)
    yield Question("registry", "forfeitOf", (where,), (ledger.forfeit[provider],), provider)
    yield Question("registry", "faultsOf", (where,), tuple(ledger.faults[provider]), provider)
    for role in MOST_PPM:
        place = (provider, role)
        details = (ledger.staked[place], ledger.thawing[place], ledger.thaw_end[place])
        yield Question("registry", "stakeDetailsIn", (where, role), details, f"{place}")
        yield Question("registry", "announcedIn", (where, role), ledger.announced_in(place), f"{place}")
        yield Question("registry", "heldIn", (where, role), (ledger.held_in(place),), f"{place}")
        yield Question("registry", "roomOf", (judge, where, role), (ledger.room_in(place),), f"{place}")
        for fault in (1, 2, 3):
            episode = ledger.episodes.get((place, fault), (0, 0))
            yield Question("registry", "episodeOf", (where, role, fault), episode, f"{place} {fault}")
