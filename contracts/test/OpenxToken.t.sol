// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

import {Market} from "./Market.sol";

contract OpenxTokenTest is Market {
    function test_whole_supply_belongs_to_the_named_holder() external view {
        checkEqual(openx.totalSupply(), 1_000_000 ether, "supply");
        checkEqual(openx.balanceOf(treasury), 1_000_000 ether, "treasury");
        checkEqual(openx.decimals(), 18, "decimals");
    }

    function test_permit_approves_by_signature() external {
        bytes32 typehash =
            keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        bytes32 hash = keccak256(abi.encode(typehash, payer, stranger, 5 ether, openx.nonces(payer), block.timestamp));
        bytes32 digest = MessageHashUtils.toTypedDataHash(openx.DOMAIN_SEPARATOR(), hash);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(PAYER_KEY, digest);
        openx.permit(payer, stranger, 5 ether, block.timestamp, v, r, s);
        checkEqual(openx.allowance(payer, stranger), 5 ether, "allowance");
        checkEqual(openx.nonces(payer), 1, "nonce");
    }

    function test_votes_count_once_delegated_and_are_dated_by_time() external {
        vm.prank(treasury);
        openx.delegate(treasury);
        checkEqual(openx.getVotes(treasury), 1_000_000 ether, "votes");
        checkEqual(openx.clock(), block.timestamp, "clock");
        checkEqual(keccak256(bytes(openx.CLOCK_MODE())), keccak256("mode=timestamp"), "mode");
        vm.prank(treasury);
        openx.transfer(payer, 1 ether);
        checkEqual(openx.getVotes(treasury), 999_999 ether, "votes after a transfer");
    }
}
