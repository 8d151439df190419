// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IFaultProver} from "../src/interfaces/IFaultProver.sol";
import {AnswerTree} from "../src/faults/AnswerTree.sol";
import {MatrixProduct} from "../src/faults/MatrixProduct.sol";
import {Bench} from "./Bench.sol";
import {dot} from "./Vectors.t.sol";

/// @notice The arithmetic as the specification says it, one byte at a time.
contract PlainProduct {
    function element(bytes32 seed, uint256 n, uint256 row, uint256 column) external pure returns (int256 sum) {
        (uint64 seedA, uint64 seedB) = (uint64(bytes8(seed)), uint64(bytes8(seed << 64)));
        for (uint256 k = 0; k < n; k++) {
            sum += int256(at(seedA, n, row, k)) * at(seedB, n, column, k);
        }
    }

    function at(uint64 seed, uint256 n, uint256 line, uint256 k) public pure returns (int8) {
        unchecked {
            uint64 word = mix(seed + uint64(line * (n / 8) + k / 8) * 0x9E3779B97F4A7C15);
            return int8(uint8(word >> (8 * (k % 8))));
        }
    }

    function mix(uint64 z) public pure returns (uint64) {
        unchecked {
            z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
            z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
            return z ^ (z >> 31);
        }
    }
}

/// @notice The libraries as calls, so that calldata and gas are real.
contract Libraries {
    function element(bytes32 seed, uint256 n, uint256 row, uint256 column) external pure returns (int256) {
        return MatrixProduct.element(seed, n, row, column);
    }

    function rootOf(IFaultProver.ElementProof calldata proof, uint256 n) external pure returns (bytes32) {
        return AnswerTree.rootOf(proof, n);
    }

    function elementOf(IFaultProver.ElementProof calldata proof, uint256 n)
        external
        pure
        returns (uint256, uint256, int256)
    {
        return AnswerTree.elementOf(proof, n);
    }
}

/// @notice One element, and one leaf's place in a tree.
contract ElementTest is Bench {
    using {dot} for string;

    Libraries private libraries = new Libraries();
    PlainProduct private plain = new PlainProduct();

    function test_an_element_is_the_plain_sum_of_products(bytes32 seed, uint256 n, uint256 row, uint256 column)
        external
        view
    {
        n = within(n, 1, 64) * 8;
        (row, column) = (within(row, 0, n - 1), within(column, 0, n - 1));
        checkSame(seed, n, row, column);
    }

    function test_the_largest_matrix_and_its_last_element_are_exact() external view {
        checkSame(keccak256("large"), 131_072, 131_071, 131_071);
        checkSame(bytes32(type(uint256).max), 4096, 4095, 0);
        checkSame(bytes32(0), 4096, 0, 4095);
    }

    function test_only_the_first_two_words_of_a_seed_count(bytes32 seed, uint128 rest) external view {
        bytes32 other = seed ^ bytes32(uint256(rest));
        checkTrue(libraries.element(seed, 256, 3, 5) == libraries.element(other, 256, 3, 5), "same");
    }

    function test_elements_proofs_and_roots_are_those_of_the_vectors() external view {
        string memory json = vm.readFile("../tests/vectors/capacity.json");
        for (uint256 i = 0; vm.keyExistsJson(json, at(".cases[", i)); i++) {
            string memory here = at(".cases[", i);
            bytes32 seed = vm.parseJsonBytes32(json, here.dot(".seed"));
            uint256 n = vm.parseJsonUint(json, here.dot(".n"));
            bytes32 root = vm.parseJsonBytes32(json, here.dot(".root"));
            bytes32 challengeSeed = vm.parseJsonBytes32(json, here.dot(".challengeSeed"));
            uint32 device = uint32(vm.parseJsonUint(json, here.dot(".device")));
            checkEqual(keccak256(abi.encode(challengeSeed, device)), seed, "seed");
            checkElements(json, here.dot(".elements"), seed, n);
            for (uint256 k = 0; vm.keyExistsJson(json, at(here.dot(".elementProofs["), k)); k++) {
                checkProof(json, at(here.dot(".elementProofs["), k), n, root);
            }
            checkTrue(vm.keyExistsJson(json, here.dot(".elementProofs[2]")), "three element proofs");
            checkWrong(json, here.dot(".wrongElement"), seed, n);
            checkRows(json, here, device, n);
        }
        checkTrue(vm.keyExistsJson(json, ".cases[2]"), "three cases");
    }

    // ---- The tree

    function test_a_leaf_has_one_place(uint64 index, uint64 other, bytes32 salt) external view {
        IFaultProver.ElementProof memory proof = makeProof(salt, 8);
        proof.index = uint64(within(index, 0, 255));
        bytes32 root = libraries.rootOf(proof, 256);
        other = uint64(within(other, 0, 255));
        if (other == proof.index) return;
        proof.index = other;
        checkTrue(libraries.rootOf(proof, 256) != root, "another index, another root");
    }

    function test_an_index_beyond_the_tree_is_refused() external {
        // n = 768 has 768 * 3 = 2304 leaves in a tree of 4096.
        IFaultProver.ElementProof memory proof = makeProof("far", 12);
        proof.index = 2303;
        libraries.rootOf(proof, 768);
        proof.index = 2304;
        vm.expectRevert(abi.encodeWithSelector(IFaultProver.LeafOutOfTree.selector, 2304, 2304));
        libraries.rootOf(proof, 768);
        // A place in the same path, one whole tree further on.
        proof.index = 2303 + 4096;
        vm.expectRevert(abi.encodeWithSelector(IFaultProver.LeafOutOfTree.selector, 2303 + 4096, 2304));
        libraries.rootOf(proof, 768);
    }

    function test_a_path_that_is_not_the_trees_height_is_refused() external {
        vm.expectRevert(abi.encodeWithSelector(IFaultProver.PathLength.selector, 7, 8));
        libraries.rootOf(makeProof("short", 7), 256);
        vm.expectRevert(abi.encodeWithSelector(IFaultProver.PathLength.selector, 9, 8));
        libraries.rootOf(makeProof("long", 9), 256);
    }

    function test_a_leaf_of_another_length_is_refused() external {
        IFaultProver.ElementProof memory proof = makeProof("leaf", 8);
        proof.values = new bytes(1023);
        vm.expectRevert(abi.encodeWithSelector(IFaultProver.LeafLength.selector, 1023, 1024));
        libraries.rootOf(proof, 256);
        // A node's two children, as if they were a leaf.
        proof.values = new bytes(64);
        vm.expectRevert(abi.encodeWithSelector(IFaultProver.LeafLength.selector, 64, 1024));
        libraries.rootOf(proof, 256);
    }

    function test_a_leaf_cannot_be_read_as_a_node_nor_a_node_as_a_leaf() external view {
        IFaultProver.ElementProof memory proof = makeProof("kind", 8);
        bytes32 leaf = keccak256(abi.encodePacked(bytes1(0x00), proof.index, proof.values));
        bytes32 folded = leaf;
        for (uint256 k = 0; k < 8; k++) {
            folded = keccak256(abi.encodePacked(bytes1(0x01), folded, proof.path[k]));
        }
        checkEqual(libraries.rootOf(proof, 256), folded, "root of leaf 0");
    }

    function test_every_element_of_a_leaf_is_read_at_its_place(uint8 column, int32 value) external view {
        IFaultProver.ElementProof memory proof = makeProof("value", 10);
        // Leaf 5 of a matrix of 512: row 2, columns 256 to 511.
        (proof.index, proof.column) = (5, column);
        for (uint256 k = 0; k < 4; k++) {
            proof.values[4 * uint256(column) + k] = bytes4(uint32(value))[k];
        }
        (uint256 row, uint256 place, int256 read) = libraries.elementOf(proof, 512);
        checkEqual(row, 2, "row");
        checkEqual(place, 256 + uint256(column), "column");
        checkTrue(read == value, "value");
    }

    // ---- How

    function checkSame(bytes32 seed, uint256 n, uint256 row, uint256 column) private view {
        checkTrue(libraries.element(seed, n, row, column) == plain.element(seed, n, row, column), "same element");
    }

    function checkElements(string memory json, string memory list, bytes32 seed, uint256 n) private view {
        uint256 k;
        for (; vm.keyExistsJson(json, at(list.dot("["), k)); k++) {
            string memory here = at(list.dot("["), k);
            uint256 row = vm.parseJsonUint(json, here.dot(".row"));
            uint256 column = vm.parseJsonUint(json, here.dot(".column"));
            int256 wanted = vmInt.parseJsonInt(json, here.dot(".element"));
            checkTrue(libraries.element(seed, n, row, column) == wanted, "element of the vectors");
        }
        checkTrue(k >= 3, "some elements");
    }

    function checkProof(string memory json, string memory here, uint256 n, bytes32 root) private view {
        IFaultProver.ElementProof memory proof = readOpening(json, here);
        checkEqual(libraries.rootOf(proof, n), root, "root");
        (uint256 row, uint256 column, int256 value) = libraries.elementOf(proof, n);
        checkEqual(row, vm.parseJsonUint(json, here.dot(".row")), "row");
        checkEqual(column % 256, vm.parseJsonUint(json, here.dot(".column")), "column within the leaf");
        checkTrue(value == vmInt.parseJsonInt(json, here.dot(".element")), "element");
    }

    function checkWrong(string memory json, string memory here, bytes32 seed, uint256 n) private view {
        IFaultProver.ElementProof memory proof = readOpening(json, here);
        checkEqual(libraries.rootOf(proof, n), vm.parseJsonBytes32(json, here.dot(".root")), "root of the wrong");
        (uint256 row, uint256 column, int256 value) = libraries.elementOf(proof, n);
        int256 right = libraries.element(seed, n, row, column);
        checkTrue(right == vmInt.parseJsonInt(json, here.dot(".right")), "right");
        checkTrue(right != value, "wrong");
    }

    function checkRows(string memory json, string memory here, uint32 device, uint256 n) private pure {
        bytes32 openingSeed = vm.parseJsonBytes32(json, here.dot(".openingSeed"));
        for (uint32 k = 0; k < 4; k++) {
            uint256 row = uint256(keccak256(abi.encode(openingSeed, device, k))) % n;
            checkEqual(row, vm.parseJsonUint(json, at(here.dot(".openedRows["), k)), "opened row");
        }
    }

    function readOpening(string memory json, string memory here)
        private
        view
        returns (IFaultProver.ElementProof memory proof)
    {
        uint256 height;
        while (vm.keyExistsJson(json, at(here.dot(".path["), height))) {
            height++;
        }
        proof.index = uint64(vm.parseJsonUint(json, here.dot(".index")));
        proof.column = uint8(vm.parseJsonUint(json, here.dot(".column")));
        proof.values = vm.parseJsonBytes(json, here.dot(".values"));
        proof.path = new bytes32[](height);
        for (uint256 k = 0; k < height; k++) {
            proof.path[k] = vm.parseJsonBytes32(json, at(here.dot(".path["), k));
        }
    }

    function makeProof(bytes32 salt, uint256 height) private pure returns (IFaultProver.ElementProof memory proof) {
        proof.values = new bytes(1024);
        proof.path = new bytes32[](height);
        for (uint256 k = 0; k < height; k++) {
            proof.path[k] = keccak256(abi.encode(salt, k));
        }
    }

    function at(string memory list, uint256 i) private pure returns (string memory) {
        return string.concat(list, vm.toString(i), "]");
    }

    VmInt private constant vmInt = VmInt(address(uint160(uint256(keccak256("hevm cheat code")))));
}

/// @dev One more of forge's cheat codes.
interface VmInt {
    function parseJsonInt(string calldata json, string calldata path) external pure returns (int256);
}
