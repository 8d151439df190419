// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ProviderRegistry} from "../src/money/ProviderRegistry.sol";
import {IProviderRegistry} from "../src/interfaces/IProviderRegistry.sol";
import {IStakeHold} from "../src/interfaces/IStakeHold.sol";
import {Providing} from "./Providing.sol";

/// @notice A hold that never answers.
contract DeadHold {}

/// @notice Who is connected to the registry, and the stake that holds keep.
contract HoldingTest is Providing {
    // ---- Connecting

    function test_the_connector_connects_once_and_has_no_power_after() external {
        registry = ProviderRegistry(deploy(registryCode(STAKE_THAW)));
        checkEqual(registry.connector(), address(this), "connector");
        checkEqual(registry.slasher(), address(0), "nobody slashes yet");
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.NotConnector.selector, stranger));
        vm.prank(stranger);
        registry.connect(stranger, new IStakeHold[](0));

        vm.expectEmit();
        emit IProviderRegistry.Connected(slasher, holds());
        registry.connect(slasher, holds());
        checkEqual(registry.slasher(), slasher, "slasher");
        checkEqual(registry.holdsOf().length, 3, "holds");
        checkEqual(address(registry.holdsOf()[1]), address(tcpu), "the second");
        checkTrue(registry.isHold(address(tgpu)) && !registry.isHold(stranger), "who is a hold");

        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.AlreadyConnected.selector, slasher));
        registry.connect(stranger, new IStakeHold[](0));
    }

    function test_what_cannot_be_connected_is_refused() external {
        registry = ProviderRegistry(deploy(registryCode(STAKE_THAW)));
        vm.expectRevert(IProviderRegistry.ZeroAddress.selector);
        registry.connect(address(0), holds());

        IStakeHold[] memory wrong = holds();
        wrong[1] = IStakeHold(address(0));
        vm.expectRevert(IProviderRegistry.ZeroAddress.selector);
        registry.connect(slasher, wrong);

        // Twice would hold twice.
        wrong[1] = wrong[0];
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.HoldTwice.selector, wrong[0]));
        registry.connect(slasher, wrong);

        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.TooManyHolds.selector, 9, 8));
        registry.connect(slasher, new IStakeHold[](9));
        checkEqual(registry.slasher(), address(0), "nothing stuck");
    }

    function test_eight_holds_are_the_most() external {
        registry = ProviderRegistry(deploy(registryCode(STAKE_THAW)));
        IStakeHold[] memory most = new IStakeHold[](8);
        for (uint160 i = 0; i < 8; i++) {
            most[i] = IStakeHold(address(1 + i));
        }
        registry.connect(slasher, most);
        checkEqual(registry.holdsOf().length, registry.MAX_HOLDS(), "all connected");
    }

    function test_a_registry_is_made_with_a_token_and_a_connector() external {
        bytes memory code = creationCode("ProviderRegistry", abi.encode(address(0), STAKE_THAW, address(this)));
        vm.expectRevert(IProviderRegistry.ZeroAddress.selector);
        deploy(code);
        code = creationCode("ProviderRegistry", abi.encode(openx, STAKE_THAW, address(0)));
        vm.expectRevert(IProviderRegistry.ZeroAddress.selector);
        deploy(code);
    }

    // ---- Held stake

    function test_surplus_stake_may_leave_and_held_stake_may_not() external {
        mintAs(provider, tgpu, 100 ether);
        capacity.hold(provider, 50 ether);
        checkEqual(registry.heldStakeOf(provider), 250 ether, "the sum over the holds");
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.StakeHeld.selector, provider, 250 ether, STAKED));
        vm.prank(provider);
        registry.startUnstake(STAKED - 250 ether + 1);
        unstakeAs(provider, STAKED - 250 ether);
        checkEqual(registry.stakeOf(provider), 250 ether, "what is held stays");
    }

    function test_stake_leaves_once_nothing_is_outstanding() external {
        mintAs(provider, tgpu, 100 ether);
        burnAs(provider, tgpu, provider, 100 ether);
        unstakeAs(provider, STAKED);
        vm.warp(block.timestamp + STAKE_THAW);
        vm.prank(provider);
        checkEqual(registry.withdrawStake(), STAKED, "all of it");
    }

    function test_thawed_stake_that_is_needed_by_then_goes_back_to_stake() external {
        mintAs(provider, tgpu, 100 ether);
        unstakeAs(provider, STAKED - 200 ether);
        // The governed rate rises while it thaws: 100 credits need 300 now.
        vm.warp(block.timestamp + STAKE_THAW);
        tgpu.setCollateralRatio(3 ether);
        vm.expectEmit();
        emit IProviderRegistry.StakeKept(provider, 100 ether, 300 ether);
        vm.expectEmit();
        emit IProviderRegistry.StakeWithdrawn(provider, STAKED - 300 ether);
        vm.prank(provider);
        checkEqual(registry.withdrawStake(), STAKED - 300 ether, "the rest");
        checkEqual(registry.stakeOf(provider), 300 ether, "staked again");
        checkEqual(registry.stakeDetails(provider).thawEnd, 0, "nothing thaws");
        checkEqual(openx.balanceOf(address(registry)), 300 ether, "held here");
    }

    function test_no_more_goes_back_than_thawed() external {
        unstakeAs(provider, 10 ether);
        capacity.hold(provider, STAKED + 5 ether);
        vm.warp(block.timestamp + STAKE_THAW);
        vm.prank(provider);
        checkEqual(registry.withdrawStake(), 0, "nothing leaves");
        checkEqual(registry.stakeOf(provider), STAKED, "all is staked");
    }

    function test_a_hold_that_reverts_keeps_stake_where_it_is_and_nothing_else() external {
        registry = ProviderRegistry(deploy(registryCode(STAKE_THAW)));
        IStakeHold[] memory dead = new IStakeHold[](1);
        dead[0] = IStakeHold(address(new DeadHold()));
        registry.connect(slasher, dead);
        giveStake(provider, 10 ether);
        vm.expectRevert();
        vm.prank(provider);
        registry.startUnstake(1);
        registerProvider(address(0));
        giveStake(provider, 1 ether);
        checkEqual(registry.stakeOf(provider), 11 ether, "staking goes on");
        checkEqual(registry.payoutOf(provider), provider, "payouts go on");
    }

    function test_only_a_hold_takes_stake() external {
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.NotHold.selector, slasher));
        vm.prank(slasher);
        registry.takeStake(provider, slasher, 1);
    }

    function test_a_hold_takes_from_staked_and_thawing_in_proportion() external {
        unstakeAs(provider, STAKED / 4);
        vm.expectEmit();
        emit IProviderRegistry.StakeTaken(provider, address(tgpu), stranger, 100 ether);
        vm.prank(address(tgpu));
        checkEqual(registry.takeStake(provider, stranger, 100 ether), 100 ether, "taken");
        checkEqual(registry.stakeDetails(provider).staked, 675 ether, "three quarters of it");
        checkEqual(registry.stakeDetails(provider).thawing, 225 ether, "one quarter of it");
        checkEqual(openx.balanceOf(stranger), 100 ether, "paid");
    }

    function test_a_hold_takes_what_there_is_and_no_more() external {
        vm.prank(address(tgpu));
        checkEqual(registry.takeStake(provider, stranger, type(uint256).max), STAKED, "all");
        vm.prank(address(tgpu));
        checkEqual(registry.takeStake(provider, stranger, 1), 0, "nothing is left");
        checkEqual(openx.balanceOf(address(registry)), 0, "empty");
    }

    // ---- Profile

    function test_a_registered_provider_sets_its_profile() external {
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.NotRegistered.selector, provider));
        vm.prank(provider);
        registry.setProfile(keccak256("8 GPUs"));
        registerProvider(address(0));
        vm.expectEmit();
        emit IProviderRegistry.ProfileSet(provider, keccak256("8 GPUs"));
        vm.prank(provider);
        registry.setProfile(keccak256("8 GPUs"));
        checkEqual(registry.profileOf(provider), keccak256("8 GPUs"), "profile");
    }
}
