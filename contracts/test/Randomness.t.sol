// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IRandomness} from "../src/interfaces/IRandomness.sol";
import {RandaoRandomness} from "../src/capacity/RandaoRandomness.sol";
import {Bench} from "./Bench.sol";

/// @dev One more of forge's cheat codes.
interface VmRandao {
    function prevrandao(bytes32 mix) external;
}

/// @notice What a block gives to the contracts that draw in it.
contract RandomnessTest is Bench {
    VmRandao private constant vmRandao = VmRandao(address(uint160(uint256(keccak256("hevm cheat code")))));

    IRandomness private randomness;

    function setUp() external {
        vmRandao.prevrandao(keccak256("first"));
        randomness = IRandomness(deploy(creationCode("RandaoRandomness", "")));
    }

    function test_all_who_draw_through_one_contract_in_a_block_get_the_same() external {
        bytes32 first = drawFor(address(0xCA9));
        checkEqual(drawFor(address(0xCA9)), first, "the second draw of the block");
        checkEqual(first, keccak256(abi.encode(keccak256("first"), address(0xCA9))), "of the mix and the caller");
    }

    function test_another_contract_or_another_block_gets_another_value() external {
        bytes32 first = drawFor(address(0xCA9));
        checkTrue(drawFor(address(0xCAA)) != first, "another contract");
        vmRandao.prevrandao(keccak256("second"));
        checkTrue(drawFor(address(0xCA9)) != first, "another block");
    }

    function test_a_chain_whose_randomness_is_a_constant_is_refused() external {
        bytes memory code = creationCode("RandaoRandomness", "");
        refuses(code, 0);
        refuses(code, 1); // Arbitrum
        refuses(code, 2); // BNB
        refuses(code, (1 << 128) - 1);
        vmRandao.prevrandao(bytes32(uint256(1 << 128)));
        drawFor(address(0xCA9));
        deploy(code);
    }

    function refuses(bytes memory code, uint256 mix) private {
        vmRandao.prevrandao(bytes32(mix));
        bytes memory reason = abi.encodeWithSelector(RandaoRandomness.NoRandomness.selector, mix);
        vm.expectRevert(reason);
        randomness.draw();
        vm.expectRevert(reason);
        this.make(code);
    }

    function make(bytes memory code) external returns (address) {
        return deploy(code);
    }

    function drawFor(address caller) private returns (bytes32) {
        vm.prank(caller);
        return randomness.draw();
    }
}
