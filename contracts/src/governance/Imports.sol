// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

// The owner of everything that is governed is OpenZeppelin's TimelockController as it is: what is built here is what is deployed.
// solhint-disable-next-line no-unused-import
import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
