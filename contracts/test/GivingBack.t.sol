// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IPaymentEscrow} from "../src/interfaces/IPaymentEscrow.sol";
import {Market} from "./Market.sol";

contract GivingBackTest is Market {
    // ---- Thaw

    function test_the_rest_returns_to_the_free_balance_after_the_thaw() external {
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 100 ether);
        claimRows(makeRow(SIGNER_KEY, terms, 30 ether));
        startThaw(payer, terms);
        vm.warp(block.timestamp + MIN_THAW);
        vm.expectEmit();
        emit IPaymentEscrow.EscrowClosed(escrow.escrowId(terms), 70 ether);
        vm.prank(stranger);
        escrow.close(terms);
        checkEqual(escrow.free(payer, address(asset)), 970 ether, "free");
        checkEqual(deposited(terms), 30 ether, "deposited is what was claimed");
        checkEqual(escrow.thawEnd(escrow.escrowId(terms)), 0, "no thaw runs");
    }

    function test_nobody_closes_before_the_end() external {
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 100 ether);
        bytes32 id = escrow.escrowId(terms);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.NotThawing.selector, id));
        escrow.close(terms);
        startThaw(payer, terms);
        uint64 end = escrow.thawEnd(id);
        checkEqual(end, block.timestamp + MIN_THAW, "end");
        vm.warp(end - 1);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.StillThawing.selector, id, end, end - 1));
        escrow.close(terms);
    }

    function test_the_signers_daemon_starts_a_thaw_and_money_goes_to_the_payer() external {
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 100 ether);
        startThaw(signer, terms);
        vm.warp(block.timestamp + MIN_THAW);
        escrow.close(terms);
        checkEqual(escrow.free(payer, address(asset)), 1_000 ether, "payer");
        checkEqual(escrow.free(signer, address(asset)), 0, "signer");
    }

    function test_nobody_else_starts_or_cancels_a_thaw() external {
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 100 ether);
        address[3] memory others = [provider, node, stranger];
        startThaw(payer, terms);
        for (uint256 i = 0; i < others.length; i++) {
            bytes memory refused =
                abi.encodeWithSelector(IPaymentEscrow.NotPayerOrSigner.selector, others[i], payer, signer);
            vm.expectRevert(refused);
            startThaw(others[i], terms);
            vm.expectRevert(refused);
            cancelThaw(others[i], terms);
        }
    }

    function test_a_running_thaw_is_never_moved() external {
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 100 ether);
        bytes32 id = escrow.escrowId(terms);
        startThaw(payer, terms);
        uint64 end = escrow.thawEnd(id);
        vm.warp(block.timestamp + 10);
        address[2] memory askers = [payer, signer];
        for (uint256 i = 0; i < askers.length; i++) {
            vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.AlreadyThawing.selector, id, end));
            startThaw(askers[i], terms);
        }
        cancelThaw(payer, terms);
        startThaw(signer, terms);
        end = escrow.thawEnd(id);
        vm.warp(block.timestamp + 10);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.AlreadyThawing.selector, id, end));
        startThaw(signer, terms);
    }

    function test_a_stolen_signer_cannot_hold_up_the_payers_thaw() external {
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 100 ether);
        bytes32 id = escrow.escrowId(terms);
        startThaw(payer, terms);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.ThawStartedByPayer.selector, id));
        cancelThaw(signer, terms);
    }

    function test_the_payer_takes_over_its_signers_thaw_without_moving_the_end() external {
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 100 ether);
        bytes32 id = escrow.escrowId(terms);
        startThaw(signer, terms);
        uint64 end = escrow.thawEnd(id);
        vm.warp(block.timestamp + 10);
        startThaw(payer, terms);
        checkEqual(escrow.thawEnd(id), end, "end");
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.ThawStartedByPayer.selector, id));
        cancelThaw(signer, terms);
        cancelThaw(payer, terms);
        checkEqual(escrow.thawEnd(id), 0, "cancelled by the payer");
    }

    function test_the_signer_cancels_what_it_started_and_the_escrow_works_again() external {
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 100 ether);
        bytes32 started = escrow.escrowId(terms);
        vm.expectEmit();
        emit IPaymentEscrow.ThawStarted(started, uint64(block.timestamp) + MIN_THAW);
        startThaw(signer, terms);
        vm.expectEmit();
        emit IPaymentEscrow.ThawCancelled(started);
        cancelThaw(signer, terms);
        vm.prank(payer);
        escrow.open(terms, 1 ether);
        checkEqual(deposited(terms), 101 ether, "topped up");
        bytes32 id = escrow.escrowId(terms);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.NotThawing.selector, id));
        cancelThaw(signer, terms);
    }

    function test_a_thawing_escrow_takes_no_money_but_pays_claims() external {
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 100 ether);
        bytes32 id = escrow.escrowId(terms);
        startThaw(payer, terms);
        uint64 end = escrow.thawEnd(id);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.AlreadyThawing.selector, id, end));
        vm.prank(payer);
        escrow.open(terms, 1);
        vm.warp(end + 100); // late, but nobody has closed it
        checkEqual(claimRows(makeRow(SIGNER_KEY, terms, 60 ether)), 60 ether, "paid");
        escrow.close(terms);
        checkEqual(escrow.free(payer, address(asset)), 940 ether, "free");
    }

    function test_an_empty_escrow_has_nothing_to_thaw() external {
        IPaymentEscrow.Escrow memory terms = makeTerms(0);
        bytes32 id = escrow.escrowId(terms);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.EscrowEmpty.selector, id));
        startThaw(payer, terms);
    }

    function test_a_closed_escrow_pays_nothing_until_it_is_opened_again() external {
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 100 ether);
        bytes memory row = makeRow(SIGNER_KEY, terms, 80 ether);
        startThaw(payer, terms);
        vm.warp(block.timestamp + MIN_THAW);
        escrow.close(terms);
        checkEqual(claimRows(row), 0, "nothing there");
        vm.prank(payer);
        escrow.open(terms, 50 ether);
        checkEqual(claimRows(row), 50 ether, "a voucher never dies");
    }

    function test_closing_twice_gives_back_once() external {
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 100 ether);
        startThaw(payer, terms);
        vm.warp(block.timestamp + MIN_THAW);
        escrow.close(terms);
        bytes32 id = escrow.escrowId(terms);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.NotThawing.selector, id));
        escrow.close(terms);
        checkEqual(escrow.free(payer, address(asset)), 1_000 ether, "free");
    }

    // ---- Release

    function test_the_provider_and_its_node_key_release_at_once() external {
        registerProvider(address(0));
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 100 ether);
        vm.expectEmit();
        emit IPaymentEscrow.Released(escrow.escrowId(terms), 60 ether, 40 ether);
        vm.prank(node);
        escrow.release(terms, 40 ether);
        checkEqual(escrow.free(payer, address(asset)), 960 ether, "free");
        vm.prank(provider);
        escrow.release(terms, 0);
        checkEqual(escrow.free(payer, address(asset)), 1_000 ether, "all free");
    }

    function test_releasing_again_does_nothing() external {
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 100 ether);
        for (uint256 i = 0; i < 2; i++) {
            vm.prank(provider);
            escrow.release(terms, 40 ether);
        }
        vm.recordLogs();
        vm.prank(provider);
        escrow.release(terms, 40 ether);
        vm.prank(provider);
        escrow.release(terms, 90 ether);
        checkEqual(vm.getRecordedLogs().length, 0, "which emits nothing");
        checkEqual(deposited(terms), 40 ether, "deposited");
        checkEqual(escrow.free(payer, address(asset)), 960 ether, "free");
    }

    function test_what_was_claimed_is_not_released() external {
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 100 ether);
        claimRows(makeRow(SIGNER_KEY, terms, 30 ether));
        bytes32 id = escrow.escrowId(terms);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.ReleaseBelowClaimed.selector, id, 29 ether, 30 ether));
        vm.prank(provider);
        escrow.release(terms, 29 ether);
    }

    function test_nobody_else_releases() external {
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 100 ether);
        // The node key counts only once it is registered, and only for its own provider.
        address[4] memory others = [payer, signer, node, stranger];
        for (uint256 i = 0; i < others.length; i++) {
            vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.NotProvider.selector, others[i], provider));
            vm.prank(others[i]);
            escrow.release(terms, 0);
        }
    }

    function test_a_retired_node_key_no_longer_releases() external {
        registerProvider(address(0));
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 100 ether);
        vm.prank(provider);
        registry.deactivate();
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.NotProvider.selector, node, provider));
        vm.prank(node);
        escrow.release(terms, 0);
    }

    function test_claim_and_release_go_in_one_transaction() external {
        registerProvider(address(0xFA11));
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 100 ether);
        bytes[] memory calls = new bytes[](2);
        calls[0] = abi.encodeCall(
            escrow.claim, (provider, address(asset), bytes32(0), MIN_THAW, makeRow(SIGNER_KEY, terms, 30 ether))
        );
        calls[1] = abi.encodeCall(escrow.release, (terms, 30 ether));
        vm.prank(node);
        escrow.multicall(calls);
        checkEqual(asset.balanceOf(address(0xFA11)), 30 ether, "paid");
        checkEqual(escrow.free(payer, address(asset)), 970 ether, "free");
    }

    // ---- Release by signature

    function test_the_provider_and_its_node_key_sign_releases_that_anyone_submits() external {
        registerProvider(address(0));
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 100 ether);
        IPaymentEscrow.Release memory order = makeRelease(terms, 40 ether, 0);
        bytes memory sig = signRelease(NODE_KEY, order);
        vm.expectEmit();
        emit IPaymentEscrow.Released(escrow.escrowId(terms), 60 ether, 40 ether);
        vm.prank(stranger);
        escrow.releaseBySig(terms, order, node, sig);
        checkTrue(escrow.isNonceUsed(node, 0), "the nonce is used");

        order = makeRelease(terms, 10 ether, 0);
        escrow.releaseBySig(terms, order, provider, signRelease(PROVIDER_KEY, order));
        checkEqual(escrow.free(payer, address(asset)), 990 ether, "free");
    }

    function test_a_signed_release_counts_once_also_when_it_had_nothing_to_do() external {
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 30 ether);
        IPaymentEscrow.Release memory order = makeRelease(terms, 40 ether, 7);
        bytes memory sig = signRelease(PROVIDER_KEY, order);
        escrow.releaseBySig(terms, order, provider, sig);
        checkEqual(deposited(terms), 30 ether, "nothing to give back");
        vm.prank(payer);
        escrow.open(terms, 70 ether);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.NonceAlreadyUsed.selector, provider, 7));
        escrow.releaseBySig(terms, order, provider, sig);
        checkEqual(deposited(terms), 100 ether, "the top-up stays");
    }

    function test_a_signed_release_ends_at_its_deadline() external {
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 100 ether);
        IPaymentEscrow.Release memory order = makeRelease(terms, 40 ether, 0);
        order.deadline = uint64(block.timestamp);
        bytes memory sig = signRelease(PROVIDER_KEY, order);
        vm.warp(block.timestamp + 1);
        vm.expectRevert(
            abi.encodeWithSelector(IPaymentEscrow.SignatureExpired.selector, order.deadline, order.deadline + 1)
        );
        escrow.releaseBySig(terms, order, provider, sig);
        vm.warp(block.timestamp - 1);
        escrow.releaseBySig(terms, order, provider, sig);
        checkEqual(deposited(terms), 40 ether, "in its last second");
    }

    function test_a_signed_release_is_for_one_escrow_and_one_amount() external {
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 100 ether);
        IPaymentEscrow.Escrow memory other = openEscrow(1, 100 ether);
        IPaymentEscrow.Release memory order = makeRelease(terms, 40 ether, 0);
        bytes memory sig = signRelease(PROVIDER_KEY, order);
        bytes32 id = escrow.escrowId(other);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.WrongEscrow.selector, order.escrowId, id));
        escrow.releaseBySig(other, order, provider, sig);
        order.escrowId = id;
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.WrongReleaseSignature.selector, provider));
        escrow.releaseBySig(other, order, provider, sig);
        order = makeRelease(terms, 0, 0);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.WrongReleaseSignature.selector, provider));
        escrow.releaseBySig(terms, order, provider, sig);
    }

    function test_nobody_else_signs_releases_and_no_second_form_counts() external {
        IPaymentEscrow.Escrow memory terms = openEscrow(0, 100 ether);
        IPaymentEscrow.Release memory order = makeRelease(terms, 40 ether, 0);
        address[5] memory others = [payer, signer, node, stranger, address(0)];
        uint256[5] memory keys = [PAYER_KEY, SIGNER_KEY, NODE_KEY, STRANGER_KEY, STRANGER_KEY];
        for (uint256 i = 0; i < others.length; i++) {
            bytes memory sig = signRelease(keys[i], order);
            bytes4 refused = IPaymentEscrow.NotProvider.selector;
            // Unregistered, the provider's node key is zero: no signature counts.
            if (others[i] == address(0)) refused = IPaymentEscrow.WrongReleaseSignature.selector;
            vm.expectPartialRevert(refused);
            escrow.releaseBySig(terms, order, others[i], sig);
            vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.WrongReleaseSignature.selector, provider));
            escrow.releaseBySig(terms, order, provider, sig);
        }
        bytes memory flipped = flip(signRelease(PROVIDER_KEY, order));
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.WrongReleaseSignature.selector, provider));
        escrow.releaseBySig(terms, order, provider, flipped);
    }

    function test_a_release_cannot_be_passed_off_as_an_opening_nor_the_reverse() external {
        IPaymentEscrow.Escrow memory terms = makeTerms(0);
        terms.payer = provider; // who then signs both
        fund(provider, 100 ether);
        IPaymentEscrow.Release memory order = makeRelease(terms, 40 ether, 0);
        IPaymentEscrow.Opening memory opening = makeOpening(terms, 40 ether, 0);
        bytes memory released = signRelease(PROVIDER_KEY, order);
        bytes memory opened = signOpening(PROVIDER_KEY, opening);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.WrongOpeningSignature.selector, provider));
        escrow.openBySig(terms, opening, provider, released);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.WrongReleaseSignature.selector, provider));
        escrow.releaseBySig(terms, order, provider, opened);
        escrow.openBySig(terms, opening, provider, opened);
        vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.NonceAlreadyUsed.selector, provider, 0));
        escrow.releaseBySig(terms, order, provider, released);
    }

    function startThaw(address who, IPaymentEscrow.Escrow memory terms) private {
        vm.prank(who);
        escrow.startThaw(terms);
    }

    function cancelThaw(address who, IPaymentEscrow.Escrow memory terms) private {
        vm.prank(who);
        escrow.cancelThaw(terms);
    }
}
