// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICapacityRegistry} from "./ICapacityRegistry.sol";
import {IGovernedSteps} from "./IGovernedSteps.sol";
import {IProviderRegistry} from "./IProviderRegistry.sol";

/// @title What challenges go by: the classes of devices with their weight in reference units, and the settings
/// @notice {ICapacityRegistry} asks here at each request, and keeps what it was told.
///
/// Promises
/// - Every number has fixed bounds, and changes by {IGovernedSteps} within them.
/// - A class closes only {CLOSE_NOTICE} after that was said, and then stays as it was. One that is added opens a stake thaw later, is
///   worth at most twice the heaviest open class of its kind, and asks for no less than half of the smallest: else it would be a
///   larger change under another name. Its opening is a change of it: there is none before, and none for a stake thaw after.
///   Where all of a kind are closed, they count instead. The first of its kind is free, for nothing was minted on it.
/// - No loop is longer than {MAX_CLASSES}.
///
/// What it does not promise
/// - That a weight is right. Classes are what governance holds devices to be worth.
///
/// The owner, a timelock, can do what follows under Governed, and nothing else. No proxy and no pause.
interface IChallengeRules is IGovernedSteps {
    /// @notice A class of devices. One device of a class of kind Cpu is one vCPU.
    /// @param name 1 to 32 bytes
    /// @param weightMilli thousandths of a reference unit that one device is
    /// @param n rows and columns of the challenge's matrices; a multiple of 256 that fills a GPU's memory
    /// @param timeLimitMs from the draw to the signed answer, as a verifier sees it
    struct Class {
        string name;
        ICapacityRegistry.Kind kind;
        uint32 weightMilli;
        uint32 n;
        uint32 timeLimitMs;
    }

    /// @notice When a class takes new challenges: from opensAt to the second before closesAt, where that is not zero.
    /// @param changedAt when it was last changed; zero: never; of one that was added: opensAt at first, also while that is to come
    struct ClassTimes {
        uint64 opensAt;
        uint64 closesAt;
        uint64 changedAt;
    }

    /// @notice A declared class with what it is judged by, fixed at the request. One word.
    struct Condition {
        uint16 classId;
        uint16 count;
        ICapacityRegistry.Kind kind;
        uint32 weightMilli;
        uint32 n;
        uint32 timeLimitMs;
    }

    /// @notice The governed numbers. Bounds: {setSettings}.
    /// @param drawDelay blocks from a request to the last one in which it cannot be drawn
    /// @param panelSize members of a panel, when there are enough verifiers
    /// @param quorum verdicts that decide; more than two thirds of panelSize
    /// @param minPanel the least members that judge
    /// @param minList the least verifiers, beside the provider, for a request
    /// @param answerTime seconds from the draw to the last one at which {ICapacityRegistry-record} takes verdicts
    /// @param validity seconds from a passed verdict to the end of the capacity
    /// @param spotCheckPause seconds after a spot check in which another costs twice as much
    /// @param recheckTime seconds that a capacity in doubt lasts at most
    /// @param fee OPENX base units for a challenge
    /// @param deviceFee the same for each of its devices
    struct Settings {
        uint16 drawDelay;
        uint8 panelSize;
        uint8 quorum;
        uint8 minPanel;
        uint16 minList;
        uint32 answerTime;
        uint32 validity;
        uint32 spotCheckPause;
        uint32 recheckTime;
        uint96 fee;
        uint96 deviceFee;
    }

    event ClassAdded(uint16 indexed classId, Class class, uint64 opensAt);
    event ClassChanged(uint16 indexed classId, uint32 weightMilli, uint32 n, uint32 timeLimitMs);
    event ClassClosing(uint16 indexed classId, uint64 closesAt);
    event SettingsSet(Settings settings);

    error ZeroAddress();
    error ClassNameLength(uint256 length, uint256 max);
    error MatrixSizeNotWhole(uint32 n, uint32 multipleOf);
    error TooManyClasses(uint256 max);
    error UnknownClass(uint16 classId);
    error ClassOpensLater(uint16 classId, uint64 opensAt);
    error ClassIsClosed(uint16 classId);
    error ClassIsClosing(uint16 classId, uint64 closesAt);
    error DeclaredCount(uint256 count, uint256 max);
    error DeclaredNotAscending(uint16 classId);
    error NothingDeclared(uint16 classId);
    error TooManyDevices(uint256 devices, uint256 max);

    /// @notice What each declared class would be judged by if it were requested now. Refused where they are not by ascending class, at most
    /// {MAX_DECLARED} and {MAX_DEVICES} devices together, of open classes.
    /// @return conditions one for each
    /// @return devices how many all of them are
    function judgedBy(ICapacityRegistry.DeclaredClass[] calldata declared)
        external
        view
        returns (Condition[] memory conditions, uint256 devices);

    /// @notice The fee of a request of so many devices now.
    function requestPrice(uint256 devices) external view returns (uint256);

    // ---- Governed

    /// @notice Adds a class, which opens a stake thaw from now: weightMilli 1 to 1,000,000; n 256 to 131,072, a multiple of 256; timeLimitMs
    /// 1 to 600,000. Beside open ones of its kind: at most twice the heaviest, at least half of the smallest n, at most twice the
    /// longest time. Only the owner, as the following.
    function addClass(Class calldata class) external returns (uint16 classId);
    /// @notice Changes a class for requests from now on, by {IGovernedSteps}. Refused for one that is not open.
    function changeClass(uint16 classId, uint32 weightMilli, uint32 n, uint32 timeLimitMs) external;
    /// @notice Closes a class to requests, {CLOSE_NOTICE} from now. For good.
    function closeClass(uint16 classId) external;
    function classOf(uint16 classId) external view returns (Class memory);
    function classTimesOf(uint16 classId) external view returns (ClassTimes memory);
    function classCount() external view returns (uint16);

    /// @notice drawDelay 1 to 20,000; panelSize 1 to {MAX_PANEL}; quorum more than two thirds of it; minPanel 1 to panelSize; minList minPanel to
    /// 512; answerTime 10 seconds to 1 day; validity 1 minute to 90 days; spotCheckPause 1 second to validity; recheckTime 10 seconds
    /// to 90 days; fee 0.001 to 1,000 OPENX; deviceFee 0.000001 to 10 OPENX; each change by {IGovernedSteps}. Only the owner.
    function setSettings(Settings calldata settings_) external;
    function settings() external view returns (Settings memory);

    function registry() external view returns (IProviderRegistry);
    // solhint-disable func-name-mixedcase
    function MAX_CLASSES() external view returns (uint256);
    function MAX_DECLARED() external view returns (uint256);
    function MAX_DEVICES() external view returns (uint256);
    function MAX_PANEL() external view returns (uint256);
    function CLOSE_NOTICE() external view returns (uint64);
    // solhint-enable func-name-mixedcase
}
