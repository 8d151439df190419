// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {IERC7802} from "@openzeppelin/contracts/interfaces/draft-IERC7802.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {ERC20Votes} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Votes.sol";
import {ERC20Bridgeable} from "@openzeppelin/contracts/token/ERC20/extensions/draft-ERC20Bridgeable.sol";
import {Nonces} from "@openzeppelin/contracts/utils/Nonces.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {Time} from "@openzeppelin/contracts/utils/types/Time.sol";

import {GovernedForGood} from "../governance/GovernedForGood.sol";
import {IOpenxToken} from "../interfaces/IOpenxToken.sol";

/// @notice See {IOpenxToken}.
contract OpenxToken is ERC20, ERC20Permit, ERC20Votes, ERC20Bridgeable, GovernedForGood, IOpenxToken {
    using SafeCast for uint256;

    /// @dev A daily limit and what was used of it at `since`.
    struct Meter {
        uint128 perDay;
        uint128 used;
        uint64 since;
    }

    struct Bridge {
        Meter minting;
        Meter burning;
        uint128 ceiling;
        int256 net;
    }

    bool public immutable isHome;
    /// @dev The sum of all bridges' nets, those that were removed included.
    int256 public netMinted;
    mapping(address bridge => Bridge) private _bridges;

    constructor(address holder, uint256 supply, address owner_)
        ERC20("OPENX", "OPENX")
        ERC20Permit("OPENX")
        Ownable(owner_)
    {
        isHome = supply != 0;
        _mint(holder, supply);
    }

    function burn(uint256 amount) external {
        _burn(msg.sender, amount);
    }

    // ---- Bridges

    function setBridgeLimits(address bridge, BridgeLimits calldata limits) external onlyOwner {
        if (bridge == address(0)) revert ZeroAddress();
        if (isHome && limits.ceiling != 0) revert CeilingOnHomeChain(bridge, limits.ceiling);
        Bridge storage known = _bridges[bridge];
        // What was used so far comes back at the old pace until now, at the new one from now on.
        _setUsed(known.minting, _usedOf(known.minting));
        _setUsed(known.burning, _usedOf(known.burning));
        known.minting.perDay = limits.mintPerDay;
        known.burning.perDay = limits.burnPerDay;
        known.ceiling = limits.ceiling;
        emit BridgeLimitsSet(bridge, limits);
    }

    // The events of ERC-7802 say by how much {netMinted} changes, here and below.
    // slither-disable-next-line events-maths
    function crosschainMint(address to, uint256 amount) public override(ERC20Bridgeable, IERC7802) onlyTokenBridge {
        Bridge storage bridge = _bridges[msg.sender];
        uint256 available = _availableOf(bridge.minting);
        if (amount > available) revert AboveMintLimit(msg.sender, amount, available);
        int256 added = amount.toInt256();
        int256 net = netMinted + added;
        if (net > int256(uint256(bridge.ceiling))) revert AboveCeiling(msg.sender, net, bridge.ceiling);
        netMinted = net;
        bridge.net += added;
        _setUsed(bridge.minting, _usedOf(bridge.minting) + amount);
        super.crosschainMint(to, amount);
    }

    // slither-disable-next-line events-maths
    function crosschainBurn(address from, uint256 amount) public override(ERC20Bridgeable, IERC7802) onlyTokenBridge {
        Bridge storage bridge = _bridges[msg.sender];
        uint256 available = _availableOf(bridge.burning);
        if (amount > available) revert AboveBurnLimit(msg.sender, amount, available);
        int256 removed = amount.toInt256();
        netMinted -= removed;
        bridge.net -= removed;
        _setUsed(bridge.burning, _usedOf(bridge.burning) + amount);
        _spendAllowance(from, msg.sender, amount);
        super.crosschainBurn(from, amount);
    }

    // ---- Views

    function bridgeLimitsOf(address bridge) external view returns (BridgeLimits memory) {
        Bridge storage known = _bridges[bridge];
        return BridgeLimits(known.minting.perDay, known.burning.perDay, known.ceiling);
    }

    function netMintedBy(address bridge) external view returns (int256) {
        return _bridges[bridge].net;
    }

    function mintableBy(address bridge) external view returns (uint256) {
        Bridge storage known = _bridges[bridge];
        int256 below = int256(uint256(known.ceiling)) - netMinted;
        return below <= 0 ? 0 : Math.min(uint256(below), _availableOf(known.minting));
    }

    function burnableBy(address bridge) external view returns (uint256) {
        return Math.min(totalSupply(), _availableOf(_bridges[bridge].burning));
    }

    function clock() public view override returns (uint48) {
        return Time.timestamp();
    }

    // solhint-disable-next-line func-name-mixedcase
    function CLOCK_MODE() public pure override returns (string memory) {
        return "mode=timestamp";
    }

    function nonces(address holder) public view override(IERC20Permit, ERC20Permit, Nonces) returns (uint256) {
        return super.nonces(holder);
    }

    // ---- Inside

    function _update(address from, address to, uint256 amount) internal override(ERC20, ERC20Votes) {
        super._update(from, to, amount);
    }

    /// @dev A bridge that was taken off may not even announce a mint of nothing.
    function _checkTokenBridge(address caller) internal view override {
        if (_bridges[caller].minting.perDay == 0 && _bridges[caller].burning.perDay == 0) revert NotBridge(caller);
    }

    function _availableOf(Meter storage meter) private view returns (uint256) {
        return Math.saturatingSub(meter.perDay, _usedOf(meter));
    }

    /// @dev What is used comes back evenly, a whole limit in a day; rounded down.
    function _usedOf(Meter storage meter) private view returns (uint256) {
        uint256 back = uint256(meter.perDay) * (block.timestamp - meter.since) / 1 days;
        return Math.saturatingSub(meter.used, back);
    }

    function _setUsed(Meter storage meter, uint256 used) private {
        meter.used = uint128(used);
        meter.since = uint64(block.timestamp);
    }
}
