// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title What keeps a part of a provider's stake from leaving
/// @notice ProviderRegistry asks every hold it was connected to before stake starts to thaw, before thawed stake leaves, and when
/// it slashes. What all of them hold together must stay.
///
/// Holds are our own contracts. They answer without calling anyone but each other and the registry, and never revert here: a hold
/// that reverted would keep all stake where it is, which harms only the providers, and would stop slashing.
interface IStakeHold {
    /// @notice The OPENX of this provider's stake that must stay, in base units.
    function heldStakeOf(address provider) external view returns (uint256);
}
