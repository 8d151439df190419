// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {IVotes} from "@openzeppelin/contracts/governance/utils/IVotes.sol";

/// @title OPENX, the network's token
/// @notice An ERC-20 with 18 decimals, signed approvals (ERC-2612) and delegated votes (ERC-5805).
///
/// Promises
/// - The whole supply is made once, in the constructor, for one named holder. Nobody can mint after that and nobody
///   owns the token: there is no pause, no block list, no fee and no upgrade.
/// - A transfer moves exactly the amount it names, returns true or reverts, and calls nobody. PaymentEscrow and
///   ProviderRegistry lean on this.
/// - Votes are counted by time, not by block number, because block times differ between the chains it may live on.
///   Tokens staked in ProviderRegistry or held by PaymentEscrow do not vote unless those delegate, which they do not.
///
/// Permit domain: name "OPENX", version "1", this chain, this contract.
interface IOpenxToken is IERC20Metadata, IERC20Permit, IVotes {}
