// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {ISplitRegistry} from "../interfaces/ISplitRegistry.sol";

/// @notice See {ISplitRegistry}.
contract SplitRegistry is ISplitRegistry, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// @dev received: all that ever came in; distributed: how much of it the recipients' ledger knows.
    struct Pot {
        uint128 received;
        uint128 distributed;
    }

    /// @dev Distributing to 32 recipients costs about 800,000 gas.
    uint256 public constant MAX_SHARES = 32;

    uint256 private constant MILLION = 1_000_000;

    mapping(bytes32 split => uint32) public totalPpmOf;
    mapping(address recipient => mapping(address asset => uint256)) public owedTo;
    mapping(bytes32 split => mapping(address asset => Pot)) private _pots;

    function create(Share[] calldata shares) external returns (bytes32 split) {
        split = splitId(shares);
        if (totalPpmOf[split] != 0) return split;
        totalPpmOf[split] = _checkShares(shares);
        emit SplitCreated(split, shares);
    }

    function splitId(Share[] calldata shares) public pure returns (bytes32) {
        return keccak256(abi.encode(shares));
    }

    // Credits what arrived, which is known only behind the transfer; the guard holds while the asset is called, which slither does
    // not see, for it lies in transient storage.
    // slither-disable-next-line reentrancy-benign,reentrancy-no-eth
    function accrue(bytes32 split, address asset, uint256 amount) external nonReentrant {
        if (totalPpmOf[split] == 0) revert SplitNotRegistered(split);
        if (amount == 0) revert ZeroAmount();
        uint256 before = IERC20(asset).balanceOf(address(this));
        IERC20(asset).safeTransferFrom(msg.sender, address(this), amount);
        // What arrived, not what was named: an asset that begins to keep a fee then takes it and locks nothing.
        uint256 received = IERC20(asset).balanceOf(address(this)) - before;
        // Who sends a unit to make this false has paid it to the split.
        // slither-disable-next-line incorrect-equality
        if (received == 0) revert NothingReceived(asset, amount);
        Pot storage pot = _pots[split][asset];
        uint256 room = type(uint128).max - pot.received;
        if (received > room) revert AmountTooLarge(split, asset, received, room);
        pot.received += uint128(received);
        emit Accrued(split, asset, received);
    }

    /// @dev Guarded, so that no asset can have its money distributed while it still comes in.
    function distribute(Share[] calldata shares, address asset) external nonReentrant returns (uint256 amount) {
        bytes32 split = splitId(shares);
        uint256 totalPpm = totalPpmOf[split];
        if (totalPpm == 0) revert SplitNotRegistered(split);
        Pot storage pot = _pots[split][asset];
        (uint256 received, uint256 distributed) = (pot.received, pot.distributed);
        amount = received - distributed;
        if (amount == 0) return 0;
        pot.distributed = uint128(received);
        emit Distributed(split, asset, amount);
        for (uint256 i = 0; i < shares.length; i++) {
            uint256 sharePpm = shares[i].sharePpm;
            owedTo[shares[i].recipient][asset] += received * sharePpm / totalPpm - distributed * sharePpm / totalPpm;
        }
    }

    function withdraw(address recipient, address asset) external nonReentrant returns (uint256 amount) {
        amount = owedTo[recipient][asset];
        if (amount == 0) return 0;
        owedTo[recipient][asset] = 0;
        emit SharePaid(recipient, asset, amount);
        IERC20(asset).safeTransfer(recipient, amount);
    }

    function accruedOf(bytes32 split, address asset) external view returns (uint256) {
        Pot memory pot = _pots[split][asset];
        return pot.received - pot.distributed;
    }

    function _checkShares(Share[] calldata shares) private pure returns (uint32) {
        if (shares.length == 0) revert NoShares();
        if (shares.length > MAX_SHARES) revert TooManyShares(shares.length, MAX_SHARES);
        address before = address(0);
        uint256 totalPpm = 0;
        for (uint256 i = 0; i < shares.length; i++) {
            Share calldata share = shares[i];
            // Also refuses zero, and anyone named twice.
            if (share.recipient <= before) revert SharesNotAscending(before, share.recipient);
            if (share.sharePpm == 0) revert ZeroShare(share.recipient);
            before = share.recipient;
            totalPpm += share.sharePpm;
        }
        if (totalPpm > MILLION) revert SharesAboveWhole(totalPpm);
        return uint32(totalPpm);
    }
}
