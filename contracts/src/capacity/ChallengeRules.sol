// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {GovernedSteps} from "./GovernedSteps.sol";
import {GovernedForGood} from "../governance/GovernedForGood.sol";
import {ICapacityRegistry} from "../interfaces/ICapacityRegistry.sol";
import {IChallengeRules} from "../interfaces/IChallengeRules.sol";
import {IProviderRegistry} from "../interfaces/IProviderRegistry.sol";
import {VerifierList} from "./VerifierList.sol";

/// @notice See {IChallengeRules}.
contract ChallengeRules is IChallengeRules, GovernedForGood {
    uint256 public constant MAX_CLASSES = 256;
    /// @dev 31 verdicts cost about 1.2 million gas to record, and their seats fit in a word.
    uint256 public constant MAX_PANEL = 31;
    uint64 public constant CLOSE_NOTICE = 90 days;
    /// @dev Classes of devices in one host or rack.
    uint256 public constant MAX_DECLARED = 8;
    /// @dev The roots of all devices must fit in the transaction that proves a false verdict: 32 KiB of the 128 KiB that nodes relay.
    uint256 public constant MAX_DEVICES = 1024;

    uint32 private constant MATRIX_STEP = 256;
    /// @dev A row of 131,072 products of bytes still fits in an int32.
    uint32 private constant MAX_MATRIX = 131_072;
    uint32 private constant MAX_WEIGHT_MILLI = 1_000_000;
    uint32 private constant MAX_TIME_LIMIT_MS = 10 minutes * 1000;

    IProviderRegistry public immutable registry;

    Settings private _settings;
    Class[] private _classes;
    uint64 private _settingsChangedAt;
    mapping(uint256 classId => ClassTimes) private _times;

    constructor(IProviderRegistry registry_, address owner_, Settings memory settings_, Class[] memory classes)
        Ownable(owner_)
    {
        if (address(registry_) == address(0)) revert ZeroAddress();
        registry = registry_;
        _setSettings(settings_);
        for (uint256 i = 0; i < classes.length; i++) {
            _addClass(classes[i], uint64(block.timestamp));
        }
    }

    function addClass(Class calldata class) external onlyOwner returns (uint16) {
        _checkAgainstOthers(class);
        uint64 opensAt = uint64(block.timestamp) + registry.stakeThaw();
        uint16 classId = _addClass(class, opensAt);
        _times[classId].changedAt = opensAt;
        return classId;
    }

    function changeClass(uint16 classId, uint32 weightMilli, uint32 n, uint32 timeLimitMs) external onlyOwner {
        Class storage class = _classes[_checkKnown(classId)];
        if (_isClosed(classId)) revert ClassIsClosed(classId);
        GovernedSteps.checkPause(_times[classId].changedAt, registry.stakeThaw());
        _checkClass(weightMilli, n, timeLimitMs, Class("", class.kind, class.weightMilli, class.n, class.timeLimitMs));
        (class.weightMilli, class.n, class.timeLimitMs) = (weightMilli, n, timeLimitMs);
        _times[classId].changedAt = uint64(block.timestamp);
        emit ClassChanged(classId, weightMilli, n, timeLimitMs);
    }

    function closeClass(uint16 classId) external onlyOwner {
        ClassTimes storage times = _times[_checkKnown(classId)];
        if (times.closesAt != 0) revert ClassIsClosing(classId, times.closesAt);
        times.closesAt = uint64(block.timestamp) + CLOSE_NOTICE;
        emit ClassClosing(classId, times.closesAt);
    }

    function setSettings(Settings calldata settings_) external onlyOwner {
        GovernedSteps.checkPause(_settingsChangedAt, registry.stakeThaw());
        _settingsChangedAt = uint64(block.timestamp);
        _setSettings(settings_);
    }

    function classOf(uint16 classId) external view returns (Class memory) {
        return _classes[_checkKnown(classId)];
    }

    function classTimesOf(uint16 classId) external view returns (ClassTimes memory) {
        return _times[_checkKnown(classId)];
    }

    function classCount() external view returns (uint16) {
        return uint16(_classes.length);
    }

    function settings() external view returns (Settings memory) {
        return _settings;
    }

    function judgedBy(ICapacityRegistry.DeclaredClass[] calldata declared)
        external
        view
        returns (Condition[] memory conditions, uint256 devices)
    {
        if (declared.length == 0 || declared.length > MAX_DECLARED) {
            revert DeclaredCount(declared.length, MAX_DECLARED);
        }
        conditions = new Condition[](declared.length);
        for (uint256 i = 0; i < declared.length; i++) {
            uint16 classId = declared[i].classId;
            if (i > 0 && classId <= declared[i - 1].classId) revert DeclaredNotAscending(classId);
            _checkOpen(classId);
            if (declared[i].count == 0) revert NothingDeclared(classId);
            Class storage class = _classes[classId];
            conditions[i] =
                Condition(classId, declared[i].count, class.kind, class.weightMilli, class.n, class.timeLimitMs);
            devices += declared[i].count;
        }
        if (devices > MAX_DEVICES) revert TooManyDevices(devices, MAX_DEVICES);
    }

    function requestPrice(uint256 devices) external view returns (uint256) {
        return _settings.fee + uint256(_settings.deviceFee) * devices;
    }

    /// @dev A class that takes new claims now.
    function _checkOpen(uint16 classId) private view {
        uint64 opensAt = _times[_checkKnown(classId)].opensAt;
        if (block.timestamp < opensAt) revert ClassOpensLater(classId, opensAt);
        if (_isClosed(classId)) revert ClassIsClosed(classId);
    }

    function _isClosed(uint256 classId) private view returns (bool) {
        uint64 closesAt = _times[classId].closesAt;
        return closesAt != 0 && block.timestamp >= closesAt;
    }

    function _checkKnown(uint16 classId) private view returns (uint16) {
        if (classId >= _classes.length) revert UnknownClass(classId);
        return classId;
    }

    function _addClass(Class memory class, uint64 opensAt) private returns (uint16 classId) {
        if (_classes.length == MAX_CLASSES) revert TooManyClasses(MAX_CLASSES);
        uint256 nameLength = bytes(class.name).length;
        if (nameLength == 0 || nameLength > 32) revert ClassNameLength(nameLength, 32);
        _checkClass(class.weightMilli, class.n, class.timeLimitMs, Class("", class.kind, 0, 0, 0));
        classId = uint16(_classes.length);
        _classes.push(class);
        _times[classId].opensAt = opensAt;
        emit ClassAdded(classId, class, opensAt);
    }

    /// @dev A new class is worth at most twice the heaviest of its kind that is open, and asks for half of the least at least: else it
    /// would be a change of more than a factor of two. Where all are closed they count as they were. The first of its kind is
    /// free: nothing was minted on its kind.
    function _checkAgainstOthers(Class calldata class) private view {
        (uint256 heaviest, uint256 smallest, uint256 longest) = _findEnds(class.kind, false);
        if (heaviest == 0) (heaviest, smallest, longest) = _findEnds(class.kind, true);
        if (heaviest == 0) return;
        GovernedSteps.check("weightMilli", class.weightMilli, 0, 1, 2 * heaviest);
        GovernedSteps.check("n", class.n, 0, Math.ceilDiv(smallest, 2), MAX_MATRIX);
        GovernedSteps.check("timeLimitMs", class.timeLimitMs, 0, 1, 2 * longest);
    }

    /// @dev Of the classes of a kind that are closed, or of those that are open. Zero: there are none.
    function _findEnds(ICapacityRegistry.Kind kind, bool closed)
        private
        view
        returns (uint256 heaviest, uint256 smallest, uint256 longest)
    {
        smallest = type(uint256).max;
        uint256 count = _classes.length;
        for (uint256 i = 0; i < count; i++) {
            Class storage class = _classes[i];
            if (class.kind != kind || block.timestamp < _times[i].opensAt || _isClosed(i) != closed) continue;
            heaviest = Math.max(heaviest, class.weightMilli);
            smallest = Math.min(smallest, class.n);
            longest = Math.max(longest, class.timeLimitMs);
        }
    }

    function _checkClass(uint32 weightMilli, uint32 n, uint32 timeLimitMs, Class memory before) private pure {
        GovernedSteps.check("weightMilli", weightMilli, before.weightMilli, 1, MAX_WEIGHT_MILLI);
        GovernedSteps.check("n", n, before.n, MATRIX_STEP, MAX_MATRIX);
        if (n % MATRIX_STEP != 0) revert MatrixSizeNotWhole(n, MATRIX_STEP);
        GovernedSteps.check("timeLimitMs", timeLimitMs, before.timeLimitMs, 1, MAX_TIME_LIMIT_MS);
    }

    /// @dev One loop over a table: a check for each would be more code than a contract may have.
    // Fractions of a whole OPENX, written as such.
    // slither-disable-next-line too-many-digits
    function _setSettings(Settings memory next) private {
        bytes32[11] memory names = [
            bytes32("drawDelay"),
            "panelSize",
            "quorum",
            "minPanel",
            "minList",
            "answerTime",
            "validity",
            "spotCheckPause",
            "recheckTime",
            "fee",
            "deviceFee"
        ];
        uint256[11] memory least = [
            uint256(1),
            1,
            uint256(next.panelSize) * 2 / 3 + 1,
            1,
            next.minPanel,
            10 seconds,
            1 minutes,
            1,
            10 seconds,
            0.001 ether,
            0.000001 ether
        ];
        uint256[11] memory most = [
            VerifierList.MAX_DRAW_DELAY,
            MAX_PANEL,
            next.panelSize,
            next.panelSize,
            VerifierList.MAX_SLOTS,
            1 days,
            90 days,
            next.validity,
            90 days,
            1_000 ether,
            10 ether
        ];
        uint256[11] memory before = _valuesOf(_settings);
        uint256[11] memory values = _valuesOf(next);
        for (uint256 i = 0; i < names.length; i++) {
            GovernedSteps.check(names[i], values[i], before[i], least[i], most[i]);
        }
        _settings = next;
        emit SettingsSet(next);
    }

    function _valuesOf(Settings memory of_) private pure returns (uint256[11] memory) {
        return [
            uint256(of_.drawDelay),
            of_.panelSize,
            of_.quorum,
            of_.minPanel,
            of_.minList,
            of_.answerTime,
            of_.validity,
            of_.spotCheckPause,
            of_.recheckTime,
            of_.fee,
            of_.deviceFee
        ];
    }
}
