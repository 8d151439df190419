"""Chain call: any view of the contracts by name, with arguments as people type them: web3's breadth serves here."""

from __future__ import annotations

import json
from difflib import get_close_matches
from typing import Any

from web3 import HTTPProvider, Web3
from web3.exceptions import ContractLogicError, Web3Exception

from xnode.chain.abi.artifacts import load_artifact
from xnode.chain.deployment.manifest import Manifest
from xnode.cli.access.deployment import Deployment
from xnode.cli.chain.contracts import CONTRACTS
from xnode.errors import ExitCode, UserError
from xnode.text.hex import checksum_address, to_hex

DEADLINE_S = 10.0


def call_view(deployment: Deployment, contract: str, view: str, arguments: tuple[str, ...]) -> dict[str, Any]:
    """The view's answer by name of its outputs, as plain data: bytes as 0x hex."""
    abi = load_artifact(CONTRACTS[contract][0]).abi
    entry = _find_view(abi, contract, view, len(arguments))
    values = [_parse(text, given, deployment.manifest) for text, given in zip(arguments, entry["inputs"], strict=True)]
    web3 = Web3(HTTPProvider(deployment.rpc_url, request_kwargs={"timeout": DEADLINE_S}))
    address = checksum_address(getattr(deployment.manifest.contracts, CONTRACTS[contract][1]))
    function = web3.eth.contract(address=Web3.to_checksum_address(address), abi=abi).get_function_by_name(view)
    try:
        answer = function(*values).call()
    except ContractLogicError as error:
        raise UserError(f"the contract refuses: {error}", where=view, code=ExitCode.REFUSED) from error
    except (Web3Exception, TypeError, ValueError) as error:
        raise UserError(
            f"not called: {str(error).splitlines()[0]}", where=view, hint="see `xnode chain views`"
        ) from error
    except OSError as error:
        raise UserError(
            "the chain node does not answer", where=view, hint="check rpc_url", code=ExitCode.UNREACHABLE
        ) from error
    outputs = entry["outputs"]
    named = answer if len(outputs) > 1 else (answer,)
    return {
        one.get("name") or str(number): _plain(value)
        for number, (one, value) in enumerate(zip(outputs, named, strict=True))
    }


def _find_view(abi: list[dict[str, Any]], contract: str, view: str, count: int) -> dict[str, Any]:
    found = {
        entry["name"]: entry
        for entry in abi
        if entry["type"] == "function" and entry["stateMutability"] in ("view", "pure")
    }
    if view not in found:
        near = get_close_matches(view, found, n=1)
        hint = f"did you mean {near[0]}?" if near else f"see `xnode chain views {contract}`"
        raise UserError(f"{contract} has no view {view}", hint=hint, code=ExitCode.NOT_FOUND)
    wanted = len(found[view]["inputs"])
    if wanted != count:
        raise UserError(f"{view} takes {wanted} arguments, not {count}", hint=f"see `xnode chain views {contract}`")
    return found[view]


def _parse(text: str, given: dict[str, Any], manifest: Manifest) -> Any:
    kind = given["type"]
    try:
        if kind.endswith("]") or kind == "tuple":
            return json.loads(text)
        if kind.startswith(("uint", "int")):
            return int(text, 0)
        if kind == "bool":
            return {"true": True, "false": False}[text.lower()]
        return Web3.to_checksum_address(text) if kind == "address" else text
    except (ValueError, KeyError) as error:
        raise UserError(
            f"{text[:80]!r} is not a value of type {kind}",
            where=given.get("name") or "argument",
            hint=_find_address_hint(text, manifest) if kind == "address" else "",
        ) from error


def _find_address_hint(text: str, manifest: Manifest) -> str:
    for asset in manifest.assets:
        if asset.symbol.lower() == text.lower():
            return f"{asset.symbol} is at {checksum_address(asset.address)}"
    return "write 0x and 40 hex digits; the manifest has the addresses of contracts and assets"


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return to_hex(value)
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value
