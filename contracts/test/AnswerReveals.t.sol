// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IAnswerReveals} from "../src/interfaces/IAnswerReveals.sol";
import {ICapacityRegistry} from "../src/interfaces/ICapacityRegistry.sol";
import {IFaultProver} from "../src/interfaces/IFaultProver.sol";
import {MatrixProduct} from "../src/faults/MatrixProduct.sol";
import {Revealing} from "./Revealing.sol";

/// @notice Leaves of recorded answers that anyone asks for, and what follows from what is shown.
contract AnswerRevealsTest is Revealing {
    uint96 private constant FEE = 5 ether;

    // ---- What is asked for is shown

    function test_a_provider_that_shows_what_was_asked_for_gets_the_fee() external {
        setLeaf(2, 37, 201, 0);
        setLeaf(11, 255, 0, 0);
        uint256 id = demand();
        checkEqual(openx.balanceOf(address(reveals)), FEE, "here while it is open");
        checkEqual(reveals.demandOf(id).atBlock, block.number, "where its log is");
        reveal(id);
        checkEqual(stageOf(id), uint256(IAnswerReveals.Stage.Revealed), "revealed");
        checkEqual(openx.balanceOf(provider), FEE, "the provider's payout");
        checkEqual(openx.balanceOf(address(reveals)), 0, "nothing stays here");
        checkEqual(registry.stakeOf(provider), STAKED, "no stake lost");
        checkEqual(verdicts.doubts(CHALLENGE), 0, "no doubt");
    }

    function test_the_fee_goes_to_the_payout_of_the_time_and_is_the_one_of_the_demand() external {
        setLeaf(2, 37, 201, 0);
        uint256 id = demand();
        verdicts.setFee(50 ether);
        vm.prank(provider);
        registry.setPayout(address(0xFA));
        vm.prank(provider);
        reveals.reveal(id, leaves, proofs);
        checkEqual(openx.balanceOf(address(0xFA)), FEE, "payout");
    }

    function test_only_the_provider_and_its_node_reveal() external {
        setLeaf(2, 37, 201, 0);
        uint256 id = demand();
        revealRefused(stranger, id, abi.encodeWithSelector(IAnswerReveals.NotTheProvider.selector, stranger, provider));
        revealRefused(asker, id, abi.encodeWithSelector(IAnswerReveals.NotTheProvider.selector, asker, provider));
        reveal(id);
    }

    function test_a_provider_that_is_deactivated_still_reveals_itself() external {
        setLeaf(2, 37, 201, 0);
        uint256 id = demand();
        vm.prank(provider);
        registry.deactivate();
        revealRefused(node, id, abi.encodeWithSelector(IAnswerReveals.NotTheProvider.selector, node, provider));
        vm.prank(provider);
        reveals.reveal(id, leaves, proofs);
    }

    function test_other_leaves_than_those_asked_for_reveal_nothing() external {
        setLeaf(2, 37, 201, 0);
        setLeaf(3, 5, 0, 0);
        uint256 id = demand();
        bytes32 asked = keccak256(abi.encode(leaves));
        leaves[1].index = 6;
        bytes32 shown = keccak256(abi.encode(leaves));
        revealRefused(node, id, abi.encodeWithSelector(IAnswerReveals.LeavesDiffer.selector, id, shown, asked));
        leaves[1].index = 5;
        proofs.pop();
        revealRefused(node, id, abi.encodeWithSelector(IAnswerReveals.ProofsCount.selector, 1, 2));
        setLeaf(3, 6, 0, 0);
        leaves.pop();
        revealRefused(node, id, abi.encodeWithSelector(IAnswerReveals.NotTheLeaf.selector, 6, 5));
        proofs[1] = proofs[0];
        revealRefused(node, id, abi.encodeWithSelector(IAnswerReveals.NotTheLeaf.selector, 37, 5));
    }

    function test_a_leaf_that_does_not_lead_to_the_recorded_root_is_not_shown() external {
        setLeaf(2, 37, 201, 0);
        uint256 id = demand();
        proofs[0].values[3] ^= 0x01;
        vm.expectPartialRevert(IFaultProver.NotInAnswer.selector);
        vm.prank(node);
        reveals.reveal(id, leaves, proofs);
        proofs[0].values[3] ^= 0x01;
        reveal(id);
    }

    // ---- What is not shown

    function test_what_is_not_shown_in_time_puts_the_capacity_in_doubt_and_costs_no_stake() external {
        setLeaf(2, 37, 201, 0);
        uint256 id = demand();
        uint64 deadline = reveals.demandOf(id).deadline;
        checkEqual(deadline, block.timestamp + reveals.REVEAL_TIME(), "deadline");
        for (uint64 time = deadline - 1; time <= deadline; time++) {
            vm.warp(time);
            vm.expectRevert(abi.encodeWithSelector(IAnswerReveals.TooEarly.selector, id, deadline, time));
            reveals.doubt(id);
        }
        vm.warp(deadline + 1);
        revealRefused(node, id, abi.encodeWithSelector(IAnswerReveals.TooLate.selector, id, deadline, deadline + 1));
        reveals.doubt(id);
        checkEqual(verdicts.doubts(CHALLENGE), 1, "in doubt");
        checkEqual(openx.balanceOf(asker), 100 ether, "the fee is back");
        checkEqual(registry.stakeOf(provider), STAKED, "silence is not slashed");
        checkEqual(stageOf(id), uint256(IAnswerReveals.Stage.Unrevealed), "over");
    }

    function test_what_stands_no_more_is_not_doubted_and_the_log_says_so() external {
        setLeaf(2, 37, 201, 0);
        uint256 stale = demand();
        uint256 good = demand();
        checkEqual(reveals.demandOf(stale).challengeId, CHALLENGE, "what was asked about");
        vm.warp(reveals.demandOf(stale).deadline + 1);
        verdicts.setStanding(false);
        vm.expectEmit();
        emit IAnswerReveals.Unrevealed(stale, provider, false);
        reveals.doubt(stale);
        checkEqual(openx.balanceOf(asker), 100 ether - FEE, "the fee is back all the same");
        verdicts.setStanding(true);
        vm.expectEmit();
        emit IAnswerReveals.Unrevealed(good, provider, true);
        reveals.doubt(good);
        checkEqual(verdicts.doubts(CHALLENGE), 1, "one doubt");
    }

    function test_a_demand_that_was_not_met_is_not_kept() external {
        setLeaf(2, 37, 201, 0);
        uint256 id = demand();
        uint256 other = demand();
        uint256 last = reveals.demandOf(id).deadline + reveals.DOUBT_TIME();
        vm.warp(last);
        reveals.doubt(id);
        checkEqual(verdicts.doubts(CHALLENGE), 1, "in time");
        vm.warp(last + 1);
        vm.expectEmit();
        emit IAnswerReveals.Unrevealed(other, provider, false);
        reveals.doubt(other);
        checkEqual(verdicts.doubts(CHALLENGE), 1, "too late");
        checkEqual(openx.balanceOf(asker), 100 ether, "both fees are back");
    }

    function test_the_last_second_counts() external {
        setLeaf(2, 37, 201, 0);
        uint256 id = demand();
        vm.warp(reveals.demandOf(id).deadline);
        reveal(id);
    }

    function test_a_demand_ends_once() external {
        setLeaf(2, 37, 201, 1);
        uint256 id = demand();
        vm.warp(block.timestamp + 1 days + 1);
        reveals.doubt(id);
        bytes memory over =
            abi.encodeWithSelector(IAnswerReveals.WrongStage.selector, id, IAnswerReveals.Stage.Unrevealed);
        revealRefused(node, id, over);
        vm.expectRevert(over);
        reveals.doubt(id);
        proofRefused(id, over);
        checkEqual(openx.balanceOf(asker), 100 ether, "one fee, once");
    }

    function test_what_was_shown_is_no_longer_in_doubt() external {
        setLeaf(2, 37, 201, 0);
        uint256 id = demand();
        reveal(id);
        bytes memory over =
            abi.encodeWithSelector(IAnswerReveals.WrongStage.selector, id, IAnswerReveals.Stage.Revealed);
        revealRefused(node, id, over);
        vm.warp(block.timestamp + 1 days + 1);
        vm.expectRevert(over);
        reveals.doubt(id);
    }

    function test_there_is_no_demand_of_a_number_that_was_never_given() external {
        bytes memory none = abi.encodeWithSelector(IAnswerReveals.WrongStage.selector, 1, IAnswerReveals.Stage.None);
        revealRefused(node, 1, none);
        vm.expectRevert(none);
        reveals.doubt(1);
        setLeaf(2, 37, 201, 0);
        proofRefused(1, none);
        checkEqual(demand(), 1, "the first");
        checkEqual(demand(), 2, "the second");
        checkEqual(reveals.demandCount(), 2, "two");
    }

    // ---- Wrong elements

    function test_a_wrong_element_that_was_shown_is_slashed_without_a_signature() external {
        setLeaf(2, 37, 201, 0);
        setLeaf(3, 5, 17, -1);
        uint256 id = demand();
        reveal(id);
        uint256 supply = openx.totalSupply();
        uint256 slashed = reveals.proveRevealed(id, leaves, 1, proofs[1]);
        checkEqual(slashed, STAKED / 2, "half");
        checkEqual(registry.stakeOf(provider), STAKED / 2, "of the stake");
        checkEqual(openx.balanceOf(asker), 100 ether - FEE + STAKED / 20, "the tenth is the payer's");
        checkEqual(supply - openx.totalSupply(), STAKED / 2 - STAKED / 20, "the rest is burned");
        proofRefused(
            id, abi.encodeWithSelector(IAnswerReveals.WrongStage.selector, id, IAnswerReveals.Stage.ProvenWrong)
        );
    }

    function test_copying_the_proof_pays_the_one_who_asked() external {
        setLeaf(3, 5, 17, 4);
        uint256 id = demand();
        reveal(id);
        vm.prank(stranger);
        reveals.proveRevealed(id, leaves, 0, proofs[0]);
        checkEqual(openx.balanceOf(stranger), 0, "nothing for the copy");
        checkTrue(openx.balanceOf(asker) > 500 ether, "the payer's tenth");
    }

    function test_a_right_element_proves_nothing(uint32 device, uint64 index, uint8 column) external {
        (device, index) = (uint32(within(device, 0, 11)), uint64(within(index, 0, 255)));
        setLeaf(device, index, column, 0);
        uint256 id = demand();
        reveal(id);
        int256 right = MatrixProduct.element(leaves[0].seed, N, index, column);
        proofRefused(id, abi.encodeWithSelector(IFaultProver.ElementIsRight.selector, index, column, right));
    }

    function test_a_wrong_element_that_was_never_shown_proves_nothing() external {
        setLeaf(3, 5, 17, 1);
        uint256 id = demand();
        proofRefused(id, abi.encodeWithSelector(IAnswerReveals.WrongStage.selector, id, IAnswerReveals.Stage.Demanded));
    }

    function test_a_proof_is_about_a_leaf_that_was_asked_for() external {
        setLeaf(2, 37, 201, 1);
        setLeaf(3, 5, 17, 0);
        uint256 id = demand();
        reveal(id);
        vm.expectRevert(abi.encodeWithSelector(IAnswerReveals.NotTheLeaf.selector, 37, 5));
        reveals.proveRevealed(id, leaves, 1, proofs[0]);
        bytes32 asked = keccak256(abi.encode(leaves));
        leaves[0].seed = keccak256("another");
        bytes32 shown = keccak256(abi.encode(leaves));
        proofRefused(id, abi.encodeWithSelector(IAnswerReveals.LeavesDiffer.selector, id, shown, asked));
        leaves[0].seed = keccak256(abi.encode(CHALLENGE, uint32(2)));
        proofs[0].values[0] ^= 0x40;
        vm.expectPartialRevert(IFaultProver.NotInAnswer.selector);
        reveals.proveRevealed(id, leaves, 0, proofs[0]);
    }

    /// @dev The roots that a panel recorded are not the provider's: it cannot show leaves under them, and so nothing is proved.
    function test_a_panel_that_records_other_roots_cannot_have_the_provider_slashed() external {
        setLeaf(3, 5, 17, 1); // the panel's own tree, wrong on purpose
        uint256 id = demand();
        revealRefused(
            verdictsPanel(),
            id,
            abi.encodeWithSelector(IAnswerReveals.NotTheProvider.selector, verdictsPanel(), provider)
        );
        proofRefused(id, abi.encodeWithSelector(IAnswerReveals.WrongStage.selector, id, IAnswerReveals.Stage.Demanded));
        vm.warp(block.timestamp + 1 days + 1);
        reveals.doubt(id);
        checkEqual(registry.stakeOf(provider), STAKED, "in doubt, and not more");
    }

    // ---- What may be asked for

    function test_only_answers_that_were_passed_are_asked_for() external {
        setLeaf(2, 37, 201, 0);
        for (uint8 stage = 0; stage <= uint8(ICapacityRegistry.Stage.Lapsed); stage++) {
            ICapacityRegistry.Stage now_ = ICapacityRegistry.Stage(stage);
            if (now_ == ICapacityRegistry.Stage.Passed) continue;
            verdicts.give(provider, now_, keccak256(abi.encodePacked(roots)));
            demandRefused(abi.encodeWithSelector(IAnswerReveals.NotPassed.selector, CHALLENGE, now_));
        }
    }

    function test_a_demand_comes_within_a_day_of_the_challenges_deadline() external {
        setLeaf(2, 37, 201, 0);
        uint256 until = verdicts.deadline() + reveals.REVEAL_WINDOW();
        vm.warp(until);
        demand();
        vm.warp(until + 1);
        demandRefused(abi.encodeWithSelector(IAnswerReveals.WindowOver.selector, CHALLENGE, until, until + 1));
    }

    function test_the_roots_are_those_that_were_recorded() external {
        setLeaf(2, 37, 201, 0);
        bytes32 recorded = keccak256(abi.encodePacked(roots));
        roots[5] = keccak256("another");
        bytes32 shown = keccak256(abi.encodePacked(roots));
        demandRefused(abi.encodeWithSelector(IAnswerReveals.RootsNotRecorded.selector, shown, recorded));
    }

    function test_one_to_eight_leaves_that_there_are() external {
        setLeaf(2, 37, 201, 0);
        places.pop();
        demandRefused(abi.encodeWithSelector(IAnswerReveals.PlacesCount.selector, 0, 8));
        for (uint32 i = 0; i < 8; i++) {
            places.push(IAnswerReveals.Place(i, 255));
        }
        demand();
        places.push(IAnswerReveals.Place(8, 255));
        demandRefused(abi.encodeWithSelector(IAnswerReveals.PlacesCount.selector, 9, 8));
        places.pop();
        places[7].index = 256;
        demandRefused(abi.encodeWithSelector(IAnswerReveals.NoSuchPlace.selector, 7, 256));
        places[7] = IAnswerReveals.Place(12, 0);
        demandRefused(abi.encodeWithSelector(IAnswerReveals.NoSuchPlace.selector, 12, 0));
    }

    function test_the_leaves_that_are_asked_for_are_in_the_log() external {
        setLeaf(2, 37, 201, 0);
        setLeaf(3, 5, 17, 0);
        vm.expectEmit();
        emit IAnswerReveals.Demanded(
            1, CHALLENGE, provider, asker, FEE, uint64(block.timestamp + reveals.REVEAL_TIME()), leaves
        );
        demand();
    }

    function test_a_provider_that_asks_itself_keeps_nobody_out() external {
        setLeaf(2, 37, 201, 0);
        giveOpenx(provider, 20 ether);
        vm.prank(provider);
        openx.approve(address(reveals), 20 ether);
        for (uint256 i = 0; i < 4; i++) {
            vm.prank(provider);
            reveals.demand(CHALLENGE, roots, places);
        }
        uint256 id = demand();
        checkEqual(openx.balanceOf(address(reveals)), 5 * FEE, "the fees of what is open");
        reveal(id);
        checkEqual(openx.balanceOf(address(reveals)), 4 * FEE, "of what is still open");
    }

    function test_nothing_is_asked_for_without_the_fee() external {
        setLeaf(2, 37, 201, 0);
        vm.prank(asker);
        checkTrue(openx.transfer(treasury, 96 ether), "spent");
        vm.expectRevert();
        vm.prank(asker);
        reveals.demand(CHALLENGE, roots, places);
        checkEqual(reveals.demandCount(), 0, "no demand");
    }

    function test_what_may_be_asked_for_how_long_and_what_a_wrong_leaf_costs() external view {
        checkEqual(reveals.REVEAL_WINDOW(), 1 days, "window");
        checkEqual(reveals.REVEAL_TIME(), 1 days, "time");
        checkEqual(reveals.MAX_PLACES(), 8, "places");
        checkEqual(reveals.WRONG_ELEMENT_PPM(), 500_000, "ppm");
        checkEqual(address(reveals.registry()), address(registry), "registry");
        checkEqual(address(reveals.capacity()), address(verdicts), "capacity");
    }

    function test_it_knows_both_registries() external {
        vm.expectRevert(IAnswerReveals.ZeroAddress.selector);
        this.make(address(0), address(verdicts));
        vm.expectRevert(IAnswerReveals.ZeroAddress.selector);
        this.make(address(registry), address(0));
        checkEqual(address(reveals.openx()), address(openx), "the registry's OPENX");
    }

    function make(address registry_, address verdicts_) external returns (address) {
        return deploy(creationCode("AnswerReveals", abi.encode(registry_, verdicts_)));
    }

    function verdictsPanel() private pure returns (address) {
        return address(0xBAD);
    }
}
