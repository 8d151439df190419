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
        emit IProviderRegistry.Staked(provider, stranger, 3, 13);
        vm.prank(stranger);
        registry.stakeFor(provider, 3);

        vm.prank(provider);
        registry.startUnstake(2);
        vm.expectEmit();
        emit IProviderRegistry.UnstakeStarted(provider, 1, 10, 3, uint64(block.timestamp) + STAKE_THAW);
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
        checkEqual(registry.boundProviderOf(node), provider, "but what it signed has an author");
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

        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.NothingThaws.selector, provider));
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

    /// @dev The first log since {recordLogs} of the registry.
    function isEmitted(bytes32 topic, address subject, bytes memory data) private {
        Vm.Log memory emitted = vm.getRecordedLogs()[0];
        checkEqual(emitted.topics[0], topic, "event");
        checkEqual(emitted.topics[1], bytes32(uint256(uint160(provider))), "provider");
        checkEqual(emitted.topics[2], bytes32(uint256(uint160(subject))), "subject");
        checkEqual(keccak256(emitted.data), keccak256(data), "data");
    }
}
