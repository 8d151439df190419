// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";

import {ICapacityRegistry} from "../src/interfaces/ICapacityRegistry.sol";
import {IChallengeRules} from "../src/interfaces/IChallengeRules.sol";
import {IGovernedSteps} from "../src/interfaces/IGovernedSteps.sol";
import {ProviderRegistry} from "../src/money/ProviderRegistry.sol";
import {Judging} from "./Judging.sol";

/// @notice What the owner may set, within what bounds.
contract CapacityGovernedTest is Judging {
    function test_the_classes_of_the_constructor_are_there_at_once() external view {
        checkEqual(rules.classCount(), 2, "count");
        IChallengeRules.Class memory class = rules.classOf(GPU);
        checkEqual(keccak256(bytes(class.name)), keccak256("test-gpu"), "name");
        checkTrue(class.kind == ICapacityRegistry.Kind.Gpu, "kind");
        checkEqual(class.n, GPU_N, "n");
    }

    function test_the_limits_are_those_that_others_build_on() external view {
        checkEqual(capacity.OPENED_ROWS(), 4, "rows");
        checkEqual(rules.MAX_CLASSES(), 256, "classes");
        checkEqual(rules.MAX_DECLARED(), 8, "declared");
        checkEqual(rules.MAX_DEVICES(), 1024, "devices");
        checkEqual(rules.MAX_PANEL(), 31, "panel");
        checkEqual(capacity.MAX_CHECK_STEPS(), 6, "doublings");
        checkEqual(capacity.MAX_LOOKED_AT(), 64, "verdicts looked at");
        checkEqual(rules.CLOSE_NOTICE(), 90 days, "notice");
        checkEqual(address(capacity.verifiers()), address(verifiers), "verifiers");
        checkEqual(address(capacity.rules()), address(rules), "rules");
        checkEqual(address(rules.registry()), address(registry), "registry of the rules");
        checkEqual(address(capacity.randomness()), address(randomness), "randomness");
        checkEqual(address(capacity.registry()), address(registry), "registry");
        checkEqual(address(capacity.openx()), address(openx), "openx");
    }

    function test_only_the_owner_governs() external {
        bytes memory reason = abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, stranger);
        IChallengeRules.Class memory class = rules.classOf(CPU);
        vm.expectRevert(reason);
        vm.prank(stranger);
        rules.addClass(class);
        vm.expectRevert(reason);
        vm.prank(stranger);
        rules.changeClass(CPU, 1, 256, 1);
        vm.expectRevert(reason);
        vm.prank(stranger);
        rules.closeClass(CPU);
        vm.expectRevert(reason);
        vm.prank(stranger);
        rules.setSettings(makeSettings());
    }

    function test_a_class_is_added_with_the_next_number_and_opens_later() external {
        IChallengeRules.Class memory class =
            IChallengeRules.Class("h100-80gb", ICapacityRegistry.Kind.Gpu, 5_000, 131_072, 10_000);
        uint64 opensAt = uint64(block.timestamp) + STAKE_THAW;
        vm.expectEmit();
        emit IChallengeRules.ClassAdded(2, class, opensAt);
        checkEqual(rules.addClass(class), 2, "number");
        checkEqual(rules.classOf(2).n, 131_072, "n");
        checkEqual(rules.classTimesOf(2).opensAt, opensAt, "opens");
        checkEqual(rules.classTimesOf(0).opensAt, block.timestamp, "those of the constructor at once");
        checkEqual(rules.classTimesOf(2).changedAt, opensAt, "its opening is a change");
        vm.warp(opensAt + STAKE_THAW);
        vm.expectEmit();
        emit IChallengeRules.ClassChanged(2, 2_500, 65_536, 20_000);
        rules.changeClass(2, 2_500, 65_536, 20_000);
        checkEqual(rules.classOf(2).timeLimitMs, 20_000, "time limit");
        checkEqual(rules.classTimesOf(2).changedAt, block.timestamp, "changed");
        bytes memory reason = abi.encodeWithSelector(IChallengeRules.UnknownClass.selector, 3);
        vm.expectRevert(reason);
        rules.changeClass(3, 500, 65_536, 30_000);
        vm.expectRevert(reason);
        rules.classOf(3);
        vm.expectRevert(reason);
        rules.classTimesOf(3);
        vm.expectRevert(reason);
        rules.closeClass(3);
    }

    function test_a_class_is_closed_with_notice_once_and_for_good() external {
        uint64 closesAt = uint64(block.timestamp) + 90 days;
        vm.expectEmit();
        emit IChallengeRules.ClassClosing(CPU, closesAt);
        rules.closeClass(CPU);
        checkEqual(rules.classTimesOf(CPU).closesAt, closesAt, "closes");
        vm.warp(closesAt + 1);
        vm.expectRevert(abi.encodeWithSelector(IChallengeRules.ClassIsClosing.selector, CPU, closesAt));
        rules.closeClass(CPU);
    }

    function test_a_class_is_within_bounds() external {
        addRefused(1_000_001, 256, 1, "weightMilli", 1_000_001, 1, 1_000_000);
        addRefused(0, 256, 1, "weightMilli", 0, 1, 1_000_000);
        addRefused(1, 0, 1, "n", 0, 256, 131_072);
        addRefused(1, 131_328, 1, "n", 131_328, 256, 131_072);
        addRefused(1, 256, 0, "timeLimitMs", 0, 1, 600_000);
        addRefused(1, 256, 600_001, "timeLimitMs", 600_001, 1, 600_000);
        IChallengeRules.Class[] memory one = new IChallengeRules.Class[](1);
        one[0] = IChallengeRules.Class("x", ICapacityRegistry.Kind.Cpu, 1, 300, 1);
        codeRefused(one, abi.encodeWithSelector(IChallengeRules.MatrixSizeNotWhole.selector, 300, 256));
        one[0] = IChallengeRules.Class("", ICapacityRegistry.Kind.Cpu, 1, 256, 1);
        codeRefused(one, abi.encodeWithSelector(IChallengeRules.ClassNameLength.selector, 0, 32));
        one[0].name = "a name of thirty-three characters";
        codeRefused(one, abi.encodeWithSelector(IChallengeRules.ClassNameLength.selector, 33, 32));
        one[0] = IChallengeRules.Class(
            "a name of thirty-two characters!", ICapacityRegistry.Kind.Cpu, 1_000_000, 131_072, 600_000
        );
        this.deployCode(codeOf(one));
        one[0] = IChallengeRules.Class("x", ICapacityRegistry.Kind.Cpu, 1, 256, 1);
        this.deployCode(codeOf(one));
    }

    function test_a_class_changes_by_a_factor_of_two_and_once_in_a_stake_thaw() external {
        changeRefused(5_001, 1024, 5_000, "weightMilli", 5_001, 1_250, 5_000);
        changeRefused(1_249, 1024, 5_000, "weightMilli", 1_249, 1_250, 5_000);
        changeRefused(0, 1024, 5_000, "weightMilli", 0, 1_250, 5_000);
        changeRefused(2_500, 256, 5_000, "n", 256, 512, 2_048);
        changeRefused(2_500, 2_304, 5_000, "n", 2_304, 512, 2_048);
        changeRefused(2_500, 1024, 2_499, "timeLimitMs", 2_499, 2_500, 10_000);
        changeRefused(2_500, 1024, 10_001, "timeLimitMs", 10_001, 2_500, 10_000);
        vm.expectRevert(abi.encodeWithSelector(IChallengeRules.MatrixSizeNotWhole.selector, 1_100, 256));
        rules.changeClass(GPU, 2_500, 1_100, 5_000);
        rules.changeClass(GPU, 5_000, 2_048, 10_000);
        rules.changeClass(CPU, 500, 256, 5_000); // each class for itself
        uint256 next = block.timestamp + STAKE_THAW;
        vm.warp(next - 1);
        vm.expectRevert(abi.encodeWithSelector(IGovernedSteps.ChangedTooSoon.selector, next, next - 1));
        rules.changeClass(GPU, 5_000, 2_048, 10_000);
        vm.warp(next);
        rules.changeClass(GPU, 10_000, 1_024, 20_000);
        checkEqual(rules.classOf(GPU).weightMilli, 10_000, "again");
    }

    function test_a_new_class_is_no_way_around_that() external {
        IChallengeRules.Class memory class =
            IChallengeRules.Class("gpu 2", ICapacityRegistry.Kind.Gpu, 5_001, 1024, 5_000);
        newRefused(class, "weightMilli", 5_001, 1, 5_000);
        (class.weightMilli, class.n) = (5_000, 256);
        newRefused(class, "n", 256, 512, 131_072);
        (class.n, class.timeLimitMs) = (512, 10_001);
        newRefused(class, "timeLimitMs", 10_001, 1, 10_000);
        class.timeLimitMs = 10_000;
        rules.addClass(class);
        // A second one counts from what is open, not from the first.
        class.weightMilli = 5_001;
        newRefused(class, "weightMilli", 5_001, 1, 5_000);
        vm.warp(block.timestamp + STAKE_THAW);
        class.weightMilli = 10_000;
        rules.addClass(class);
    }

    /// @dev A batch of a change, a new class beside it, and a change of that one before it opens was eight times in one thaw.
    function test_a_class_that_was_added_is_changed_a_stake_thaw_after_it_opened() external {
        rules.changeClass(CPU, 2 * CPU_WEIGHT, 256, 10_000);
        uint64 opensAt = uint64(block.timestamp) + STAKE_THAW;
        uint16 added =
            rules.addClass(IChallengeRules.Class("x", ICapacityRegistry.Kind.Cpu, 4 * CPU_WEIGHT, 256, 20_000));
        uint256 next = uint256(opensAt) + STAKE_THAW;
        uint256[3] memory times = [block.timestamp, opensAt, next - 1];
        for (uint256 i = 0; i < times.length; i++) {
            vm.warp(times[i]);
            vm.expectRevert(abi.encodeWithSelector(IGovernedSteps.ChangedTooSoon.selector, next, times[i]));
            rules.changeClass(added, 8 * CPU_WEIGHT, 256, 40_000);
        }
        checkEqual(rules.classOf(added).weightMilli, 4 * CPU_WEIGHT, "twice what was open at the thaw's beginning");
        vm.warp(next);
        rules.changeClass(added, 8 * CPU_WEIGHT, 256, 40_000);
    }

    function test_a_closed_class_stays_as_it_was_and_makes_no_room_for_a_heavier_one() external {
        uint16 heavy =
            rules.addClass(IChallengeRules.Class("heavy", ICapacityRegistry.Kind.Gpu, 2 * GPU_WEIGHT, GPU_N, 5_000));
        rules.closeClass(heavy);
        vm.warp(rules.classTimesOf(heavy).closesAt - 1);
        rules.changeClass(heavy, 4 * GPU_WEIGHT, GPU_N, 5_000);
        vm.warp(block.timestamp + 1 + STAKE_THAW);
        vm.expectRevert(abi.encodeWithSelector(IChallengeRules.ClassIsClosed.selector, heavy));
        rules.changeClass(heavy, 8 * GPU_WEIGHT, GPU_N, 5_000);
        IChallengeRules.Class memory class =
            IChallengeRules.Class("gpu 2", ICapacityRegistry.Kind.Gpu, 2 * GPU_WEIGHT + 1, GPU_N, 5_000);
        newRefused(class, "weightMilli", class.weightMilli, 1, 2 * GPU_WEIGHT);
        // Where none is open any more, what was open last still counts.
        rules.closeClass(GPU);
        vm.warp(rules.classTimesOf(GPU).closesAt);
        class.weightMilli = 8 * GPU_WEIGHT + 1;
        newRefused(class, "weightMilli", class.weightMilli, 1, 8 * GPU_WEIGHT);
        class.weightMilli--;
        rules.addClass(class);
    }

    function test_the_first_class_of_a_kind_is_within_the_fixed_bounds() external {
        IChallengeRules.Class[] memory one = new IChallengeRules.Class[](1);
        one[0] = IChallengeRules.Class("cpu", ICapacityRegistry.Kind.Cpu, 1, 256, 1);
        IChallengeRules fresh = IChallengeRules(this.deployCode(codeOf(one)));
        fresh.addClass(IChallengeRules.Class("gpu", ICapacityRegistry.Kind.Gpu, 1_000_000, 256, 600_000));
        checkEqual(fresh.classOf(1).weightMilli, 1_000_000, "added");
    }

    function test_classes_are_at_most_as_many_as_named() external {
        IChallengeRules.Class memory class = rules.classOf(CPU);
        for (uint256 i = 2; i < rules.MAX_CLASSES(); i++) {
            rules.addClass(class);
        }
        vm.expectRevert(abi.encodeWithSelector(IChallengeRules.TooManyClasses.selector, 256));
        rules.addClass(class);
    }

    function test_settings_are_read_as_they_were_set() external {
        IChallengeRules.Settings memory settings =
            IChallengeRules.Settings(20_000, 31, 21, 31, 512, 1 days, 90 days, 90 days, 90 days, 1_000 ether, 10 ether);
        checkDeployed(settings);
        checkDeployed(IChallengeRules.Settings(1, 1, 1, 1, 1, 10, 1 minutes, 1, 10, 0.001 ether, 1e12));
        settings = makeSettings();
        (settings.fee, settings.answerTime) = (2 * FEE, ANSWER_TIME / 2);
        vm.expectEmit();
        emit IChallengeRules.SettingsSet(settings);
        rules.setSettings(settings);
        checkEqual(keccak256(abi.encode(rules.settings())), keccak256(abi.encode(settings)), "set");
    }

    function test_every_setting_has_bounds() external {
        IChallengeRules.Settings memory s = makeSettings();
        s.drawDelay = 0;
        s = settingRefused(s, "drawDelay", 0, 1, 20_000);
        s.drawDelay = 20_001;
        s = settingRefused(s, "drawDelay", 20_001, 1, 20_000);
        (s.panelSize, s.quorum) = (0, 0);
        s = settingRefused(s, "panelSize", 0, 1, 31);
        (s.panelSize, s.quorum) = (32, 32);
        s = settingRefused(s, "panelSize", 32, 1, 31);
        s.quorum = 3;
        s = settingRefused(s, "quorum", 3, 4, 5);
        s.quorum = 6;
        s = settingRefused(s, "quorum", 6, 4, 5);
        (s.panelSize, s.quorum) = (6, 4);
        s = settingRefused(s, "quorum", 4, 5, 6);
        s.minPanel = 0;
        s = settingRefused(s, "minPanel", 0, 1, 5);
        s.minPanel = 6;
        s = settingRefused(s, "minPanel", 6, 1, 5);
        (s.minPanel, s.minList) = (3, 2);
        s = settingRefused(s, "minList", 2, 3, 512);
        s.minList = 513;
        s = settingRefused(s, "minList", 513, 1, 512);
        s.answerTime = 9;
        s = settingRefused(s, "answerTime", 9, 10, 1 days);
        s.answerTime = 1 days + 1;
        s = settingRefused(s, "answerTime", 1 days + 1, 10, 1 days);
        s.validity = 59;
        s = settingRefused(s, "validity", 59, 60, 90 days);
        s.validity = 90 days + 1;
        s = settingRefused(s, "validity", 90 days + 1, 60, 90 days);
        s.spotCheckPause = 0;
        s = settingRefused(s, "spotCheckPause", 0, 1, VALIDITY);
        s.spotCheckPause = VALIDITY + 1;
        s = settingRefused(s, "spotCheckPause", VALIDITY + 1, 1, VALIDITY);
        s.recheckTime = 9;
        s = settingRefused(s, "recheckTime", 9, 10, 90 days);
        s.recheckTime = 90 days + 1;
        s = settingRefused(s, "recheckTime", 90 days + 1, 10, 90 days);
        s.fee = 0.001 ether - 1;
        s = settingRefused(s, "fee", 0.001 ether - 1, 0.001 ether, 1_000 ether);
        s.fee = 1_000 ether + 1;
        s = settingRefused(s, "fee", 1_000 ether + 1, 0.001 ether, 1_000 ether);
        s.deviceFee = 1e12 - 1;
        s = settingRefused(s, "deviceFee", 1e12 - 1, 1e12, 10 ether);
        s.deviceFee = 10 ether + 1;
        s = settingRefused(s, "deviceFee", 10 ether + 1, 1e12, 10 ether);
    }

    function test_settings_change_by_a_factor_of_two_and_once_in_a_stake_thaw() external {
        IChallengeRules.Settings memory settings = makeSettings();
        settings.validity = 2 * VALIDITY + 1;
        stepRefused(settings, "validity", 2 * VALIDITY + 1, VALIDITY / 2, 2 * VALIDITY);
        settings.validity = VALIDITY / 2 - 1;
        stepRefused(settings, "validity", VALIDITY / 2 - 1, VALIDITY / 2, 2 * VALIDITY);
        settings = makeSettings();
        (settings.panelSize, settings.quorum) = (2, 2);
        stepRefused(settings, "panelSize", 2, 3, 10);
        settings = makeSettings();
        settings.deviceFee = 2 * DEVICE_FEE + 1;
        stepRefused(settings, "deviceFee", 2 * DEVICE_FEE + 1, DEVICE_FEE / 2, 2 * DEVICE_FEE);
        settings.deviceFee = 2 * DEVICE_FEE;
        rules.setSettings(settings);
        uint256 next = block.timestamp + STAKE_THAW;
        vm.warp(next - 1);
        vm.expectRevert(abi.encodeWithSelector(IGovernedSteps.ChangedTooSoon.selector, next, next - 1));
        rules.setSettings(settings);
        vm.warp(next);
        settings.deviceFee = 4 * DEVICE_FEE;
        rules.setSettings(settings);
    }

    function test_settings_out_of_bounds_cannot_be_deployed() external {
        IChallengeRules.Settings memory settings = makeSettings();
        settings.drawDelay = 0;
        bytes memory code = rulesCode(settings);
        vm.expectPartialRevert(IGovernedSteps.SettingOutOfBounds.selector);
        this.deployCode(code);
    }

    function test_parts_that_are_missing_or_do_not_fit_cannot_be_deployed() external {
        address[4] memory parts = [address(registry), address(verifiers), address(rules), address(randomness)];
        for (uint256 i = 0; i < 4; i++) {
            address[4] memory lacking = abi.decode(abi.encode(parts), (address[4]));
            lacking[i] = address(0);
            partsRefused(lacking, abi.encodeWithSelector(ICapacityRegistry.ZeroAddress.selector));
        }
        (ProviderRegistry here, address firstVerifiers) = (registry, address(verifiers));
        registry = ProviderRegistry(deploy(registryCode(STAKE_THAW)));
        parts[0] = address(registry);
        bytes4 selector = ICapacityRegistry.OfAnotherRegistry.selector;
        partsRefused(parts, abi.encodeWithSelector(selector, firstVerifiers, address(here)));
        parts[1] = deploy(verifiersCode(makeVerifierSettings()));
        partsRefused(parts, abi.encodeWithSelector(selector, address(rules), address(here)));
        parts[2] = deploy(rulesCode(makeSettings()));
        this.deployCode(creationCode("CapacityRegistry", abi.encode(parts)));
        IChallengeRules.Class[] memory none = new IChallengeRules.Class[](0);
        bytes memory code = creationCode("ChallengeRules", abi.encode(address(0), address(this), makeSettings(), none));
        vm.expectPartialRevert(IChallengeRules.ZeroAddress.selector);
        this.deployCode(code);
    }

    function deployCode(bytes calldata code) external returns (address) {
        return deploy(code);
    }

    // ---- How

    function partsRefused(address[4] memory parts, bytes memory reason) private {
        bytes memory code = creationCode("CapacityRegistry", abi.encode(parts));
        vm.expectRevert(reason);
        this.deployCode(code);
    }

    function codeOf(IChallengeRules.Class[] memory classes) private view returns (bytes memory) {
        return creationCode("ChallengeRules", abi.encode(registry, address(this), makeSettings(), classes));
    }

    function codeRefused(IChallengeRules.Class[] memory classes, bytes memory reason) private {
        bytes memory code = codeOf(classes);
        vm.expectRevert(reason);
        this.deployCode(code);
    }

    function checkDeployed(IChallengeRules.Settings memory settings) private {
        IChallengeRules made = IChallengeRules(deploy(rulesCode(settings)));
        checkEqual(keccak256(abi.encode(made.settings())), keccak256(abi.encode(settings)), "as given");
    }

    /// @dev As the first class of a deployment, which nothing before it bounds.
    function addRefused(uint32 weight, uint32 n, uint32 ms, bytes32 what, uint256 value, uint256 min, uint256 max)
        private
    {
        IChallengeRules.Class[] memory one = new IChallengeRules.Class[](1);
        one[0] = IChallengeRules.Class("x", ICapacityRegistry.Kind.Cpu, weight, n, ms);
        codeRefused(one, outOfBounds(what, value, min, max));
    }

    function newRefused(IChallengeRules.Class memory class, bytes32 what, uint256 value, uint256 min, uint256 max)
        private
    {
        vm.expectRevert(outOfBounds(what, value, min, max));
        rules.addClass(class);
    }

    function changeRefused(uint32 weight, uint32 n, uint32 ms, bytes32 what, uint256 value, uint256 min, uint256 max)
        private
    {
        vm.expectRevert(outOfBounds(what, value, min, max));
        rules.changeClass(GPU, weight, n, ms);
    }

    function stepRefused(
        IChallengeRules.Settings memory settings,
        bytes32 what,
        uint256 value,
        uint256 min,
        uint256 max
    ) private {
        vm.expectRevert(outOfBounds(what, value, min, max));
        rules.setSettings(settings);
    }

    /// @dev As the settings of a deployment.
    function settingRefused(
        IChallengeRules.Settings memory settings,
        bytes32 what,
        uint256 value,
        uint256 min,
        uint256 max
    ) private returns (IChallengeRules.Settings memory) {
        bytes memory code = rulesCode(settings);
        vm.expectRevert(outOfBounds(what, value, min, max));
        this.deployCode(code);
        return makeSettings();
    }

    function outOfBounds(bytes32 what, uint256 value, uint256 min, uint256 max) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IGovernedSteps.SettingOutOfBounds.selector, what, value, min, max);
    }
}
