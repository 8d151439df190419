// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";

import {ICapacityRegistry} from "../interfaces/ICapacityRegistry.sol";
import {VerifierList} from "./VerifierList.sol";

/// @notice The classes and settings that challenges go by, and who may change them: the governed part of {ICapacityRegistry}.
abstract contract ChallengeRules is ICapacityRegistry, Ownable2Step {
    uint256 public constant MAX_CLASSES = 256;
    /// @dev 15 verdicts cost about 600,000 gas to record.
    uint256 public constant MAX_PANEL = 15;

    uint32 private constant MATRIX_STEP = 256;
    /// @dev A row of 131,072 products of bytes still fits in an int32.
    uint32 private constant MAX_MATRIX = 131_072;
    uint32 private constant MAX_WEIGHT_MILLI = 1_000_000;
    uint32 private constant MAX_TIME_LIMIT_MS = 10 minutes * 1000;

    Settings internal _settings;
    Class[] internal _classes;

    constructor(Settings memory settings_, Class[] memory classes) {
        _setSettings(settings_);
        for (uint256 i = 0; i < classes.length; i++) {
            _addClass(classes[i]);
        }
    }

    function addClass(Class calldata class) external onlyOwner returns (uint16) {
        return _addClass(class);
    }

    function changeClass(uint16 classId, uint32 weightMilli, uint32 n, uint32 timeLimitMs) external onlyOwner {
        if (classId >= _classes.length) revert UnknownClass(classId);
        _checkClass(weightMilli, n, timeLimitMs);
        Class storage class = _classes[classId];
        (class.weightMilli, class.n, class.timeLimitMs) = (weightMilli, n, timeLimitMs);
        emit ClassChanged(classId, weightMilli, n, timeLimitMs);
    }

    function classOf(uint16 classId) external view returns (Class memory) {
        if (classId >= _classes.length) revert UnknownClass(classId);
        return _classes[classId];
    }

    function classCount() external view returns (uint16) {
        return uint16(_classes.length);
    }

    function setSettings(Settings calldata settings_) external onlyOwner {
        _setSettings(settings_);
    }

    function settings() external view returns (Settings memory) {
        return _settings;
    }

    function _moreThanTwoThirds(uint256 of_) internal pure returns (uint256) {
        return of_ * 2 / 3 + 1;
    }

    function _addClass(Class memory class) private returns (uint16 classId) {
        if (_classes.length == MAX_CLASSES) revert TooManyClasses(MAX_CLASSES);
        uint256 nameLength = bytes(class.name).length;
        if (nameLength == 0 || nameLength > 32) revert ClassNameLength(nameLength, 32);
        _checkClass(class.weightMilli, class.n, class.timeLimitMs);
        classId = uint16(_classes.length);
        _classes.push(class);
        emit ClassAdded(classId, class);
    }

    function _checkClass(uint32 weightMilli, uint32 n, uint32 timeLimitMs) private pure {
        _checkBounds("weightMilli", weightMilli, 0, MAX_WEIGHT_MILLI);
        _checkBounds("n", n, MATRIX_STEP, MAX_MATRIX);
        if (n % MATRIX_STEP != 0) revert MatrixSizeNotWhole(n, MATRIX_STEP);
        _checkBounds("timeLimitMs", timeLimitMs, 1, MAX_TIME_LIMIT_MS);
    }

    /// @dev One loop over a table: a check for each would be more code than a contract may have.
    function _setSettings(Settings memory next) private {
        bytes32[9] memory names = [
            bytes32("drawDelay"),
            "panelSize",
            "quorum",
            "answerTime",
            "validity",
            "spotCheckPause",
            "leaveDelay",
            "fee",
            "verifierStake"
        ];
        uint256[9] memory values = [
            uint256(next.drawDelay),
            next.panelSize,
            next.quorum,
            next.answerTime,
            next.validity,
            next.spotCheckPause,
            next.leaveDelay,
            next.fee,
            next.verifierStake
        ];
        uint256[9] memory least = [
            uint256(1),
            1,
            _moreThanTwoThirds(next.panelSize),
            10 seconds,
            1 minutes,
            0,
            next.answerTime,
            0.001 ether,
            1 ether
        ];
        uint256[9] memory most = [
            VerifierList.MAX_DRAW_DELAY,
            MAX_PANEL,
            next.panelSize,
            1 days,
            90 days,
            next.validity,
            90 days,
            1_000 ether,
            100_000_000 ether
        ];
        for (uint256 i = 0; i < names.length; i++) {
            _checkBounds(names[i], values[i], least[i], most[i]);
        }
        _settings = next;
        emit SettingsSet(next);
    }

    function _checkBounds(bytes32 setting, uint256 value, uint256 min, uint256 max) private pure {
        if (value < min || value > max) revert SettingOutOfBounds(setting, value, min, max);
    }
}
