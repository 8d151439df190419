// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

import {AnswerTree} from "../faults/AnswerTree.sol";
import {IAnswerReveals} from "../interfaces/IAnswerReveals.sol";
import {ICapacityRegistry} from "../interfaces/ICapacityRegistry.sol";
import {IEvidence} from "../interfaces/IEvidence.sol";
import {IFaultProver} from "../interfaces/IFaultProver.sol";
import {IProviderRegistry} from "../interfaces/IProviderRegistry.sol";
import {MatrixProduct} from "../faults/MatrixProduct.sol";

/// @notice See {IAnswerReveals}.
contract AnswerReveals is IAnswerReveals {
    using SafeERC20 for IERC20;

    uint256 public constant REVEAL_WINDOW = 1 days;
    /// @dev The leaves have to be computed again, on devices that may be at work.
    uint256 public constant REVEAL_TIME = 1 days;
    /// @dev Longer than a sequencer keeps a transaction out.
    uint256 public constant DOUBT_TIME = 2 days;
    /// @dev 8 leaves of the largest tree are 15 KiB of calldata, and one that is taken by chance misses a product of which
    /// half is missing once in 256.
    uint256 public constant MAX_PLACES = 8;
    uint32 public constant WRONG_ELEMENT_PPM = 500_000;

    IProviderRegistry public immutable registry;
    ICapacityRegistry public immutable capacity;
    IERC20 public immutable openx;

    uint256 public demandCount;
    mapping(uint256 demandId => Demand) private _demands;

    constructor(IProviderRegistry registry_, ICapacityRegistry capacity_) {
        if (address(registry_) == address(0) || address(capacity_) == address(0)) revert ZeroAddress();
        registry = registry_;
        capacity = capacity_;
        openx = registry_.openx();
    }

    function demand(bytes32 challengeId, bytes32[] calldata roots, Place[] calldata places)
        external
        returns (uint256 demandId)
    {
        address provider = _checkPassed(challengeId);
        bytes32 rootsHash = keccak256(abi.encodePacked(roots));
        bytes32 recorded = capacity.answersHashOf(challengeId);
        if (rootsHash != recorded) revert RootsNotRecorded(rootsHash, recorded);
        if (places.length == 0 || places.length > MAX_PLACES) revert PlacesCount(places.length, MAX_PLACES);
        Leaf[] memory leaves = new Leaf[](places.length);
        for (uint256 i = 0; i < leaves.length; i++) {
            leaves[i] = _leafAt(challengeId, roots, places[i]);
        }

        demandId = ++demandCount;
        uint64 deadline = uint64(block.timestamp + REVEAL_TIME);
        // Bounded far below 2^96 there.
        uint96 fee = uint96(capacity.rules().requestPrice(0));
        _demands[demandId] = Demand({
            provider: provider,
            stage: Stage.Demanded,
            deadline: deadline,
            payer: msg.sender,
            fee: fee,
            revealedAt: 0,
            atBlock: uint64(block.number),
            leavesHash: keccak256(abi.encode(leaves)),
            challengeId: challengeId
        });
        emit Demanded(demandId, challengeId, provider, msg.sender, fee, deadline, leaves);
        openx.safeTransferFrom(msg.sender, address(this), fee);
    }

    function reveal(uint256 demandId, Leaf[] calldata leaves, IFaultProver.ElementProof[] calldata proofs) external {
        Demand storage asked = _demands[demandId];
        if (asked.stage != Stage.Demanded) revert WrongStage(demandId, asked.stage);
        if (block.timestamp > asked.deadline) revert TooLate(demandId, asked.deadline, block.timestamp);
        address provider = asked.provider;
        if (msg.sender != provider && msg.sender != registry.nodeKeyOf(provider)) {
            revert NotTheProvider(msg.sender, provider);
        }
        _checkLeaves(demandId, leaves);
        if (proofs.length != leaves.length) revert ProofsCount(proofs.length, leaves.length);
        for (uint256 i = 0; i < proofs.length; i++) {
            _checkLeads(leaves[i], proofs[i]);
        }

        asked.stage = Stage.Revealed;
        asked.revealedAt = uint64(block.timestamp);
        emit Revealed(demandId, provider);
        openx.safeTransfer(registry.payoutOf(provider), asked.fee);
    }

    /// @dev What is called before the event and the fee is our own contract, which calls no one back.
    // slither-disable-next-line reentrancy-events
    function doubt(uint256 demandId) external {
        Demand storage asked = _demands[demandId];
        if (asked.stage != Stage.Demanded) revert WrongStage(demandId, asked.stage);
        if (block.timestamp <= asked.deadline) revert TooEarly(demandId, asked.deadline, block.timestamp);
        asked.stage = Stage.Unrevealed;
        bool isDoubted = block.timestamp <= asked.deadline + DOUBT_TIME && capacity.putInDoubt(asked.challengeId);
        emit Unrevealed(demandId, asked.provider, isDoubted);
        openx.safeTransfer(asked.payer, asked.fee);
    }

    /// @dev The registry is our own contract and calls only OPENX; what it took is known only when it has taken it.
    // slither-disable-next-line reentrancy-events
    function proveRevealed(
        uint256 demandId,
        Leaf[] calldata leaves,
        uint256 which,
        IFaultProver.ElementProof calldata proof
    ) external returns (uint256 slashed) {
        Demand storage asked = _demands[demandId];
        if (asked.stage != Stage.Revealed) revert WrongStage(demandId, asked.stage);
        _checkLeaves(demandId, leaves);
        Leaf calldata leaf = leaves[which];
        _checkLeads(leaf, proof);
        (uint256 row, uint256 column, int256 value) = AnswerTree.elementOf(proof, leaf.n);
        if (MatrixProduct.element(leaf.seed, leaf.n, row, column) == value) {
            revert IFaultProver.ElementIsRight(row, column, value);
        }

        asked.stage = Stage.ProvenWrong;
        // The reward is part of what was slashed.
        // slither-disable-next-line unused-return
        (slashed,) = registry.slash(asked.provider, _makePenalty(demandId, asked));
        emit ProvenWrong(demandId, asked.provider, leaf.device, row, column, slashed);
    }

    function demandOf(uint256 demandId) external view returns (Demand memory) {
        return _demands[demandId];
    }

    function _checkPassed(bytes32 challengeId) private view returns (address provider) {
        ICapacityRegistry.Challenge memory challenge = capacity.challengeOf(challengeId);
        if (challenge.stage != ICapacityRegistry.Stage.Passed) revert NotPassed(challengeId, challenge.stage);
        uint256 until = challenge.deadline + REVEAL_WINDOW;
        if (block.timestamp > until) revert WindowOver(challengeId, until, block.timestamp);
        return challenge.provider;
    }

    function _leafAt(bytes32 challengeId, bytes32[] calldata roots, Place calldata place)
        private
        view
        returns (Leaf memory)
    {
        // At most MAX_PLACES of these calls, to our own contract. The provider is the challenge's.
        // slither-disable-next-line calls-loop,unused-return
        (, bytes32 seed, uint32 n) = capacity.deviceOf(challengeId, place.device);
        // A device that is not there has no size, and so no leaves.
        if (place.index >= uint256(n) * n / AnswerTree.LEAF_ELEMENTS) revert NoSuchPlace(place.device, place.index);
        return Leaf(place.device, place.index, n, seed, roots[place.device]);
    }

    function _checkLeaves(uint256 demandId, Leaf[] calldata leaves) private view {
        bytes32 shown = keccak256(abi.encode(leaves));
        bytes32 demanded = _demands[demandId].leavesHash;
        if (shown != demanded) revert LeavesDiffer(demandId, shown, demanded);
    }

    function _checkLeads(Leaf calldata leaf, IFaultProver.ElementProof calldata proof) private pure {
        if (proof.index != leaf.index) revert NotTheLeaf(proof.index, leaf.index);
        bytes32 root = AnswerTree.rootOf(proof, leaf.n);
        if (root != leaf.root) revert IFaultProver.NotInAnswer(root, leaf.root);
    }

    function _makePenalty(uint256 demandId, Demand storage asked)
        private
        view
        returns (IProviderRegistry.Penalty memory)
    {
        return IProviderRegistry.Penalty({
            role: IProviderRegistry.Role.Provider,
            fault: uint8(IEvidence.Fault.WrongElement),
            ppm: WRONG_ELEMENT_PPM,
            datedAt: asked.revealedAt,
            faultId: keccak256(abi.encode(address(this), demandId)),
            reporter: asked.payer
        });
    }
}
