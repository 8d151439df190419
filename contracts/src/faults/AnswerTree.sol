// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IFaultProver} from "../interfaces/IFaultProver.sol";

/// @title The Merkle tree over a product's elements
/// @notice See {IFaultProver-ElementProof}. A leaf begins with 0x00 and a node with 0x01, so that none can be read as the other; the path has
/// exactly the tree's height, and the index says at each height which side is which.
library AnswerTree {
    uint256 internal constant LEAF_ELEMENTS = 256;
    uint256 internal constant LEAF_BYTES = 4 * LEAF_ELEMENTS;

    /// @notice The root that an element's proof leads to, in the tree of an n x n product.
    function rootOf(IFaultProver.ElementProof calldata proof, uint256 n) internal pure returns (bytes32 node) {
        uint256 leaves = n * n / LEAF_ELEMENTS;
        if (proof.index >= leaves) revert IFaultProver.LeafOutOfTree(proof.index, leaves);
        if (proof.values.length != LEAF_BYTES) revert IFaultProver.LeafLength(proof.values.length, LEAF_BYTES);
        uint256 height = _heightOf(leaves);
        if (proof.path.length != height) revert IFaultProver.PathLength(proof.path.length, height);

        node = keccak256(abi.encodePacked(bytes1(0x00), proof.index, proof.values));
        for (uint256 k = 0; k < height; k++) {
            bytes32 sibling = proof.path[k];
            bool isRight = proof.index >> k & 1 == 1;
            node = isRight
                ? keccak256(abi.encodePacked(bytes1(0x01), sibling, node))
                : keccak256(abi.encodePacked(bytes1(0x01), node, sibling));
        }
    }

    /// @notice The element that a proof says is wrong: its row, its column in the matrix, and its value there.
    function elementOf(IFaultProver.ElementProof calldata proof, uint256 n)
        internal
        pure
        returns (uint256 row, uint256 column, int256 value)
    {
        row = rowOf(proof, n);
        column = proof.index % (n / LEAF_ELEMENTS) * LEAF_ELEMENTS + proof.column;
        uint256 start = 4 * uint256(proof.column);
        value = int32(uint32(bytes4(proof.values[start:start + 4])));
    }

    function rowOf(IFaultProver.ElementProof calldata proof, uint256 n) internal pure returns (uint256) {
        return proof.index / (n / LEAF_ELEMENTS);
    }

    function _heightOf(uint256 leaves) private pure returns (uint256 height) {
        while (1 << height < leaves) {
            height++;
        }
    }
}
