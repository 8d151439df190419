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
    IProviderRegistry.Role private constant PROVIDER = IProviderRegistry.Role.Provider;
    IProviderRegistry.Role private constant VERIFIER = IProviderRegistry.Role.Verifier;

    // ---- Connecting

    function test_the_connector_connects_once_and_has_no_power_after() external {
        registry = ProviderRegistry(deploy(registryCode(STAKE_THAW)));
        checkEqual(registry.connector(), address(this), "connector");
        checkEqual(registry.refunder(), address(0), "nobody refunds yet");
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.NotConnector.selector, stranger));
        vm.prank(stranger);
        registry.connect(noJudges(), noHolds(), new address[](0), stranger);

        IProviderRegistry.Judge[] memory judges = makeJudges(slasher, 500_000);
        vm.expectEmit();
        emit IProviderRegistry.Connected(stranger, judges, holds(), notPayable());
        registry.connect(judges, holds(), notPayable(), stranger);
        checkEqual(registry.refunder(), stranger, "refunder");
        checkEqual(registry.judgesOf().length, 2, "judges");
        checkEqual(registry.mostPpmOf(slasher, PROVIDER), 500_000, "of a provider's stake");
        checkEqual(registry.mostPpmOf(slasher, VERIFIER), 1_000_000, "of a verifier's pledge");
        checkEqual(registry.mostPpmOf(stranger, PROVIDER), 0, "a refunder is no judge");
        checkEqual(registry.holdsOf().length, 4, "holds");
        checkEqual(address(registry.holdsOf()[1].hold), address(tcpu), "the second");
        checkTrue(registry.holdsOf()[3].role == VERIFIER, "of pledges");
        checkTrue(registry.isHold(address(tgpu)) && !registry.isHold(stranger), "who is a hold");
        checkTrue(registry.isNotPayable(address(0xC0DE)) && !registry.isNotPayable(stranger), "who is not paid");

        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.AlreadyConnected.selector, stranger));
        registry.connect(noJudges(), noHolds(), new address[](0), stranger);
    }

    function test_judges_that_cannot_be_connected_are_refused() external {
        registry = ProviderRegistry(deploy(registryCode(STAKE_THAW)));
        IProviderRegistry.Judge[] memory judges = makeJudges(slasher, 500_000);
        vm.expectRevert(IProviderRegistry.ZeroAddress.selector);
        registry.connect(judges, holds(), new address[](0), address(0));

        judges[0].judge = address(0);
        judgesRefused(judges, abi.encodeWithSelector(IProviderRegistry.ZeroAddress.selector));
        // Twice would leave it open which ceiling holds.
        judges[0] = judges[1];
        judgesRefused(judges, abi.encodeWithSelector(IProviderRegistry.JudgeTwice.selector, slasher, VERIFIER));
        judges[0].mostPpm = 0;
        judgesRefused(judges, abi.encodeWithSelector(IProviderRegistry.MostPpmOutOfBounds.selector, 0, 1_000_000));
        judges[0].mostPpm = 1_000_001;
        judgesRefused(
            judges, abi.encodeWithSelector(IProviderRegistry.MostPpmOutOfBounds.selector, 1_000_001, 1_000_000)
        );
        judgesRefused(
            new IProviderRegistry.Judge[](9), abi.encodeWithSelector(IProviderRegistry.TooManyJudges.selector, 9, 8)
        );
        checkEqual(registry.refunder(), address(0), "nothing stuck");
        checkEqual(registry.judgesOf().length, 0, "nobody judges");
    }

    function test_holds_that_cannot_be_connected_are_refused() external {
        registry = ProviderRegistry(deploy(registryCode(STAKE_THAW)));
        IProviderRegistry.Hold[] memory wrong = holds();
        wrong[1].hold = IStakeHold(address(0));
        holdsRefused(wrong, abi.encodeWithSelector(IProviderRegistry.ZeroAddress.selector));
        // Twice would hold twice, and in two compartments nobody would know which it takes from.
        wrong[1] = IProviderRegistry.Hold(wrong[0].hold, VERIFIER);
        holdsRefused(wrong, abi.encodeWithSelector(IProviderRegistry.HoldTwice.selector, wrong[0].hold));
        holdsRefused(
            new IProviderRegistry.Hold[](9), abi.encodeWithSelector(IProviderRegistry.TooManyHolds.selector, 9, 8)
        );
        checkEqual(registry.refunder(), address(0), "nothing stuck");
    }

    function test_accounts_that_cannot_be_named_not_payable_are_refused() external {
        registry = ProviderRegistry(deploy(registryCode(STAKE_THAW)));
        // Zero means the provider itself.
        vm.expectRevert(IProviderRegistry.ZeroAddress.selector);
        registry.connect(noJudges(), noHolds(), new address[](1), slasher);
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.TooManyNotPayable.selector, 33, 32));
        registry.connect(noJudges(), noHolds(), new address[](33), slasher);
        checkEqual(registry.refunder(), address(0), "nothing stuck");
    }

    function test_eight_judges_eight_holds_and_thirty_two_accounts_are_the_most() external {
        registry = ProviderRegistry(deploy(registryCode(STAKE_THAW)));
        IProviderRegistry.Judge[] memory judges = new IProviderRegistry.Judge[](8);
        IProviderRegistry.Hold[] memory most = new IProviderRegistry.Hold[](8);
        address[] memory accounts = new address[](32);
        for (uint160 i = 0; i < 32; i++) {
            accounts[i] = address(1 + i);
            if (i >= 8) continue;
            judges[i] = IProviderRegistry.Judge(address(1 + i), PROVIDER, 1_000_000);
            most[i] = IProviderRegistry.Hold(IStakeHold(address(1 + i)), VERIFIER);
        }
        registry.connect(judges, most, accounts, slasher);
        checkEqual(registry.holdsOf().length, registry.MAX_HOLDS(), "all holds");
        checkEqual(registry.judgesOf().length, registry.MAX_JUDGES(), "all judges");
        checkTrue(registry.isNotPayable(address(32)), "all accounts");
        checkEqual(registry.MAX_NOT_PAYABLE(), 32, "as many as that");
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
        vm.expectRevert(
            abi.encodeWithSelector(IProviderRegistry.StakeHeld.selector, provider, PROVIDER, 250 ether, STAKED)
        );
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
        // Half of both is slashed while it thaws: 100 stay staked where 200 are needed.
        slash(provider, 500_000);
        vm.warp(block.timestamp + STAKE_THAW);
        vm.expectEmit();
        emit IProviderRegistry.StakeKept(provider, PROVIDER, 100 ether, 200 ether);
        vm.expectEmit();
        emit IProviderRegistry.StakeWithdrawn(provider, PROVIDER, STAKED / 2 - 200 ether);
        vm.prank(provider);
        checkEqual(registry.withdrawStake(), STAKED / 2 - 200 ether, "the rest");
        checkEqual(registry.stakeOf(provider), 200 ether, "staked again");
        checkEqual(registry.stakeDetails(provider).thawEnd, 0, "nothing thaws");
        checkEqual(openx.balanceOf(address(registry)), 200 ether, "held here");
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
        IProviderRegistry.Hold[] memory dead = new IProviderRegistry.Hold[](1);
        dead[0] = IProviderRegistry.Hold(IStakeHold(address(new DeadHold())), PROVIDER);
        connectJudge(slasher, dead);
        giveStake(provider, 10 ether);
        vm.expectRevert();
        vm.prank(provider);
        registry.startUnstake(1);
        registerProvider(address(0));
        giveStake(provider, 1 ether);
        checkEqual(registry.stakeOf(provider), 11 ether, "staking goes on");
        checkEqual(registry.payoutOf(provider), provider, "payouts go on");
        // Nor does it reach what lies in the other compartment.
        stakeInto(provider, VERIFIER, 1 ether);
        vm.prank(provider);
        registry.startUnstakeFrom(VERIFIER, 1 ether);
    }

    // ---- Compartments

    function test_a_hold_keeps_stake_in_its_own_compartment_only() external {
        stakeInto(provider, VERIFIER, 100 ether);
        pledges.hold(provider, 90 ether);
        checkEqual(registry.heldIn(provider, VERIFIER), 90 ether, "of the pledge");
        checkEqual(registry.heldStakeOf(provider), 0, "nothing of the stake");
        unstakeAs(provider, STAKED);
        vm.expectRevert(
            abi.encodeWithSelector(IProviderRegistry.StakeHeld.selector, provider, VERIFIER, 90 ether, 100 ether)
        );
        vm.prank(provider);
        registry.startUnstakeFrom(VERIFIER, 11 ether);
    }

    function test_compartments_thaw_apart_and_pay_their_owner() external {
        stakeInto(provider, VERIFIER, 100 ether);
        checkEqual(registry.stakeIn(provider, PROVIDER), STAKED, "stake");
        checkEqual(registry.stakeIn(provider, VERIFIER), 100 ether, "pledge");
        unstakeAs(provider, 10 ether);
        uint64 first = uint64(block.timestamp) + STAKE_THAW;
        vm.warp(block.timestamp + 1 days);
        vm.expectEmit();
        emit IProviderRegistry.UnstakeStarted(provider, VERIFIER, 40 ether, 60 ether, 40 ether, first + 1 days);
        vm.prank(provider);
        registry.startUnstakeFrom(VERIFIER, 40 ether);
        checkEqual(registry.stakeDetails(provider).thawEnd, first, "the stake's thaw was not moved");
        checkEqual(registry.stakeDetailsIn(provider, VERIFIER).thawing, 40 ether, "thaws");

        vm.warp(first);
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.StakeStillThaws.selector, first + 1 days, first));
        vm.prank(provider);
        registry.withdrawStakeFrom(VERIFIER);
        vm.warp(first + 1 days);
        vm.expectEmit();
        emit IProviderRegistry.StakeWithdrawn(provider, VERIFIER, 40 ether);
        vm.prank(provider);
        checkEqual(registry.withdrawStakeFrom(VERIFIER), 40 ether, "the pledge");
        vm.prank(provider);
        checkEqual(registry.withdrawStake(), 10 ether, "the stake");
        checkEqual(openx.balanceOf(address(registry)), STAKED + 50 ether, "what stays lies here");
    }

    /// @dev Twelve hundred of backing lie there, a thousand of them a pledge: holders get all they are owed of the rest.
    function test_a_pledge_does_not_dilute_the_holders_of_credits() external {
        stakeInto(provider, VERIFIER, 1_000 ether);
        pledges.hold(provider, 1_000 ether);
        mintAs(provider, tgpu, 100 ether);
        slash(provider, 500_000);
        checkEqual(registry.backingOf(provider), STAKED / 2, "the pledge is none of it");
        checkEqual(registry.heldStakeOf(provider), 200 ether, "nor does it hold stake");
        checkEqual(tgpu.valueOf(provider, 100 ether), 200 ether, "whole");
    }

    function test_a_hold_takes_from_its_own_compartment_only() external {
        mintAs(provider, tgpu, 200 ether);
        slash(provider, 800_000);
        checkTrue(registry.forfeitOf(provider) != 0, "a forfeit lies here");
        stakeInto(provider, VERIFIER, 50 ether);
        uint256 backing = registry.backingOf(provider);
        vm.prank(address(pledges));
        checkEqual(registry.takeStake(provider, stranger, type(uint256).max), 50 ether, "the pledge");
        checkEqual(registry.backingOf(provider), backing, "neither stake nor forfeit");
        vm.prank(address(tgpu));
        checkEqual(registry.takeStake(provider, stranger, type(uint256).max), backing, "all of those");
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

    // ---- How

    function noJudges() private pure returns (IProviderRegistry.Judge[] memory) {
        return new IProviderRegistry.Judge[](0);
    }

    function notPayable() private pure returns (address[] memory accounts) {
        accounts = new address[](1);
        accounts[0] = address(0xC0DE);
    }

    function judgesRefused(IProviderRegistry.Judge[] memory judges, bytes memory reason) private {
        IProviderRegistry.Hold[] memory all = holds();
        vm.expectRevert(reason);
        registry.connect(judges, all, new address[](0), slasher);
    }

    function holdsRefused(IProviderRegistry.Hold[] memory wrong, bytes memory reason) private {
        vm.expectRevert(reason);
        registry.connect(makeJudges(slasher, 500_000), wrong, new address[](0), slasher);
    }

    function stakeInto(address who, IProviderRegistry.Role role, uint256 amount) private {
        vm.prank(treasury);
        openx.approve(address(registry), amount);
        vm.prank(treasury);
        registry.stakeInto(who, role, amount);
    }
}
