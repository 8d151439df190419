// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import {IChallengeRules} from "./IChallengeRules.sol";
import {IProviderRegistry} from "./IProviderRegistry.sol";
import {IRandomness} from "./IRandomness.sol";
import {IVerifierRegistry} from "./IVerifierRegistry.sol";

/// @title What a provider's hardware was seen to do
/// @notice Challenges of the devices that a provider declares, by the classes and settings of {IChallengeRules}; drawn at random;
/// verdicts signed by a quorum of staked verifiers ({IVerifierRegistry}); the capacity in force for each provider.
///
/// How a challenge goes
/// 1. {requestChallenge} by the provider for all of its devices at once, or {spotCheck} by anyone else for those that are in force.
///    The caller pays the fee in OPENX, more for more devices, which the verifiers who judge share. One challenge of a provider is
///    open at a time, and none can be cancelled.
/// 2. {draw} by anyone, after the block that the request named: {IRandomness} gives the seed, and the panel out of all verifiers.
///    Neither is known before.
/// 3. Off chain: the node multiplies, for every device at once, two matrices that the device's seed gives, and signs a
///    CapacityAnswer with the Merkle root of the product for each. Each verifier of the panel takes the time, draws random
///    vectors and rows, has rows opened, and signs a Verdict.
/// 4. {record} by anyone with the verdicts of a quorum that agree. Passed, it shows the roots of all answers, and sets the capacity
///    until it expires. Not passed, it jails: no capacity, no minting, never a slash, until a challenge is passed. Without a quorum in time
///    the challenge lapses: it changes nothing, and the fee is burned.
/// 5. A spot check that is passed only shows again what is in force. One that is not puts the capacity in *doubt*: no minting, and
///    {IChallengeRules-Settings-recheckTime} to pass a challenge of the provider's own; else the capacity ends then.
///
/// Seeds: device number d (from 0, through the declared classes in order) of a challenge has the seed
/// keccak256(abi.encode(challengeSeed, uint32 d)), challengeSeed being keccak256(abi.encode(randomness, challengeId)). Row
/// k that a verifier opens of device d is uint256(keccak256(abi.encode(openingSeed, uint32 d, uint32 k))) % n, for k < {OPENED_ROWS}.
///
/// Promises
/// - A challenge is judged by what was fixed when it was requested: the classes' weight, n and time limit ({conditionsOf}), the
///   verifiers, the size of the panel and the quorum. Enlisting, leaving, being struck off or a change of the settings between the
///   request and the draw does not move a single seat. A verifier that left after the request may be drawn, and may judge.
/// - No request is taken while there are fewer verifiers than {IChallengeRules-Settings-minList} beside the provider, and none is judged by fewer than
///   {IChallengeRules-Settings-minPanel}: a draw that finds fewer lapses.
/// - The provider is never on its own panel. The panel has {IChallengeRules-Settings-panelSize} members, or all there are when they are fewer; its
///   quorum is then more than two thirds of them. Two quorums that contradict each other have signers in common, who can be slashed
///   for it ({IFaultProver}).
/// - Nothing passes without answers: the roots of all devices stand in the transaction that records a pass, and their hash is in every
///   verdict of it. So whoever passed a wrong answer can be proved wrong by anybody, at any time while its pledge is held.
/// - A verdict counts when the verifier is on the panel, still has the stake that it pledged, and its node key of today signed it: a
///   stolen key that was replaced judges nothing.
/// - Every try costs, and those of the provider leave a trace ({triesOf}): of a challenge that lapsed nothing comes back to the provider;
///   who paid to have another checked gets half. A member of the panel that signed nothing has a miss ({IVerifierRegistry}); until the
///   deadline any member's verdict can be shown ({noteVerdicts}), also where no quorum comes about or one was quicker.
/// - A check by somebody else never ends a capacity at once, and no number of them makes a doubt shorter. While it lasts nobody but the
///   provider can ask for a challenge of it.
/// - Each check within {IChallengeRules-Settings-spotCheckPause} of the one before costs twice as much, up to 2^{MAX_CHECK_STEPS} times; none is refused for
///   coming too soon. The provider cannot check itself.
/// - No change of {IChallengeRules} touches a capacity that is in force. Of an open challenge it changes only what is counted later:
///   answerTime from the draw, validity and recheckTime from the verdict.
/// - No loop is longer than its maximum: {IChallengeRules-MAX_DECLARED}, {IChallengeRules-MAX_DEVICES}, {IChallengeRules-MAX_PANEL},
///   {MAX_LOOKED_AT}.
///
/// What it does not promise
/// - A verdict is a judgement, not a proof. It gates minting and nothing else. More than two thirds of a panel that collude can
///   grant capacity that does not exist, or jail; what is minted on it still has the provider's stake as collateral, and they
///   cannot take any stake.
/// - A provider can own verifiers under other addresses, which nothing on chain can see. What makes this expensive is that each needs a
///   pledge of its own, that the panel is drawn from a list of some length, and that each further try costs the fee and shows.
/// - How random a draw is: {IRandomness} says it. It is asked in the block of the draw, and a caller that dislikes the panel may revert:
///   each value until somebody else draws is one more to choose from. So some verifiers, each by dice of its own, draw in
///   the first block in which they may, and others soon after. An order that follows from anything known at the request could be ground.
/// - A draw that is not made for {IVerifierRegistry-DRAW_BLOCKS} blocks may find fewer verifiers than there were.
/// - A verifier that colludes can choose its entropy so that the rows it says it opened are right ones. {IFaultProver} takes stake from a
///   verifier that passed what it did not look at, not from one that looked away well.
/// - The account that records chooses whose verdicts it hands in, a quorum or more, and those verifiers share the fee.
/// - A blocking minority (a third of a panel) can keep a challenge from a quorum by signing what the others do not. The provider then
///   loses its fee.
/// - A spot check is announced {IChallengeRules-Settings-drawDelay} blocks ahead. A check that is open keeps the provider from renewing, so it renews
///   {IChallengeRules-Settings-answerTime} and more before the end.
/// - A chain reorganised behind a draw gives the same challenge another seed. A verifier never signs more than one verdict for a challenge
///   id; it waits until the draw is final, or abstains.
///
/// There is no owner, no proxy and no pause.
///
/// Assumptions
/// - OPENX moves exactly the amount named and calls no other contract. The registries and the randomness are our own and do not call
///   back.
/// - block.number rises by about one in a block time ({IChallengeRules-Settings-drawDelay} is in blocks).
///
/// EIP-712 domain: name "xnode", version "1", this chain, this contract.
interface ICapacityRegistry {
    enum Kind {
        Gpu,
        Cpu
    }

    struct DeclaredClass {
        uint16 classId;
        uint16 count;
    }

    /// @notice What one verifier saw. Signed type:
    /// `Verdict(bytes32 challengeId,bytes32 answersHash,bool passed,bytes32 openingSeed)`.
    /// @param answersHash keccak256 of the devices' Merkle roots, 32 bytes each in order of device; any value in a verdict that did not pass
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

    /// @param drawBlock the last block in which it cannot be drawn
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

    /// @notice What is in force from `from` to the second before `until`. milli: thousandths of reference units, all devices of the kind together.
    struct Capacity {
        uint32 gpus;
        uint32 vcpus;
        uint64 gpuMilli;
        uint64 cpuMilli;
        uint64 from;
        uint64 until;
    }

    event ChallengeRequested(
        bytes32 indexed challengeId, address indexed provider, address indexed payer, uint64 drawBlock, uint256 fee
    );
    event ChallengeDrawn(
        bytes32 indexed challengeId, address indexed provider, bytes32 seed, address[] panel, uint64 deadline
    );
    event CapacityVerified(bytes32 indexed challengeId, address indexed provider, Capacity capacity);
    event Jailed(bytes32 indexed challengeId, address indexed provider);
    /// @notice The capacity in force is in doubt, and ends at `until` unless the provider passes a challenge of its own before.
    event Doubted(bytes32 indexed challengeId, address indexed provider, uint64 until);
    event ChallengeLapsed(bytes32 indexed challengeId, address indexed provider);
    /// @notice The verdicts of a challenge; comes before what follows from them. The signatures stand in the transaction.
    event VerdictsRecorded(bytes32 indexed challengeId, bool passed, bytes32 answersHash, address[] verifiers);
    /// @notice The Merkle root of every device's answer, in order of device, for a challenge that was passed.
    event AnswersRevealed(bytes32 indexed challengeId, bytes32[] roots);
    /// @notice These members of a panel signed a verdict. The signatures stand in the transaction.
    event VerdictsNoted(bytes32 indexed challengeId, address[] verifiers);

    error ZeroAddress();
    /// @notice A part was made for another ProviderRegistry.
    error OfAnotherRegistry(address part, address registry);
    error NotRegistered(address provider);
    error ChallengeOpen(address provider, bytes32 challengeId);
    error OwnCheck(address provider);
    error NothingInForce(address provider);
    error CapacityInDoubt(address provider, uint64 until);
    error TooFewVerifiers(uint256 verifiers, uint256 needed);
    error NotReveals(address caller);
    error WrongStage(bytes32 challengeId, Stage stage);
    error TooEarlyToDraw(bytes32 challengeId, uint64 drawBlock, uint256 blockNumber);
    error DeadlinePassed(bytes32 challengeId, uint64 deadline, uint256 time);
    error DeadlineNotPassed(bytes32 challengeId, uint64 deadline, uint256 time);
    error LengthsDiffer(uint256 verifiers, uint256 verdicts, uint256 signatures);
    error QuorumShort(bytes32 challengeId, uint256 verdicts, uint256 quorum);
    error VerdictsDiffer(address verifier);
    error VerdictOfAnother(bytes32 signed, bytes32 challengeId);
    error RootsCount(uint256 roots, uint256 devices);
    error RootsNotOfVerdict(bytes32 rootsHash, bytes32 answersHash);
    error NotOnPanel(bytes32 challengeId, address verifier);
    error WrongVerdictSignature(address verifier, address nodeKey, address recovered);
    error NoSuchVerdict(address provider, uint256 index);

    // ---- Challenges

    /// @notice Requests a challenge of the calling, registered provider. The caller approved this contract for {IChallengeRules-requestPrice}.
    /// @param declared what it has, by ascending class, at most {IChallengeRules-MAX_DECLARED} and {IChallengeRules-MAX_DEVICES} devices together
    /// @return challengeId keccak256(abi.encode(chain id, this contract, provider, number of the provider's challenge from 1))
    function requestChallenge(DeclaredClass[] calldata declared) external returns (bytes32 challengeId);

    /// @notice Has what a provider has in force challenged again, under the conditions it was verified under. By anyone but
    /// itself, who approved this contract for {spotCheckPrice}.
    function spotCheck(address provider) external returns (bytes32 challengeId);

    /// @notice Draws seed and panel. By anyone, in any block after the challenge's drawBlock. Where fewer than {IChallengeRules-Settings-minPanel} of the
    /// request's verifiers are found, the challenge lapses.
    function draw(bytes32 challengeId) external;

    /// @notice Takes the verdicts of a quorum. By anyone, until the deadline.
    /// @param roots of all devices' answers in order of device, for a challenge that was passed; else none
    /// @param judges the provider addresses of panel members, ascending
    /// @param verdicts of each, agreeing in challengeId, answersHash and passed; signed by the member's node key
    function record(
        bytes32 challengeId,
        bytes32[] calldata roots,
        address[] calldata judges,
        Verdict[] calldata verdicts,
        bytes[] calldata signatures
    ) external;

    /// @notice Shows verdicts of members of the panel, which need not agree: these have no miss. By anyone, from the draw until the
    /// deadline, also when a quorum has decided.
    function noteVerdicts(
        bytes32 challengeId,
        address[] calldata judges,
        Verdict[] calldata verdicts,
        bytes[] calldata signatures
    ) external;

    /// @notice Ends a challenge whose deadline passed without a quorum. By anyone; the next request does it too.
    function lapse(bytes32 challengeId) external;

    /// @notice Puts the capacity that stands on a passed challenge, or that a passed check was about, in doubt, because its answers
    /// were not shown when asked for. Only by {IVerifierRegistry-reveals}.
    /// @return whether it did: not where that capacity has ended, another has taken its place, or it is in doubt already
    function putInDoubt(bytes32 challengeId) external returns (bool);

    /// @notice The fee of a spot check of this provider now.
    function spotCheckPrice(address provider) external view returns (uint256);

    /// @notice How the provider's own requests ended so far.
    function triesOf(address provider) external view returns (uint64 passed, uint64 failed, uint64 lapsed);

    function challengeOf(bytes32 challengeId) external view returns (Challenge memory);

    /// @notice Each declared class as it was when the challenge was requested, which is what it is judged by.
    function conditionsOf(bytes32 challengeId) external view returns (IChallengeRules.Class[] memory);

    /// @notice What device number `device` of a challenge has to answer: whose it is, its own seed, and its class's n. All zero
    /// where there is no such device, or no seed yet.
    function deviceOf(bytes32 challengeId, uint32 device)
        external
        view
        returns (address provider, bytes32 seed, uint32 n);

    /// @notice How many verdicts decide a challenge; known once it is drawn.
    function quorumOf(bytes32 challengeId) external view returns (uint8);

    /// @notice When a challenge was drawn, in seconds since 1970: what its time limits count from. Zero before.
    function drawnAt(bytes32 challengeId) external view returns (uint64);

    function isOnPanel(bytes32 challengeId, address verifier) external view returns (bool);

    /// @notice The hash of all answers' roots that was recorded for a challenge.
    function answersHashOf(bytes32 challengeId) external view returns (bytes32);

    /// @notice The provider's open challenge; zero when there is none. One whose deadline passed counts as none.
    function openChallengeOf(address provider) external view returns (bytes32);

    // ---- Capacity

    /// @notice What is in force now and may be minted on; all zero when in doubt, lapsed, jailed or never verified.
    function capacityOf(address provider) external view returns (Capacity memory);
    /// @notice Devices of one class in {capacityOf}.
    function verifiedOf(address provider, uint16 classId) external view returns (uint16);
    /// @notice The provider's verdicts so far, oldest first; `until` is cut short where a later one took its place.
    /// @param index from 0 to before {historyLength}
    function historyOf(address provider, uint256 index) external view returns (Capacity memory);
    function historyLength(address provider) external view returns (uint256);
    function isJailed(address provider) external view returns (bool);
    /// @notice When the capacity that is in doubt ends; zero when none is.
    function inDoubtUntil(address provider) external view returns (uint64);
    /// @notice When the provider's last capacity ended, by expiry, doubt or jail; zero when some is in force, in doubt or not, or none ever was.
    function lapsedSince(address provider) external view returns (uint64);

    /// @notice When the provider last had a capacity of this kind that was at least milli: the end of that verdict, type(uint64).max when it
    /// is in force (in doubt or not), zero when none ever was. Looks at the last {MAX_LOOKED_AT} verdicts; where none of them suffices and
    /// there were others before, gives the beginning of the oldest of them, by which all others had ended.
    function servedUntil(address provider, Kind kind, uint256 milli) external view returns (uint64);

    function registry() external view returns (IProviderRegistry);
    function openx() external view returns (IERC20);
    function verifiers() external view returns (IVerifierRegistry);
    function rules() external view returns (IChallengeRules);
    function randomness() external view returns (IRandomness);
    function domainSeparator() external view returns (bytes32);
    // solhint-disable func-name-mixedcase
    function OPENED_ROWS() external view returns (uint32);
    function MAX_CHECK_STEPS() external view returns (uint8);
    function MAX_LOOKED_AT() external view returns (uint256);
    // solhint-enable func-name-mixedcase
}
