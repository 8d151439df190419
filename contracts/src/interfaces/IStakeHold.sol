// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title What keeps a part of a provider's stake from leaving
/// @notice ProviderRegistry connects each hold to one compartment of stake. It asks every hold of that compartment before stake
/// starts to thaw, before thawed stake leaves, and when it slashes. What all of them hold together must stay.
///
/// Holds are our own contracts. They answer without calling anyone but each other and the registry, and never revert here: a hold
/// that reverted would keep all stake where it is, which harms only the providers, and would stop slashing.
interface IStakeHold {
    /// @notice The OPENX that must stay in this provider's compartment, in base units.
    function heldStakeOf(address provider) external view returns (uint256);
}
