// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {VerifierList} from "../src/capacity/VerifierList.sol";
import {Bench} from "./Bench.sol";
import {dot} from "./Vectors.t.sol";

/// @notice A list of verifiers with addresses from 1 on, of which the first are one party's.
contract Listed {
    using VerifierList for VerifierList.List;

    VerifierList.List private _list;

    constructor(uint256 count) {
        for (uint160 i = 1; i <= count; i++) {
            _list.add(address(i), 1);
        }
    }

    /// @notice In how many of so many draws at least `quorum` of the seats went to the first `sybils` verifiers.
    function countCaptured(uint256 draws, uint256 sybils, uint256 seats, uint256 quorum)
        external
        view
        returns (uint256 captured)
    {
        for (uint256 i = 0; i < draws; i++) {
            bytes32 seed = keccak256(abi.encode("draw", i));
            address[] memory panel = _list.draw(seed, block.number, _list.slots.length, seats, address(0));
            uint256 theirs = 0;
            for (uint256 k = 0; k < panel.length; k++) {
                if (uint160(panel[k]) <= sybils) theirs++;
            }
            if (theirs >= quorum) captured++;
        }
    }
}

/// @notice The contract's draw beside the formula that docs/economics.md prices attacks by (xnode/chain/deployment/capture.py).
contract DrawOddsTest is Bench {
    using {dot} for string;

    function test_a_small_panel_is_captured_as_often_as_the_formula_says() external {
        checkCases(0, 7, 2000);
    }

    function test_a_panel_of_some_seats_is_captured_as_often_as_the_formula_says() external {
        checkCases(8, 15, 2000);
    }

    function test_the_largest_panel_is_captured_as_often_as_the_formula_says() external {
        checkCases(16, 31, 1000);
    }

    /// @dev Apart by their seats, because all cases together are more gas than a test has.
    function checkCases(uint256 leastSeats, uint256 mostSeats, uint256 draws) private {
        string memory json = vm.readFile("../tests/vectors/draw-odds.json");
        uint256 checked = 0;
        for (uint256 i = 0; vm.keyExistsJson(json, at(i)); i++) {
            uint256 seats = vm.parseJsonUint(json, at(i).dot(".seats"));
            bool isMeant = seats >= leastSeats && seats <= mostSeats && vm.keyExistsJson(json, at(i).dot(".isDrawn"));
            if (!isMeant) continue;
            uint256 sybils = vm.parseJsonUint(json, at(i).dot(".sybils"));
            uint256 quorum = vm.parseJsonUint(json, at(i).dot(".quorum"));
            Listed listed = new Listed(vm.parseJsonUint(json, at(i).dot(".list")));
            uint256 captured = listed.countCaptured(draws, sybils, seats, quorum);
            checkNear(captured, draws, vm.parseJsonUint(json, at(i).dot(".oddsE18")));
            checked++;
        }
        checkTrue(checked > 0, "some cases");
    }

    function at(uint256 i) private pure returns (string memory) {
        return string.concat(".cases[", vm.toString(i), "]");
    }

    /// @dev Within four standard deviations: the seeds are fixed, so this never fails by chance.
    function checkNear(uint256 captured, uint256 draws, uint256 oddsE18) private pure {
        uint256 expectedE18 = draws * oddsE18;
        uint256 varianceE18 = expectedE18 * (1e18 - oddsE18) / 1e18;
        uint256 margin = 4 * Math.sqrt(varianceE18 * 1e18) + 1e18;
        uint256 capturedE18 = captured * 1e18;
        uint256 off = capturedE18 > expectedE18 ? capturedE18 - expectedE18 : expectedE18 - capturedE18;
        if (off > margin) revert NotEqual("captured, times 1e18", capturedE18, expectedE18);
    }
}
