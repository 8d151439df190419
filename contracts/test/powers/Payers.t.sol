// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IPaymentEscrow} from "../../src/interfaces/IPaymentEscrow.sol";
import {Scene} from "./Scene.sol";

/// @notice What a payer may never do, and what whoever has the key of its hot signer.
contract PayersPowersTest is Scene {
    address private constant THIEF = address(0x741EF);

    function test_a_payer_may_never_take_a_reserve_before_the_thaw_its_terms_name() external {
        checkAllRefused(payer, "payer");
        uint256 free = escrow.free(payer, address(asset));
        vm.expectPartialRevert(IPaymentEscrow.NotEnoughFree.selector);
        vm.prank(payer);
        escrow.withdraw(address(asset), free + 1, payer);
        vm.expectPartialRevert(IPaymentEscrow.NotProvider.selector);
        vm.prank(payer);
        escrow.release(plain, 40 ether);
        IPaymentEscrow.Release memory order = makeRelease(plain, 40 ether, 7);
        bytes memory sig = signRelease(PAYER_KEY, order);
        vm.expectPartialRevert(IPaymentEscrow.NotProvider.selector);
        escrow.releaseBySig(plain, order, payer, sig);
        vm.expectPartialRevert(IPaymentEscrow.NotThawing.selector);
        escrow.close(plain);
        // No shorter thaw for the same reserve: other terms are another escrow.
        IPaymentEscrow.Escrow memory other = plain;
        other.thaw++;
        vm.expectPartialRevert(IPaymentEscrow.EscrowEmpty.selector);
        vm.prank(payer);
        escrow.startThaw(other);
        other.thaw = MIN_THAW - 1;
        vm.expectPartialRevert(IPaymentEscrow.ThawOutOfBounds.selector);
        vm.prank(payer);
        escrow.open(other, 1);

        vm.prank(payer);
        escrow.startThaw(plain);
        vm.warp(block.timestamp + MIN_THAW - 1);
        vm.expectPartialRevert(IPaymentEscrow.StillThawing.selector);
        escrow.close(plain);
        checkEqual(escrow.free(payer, address(asset)), free, "nothing came back");
        checkEqual(vouch(plain, RESERVE), 60 ether, "the provider is paid in the last second");
    }

    function test_a_hot_signer_may_never_withdraw() external {
        checkAllRefused(signer, "signer");
        address[2] memory whats = [address(asset), address(tgpu)];
        for (uint256 i = 0; i < whats.length; i++) {
            vm.expectPartialRevert(IPaymentEscrow.NotEnoughFree.selector);
            vm.prank(signer);
            escrow.withdraw(whats[i], 1, THIEF);
        }
        vm.prank(signer);
        escrow.startThaw(plain);
        vm.warp(block.timestamp + MIN_THAW);
        uint256 free = escrow.free(payer, address(asset));
        vm.prank(signer);
        escrow.close(plain);
        checkEqual(escrow.free(payer, address(asset)), free + 60 ether, "what it has given back is the payer's");
        checkEqual(escrow.free(signer, address(asset)), 0, "and not its own");
    }

    /// @dev The worst that a thief of the key can do: it opens escrows for itself and pays itself, as much as there is to have.
    function test_a_hot_signer_may_never_spend_more_than_its_escrows_reserves_and_its_cap() external {
        uint128 cap = 30 ether;
        vm.prank(payer);
        escrow.approveOpener(signer, address(asset), cap);
        uint256 free = escrow.free(payer, address(asset));
        vouch(plain, type(uint128).max);
        vouch(shared, type(uint128).max);
        IPaymentEscrow.Escrow memory own = makeTerms(9);
        own.provider = THIEF;
        openAs(own, cap, 0);
        checkEqual(vouch(own, type(uint128).max), cap, "its cap");
        own.nonce = 10;
        openRefused(own, 1, 1);
        checkEqual(asset.balanceOf(THIEF), cap, "all that it has");
        checkEqual(escrow.free(payer, address(asset)), free - cap, "the rest is the payer's");
        checkEqual(asset.balanceOf(payer), 0, "nothing else of the payer's was moved");
        // A cap in one asset is none in another, nor for another signer's escrows.
        own.asset = address(tgpu);
        giveCredits();
        openRefused(own, 1, 2);
        (own.asset, own.signer) = (address(asset), stranger);
        openRefused(own, 1, 3);
    }

    // ---- How

    function giveCredits() private {
        vm.prank(payer);
        tgpu.approve(address(escrow), 1 ether);
        vm.prank(payer);
        escrow.deposit(payer, address(tgpu), 1 ether);
    }

    function openAs(IPaymentEscrow.Escrow memory terms, uint128 amount, uint256 nonce) private {
        IPaymentEscrow.Opening memory opening = makeOpening(terms, amount, nonce);
        escrow.openBySig(terms, opening, signer, signOpening(SIGNER_KEY, opening));
    }

    function openRefused(IPaymentEscrow.Escrow memory terms, uint128 amount, uint256 nonce) private {
        IPaymentEscrow.Opening memory opening = makeOpening(terms, amount, nonce);
        bytes memory sig = signOpening(SIGNER_KEY, opening);
        bytes4 reason = terms.signer == signer
            ? IPaymentEscrow.OpenerCapExceeded.selector
            : IPaymentEscrow.OpenerIsNotSigner.selector;
        vm.expectPartialRevert(reason);
        escrow.openBySig(terms, opening, signer, sig);
    }
}
