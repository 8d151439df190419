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
///    The caller pays the fee in OPENX, which the verifiers who judge share. One challenge of a provider is open at a time, and
///    none can be cancelled.
/// 2. {draw} by anyone, after the block that the request named: its hash gives the seed, and the panel out of all verifiers.
///    Neither is known before. A block too old to be read arms the draw again.
/// 3. Off chain: the node multiplies, for every device at once, two matrices that the device's seed gives, and signs a
///    CapacityAnswer with the Merkle root of the product for each. Each verifier of the panel takes the time, draws random
///    vectors and rows, has rows opened, and signs a Verdict.
/// 4. {record} by anyone with the verdicts of a quorum that agree: passed sets the capacity until it expires; not passed jails: no
///    capacity, no minting, never a slash, until a challenge is passed. Without a quorum in time the challenge lapses, changes
///    nothing, and the fee goes back. A spot check that is passed changes nothing either: it only shows again what is in force.
///
/// Seeds: device number d (from 0, through the declared classes in order) of a challenge has the seed
/// keccak256(abi.encode(challengeSeed, uint32 d)), challengeSeed being keccak256(abi.encode(blockhash(drawBlock), challengeId)). Row
/// k that a verifier opens of device d is uint256(keccak256(abi.encode(openingSeed, uint32 d, uint32 k))) % n, for k < {OPENED_ROWS}.
///
/// Promises
/// - A challenge is judged by what was fixed when it was requested: the classes' weight, n and time limit ({conditionsOf}), the
///   verifiers, the size of the panel and the quorum. Enlisting, leaving, being struck off or a change of the settings between the
///   request and the draw does not move a single seat, so no one who has seen the hash can still choose. A verifier that left after
///   the request may be drawn, and may judge.
/// - The provider is never on its own panel. The panel has {Settings-panelSize} members, or all there are when they are fewer; its
///   quorum is then more than two thirds of them. Two quorums that contradict each other have signers in common, who can be slashed
///   for it ({IFaultProver}).
/// - A verdict counts when the verifier is on the panel, still has the stake that it pledged, and its node key of today signed it: a
///   stolen key that was replaced judges nothing. (Faults are judged the other way, by the key that is bound forever.)
/// - A verifier's pledge is held while it is enlisted and for {Settings-leaveDelay} after, on top of which comes the registry's
///   stake thaw: what it signed falls back on it for that long.
/// - Fees are conserved: the OPENX here is never less than all that {feesOf} and the open challenges' fees come to.
/// - No loop is longer than its maximum: {MAX_CLASSES}, {MAX_DECLARED}, {MAX_DEVICES}, {MAX_VERIFIERS}, {MAX_PANEL}.
///
/// What it does not promise
/// - A verdict is a judgement, not a proof. It gates minting and nothing else. More than two thirds of a panel that collude can
///   grant capacity that does not exist, or jail; what is minted on it still has the provider's stake as collateral, and they
///   cannot take any stake.
/// - A provider can own verifiers under other addresses, which nothing on chain can see. What makes this expensive is that each needs a
///   stake of its own, that the panel is drawn, and that each further try costs the fee and shows as a failure.
/// - A block producer can discard one whose hash it dislikes, at the loss of that block; a chain with a single sequencer
///   is only as random as that sequencer is honest.
/// - The hash is known once the block drawBlock is there, before {draw}. A verifier therefore counts the time limit from the
///   timestamp of that block, and draws without waiting for others; the chain's block time is the resolution of the clock.
/// - A draw that is not made for 256 blocks is armed again with a new hash. This is one more try for a provider that dislikes
///   a panel, so verifiers draw at once; they are paid for it.
/// - A verifier that colludes can choose its entropy so that the rows it says it opened are right ones. {IFaultProver} takes stake from a
///   verifier that passed what it did not look at, not from one that looked away well.
/// - A verifier that does not judge earns nothing and loses nothing. The account that records chooses whose verdicts it hands in, a
///   quorum or more, and those verifiers share the fee.
/// - A spot check is announced {Settings-drawDelay} blocks ahead, and a provider can have itself checked when it suits, which keeps
///   others from it for {Settings-spotCheckPause}. Its own challenges keep others from checking it only while one is open. A check that
///   is open keeps the provider from renewing, so it renews {Settings-answerTime} and more before the end.
/// - A chain reorganised behind a draw gives the same challenge another seed. A verifier never signs more than one verdict for a challenge
///   id; it waits until the draw is final, or abstains.
///
/// The owner, a timelock, adds and changes classes and sets the {Settings} within bounds. A change never touches a capacity that
/// is in force. Of an open challenge it changes only what is counted later: answerTime from the draw, validity from the verdict.
/// There is no proxy and no pause.
///
/// Assumptions
/// - OPENX moves exactly the amount named and calls no other contract. The registry is our own and does not call back.
/// - block.number and blockhash are those of one chain, the hash unknown before its block.
///
/// EIP-712 domain: name "xnode", version "1", this chain, this contract.
interface ICapacityRegistry is IStakeHold {
    enum Kind {
        Gpu,
        Cpu
    }

    /// @notice A class of devices. One device of a class of kind Cpu is one vCPU.
    /// @param name 1 to 32 bytes
    /// @param weightMilli thousandths of a reference unit that one device is; zero closes the class to new challenges
    /// @param n rows and columns of the challenge's matrices; a multiple of 256 that fills a GPU's memory
    /// @param timeLimitMs from the draw to the signed answer, as a verifier sees it
    struct Class {
        string name;
        Kind kind;
        uint32 weightMilli;
        uint32 n;
        uint32 timeLimitMs;
    }

    struct DeclaredClass {
        uint16 classId;
        uint16 count;
    }

    /// @notice What one verifier saw. Signed type:
    /// `Verdict(bytes32 challengeId,bytes32 answersHash,bool passed,bytes32 openingSeed)`.
    /// @param answersHash keccak256 of the devices' Merkle roots, 32 bytes each in order of device; zero when there were none
    /// @param openingSeed the verifier's own entropy, revealed to the node only after it signed its answers: gives the rows that were opened
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
        DeclaredClass[] declared;
    }

    /// @notice The governed numbers. Bounds: {setSettings}.
    /// @param drawDelay blocks from a request to the block whose hash gives the seed
    /// @param panelSize members of a panel, when there are enough verifiers
    /// @param quorum verdicts that decide; more than two thirds of panelSize
    /// @param answerTime seconds from the draw to the last one at which {record} takes verdicts
    /// @param validity seconds from a passed verdict to the end of the capacity
    /// @param spotCheckPause seconds between two spot checks of one provider
    /// @param leaveDelay seconds that a verifier's pledge stays held after it left
    /// @param fee OPENX base units for a challenge
    /// @param verifierStake OPENX base units that a verifier pledges when it enlists
    struct Settings {
        uint16 drawDelay;
        uint8 panelSize;
        uint8 quorum;
        uint32 answerTime;
        uint32 validity;
        uint32 spotCheckPause;
        uint32 leaveDelay;
        uint96 fee;
        uint96 verifierStake;
    }

    /// @notice What is in force from `from` to the second before `until`. milli: thousandths of reference units, all devices of the kind together.
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
    /// @notice The block a draw waited for was too old to be read, or is now another one.
    event DrawArmedAgain(bytes32 indexed challengeId, uint64 drawBlock);
    /// @notice The verdicts of a challenge; comes before what follows from them. The signatures stand in the transaction.
    event VerdictsRecorded(bytes32 indexed challengeId, bool passed, bytes32 answersHash, address[] verifiers);
    event FeesWithdrawn(address indexed account, address payout, uint256 amount);
    event SettingsSet(Settings settings);

    error ZeroAddress();
    error OpenxNotTheRegistrys(address openx, address registrysOpenx);
    error NotRegistered(address provider);
    error SettingOutOfBounds(bytes32 setting, uint256 value, uint256 min, uint256 max);
    error ClassNameLength(uint256 length, uint256 max);
    error MatrixSizeNotWhole(uint32 n, uint32 multipleOf);
    error TooManyClasses(uint256 max);
    error UnknownClass(uint16 classId);
    error ClassIsClosed(uint16 classId);
    error DeclaredCount(uint256 count, uint256 max);
    error DeclaredNotAscending(uint16 classId);
    error NothingDeclared(uint16 classId);
    error TooManyDevices(uint256 devices, uint256 max);
    error ChallengeOpen(address provider, bytes32 challengeId);
    error NothingInForce(address provider);
    error SpotCheckedRecently(address provider, uint256 nextAt);
    error NoVerifiers(address provider);
    error WrongStage(bytes32 challengeId, Stage stage);
    error TooEarlyToDraw(bytes32 challengeId, uint64 drawBlock, uint256 blockNumber);
    error DeadlinePassed(bytes32 challengeId, uint64 deadline, uint256 time);
    error DeadlineNotPassed(bytes32 challengeId, uint64 deadline, uint256 time);
    error LengthsDiffer(uint256 verifiers, uint256 verdicts, uint256 signatures);
    error QuorumShort(bytes32 challengeId, uint256 verdicts, uint256 quorum);
    error VerdictsDiffer(address verifier);
    error VerdictOfAnother(bytes32 signed, bytes32 challengeId);
    error PassedWithoutAnswers(bytes32 challengeId);
    error NotOnPanel(bytes32 challengeId, address verifier);
    error WrongVerdictSignature(address verifier, address nodeKey, address recovered);
    error VerifierStakeShort(address verifier, uint256 staked, uint256 needed);
    error NoSuchVerdict(address provider, uint256 index);
    error AlreadyVerifier(address provider);
    error NotVerifier(address provider);
    error LeftRecently(address provider, uint256 heldUntil);
    error TooManyVerifiers(uint256 max);
    error VerifierInOrder(address verifier);

    // ---- Challenges

    /// @notice Requests a challenge of the calling, registered provider. The caller approved this contract for the fee.
    /// @param declared what it has, by ascending class, at most {MAX_DECLARED} and {MAX_DEVICES} devices together
    /// @return challengeId keccak256(abi.encode(chain id, this contract, provider, number of the provider's challenge from 1))
    function requestChallenge(DeclaredClass[] calldata declared) external returns (bytes32 challengeId);

    /// @notice Has what a provider has in force challenged again, under the conditions it was verified under. By anyone, for the
    /// fee; once in {Settings-spotCheckPause}.
    function spotCheck(address provider) external returns (bytes32 challengeId);

    /// @notice Draws seed and panel from the hash of the challenge's drawBlock. By anyone, once that block is past. Where the
    /// hash can no longer be read this arms the draw again. Where every verifier of the request's time is the provider
    /// itself, the challenge lapses.
    function draw(bytes32 challengeId) external;

    /// @notice Takes the verdicts of a quorum. By anyone, until the deadline.
    /// @param judges the provider addresses of panel members, ascending
    /// @param verdicts of each, agreeing in challengeId, answersHash and passed; signed by the member's node key
    function record(
        bytes32 challengeId,
        address[] calldata judges,
        Verdict[] calldata verdicts,
        bytes[] calldata signatures
    ) external;

    /// @notice Ends a challenge whose deadline passed without a quorum. By anyone; the next request does it too.
    function lapse(bytes32 challengeId) external;

    function challengeOf(bytes32 challengeId) external view returns (Challenge memory);

    /// @notice Each declared class as it was when the challenge was requested, which is what it is judged by.
    function conditionsOf(bytes32 challengeId) external view returns (Class[] memory);

    /// @notice What device number `device` of a challenge has to answer: whose it is, its own seed, and its class's n. All zero
    /// where there is no such device, or no seed yet.
    function deviceOf(bytes32 challengeId, uint32 device)
        external
        view
        returns (address provider, bytes32 seed, uint32 n);

    /// @notice How many verdicts decide a challenge; known once it is drawn.
    function quorumOf(bytes32 challengeId) external view returns (uint8);

    /// @notice The provider's open challenge; zero when there is none. One whose deadline passed counts as none.
    function openChallengeOf(address provider) external view returns (bytes32);

    // ---- Capacity

    /// @notice What is in force now; all zero when lapsed, jailed or never verified.
    function capacityOf(address provider) external view returns (Capacity memory);
    /// @notice Devices of one class in force.
    function verifiedOf(address provider, uint16 classId) external view returns (uint16);
    /// @notice The provider's verdicts so far, oldest first; `until` is cut short where a later one took its place.
    /// @param index from 0 to before {historyLength}
    function historyOf(address provider, uint256 index) external view returns (Capacity memory);
    function historyLength(address provider) external view returns (uint256);
    function isJailed(address provider) external view returns (bool);
    /// @notice When the provider's last capacity ended, by expiry or jail; zero when some is in force or none ever was.
    function lapsedSince(address provider) external view returns (uint64);

    // ---- Verifiers

    /// @notice Makes the calling, registered provider a verifier; {Settings-verifierStake} of what it staked as a verifier
    /// ({IProviderRegistry-Role}) is held from now on. It is drawn for challenges that are requested from now on.
    function enlist() external;

    /// @notice Takes the caller off the list. Refused for {Settings-leaveDelay} after: to enlist again.
    function leave() external;

    /// @notice Takes a verifier off the list that is no longer a provider, or whose stake as one is below {Settings-verifierStake}. By anyone.
    function strikeOff(address verifier) external;

    function isVerifier(address provider) external view returns (bool);
    function verifierCount() external view returns (uint256);

    /// @notice The verifiers, in no order.
    function verifiers() external view returns (address[] memory);

    /// @notice Pays what an account earned by verdicts, or got back from a lapsed challenge, to its payout address. By anyone.
    function withdrawFees(address verifier) external returns (uint256);

    function feesOf(address account) external view returns (uint256);

    // ---- Governed

    function addClass(Class calldata class) external returns (uint16 classId);
    function changeClass(uint16 classId, uint32 weightMilli, uint32 n, uint32 timeLimitMs) external;
    function classOf(uint16 classId) external view returns (Class memory);
    function classCount() external view returns (uint16);

    /// @notice drawDelay 1 to 64; panelSize 1 to {MAX_PANEL}; quorum more than two thirds of it; answerTime 10 seconds to 1 day;
    /// validity 1 minute to 90 days; spotCheckPause up to validity; leaveDelay answerTime to 90 days; fee 0.001 to
    /// 1,000 OPENX; verifierStake 1 to 100,000,000 OPENX. Only the owner.
    function setSettings(Settings calldata settings_) external;
    function settings() external view returns (Settings memory);

    function registry() external view returns (IProviderRegistry);
    function openx() external view returns (IERC20);
    function domainSeparator() external view returns (bytes32);
    // solhint-disable func-name-mixedcase
    function OPENED_ROWS() external view returns (uint32);
    function MAX_CLASSES() external view returns (uint256);
    function MAX_DECLARED() external view returns (uint256);
    function MAX_DEVICES() external view returns (uint256);
    function MAX_VERIFIERS() external view returns (uint256);
    function MAX_PANEL() external view returns (uint256);
    // solhint-enable func-name-mixedcase
}
