// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";

import {IGovernedForGood} from "../interfaces/IGovernedForGood.sol";

/// @notice See {IGovernedForGood}.
abstract contract GovernedForGood is Ownable, IGovernedForGood {
    function transferOwnership(address) public view override onlyOwner {
        revert OwnedForGood(owner());
    }

    function renounceOwnership() public view override onlyOwner {
        revert OwnedForGood(owner());
    }
}
