// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title What keeps a part of a provider's stake from leaving
/// @notice ProviderRegistry asks each hold it was connected to before stake starts to thaw. Holds are made by us, answer
/// without calling anyone but each other and the registry, and never revert here: a hold that reverted would lock all stake.
interface IStakeHold {
    /// @notice The OPENX of this provider's stake that must stay, in base units.
    function heldStakeOf(address provider) external view returns (uint256);
}
