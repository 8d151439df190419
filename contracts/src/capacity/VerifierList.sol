// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IVerifierRegistry} from "../interfaces/IVerifierRegistry.sol";

/// @title The verifiers that may be drawn, and the draw
/// @notice Verifiers sit in numbered slots. A slot keeps its verifier's name after it left, until a challenge of its time should long
/// be drawn, so that a draw depends on nothing but its seed and who sat where when the challenge was requested.
library VerifierList {
    /// @param leftBlock zero while enlisted
    struct Slot {
        address verifier;
        uint48 enlistedBlock;
        uint48 leftBlock;
    }

    /// @param heldUntil zero while enlisted
    /// @param misses challenges in a row without a signed verdict, up to 255; since missedSince
    struct Pledge {
        uint96 amount;
        uint64 heldUntil;
        uint16 slot;
        bool isEnlisted;
        uint8 misses;
        uint48 missedSince;
    }

    /// @param vacated numbers of the slots that were left, in order of leaving: from firstVacated to before nextVacated
    struct List {
        Slot[] slots;
        mapping(address verifier => Pledge) pledges;
        mapping(uint256 position => uint256 slot) vacated;
        uint64 firstVacated;
        uint64 nextVacated;
        uint64 count;
    }

    /// @dev A draw reads at most as many slots: 1.1 million gas when none but the last may be drawn.
    uint256 internal constant MAX_SLOTS = 512;
    /// @dev A spot check is announced for so many blocks at most.
    uint256 internal constant MAX_DRAW_DELAY = 20_000;
    /// @dev Blocks for which the slot of a verifier that left stays its own: the longest drawDelay, and 256 in which anyone may draw.
    uint256 internal constant DRAW_BLOCKS = MAX_DRAW_DELAY + 256;

    function add(List storage list, address verifier, uint96 amount) internal {
        Pledge storage pledge = list.pledges[verifier];
        if (pledge.isEnlisted) revert IVerifierRegistry.AlreadyVerifier(verifier);
        if (block.timestamp < pledge.heldUntil) revert IVerifierRegistry.LeftRecently(verifier, pledge.heldUntil);
        uint256 slot = _takeSlot(list);
        list.slots[slot] = Slot(verifier, uint48(block.number), 0);
        list.pledges[verifier] = Pledge(amount, 0, uint16(slot), true, 0, 0);
        list.count++;
    }

    function remove(List storage list, address verifier, uint64 heldUntil) internal {
        Pledge storage pledge = list.pledges[verifier];
        if (!pledge.isEnlisted) revert IVerifierRegistry.NotVerifier(verifier);
        pledge.isEnlisted = false;
        pledge.heldUntil = heldUntil;
        list.slots[pledge.slot].leftBlock = uint48(block.number);
        list.vacated[list.nextVacated++] = pledge.slot;
        list.count--;
    }

    /// @notice What of the verifier's stake is held, for being enlisted or for having left lately.
    function heldOf(List storage list, address verifier) internal view returns (uint256) {
        Pledge storage pledge = list.pledges[verifier];
        return pledge.isEnlisted || block.timestamp < pledge.heldUntil ? pledge.amount : 0;
    }

    function clearMisses(List storage list, address verifier) internal {
        Pledge storage pledge = list.pledges[verifier];
        (pledge.misses, pledge.missedSince) = (0, 0);
    }

    function addMiss(List storage list, address verifier) internal {
        Pledge storage pledge = list.pledges[verifier];
        if (pledge.misses == 0) pledge.missedSince = uint48(block.timestamp);
        if (pledge.misses < type(uint8).max) pledge.misses++;
    }

    /// @notice Up to `seats` verifiers in ascending order, drawn without putting back (Fisher and Yates) from the first slotCount
    /// slots; only those enlisted at requestBlock, and never `except`.
    function draw(
        List storage list,
        bytes32 seed,
        uint256 requestBlock,
        uint256 slotCount,
        uint256 seats,
        address except
    ) internal view returns (address[] memory panel) {
        // What lies at a position is the slot of the same number until a swap moved another there, kept as its number + 1.
        uint256[] memory moved = new uint256[](slotCount);
        panel = new address[](seats);
        uint256 taken = 0;
        for (uint256 i = 0; i < slotCount && taken < seats; i++) {
            uint256 j = i + uint256(keccak256(abi.encode(seed, i, bytes32("panel")))) % (slotCount - i);
            Slot memory slot = list.slots[moved[j] == 0 ? j : moved[j] - 1];
            moved[j] = moved[i] == 0 ? i + 1 : moved[i];
            bool wasEnlisted =
                slot.enlistedBlock <= requestBlock && (slot.leftBlock == 0 || requestBlock <= slot.leftBlock);
            if (wasEnlisted && slot.verifier != except) _insert(panel, taken++, slot.verifier);
        }
        assembly ("memory-safe") {
            mstore(panel, taken)
        }
    }

    function allOf(List storage list) internal view returns (address[] memory all) {
        all = new address[](list.count);
        uint256 found = 0;
        for (uint256 i = 0; found < all.length; i++) {
            Slot storage slot = list.slots[i];
            if (slot.leftBlock == 0) all[found++] = slot.verifier;
        }
    }

    function _takeSlot(List storage list) private returns (uint256 slot) {
        if (list.firstVacated < list.nextVacated) {
            slot = list.vacated[list.firstVacated];
            if (block.number > list.slots[slot].leftBlock + DRAW_BLOCKS) {
                delete list.vacated[list.firstVacated++];
                return slot;
            }
        }
        slot = list.slots.length;
        if (slot == MAX_SLOTS) revert IVerifierRegistry.TooManyVerifiers(MAX_SLOTS);
        list.slots.push();
    }

    function _insert(address[] memory sorted, uint256 length, address verifier) private pure {
        uint256 place = length;
        for (; place > 0 && sorted[place - 1] > verifier; place--) {
            sorted[place] = sorted[place - 1];
        }
        sorted[place] = verifier;
    }
}
