// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import {Erc20Properties} from "./Erc20Properties.sol";
import {Market} from "./Market.sol";
import {Providing} from "./Providing.sol";

contract OpenxTokenPropertiesTest is Market, Erc20Properties {
    function token() internal view override returns (IERC20) {
        return openx;
    }

    function give(address holder, uint256 amount) internal override {
        vm.prank(treasury);
        openx.transfer(holder, amount);
    }
}

contract ComputeCreditPropertiesTest is Providing, Erc20Properties {
    function token() internal view override returns (IERC20) {
        return tgpu;
    }

    function give(address holder, uint256 amount) internal override {
        mintAs(provider, tgpu, amount);
        send(tgpu, provider, holder, amount);
    }
}
