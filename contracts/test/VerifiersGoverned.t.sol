// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";

import {VerifierRegistry} from "../src/capacity/VerifierRegistry.sol";
import {IGovernedSteps} from "../src/interfaces/IGovernedSteps.sol";
import {IVerifierRegistry} from "../src/interfaces/IVerifierRegistry.sol";
import {Judging} from "./Judging.sol";

/// @notice Who may tell the verifiers' registry what, and what its owner may set.
contract VerifiersGovernedTest is Judging {
    function test_its_parts_are_those_it_was_made_with() external view {
        checkEqual(address(verifiers.registry()), address(registry), "registry");
        checkEqual(address(verifiers.openx()), address(openx), "openx");
        checkEqual(verifiers.connector(), address(this), "connector");
        checkEqual(verifiers.capacity(), address(capacity), "capacity");
        checkEqual(verifiers.reveals(), REVEALS, "reveals");
        checkEqual(verifiers.MAX_VERIFIERS(), 512, "verifiers");
        checkEqual(verifiers.DRAW_BLOCKS(), 20_256, "blocks");
        checkEqual(verifiers.MISSES_MAX(), 8, "misses");
        checkEqual(verifiers.MISSES_TIME(), 2 days, "time");
    }

    function test_the_connector_names_the_capacity_registry_once() external {
        VerifierRegistry fresh = VerifierRegistry(deploy(verifiersCode(makeVerifierSettings())));
        vm.expectRevert(abi.encodeWithSelector(IVerifierRegistry.NotConnector.selector, stranger));
        vm.prank(stranger);
        fresh.connect(address(capacity), REVEALS);
        vm.expectPartialRevert(IVerifierRegistry.ZeroAddress.selector);
        fresh.connect(address(0), REVEALS);
        vm.expectEmit();
        emit IVerifierRegistry.VerifiersConnected(address(capacity), address(0));
        fresh.connect(address(capacity), address(0));
        vm.expectRevert(abi.encodeWithSelector(IVerifierRegistry.CapacityConnected.selector, address(capacity)));
        fresh.connect(stranger, REVEALS);
    }

    function test_only_the_capacity_registry_says_who_signed_and_where_fees_go() external {
        bytes memory reason = abi.encodeWithSelector(IVerifierRegistry.NotCapacity.selector, address(this));
        address[] memory none = new address[](0);
        vm.expectRevert(reason);
        verifiers.noteSigned(none, 0);
        vm.expectRevert(reason);
        verifiers.noteMissed(none, 0);
        vm.expectRevert(reason);
        verifiers.endFee(stranger, 1, 1);
    }

    function test_a_fee_of_one_unit_is_paid_and_of_nothing_nothing_is_said() external {
        giveOpenx(address(verifiers), 1);
        vm.prank(address(capacity));
        verifiers.endFee(stranger, 1, 0);
        checkEqual(verifiers.withdrawFees(stranger), 1, "one");
        checkEqual(openx.balanceOf(stranger), 1, "paid");
        vm.recordLogs();
        checkEqual(verifiers.withdrawFees(stranger), 0, "none");
        checkEqual(vm.getRecordedLogs().length, 0, "nor said");
    }

    function test_fees_add_up_until_they_are_withdrawn() external {
        address[] memory judges = new address[](2);
        (judges[0], judges[1]) = (stranger, payer);
        for (uint256 i = 1; i <= 2; i++) {
            vm.prank(address(capacity));
            verifiers.noteSigned(judges, 5);
            vm.prank(address(capacity));
            verifiers.endFee(payer, 7, 0);
            checkEqual(verifiers.feesOf(stranger), i * 3, "half, and what is over");
            checkEqual(verifiers.feesOf(payer), i * 9, "half, and what came back");
        }
    }

    function test_only_the_owner_sets() external {
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, stranger));
        vm.prank(stranger);
        verifiers.setSettings(makeVerifierSettings());
    }

    function test_settings_are_within_bounds() external {
        refused(9, PLEDGE, "leaveDelay", 9, 10, 180 days);
        refused(180 days + 1, PLEDGE, "leaveDelay", 180 days + 1, 10, 180 days);
        refused(LEAVE_DELAY, 1 ether - 1, "verifierStake", 1 ether - 1, 1 ether, 1e26);
        refused(LEAVE_DELAY, 1e26 + 1, "verifierStake", 1e26 + 1, 1 ether, 1e26);
        checkDeployed(IVerifierRegistry.Settings(10, 1 ether));
        checkDeployed(IVerifierRegistry.Settings(180 days, 1e26));
    }

    function test_settings_change_by_a_factor_of_two_and_once_in_a_stake_thaw() external {
        vm.expectRevert(
            abi.encodeWithSelector(
                IGovernedSteps.SettingOutOfBounds.selector,
                bytes32("leaveDelay"),
                2 * LEAVE_DELAY + 1,
                LEAVE_DELAY / 2,
                2 * LEAVE_DELAY
            )
        );
        verifiers.setSettings(IVerifierRegistry.Settings(2 * LEAVE_DELAY + 1, PLEDGE));
        vm.expectRevert(
            abi.encodeWithSelector(
                IGovernedSteps.SettingOutOfBounds.selector,
                bytes32("verifierStake"),
                PLEDGE / 2 - 1,
                PLEDGE / 2,
                2 * PLEDGE
            )
        );
        verifiers.setSettings(IVerifierRegistry.Settings(LEAVE_DELAY, PLEDGE / 2 - 1));
        IVerifierRegistry.Settings memory next = IVerifierRegistry.Settings(2 * LEAVE_DELAY, PLEDGE / 2);
        vm.expectEmit();
        emit IVerifierRegistry.VerifierSettingsSet(next);
        verifiers.setSettings(next);
        checkEqual(keccak256(abi.encode(verifiers.settings())), keccak256(abi.encode(next)), "set");
        uint256 again = block.timestamp + STAKE_THAW;
        vm.warp(again - 1);
        vm.expectRevert(abi.encodeWithSelector(IGovernedSteps.ChangedTooSoon.selector, again, again - 1));
        verifiers.setSettings(next);
        vm.warp(again);
        verifiers.setSettings(next);
    }

    function test_parts_that_are_missing_cannot_be_deployed() external {
        bytes memory args = abi.encode(address(0), address(this), makeVerifierSettings(), address(this));
        bytes memory code = creationCode("VerifierRegistry", args);
        vm.expectPartialRevert(IVerifierRegistry.ZeroAddress.selector);
        this.deployCode(code);
        args = abi.encode(registry, address(this), makeVerifierSettings(), address(0));
        code = creationCode("VerifierRegistry", args);
        vm.expectPartialRevert(IVerifierRegistry.ZeroAddress.selector);
        this.deployCode(code);
    }

    function deployCode(bytes calldata code) external returns (address) {
        return deploy(code);
    }

    // ---- How

    function refused(uint32 leaveDelay, uint96 pledge, bytes32 what, uint256 value, uint256 min, uint256 max) private {
        bytes memory code = verifiersCode(IVerifierRegistry.Settings(leaveDelay, pledge));
        vm.expectRevert(abi.encodeWithSelector(IGovernedSteps.SettingOutOfBounds.selector, what, value, min, max));
        this.deployCode(code);
    }

    function checkDeployed(IVerifierRegistry.Settings memory settings) private {
        VerifierRegistry made = VerifierRegistry(deploy(verifiersCode(settings)));
        checkEqual(keccak256(abi.encode(made.settings())), keccak256(abi.encode(settings)), "as given");
    }
}
