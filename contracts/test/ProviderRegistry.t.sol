// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IProviderRegistry} from "../src/interfaces/IProviderRegistry.sol";
import {Vm} from "./Bench.sol";
import {Market} from "./Market.sol";

contract ProviderRegistryTest is Market {
    uint256 private constant NEW_NODE_KEY = 0x40DE2;
    address private newNode = vm.addr(NEW_NODE_KEY);

    function setUp() public override {
        super.setUp();
        vm.prank(treasury);
        openx.transfer(provider, 100 ether);
        vm.prank(provider);
        openx.approve(address(registry), type(uint256).max);
    }

    // ---- Node keys

    function test_registering_names_node_key_and_payout() external {
        registerProvider(address(0xFA11));
        checkEqual(registry.providerOf(node), provider, "provider");
        checkEqual(registry.nodeKeyOf(provider), node, "node key");
        checkEqual(registry.payoutOf(provider), address(0xFA11), "payout");
        checkEqual(registry.nonces(provider), 1, "nonce");
    }

    function test_every_act_emits_its_event() external {
        vm.recordLogs();
        registerProvider(address(0xFA11));
        isEmitted(IProviderRegistry.ProviderRegistered.selector, node, abi.encode(address(0xFA11)));

        bytes memory proof = signNodeKey(NEW_NODE_KEY, provider, newNode, 1, FAR);
        vm.expectEmit();
        emit IProviderRegistry.NodeKeyRotated(provider, node, newNode);
        vm.prank(provider);
        registry.rotateNodeKey(newNode, FAR, proof);

        vm.expectEmit();
        emit IProviderRegistry.PayoutSet(provider, address(0xFA12));
        vm.prank(provider);
        registry.setPayout(address(0xFA12));
        checkEqual(registry.payoutOf(provider), address(0xFA12), "payout");

        vm.expectEmit();
        emit IProviderRegistry.ProviderDeactivated(provider, newNode);
        vm.prank(provider);
        registry.deactivate();

        vm.prank(treasury);
        openx.transfer(stranger, 3);
        vm.prank(stranger);
        openx.approve(address(registry), 3);
        vm.prank(provider);
        registry.stake(10);
        vm.expectEmit();
        emit IProviderRegistry.Staked(provider, stranger, IProviderRegistry.Role.Provider, 3, 13);
        vm.prank(stranger);
        registry.stakeFor(provider, 3);

        vm.prank(provider);
        registry.startUnstake(2);
        vm.expectEmit();
        emit IProviderRegistry.UnstakeStarted(
            provider, IProviderRegistry.Role.Provider, 1, 10, 3, uint64(block.timestamp) + STAKE_THAW
        );
        vm.prank(provider);
        registry.startUnstake(1);
    }

    function test_a_proof_is_good_in_its_last_second() external {
        uint64 deadline = uint64(block.timestamp);
        bytes memory proof = signNodeKey(NODE_KEY, provider, node, 0, deadline);
        vm.prank(provider);
        registry.register(node, address(0), deadline, proof);
        checkEqual(registry.nodeKeyOf(provider), node, "registered");
    }

    function test_payout_is_the_provider_itself_unless_named() external {
        checkEqual(registry.payoutOf(provider), provider, "before registering");
        registerProvider(address(0));
        checkEqual(registry.payoutOf(provider), provider, "after registering");
    }

    function test_nobody_registers_twice() external {
        registerProvider(address(0));
        bytes memory proof = signNodeKey(NEW_NODE_KEY, provider, newNode, 1, FAR);
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.AlreadyRegistered.selector, provider, node));
        vm.prank(provider);
        registry.register(newNode, address(0), FAR, proof);
    }

    function test_a_node_key_must_sign_for_the_caller() external {
        // The proof was made for the provider; a stranger who saw it cannot use it.
        bytes memory proof = signNodeKey(NODE_KEY, provider, node, 0, FAR);
        vm.expectPartialRevert(IProviderRegistry.WrongNodeKeySignature.selector);
        vm.prank(stranger);
        registry.register(node, address(0), FAR, proof);
    }

    function test_another_keys_proof_is_refused() external {
        bytes memory proof = signNodeKey(STRANGER_KEY, provider, node, 0, FAR);
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.WrongNodeKeySignature.selector, stranger, node));
        vm.prank(provider);
        registry.register(node, address(0), FAR, proof);
    }

    function test_a_proof_ends_at_its_deadline() external {
        uint64 deadline = uint64(block.timestamp);
        bytes memory proof = signNodeKey(NODE_KEY, provider, node, 0, deadline);
        vm.warp(deadline + 1);
        vm.expectRevert(
            abi.encodeWithSelector(IProviderRegistry.SignatureExpired.selector, deadline, uint256(deadline) + 1)
        );
        vm.prank(provider);
        registry.register(node, address(0), deadline, proof);
    }

    function test_a_proof_counts_once() external {
        bytes memory proof = signNodeKey(NODE_KEY, provider, node, 0, FAR);
        vm.prank(provider);
        registry.register(node, address(0), FAR, proof);
        vm.prank(provider);
        registry.deactivate();
        vm.expectPartialRevert(IProviderRegistry.WrongNodeKeySignature.selector);
        vm.prank(provider);
        registry.register(node, address(0), FAR, proof);
    }

    function test_a_node_key_never_serves_a_second_provider() external {
        registerProvider(address(0));
        vm.prank(provider);
        registry.deactivate();
        bytes memory proof = signNodeKey(NODE_KEY, stranger, node, 0, FAR);
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.NodeKeyTaken.selector, node, provider));
        vm.prank(stranger);
        registry.register(node, address(0), FAR, proof);
    }

    function test_rotation_retires_the_old_key_and_remembers_its_author() external {
        registerProvider(address(0));
        bytes memory proof = signNodeKey(NEW_NODE_KEY, provider, newNode, 1, FAR);
        vm.prank(provider);
        registry.rotateNodeKey(newNode, FAR, proof);
        checkEqual(registry.nodeKeyOf(provider), newNode, "node key");
        checkEqual(registry.providerOf(newNode), provider, "the new key serves");
        checkEqual(registry.providerOf(node), address(0), "the old key does not");
        checkEqual(registry.boundProviderOf(node), provider, "and yet no other may ever bind it");
    }

    // ---- A key's authority in time

    function test_a_key_answers_from_when_it_was_bound() external {
        uint64 bound = uint64(block.timestamp);
        checkEqual(registry.authorOf(node, bound), address(0), "never bound");
        registerProvider(address(0));
        checkEqual(registry.authorOf(node, bound - 1), address(0), "before it was bound");
        checkEqual(registry.authorOf(node, bound), provider, "from that second on");
        vm.warp(bound + 400 days);
        checkEqual(registry.authorOf(node, bound), provider, "as long as it is bound");
        (uint64 since, uint64 until) = registry.keyTimeOf(node);
        checkEqual(since, bound, "since");
        checkEqual(until, 0, "bound still");
    }

    function test_documents_of_the_future_prove_nothing() external {
        registerProvider(address(0));
        uint256 last = block.timestamp + registry.MAX_AHEAD();
        checkEqual(registry.MAX_AHEAD(), 1 hours, "a clock that is ahead");
        checkEqual(registry.authorOf(node, last), provider, "as far as that");
        checkEqual(registry.authorOf(node, last + 1), address(0), "no further");
        checkEqual(registry.authorOf(node, type(uint256).max), address(0), "nor at the end of time");
    }

    /// @dev A key that was stolen, and replaced: what its thief dates later is nobody's, what is dated before counts for a thaw.
    function test_a_replaced_key_answers_for_what_it_signed_before_and_only_while_stake_thaws() external {
        registerProvider(address(0));
        uint64 bound = uint64(block.timestamp);
        vm.warp(bound + 10 days);
        rotate();
        uint64 taken = uint64(block.timestamp);
        checkEqual(registry.authorOf(node, taken), provider, "until that second");
        checkEqual(registry.authorOf(node, taken + 1), address(0), "nothing later");
        checkEqual(registry.authorOf(newNode, taken), provider, "the new key from then on");
        checkEqual(registry.authorOf(newNode, taken - 1), address(0), "and not before");
        (uint64 since, uint64 until) = registry.keyTimeOf(node);
        checkEqual(since, bound, "since");
        checkEqual(until, taken, "until");

        vm.warp(taken + STAKE_THAW);
        checkEqual(registry.authorOf(node, bound), provider, "as long as stake that left then is still here");
        vm.warp(taken + STAKE_THAW + 1);
        checkEqual(registry.authorOf(node, bound), address(0), "and no longer");
        checkEqual(registry.authorOf(newNode, taken), provider, "the new key answers");
    }

    function test_a_provider_that_leaves_answers_for_a_thaw() external {
        registerProvider(address(0));
        uint64 bound = uint64(block.timestamp);
        vm.warp(bound + 1 days);
        vm.prank(provider);
        registry.deactivate();
        vm.warp(bound + 1 days + STAKE_THAW);
        checkEqual(registry.authorOf(node, bound + 1 days), provider, "in the last second");
        vm.warp(block.timestamp + 1);
        checkEqual(registry.authorOf(node, bound + 1 days), address(0), "over");
    }

    /// @dev Else a provider would shed what its key signed by leaving for a moment.
    function test_a_key_that_comes_back_in_time_answers_for_everything_since_it_was_first_bound() external {
        registerProvider(address(0));
        uint64 bound = uint64(block.timestamp);
        vm.warp(bound + 1 days);
        vm.prank(provider);
        registry.deactivate();
        vm.warp(block.timestamp + STAKE_THAW);
        registerProvider(address(0));
        vm.warp(block.timestamp + 100 days);
        checkEqual(registry.authorOf(node, bound), provider, "before it left");
        checkEqual(registry.authorOf(node, bound + 2 days), provider, "vouched for, also while it was away");
    }

    function test_a_key_that_comes_back_after_its_documents_lapsed_begins_anew() external {
        registerProvider(address(0));
        uint64 bound = uint64(block.timestamp);
        vm.prank(provider);
        registry.deactivate();
        vm.warp(bound + STAKE_THAW + 1);
        registerProvider(address(0));
        checkEqual(registry.authorOf(node, bound), address(0), "what lapsed stays lapsed");
        checkEqual(registry.authorOf(node, block.timestamp), provider, "from now on");
    }

    function test_a_key_rotated_to_itself_stays_bound() external {
        registerProvider(address(0));
        uint64 bound = uint64(block.timestamp);
        vm.warp(bound + 1 days);
        bytes memory proof = signNodeKey(NODE_KEY, provider, node, 1, FAR);
        vm.prank(provider);
        registry.rotateNodeKey(node, FAR, proof);
        (uint64 since, uint64 until) = registry.keyTimeOf(node);
        checkEqual(since, bound, "since");
        checkEqual(until, 0, "bound");
    }

    /// @dev At any time, one key of a provider answers for what is dated now, and it is the one that serves.
    function testFuzz_what_is_signed_now_has_the_author_that_the_key_serves(uint256[8] calldata acts) external {
        registerProvider(address(0));
        for (uint256 i = 0; i < acts.length; i++) {
            uint256 time = within(acts[i] >> 8, 1, 2 * uint256(STAKE_THAW));
            if (acts[i] % 3 == 0) comeOrGo();
            else if (acts[i] % 3 == 1 && registry.nodeKeyOf(provider) == node) rotate();
            vm.warp(block.timestamp + time);
            checkEqual(registry.authorOf(node, block.timestamp), registry.providerOf(node), "the first key");
            checkEqual(registry.authorOf(newNode, block.timestamp), registry.providerOf(newNode), "the other key");
        }
    }

    // ---- Payouts that are not theirs

    function test_a_payout_that_could_not_give_money_back_is_refused() external {
        address[] memory ours = new address[](1);
        ours[0] = address(escrow);
        registry.connect(makeJudges(stranger, 1), noHolds(), ours, stranger);
        address[3] memory wrong = [address(escrow), address(registry), address(openx)];
        bytes memory proof = signNodeKey(NODE_KEY, provider, node, 0, FAR);
        for (uint256 i = 0; i < wrong.length; i++) {
            bytes memory reason = abi.encodeWithSelector(IProviderRegistry.NotPayable.selector, wrong[i]);
            vm.expectRevert(reason);
            vm.prank(provider);
            registry.setPayout(wrong[i]);
            vm.expectRevert(reason);
            vm.prank(provider);
            registry.register(node, wrong[i], FAR, proof);
        }
        checkEqual(registry.payoutOf(provider), provider, "as it was");
        checkEqual(registry.nodeKeyOf(provider), address(0), "not registered");
        vm.prank(provider);
        registry.setPayout(stranger);
        checkEqual(registry.payoutOf(provider), stranger, "any other");
        vm.prank(provider);
        registry.setPayout(address(0));
        checkEqual(registry.payoutOf(provider), provider, "and its own");
    }

    function test_only_a_registered_provider_rotates_or_deactivates() external {
        bytes memory proof = signNodeKey(NODE_KEY, provider, node, 0, FAR);
        bytes memory refused = abi.encodeWithSelector(IProviderRegistry.NotRegistered.selector, provider);
        vm.expectRevert(refused);
        vm.prank(provider);
        registry.rotateNodeKey(node, FAR, proof);
        vm.expectRevert(refused);
        vm.prank(provider);
        registry.deactivate();
    }

    function test_the_node_key_moves_neither_payout_nor_stake_nor_itself() external {
        registerProvider(address(0xFA11));
        vm.prank(provider);
        registry.stake(10 ether);

        vm.prank(node);
        registry.setPayout(node);
        checkEqual(registry.payoutOf(provider), address(0xFA11), "the payout it set is its own");

        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.NotEnoughStake.selector, 1, 0));
        vm.prank(node);
        registry.startUnstake(1);

        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.NotRegistered.selector, node));
        vm.prank(node);
        registry.deactivate();
    }

    function test_deactivating_keeps_stake_and_payout() external {
        registerProvider(address(0xFA11));
        vm.prank(provider);
        registry.stake(10 ether);
        vm.prank(provider);
        registry.deactivate();
        checkEqual(registry.providerOf(node), address(0), "no provider");
        checkEqual(registry.stakeOf(provider), 10 ether, "stake");
        checkEqual(registry.payoutOf(provider), address(0xFA11), "payout");
        registerProvider(address(0));
        checkEqual(registry.providerOf(node), provider, "the same key comes back");
    }

    function test_high_s_signature_is_refused() external {
        bytes memory proof = flip(signNodeKey(NODE_KEY, provider, node, 0, FAR));
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.WrongNodeKeySignature.selector, address(0), node));
        vm.prank(provider);
        registry.register(node, address(0), FAR, proof);
    }

    function test_zero_node_key_is_refused() external {
        vm.expectRevert(IProviderRegistry.ZeroAddress.selector);
        vm.prank(provider);
        registry.register(address(0), address(0), FAR, new bytes(65));
    }

    // ---- Stake

    function test_stake_is_counted_and_held() external {
        vm.prank(provider);
        registry.stake(10 ether);
        checkEqual(registry.stakeOf(provider), 10 ether, "stake");
        checkEqual(openx.balanceOf(address(registry)), 10 ether, "held");
    }

    function test_unstaking_stops_counting_at_once_and_pays_after_the_thaw() external {
        vm.prank(provider);
        registry.stake(10 ether);
        vm.prank(provider);
        registry.startUnstake(4 ether);
        checkEqual(registry.stakeOf(provider), 6 ether, "counts no more");

        uint64 end = uint64(block.timestamp) + STAKE_THAW;
        vm.warp(end - 1);
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.StakeStillThaws.selector, end, end - 1));
        vm.prank(provider);
        registry.withdrawStake();

        vm.warp(end);
        vm.prank(provider);
        checkEqual(registry.withdrawStake(), 4 ether, "withdrawn");
        checkEqual(openx.balanceOf(provider), 94 ether, "paid");

        vm.expectRevert(
            abi.encodeWithSelector(IProviderRegistry.NothingThaws.selector, provider, IProviderRegistry.Role.Provider)
        );
        vm.prank(provider);
        registry.withdrawStake();
    }

    function test_dust_from_a_stranger_does_not_move_the_thaw() external {
        vm.prank(provider);
        registry.stake(10 ether);
        vm.prank(provider);
        registry.startUnstake(10 ether);
        uint64 end = registry.stakeDetails(provider).thawEnd;

        vm.warp(block.timestamp + 1 days);
        vm.prank(treasury);
        openx.transfer(stranger, 1);
        vm.prank(stranger);
        openx.approve(address(registry), 1);
        vm.prank(stranger);
        registry.stakeFor(provider, 1);
        checkEqual(registry.stakeDetails(provider).thawEnd, end, "end");
        checkEqual(registry.stakeOf(provider), 1, "the gift is stake");
    }

    function test_unstaking_more_thaws_everything_anew() external {
        vm.prank(provider);
        registry.stake(10 ether);
        vm.prank(provider);
        registry.startUnstake(4 ether);
        vm.warp(block.timestamp + 1 days);
        vm.prank(provider);
        registry.startUnstake(1 ether);
        checkEqual(registry.stakeDetails(provider).thawing, 5 ether, "thawing");
        checkEqual(registry.stakeDetails(provider).thawEnd, block.timestamp + STAKE_THAW, "end");
    }

    function test_nobody_unstakes_more_than_is_there() external {
        vm.prank(provider);
        registry.stake(10 ether);
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.NotEnoughStake.selector, 11 ether, 10 ether));
        vm.prank(provider);
        registry.startUnstake(11 ether);
    }

    function test_zero_amounts_are_refused() external {
        vm.expectRevert(IProviderRegistry.ZeroAmount.selector);
        registry.stake(0);
        vm.expectRevert(IProviderRegistry.ZeroAmount.selector);
        registry.startUnstake(0);
        vm.expectRevert(IProviderRegistry.ZeroAddress.selector);
        registry.stakeFor(address(0), 1);
        vm.expectRevert(IProviderRegistry.ZeroAddress.selector);
        registry.stakeInto(address(0), IProviderRegistry.Role.Verifier, 1);
    }

    function test_the_stake_thaw_is_bounded() external {
        uint32 most = registry.MAX_STAKE_THAW();
        checkEqual(most, 90 days, "the most");
        deploy(registryCode(most));
        deploy(registryCode(1));
        uint32[2] memory wrong = [0, most + 1];
        for (uint256 i = 0; i < wrong.length; i++) {
            bytes memory code = registryCode(wrong[i]);
            vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.StakeThawOutOfBounds.selector, wrong[i], most));
            deploy(code);
        }
    }

    function testFuzz_stake_held_is_stake_counted_plus_thawing(uint256 staked, uint256 first, uint256 second) external {
        staked = within(staked, 2, 100 ether);
        first = within(first, 1, staked - 1);
        second = within(second, 1, staked - first);
        vm.prank(provider);
        registry.stake(staked);
        vm.prank(provider);
        registry.startUnstake(first);
        vm.prank(provider);
        registry.startUnstake(second);
        IProviderRegistry.Stake memory held = registry.stakeDetails(provider);
        checkEqual(openx.balanceOf(address(registry)), uint256(held.staked) + held.thawing, "held");
    }

    function rotate() private {
        bytes memory proof = signNodeKey(NEW_NODE_KEY, provider, newNode, registry.nonces(provider), FAR);
        vm.prank(provider);
        registry.rotateNodeKey(newNode, FAR, proof);
    }

    function comeOrGo() private {
        if (registry.nodeKeyOf(provider) == address(0)) return registerProvider(address(0));
        vm.prank(provider);
        registry.deactivate();
    }

    /// @dev The first log since {recordLogs} of the registry.
    function isEmitted(bytes32 topic, address subject, bytes memory data) private {
        Vm.Log memory emitted = vm.getRecordedLogs()[0];
        checkEqual(emitted.topics[0], topic, "event");
        checkEqual(emitted.topics[1], bytes32(uint256(uint160(provider))), "provider");
        checkEqual(emitted.topics[2], bytes32(uint256(uint160(subject))), "subject");
        checkEqual(keccak256(emitted.data), keccak256(data), "data");
    }
}
