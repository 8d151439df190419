// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import {ICapacityRegistry} from "./ICapacityRegistry.sol";
import {IFaultProver} from "./IFaultProver.sol";
import {IProviderRegistry} from "./IProviderRegistry.sol";

/// @title Answers to capacity challenges, shown afterwards to anyone who asks
/// @notice A panel's verdict says that verifiers looked. This lets anybody else look too: any leaf of any device's product.
///
/// How it goes
/// 1. {demand} by anyone, for {REVEAL_WINDOW} after the deadline of a challenge that was passed, at the price of a challenge's
///    fee: names up to {MAX_PLACES} leaves. The roots of the answer stand in the calldata of the verdicts' record.
/// 2. {reveal} by the provider, from its own address or its node's, for {REVEAL_TIME}: shows every leaf with its path to the
///    recorded root, and gets the fee.
/// 3. {proveRevealed} by anyone: one element of a revealed leaf is not the product's. The provider loses {WRONG_ELEMENT_PPM} of its
///    stake, and the tenth for the reporter goes to who paid for the demand, so copying the proof gains nothing.
/// 4. {doubt} by anyone, when the time is over and nothing was revealed: the payer has its fee back and the capacity that stands
///    on this challenge is in doubt ({ICapacityRegistry}) until the provider passes a challenge again. Silence is never slashed.
///
/// The payer chooses the leaves, not chance: who knows where an answer is wrong can name the place, also one of the rows
/// that a verdict says were opened, where the same leaf is evidence against the verifier ({IFaultProver-proveFalseVerdict});
/// who knows nothing takes places by its own dice. Nobody has to trust a block's maker for either.
///
/// Promises
/// - A provider that shows nothing but what it computed itself loses nothing here: a right element proves nothing, and only the provider
///   can reveal. So a panel that records roots which are not the provider's can put it in doubt, and not more.
/// - A demand reaches only what was asked about: where a later challenge of the provider was passed meanwhile, or {DOUBT_TIME} has
///   gone by since the deadline, {doubt} gives the fee back and doubts nothing. So demands that were not met cannot be kept.
/// - An answer can be demanded as often as somebody pays; a provider that pays for its own demands keeps nobody out.
/// - Here lies exactly the fees of the demands that are open. This contract has no owner, no pause and no upgrade.
/// - No loop is longer than {MAX_PLACES}; the roots of a demand are at most those of a challenge's devices.
///
/// What it does not promise
/// - A panel that works for the provider can pass an answer that is right in the few leaves that will be asked for, if it can guess them. Each
///   leaf that a payer takes by chance misses a product of which a part f is missing with probability 1 - f.
/// - Whoever pays for more demands than a provider can answer in {REVEAL_TIME} puts an honest one in doubt, at the price of all that it
///   does answer. A node makes a product again once for all that is asked of it by then, so that is as many transactions as it can send.
/// - What was minted between the verdict and the doubt stays minted, backed by the provider's stake like everything else.
///
/// Assumptions
/// - registry, capacity and openx are our own contracts and do not call back. This contract is one of the registry's judges of
///   {IProviderRegistry-Role} Provider, and the one that capacity takes doubts from.
interface IAnswerReveals {
    enum Stage {
        None,
        Demanded,
        Revealed,
        Unrevealed,
        ProvenWrong
    }

    /// @notice A leaf that is asked for: number `index` of the tree of device number `device`.
    struct Place {
        uint32 device;
        uint64 index;
    }

    /// @notice A place with all that a leaf shown there is judged by.
    /// @param n, seed of the device's matrices
    /// @param root of the device's recorded answer
    struct Leaf {
        uint32 device;
        uint64 index;
        uint32 n;
        bytes32 seed;
        bytes32 root;
    }

    /// @param deadline last second at which {reveal} is taken
    /// @param revealedAt zero until then
    /// @param atBlock whose log has {Demanded} with the leaves
    /// @param leavesHash keccak256(abi.encode(Leaf[])) of what was asked for
    /// @param challengeId whose answer was asked for
    struct Demand {
        address provider;
        Stage stage;
        uint64 deadline;
        address payer;
        uint96 fee;
        uint64 revealedAt;
        uint64 atBlock;
        bytes32 leavesHash;
        bytes32 challengeId;
    }

    event Demanded(
        uint256 indexed demandId,
        bytes32 indexed challengeId,
        address indexed provider,
        address payer,
        uint96 fee,
        uint64 deadline,
        Leaf[] leaves
    );
    /// @notice The leaves and their paths stand in the transaction.
    event Revealed(uint256 indexed demandId, address indexed provider);
    /// @notice A demand was not met. isDoubted: whether that put a capacity in doubt.
    event Unrevealed(uint256 indexed demandId, address indexed provider, bool isDoubted);
    event ProvenWrong(
        uint256 indexed demandId, address indexed provider, uint32 device, uint256 row, uint256 column, uint256 slashed
    );

    error ZeroAddress();
    error NotPassed(bytes32 challengeId, ICapacityRegistry.Stage stage);
    error WindowOver(bytes32 challengeId, uint256 until, uint256 time);
    error RootsNotRecorded(bytes32 rootsHash, bytes32 recorded);
    error PlacesCount(uint256 places, uint256 max);
    error NoSuchPlace(uint32 device, uint64 index);
    error WrongStage(uint256 demandId, Stage stage);
    error TooLate(uint256 demandId, uint256 deadline, uint256 time);
    error TooEarly(uint256 demandId, uint256 deadline, uint256 time);
    error NotTheProvider(address caller, address provider);
    error LeavesDiffer(uint256 demandId, bytes32 shown, bytes32 demanded);
    error ProofsCount(uint256 proofs, uint256 leaves);
    error NotTheLeaf(uint64 shown, uint64 demanded);

    /// @notice Asks for leaves of a recorded answer. The caller approved this contract for the fee: {IChallengeRules-requestPrice} of no
    /// devices, now.
    /// @param roots of all devices in order, as recorded
    /// @return demandId numbers from 1
    function demand(bytes32 challengeId, bytes32[] calldata roots, Place[] calldata places)
        external
        returns (uint256 demandId);

    /// @notice Shows the leaves of a demand, all at once. Only the provider or its node key.
    /// @param leaves as {Demanded} has them
    /// @param proofs one for each leaf; their columns do not matter
    function reveal(uint256 demandId, Leaf[] calldata leaves, IFaultProver.ElementProof[] calldata proofs) external;

    /// @notice Ends a demand that was not met in time, gives its fee back, and within {DOUBT_TIME} puts the capacity that stands on its
    /// challenge in doubt, where there still is one that is not. By anyone.
    function doubt(uint256 demandId) external;

    /// @notice Slashes the provider for one wrong element of a leaf that it revealed. By anyone, once for a demand.
    /// @param leaves as {Demanded} has them
    /// @param which of them the proof is about
    function proveRevealed(
        uint256 demandId,
        Leaf[] calldata leaves,
        uint256 which,
        IFaultProver.ElementProof calldata proof
    ) external returns (uint256 slashed);

    function demandOf(uint256 demandId) external view returns (Demand memory);

    /// @notice The last demand's number. Their deadlines ascend with their numbers, so those that are open are the last ones.
    function demandCount() external view returns (uint256);

    function registry() external view returns (IProviderRegistry);
    function capacity() external view returns (ICapacityRegistry);
    function openx() external view returns (IERC20);
    // solhint-disable func-name-mixedcase
    function REVEAL_WINDOW() external view returns (uint256);
    function REVEAL_TIME() external view returns (uint256);
    function DOUBT_TIME() external view returns (uint256);
    function MAX_PLACES() external view returns (uint256);
    function WRONG_ELEMENT_PPM() external view returns (uint32);
    // solhint-enable func-name-mixedcase
}
