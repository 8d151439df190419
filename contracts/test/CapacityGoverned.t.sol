// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";

import {OpenxToken} from "../src/money/OpenxToken.sol";
import {ICapacityRegistry} from "../src/interfaces/ICapacityRegistry.sol";
import {Judging} from "./Judging.sol";

/// @notice What the owner may set, within what bounds.
contract CapacityGovernedTest is Judging {
    function test_the_classes_of_the_constructor_are_there_at_once() external view {
        checkEqual(capacity.classCount(), 2, "count");
        ICapacityRegistry.Class memory class = capacity.classOf(GPU);
        checkEqual(keccak256(bytes(class.name)), keccak256("test-gpu"), "name");
        checkTrue(class.kind == ICapacityRegistry.Kind.Gpu, "kind");
        checkEqual(class.n, GPU_N, "n");
    }

    function test_the_limits_are_those_that_others_build_on() external view {
        checkEqual(capacity.OPENED_ROWS(), 4, "rows");
        checkEqual(capacity.MAX_CLASSES(), 256, "classes");
        checkEqual(capacity.MAX_DECLARED(), 8, "declared");
        checkEqual(capacity.MAX_DEVICES(), 1024, "devices");
        checkEqual(capacity.MAX_VERIFIERS(), 512, "verifiers");
        checkEqual(capacity.MAX_PANEL(), 15, "panel");
        checkEqual(address(capacity.registry()), address(registry), "registry");
        checkEqual(address(capacity.openx()), address(openx), "openx");
    }

    function test_only_the_owner_governs() external {
        bytes memory reason = abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, stranger);
        ICapacityRegistry.Class memory class = capacity.classOf(CPU);
        vm.expectRevert(reason);
        vm.prank(stranger);
        capacity.addClass(class);
        vm.expectRevert(reason);
        vm.prank(stranger);
        capacity.changeClass(CPU, 1, 256, 1);
        vm.expectRevert(reason);
        vm.prank(stranger);
        capacity.setSettings(makeSettings());
    }

    function test_a_class_is_added_with_the_next_number() external {
        ICapacityRegistry.Class memory class =
            ICapacityRegistry.Class("h100-80gb", ICapacityRegistry.Kind.Gpu, 1_000, 131_072, 60_000);
        vm.expectEmit();
        emit ICapacityRegistry.ClassAdded(2, class);
        checkEqual(capacity.addClass(class), 2, "number");
        checkEqual(capacity.classOf(2).n, 131_072, "n");
        vm.expectEmit();
        emit ICapacityRegistry.ClassChanged(2, 500, 65_536, 30_000);
        capacity.changeClass(2, 500, 65_536, 30_000);
        checkEqual(capacity.classOf(2).timeLimitMs, 30_000, "time limit");
        vm.expectRevert(abi.encodeWithSelector(ICapacityRegistry.UnknownClass.selector, 3));
        capacity.changeClass(3, 500, 65_536, 30_000);
        vm.expectRevert(abi.encodeWithSelector(ICapacityRegistry.UnknownClass.selector, 3));
        capacity.classOf(3);
    }

    function test_a_class_is_within_bounds() external {
        changeRefused(1_000_001, 256, 1, "weightMilli", 1_000_001, 0, 1_000_000);
        changeRefused(1, 0, 1, "n", 0, 256, 131_072);
        changeRefused(1, 131_328, 1, "n", 131_328, 256, 131_072);
        changeRefused(1, 256, 0, "timeLimitMs", 0, 1, 600_000);
        changeRefused(1, 256, 600_001, "timeLimitMs", 600_001, 1, 600_000);
        vm.expectRevert(abi.encodeWithSelector(ICapacityRegistry.MatrixSizeNotWhole.selector, 300, 256));
        capacity.changeClass(CPU, 1, 300, 1);
        capacity.changeClass(CPU, 1_000_000, 131_072, 600_000);
        capacity.changeClass(CPU, 0, 256, 1);

        ICapacityRegistry.Class memory class = capacity.classOf(CPU);
        class.name = "";
        vm.expectRevert(abi.encodeWithSelector(ICapacityRegistry.ClassNameLength.selector, 0, 32));
        capacity.addClass(class);
        class.name = "a name of thirty-three characters";
        vm.expectRevert(abi.encodeWithSelector(ICapacityRegistry.ClassNameLength.selector, 33, 32));
        capacity.addClass(class);
        class.name = "a name of thirty-two characters!";
        capacity.addClass(class);
        class = ICapacityRegistry.Class("x", ICapacityRegistry.Kind.Cpu, 1, 255, 1);
        vm.expectPartialRevert(ICapacityRegistry.SettingOutOfBounds.selector);
        capacity.addClass(class);
    }

    function test_classes_are_at_most_as_many_as_named() external {
        ICapacityRegistry.Class memory class = capacity.classOf(CPU);
        for (uint256 i = 2; i < capacity.MAX_CLASSES(); i++) {
            capacity.addClass(class);
        }
        vm.expectRevert(abi.encodeWithSelector(ICapacityRegistry.TooManyClasses.selector, 256));
        capacity.addClass(class);
    }

    function test_settings_are_read_as_they_were_set() external {
        ICapacityRegistry.Settings memory settings =
            ICapacityRegistry.Settings(64, 15, 11, 1 days, 90 days, 90 days, 90 days, 1_000 ether, 1e26);
        vm.expectEmit();
        emit ICapacityRegistry.SettingsSet(settings);
        capacity.setSettings(settings);
        checkEqual(keccak256(abi.encode(capacity.settings())), keccak256(abi.encode(settings)), "largest");
        settings = ICapacityRegistry.Settings(1, 1, 1, 10, 1 minutes, 0, 10, 0.001 ether, 1 ether);
        capacity.setSettings(settings);
        checkEqual(keccak256(abi.encode(capacity.settings())), keccak256(abi.encode(settings)), "smallest");
    }

    function test_every_setting_has_bounds() external {
        ICapacityRegistry.Settings memory s = makeSettings();
        (s.drawDelay) = 0;
        s = settingRefused(s, "drawDelay", 0, 1, 64);
        s.drawDelay = 65;
        s = settingRefused(s, "drawDelay", 65, 1, 64);
        (s.panelSize, s.quorum) = (0, 0);
        s = settingRefused(s, "panelSize", 0, 1, 15);
        (s.panelSize, s.quorum) = (16, 16);
        s = settingRefused(s, "panelSize", 16, 1, 15);
        s.quorum = 3;
        s = settingRefused(s, "quorum", 3, 4, 5);
        s.quorum = 6;
        s = settingRefused(s, "quorum", 6, 4, 5);
        (s.panelSize, s.quorum) = (6, 4);
        s = settingRefused(s, "quorum", 4, 5, 6);
        s.answerTime = 9;
        s = settingRefused(s, "answerTime", 9, 10, 1 days);
        s.answerTime = 1 days + 1;
        s = settingRefused(s, "answerTime", 1 days + 1, 10, 1 days);
        s.validity = 59;
        s = settingRefused(s, "validity", 59, 60, 90 days);
        s.validity = 90 days + 1;
        s = settingRefused(s, "validity", 90 days + 1, 60, 90 days);
        s.spotCheckPause = VALIDITY + 1;
        s = settingRefused(s, "spotCheckPause", VALIDITY + 1, 0, VALIDITY);
        s.leaveDelay = ANSWER_TIME - 1;
        s = settingRefused(s, "leaveDelay", ANSWER_TIME - 1, ANSWER_TIME, 90 days);
        s.leaveDelay = 90 days + 1;
        s = settingRefused(s, "leaveDelay", 90 days + 1, ANSWER_TIME, 90 days);
        s.fee = 0.001 ether - 1;
        s = settingRefused(s, "fee", 0.001 ether - 1, 0.001 ether, 1_000 ether);
        s.fee = 1_000 ether + 1;
        s = settingRefused(s, "fee", 1_000 ether + 1, 0.001 ether, 1_000 ether);
        s.verifierStake = 1 ether - 1;
        s = settingRefused(s, "verifierStake", 1 ether - 1, 1 ether, 1e26);
        s.verifierStake = 1e26 + 1;
        s = settingRefused(s, "verifierStake", 1e26 + 1, 1 ether, 1e26);
    }

    function test_settings_out_of_bounds_cannot_be_deployed() external {
        ICapacityRegistry.Settings memory settings = makeSettings();
        settings.drawDelay = 0;
        bytes memory code = capacityCode(settings);
        vm.expectPartialRevert(ICapacityRegistry.SettingOutOfBounds.selector);
        this.deployCode(code);
    }

    function test_a_registry_or_token_that_does_not_fit_cannot_be_deployed() external {
        ICapacityRegistry.Class[] memory none = new ICapacityRegistry.Class[](0);
        bytes memory rest = abi.encode(address(0), openx, address(this), makeSettings(), none);
        vm.expectPartialRevert(ICapacityRegistry.ZeroAddress.selector);
        this.deployCode(creationCode("CapacityRegistry", rest));
        rest = abi.encode(registry, address(0), address(this), makeSettings(), none);
        vm.expectPartialRevert(ICapacityRegistry.ZeroAddress.selector);
        this.deployCode(creationCode("CapacityRegistry", rest));
        OpenxToken other = new OpenxToken(treasury, 1, address(this));
        rest = abi.encode(registry, other, address(this), makeSettings(), none);
        vm.expectRevert(
            abi.encodeWithSelector(ICapacityRegistry.OpenxNotTheRegistrys.selector, address(other), address(openx))
        );
        this.deployCode(creationCode("CapacityRegistry", rest));
    }

    function deployCode(bytes calldata code) external returns (address) {
        return deploy(code);
    }

    // ---- How

    function changeRefused(uint32 weight, uint32 n, uint32 ms, bytes32 what, uint256 value, uint256 min, uint256 max)
        private
    {
        vm.expectRevert(abi.encodeWithSelector(ICapacityRegistry.SettingOutOfBounds.selector, what, value, min, max));
        capacity.changeClass(CPU, weight, n, ms);
    }

    function settingRefused(
        ICapacityRegistry.Settings memory settings,
        bytes32 what,
        uint256 value,
        uint256 min,
        uint256 max
    ) private returns (ICapacityRegistry.Settings memory) {
        vm.expectRevert(abi.encodeWithSelector(ICapacityRegistry.SettingOutOfBounds.selector, what, value, min, max));
        capacity.setSettings(settings);
        return makeSettings();
    }
}
