// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import {IProviderRegistry} from "./IProviderRegistry.sol";
import {IStakeHold} from "./IStakeHold.sol";

/// @title What a provider's hardware was seen to do
/// @notice Classes of devices with their weight in reference units; staked verifiers; challenges drawn at random; verdicts signed
/// by a quorum; the capacity in force for each provider.
///
/// How a challenge goes
/// 1. {requestChallenge} by the provider for all of its devices at once, or {spotCheck} by anyone for those that are in force.
///    The caller pays the fee in OPENX, which the verifiers who judge share. One challenge of a provider is open at a time.
/// 2. {draw} by anyone, after the block that the request named: its hash gives the seed, and the panel out of all verifiers.
///    Nobody knows either before. A block too old to be read arms the draw again.
/// 3. Off chain: the node multiplies, for every device at once, two matrices that the device's seed gives, and signs a
///    CapacityAnswer with the Merkle root of the product for each. Each verifier of the panel takes the time, draws random
///    vectors and rows, has rows opened, and signs a Verdict.
/// 4. {record} by anyone with the verdicts of a quorum that agree: passed sets the capacity until it expires; not passed jails: no
///    capacity, no minting, never a slash. Without a quorum in time the challenge lapses and changes nothing.
///
/// Seeds: device number d (from 0, through the claims in order) of a challenge has the seed
/// keccak256(abi.encode(challengeSeed, uint32 d)). Row k that a verifier opens of device d is
/// uint256(keccak256(abi.encode(openingSeed, uint32 d, uint32 k))) % n, for k < {OPENED_ROWS}.
interface ICapacityRegistry is IStakeHold {
    enum Kind {
        Gpu,
        Cpu
    }

    /// @notice A class of devices. One device of class "cpu" is one vCPU.
    /// @param weightMilli thousandths of a reference unit that one device is
    /// @param n rows and columns of the challenge's matrices; a multiple of 256 that fills a GPU's memory
    /// @param timeLimitMs from the draw to the signed answer, as a verifier sees it
    struct Class {
        string name;
        Kind kind;
        uint32 weightMilli;
        uint32 n;
        uint32 timeLimitMs;
    }

    struct Claim {
        uint16 classId;
        uint16 count;
    }

    /// @notice What one verifier saw. Signed type:
    /// `Verdict(bytes32 challengeId,bytes32 answersHash,bool passed,bytes32 openingSeed)`.
    /// @param answersHash keccak256 of the devices' Merkle roots, 32 bytes each in order of device; zero when there were none
    /// @param openingSeed the verifier's own dice, told to the node only after it signed its answers: says which rows were opened
    struct Verdict {
        bytes32 challengeId;
        bytes32 answersHash;
        bool passed;
        bytes32 openingSeed;
    }

    enum Stage {
        None,
        Requested,
        Drawn,
        Passed,
        Failed,
        Lapsed
    }

    /// @param drawBlock the block whose hash gives the seed
    /// @param deadline last second at which {record} takes verdicts; zero before the draw
    struct Challenge {
        address provider;
        Stage stage;
        uint64 drawBlock;
        uint64 deadline;
        bytes32 seed;
        address[] panel;
        Claim[] claims;
    }

    /// @notice What is in force. milli: thousandths of reference units, all devices of the kind together.
    struct Capacity {
        uint32 gpus;
        uint32 vcpus;
        uint64 gpuMilli;
        uint64 cpuMilli;
        uint64 from;
        uint64 until;
    }

    event ClassAdded(uint16 indexed classId, Class class);
    event ClassChanged(uint16 indexed classId, uint32 weightMilli, uint32 n, uint32 timeLimitMs);
    event VerifierEnlisted(address indexed verifier);
    event VerifierLeft(address indexed verifier, uint64 heldUntil);
    event ChallengeRequested(
        bytes32 indexed challengeId, address indexed provider, address indexed payer, uint64 drawBlock
    );
    event ChallengeDrawn(
        bytes32 indexed challengeId, address indexed provider, bytes32 seed, address[] panel, uint64 deadline
    );
    event CapacityVerified(bytes32 indexed challengeId, address indexed provider, Capacity capacity);
    event Jailed(bytes32 indexed challengeId, address indexed provider);
    event ChallengeLapsed(bytes32 indexed challengeId, address indexed provider);

    // ---- Challenges

    function requestChallenge(Claim[] calldata claims) external returns (bytes32 challengeId);
    function spotCheck(address provider) external returns (bytes32 challengeId);
    function draw(bytes32 challengeId) external;
    /// @param verifiers the provider addresses of panel members, ascending
    /// @param verdicts of each, agreeing in challengeId, answersHash and passed; signed by the member's node key
    function record(
        bytes32 challengeId,
        address[] calldata verifiers,
        Verdict[] calldata verdicts,
        bytes[] calldata signatures
    ) external;
    function lapse(bytes32 challengeId) external;
    function challengeOf(bytes32 challengeId) external view returns (Challenge memory);
    function openChallengeOf(address provider) external view returns (bytes32);

    // ---- Capacity

    /// @notice What is in force now; all zero when lapsed, jailed or never verified.
    function capacityOf(address provider) external view returns (Capacity memory);
    /// @notice Devices of one class in force.
    function verifiedOf(address provider, uint16 classId) external view returns (uint16);
    /// @notice The provider's verdicts so far, oldest first; `until` is cut short where a later one took its place.
    function historyOf(address provider, uint256 index) external view returns (Capacity memory);
    function historyLength(address provider) external view returns (uint256);
    function isJailed(address provider) external view returns (bool);
    /// @notice When the provider's last capacity ended, by expiry or jail; zero when some is in force or none ever was.
    function lapsedSince(address provider) external view returns (uint64);

    // ---- Verifiers

    /// @notice Makes the calling, registered provider a verifier; {verifierStake} of its stake is held from now on.
    function enlist() external;
    function leave() external;
    function isVerifier(address provider) external view returns (bool);
    function verifierCount() external view returns (uint256);
    function withdrawFees(address verifier) external returns (uint256);

    // ---- Governed

    function addClass(Class calldata class) external returns (uint16 classId);
    function changeClass(uint16 classId, uint32 weightMilli, uint32 n, uint32 timeLimitMs) external;
    function classOf(uint16 classId) external view returns (Class memory);
    function classCount() external view returns (uint16);

    function registry() external view returns (IProviderRegistry);
    function openx() external view returns (IERC20);
    function domainSeparator() external view returns (bytes32);
    // solhint-disable-next-line func-name-mixedcase
    function OPENED_ROWS() external view returns (uint32);
}
