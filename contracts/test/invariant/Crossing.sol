// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {OpenxToken} from "../../src/money/OpenxToken.sol";
import {IOpenxToken} from "../../src/interfaces/IOpenxToken.sol";
import {Bench} from "../Bench.sol";

/// @notice OPENX on its home chain and on another, two honest bridges that carry it, two broken ones that make and burn what
/// they can, an owner that changes limits as it likes, and a memory of what must never happen. Forge calls the functions whose
/// names begin with act.
contract Crossing is Bench {
    uint256 private constant SUPPLY = 1_000 ether;
    uint256 private constant BRIDGES = 4;
    uint256 private constant HONEST = 2;
    uint256 private constant HOLDERS = 3;

    OpenxToken private _home;
    OpenxToken private _away;
    /// @dev The highest ceiling there ever was on the other chain.
    uint256 private _mostCeiling;
    uint256 private _burnedAtHome;
    uint256 private _burnedAway;
    int256 private _netAtHome;
    int256 private _netAway;
    bool public viewsLied;
    bool public limitsForgiven;

    constructor() {
        vm.warp(1_800_000_000);
        _mostCeiling = 200 ether;
        _home = OpenxToken(deploy(creationCode("OpenxToken", abi.encode(address(this), SUPPLY, address(this)))));
        _away = OpenxToken(deploy(creationCode("OpenxToken", abi.encode(address(this), 0, address(this)))));
        for (uint256 i = 0; i < HOLDERS; i++) {
            _home.transfer(holderAt(i), SUPPLY / HOLDERS);
        }
        for (uint256 i = 0; i < BRIDGES; i++) {
            setLimits(_home, bridgeAt(i), 100 ether, 100 ether, 0);
            setLimits(_away, bridgeAt(i), 100 ether, 100 ether, 200 ether);
        }
    }

    // ---- Honest traffic: what one side burns the other mints, or the first mints again

    function actLeave(uint256 who, uint256 by, uint256 amount) external {
        cross(_home, _away, holderAt(who), bridgeAt(by % HONEST), amount);
    }

    function actReturn(uint256 who, uint256 by, uint256 amount) external {
        cross(_away, _home, holderAt(who), bridgeAt(by % HONEST), amount);
    }

    // ---- Broken bridges

    /// @dev As much as the token lets it, and it must be as much as the token says.
    function actForge(uint256 by, uint256 to, uint256 amount, bool atHome) external {
        OpenxToken token = atHome ? _home : _away;
        address bridge = bridgeAt(HONEST + by % (BRIDGES - HONEST));
        uint256 most = token.mintableBy(bridge);
        if (tryMint(token, bridge, holderAt(to), most + 1)) viewsLied = true;
        if (most == 0) return;
        if (!tryMint(token, bridge, holderAt(to), within(amount, 1, most))) viewsLied = true;
    }

    /// @dev What a holder allowed it, which it then delivers nowhere.
    function actSwallow(uint256 by, uint256 who, uint256 amount, bool atHome) external {
        OpenxToken token = atHome ? _home : _away;
        address bridge = bridgeAt(HONEST + by % (BRIDGES - HONEST));
        address holder = holderAt(who);
        vm.prank(holder);
        token.approve(bridge, type(uint256).max);
        uint256 most = token.burnableBy(bridge);
        if (tryBurn(token, bridge, holder, most + 1)) viewsLied = true;
        uint256 balance = token.balanceOf(holder);
        if (balance < most) most = balance;
        if (most == 0) return;
        if (!tryBurn(token, bridge, holder, within(amount, 1, most))) viewsLied = true;
    }

    // ---- An owner that changes its mind

    function actSetLimits(uint256 which, uint256 mintPerDay, uint256 burnPerDay, uint256 ceiling, bool atHome)
        external
    {
        address bridge = bridgeAt(which);
        mintPerDay = within(mintPerDay, 0, 200 ether);
        burnPerDay = within(burnPerDay, 0, 200 ether);
        ceiling = atHome ? 0 : within(ceiling, 0, 400 ether);
        if (ceiling > _mostCeiling) _mostCeiling = ceiling;
        setLimits(atHome ? _home : _away, bridge, mintPerDay, burnPerDay, ceiling);
    }

    /// @dev A bridge that is taken off and put back the same can do no more than before.
    function actBlink(uint256 which, bool atHome) external {
        OpenxToken token = atHome ? _home : _away;
        address bridge = bridgeAt(which);
        IOpenxToken.BridgeLimits memory limits = token.bridgeLimitsOf(bridge);
        (uint256 mintable, uint256 burnable) = (token.mintableBy(bridge), token.burnableBy(bridge));
        token.setBridgeLimits(bridge, IOpenxToken.BridgeLimits(0, 0, 0));
        token.setBridgeLimits(bridge, limits);
        if (token.mintableBy(bridge) > mintable || token.burnableBy(bridge) > burnable) limitsForgiven = true;
    }

    // ---- Holders

    function actBurn(uint256 who, uint256 amount, bool atHome) external {
        OpenxToken token = atHome ? _home : _away;
        address holder = holderAt(who);
        amount = within(amount, 0, token.balanceOf(holder));
        vm.prank(holder);
        token.burn(amount);
        if (atHome) _burnedAtHome += amount;
        else _burnedAway += amount;
    }

    function actWait(uint256 time) external {
        vm.warp(block.timestamp + within(time, 1 minutes, 2 days));
    }

    // ---- What must hold

    function homeIsWithinGenesis() external view returns (bool) {
        return _home.totalSupply() + _burnedAtHome <= SUPPLY && _netAtHome <= 0;
    }

    function awayIsWithinItsCeiling() external view returns (bool) {
        return _netAway <= int256(_mostCeiling);
    }

    /// @dev Every unit on either chain is of genesis, or of a bridge.
    function suppliesAddUp() external view returns (bool) {
        bool home = int256(_home.totalSupply() + _burnedAtHome) == int256(SUPPLY) + _netAtHome;
        return home && int256(_away.totalSupply() + _burnedAway) == _netAway;
    }

    function sumsAreOfTheirParts() external view returns (bool) {
        return _home.netMinted() == _netAtHome && _away.netMinted() == _netAway && sumOf(_home) == _netAtHome
            && sumOf(_away) == _netAway;
    }

    // ---- Inside

    /// @dev A burn that the other side takes, or else the same bridge mints it here again: nothing is ever stuck between.
    function cross(OpenxToken from, OpenxToken to, address holder, address bridge, uint256 amount) private {
        uint256 most = from.burnableBy(bridge);
        uint256 balance = from.balanceOf(holder);
        if (balance < most) most = balance;
        uint256 room = to.mintableBy(bridge);
        if (room < most) most = room;
        if (most == 0) return;
        amount = within(amount, 1, most);
        vm.prank(holder);
        from.approve(bridge, amount);
        if (!tryBurn(from, bridge, holder, amount)) viewsLied = true;
        if (!tryMint(to, bridge, holder, amount)) viewsLied = true;
    }

    function tryMint(OpenxToken token, address bridge, address to, uint256 amount) private returns (bool) {
        vm.prank(bridge);
        try token.crosschainMint(to, amount) {
            note(token, int256(amount));
            return true;
        } catch {
            return false;
        }
    }

    function tryBurn(OpenxToken token, address bridge, address from, uint256 amount) private returns (bool) {
        vm.prank(bridge);
        try token.crosschainBurn(from, amount) {
            note(token, -int256(amount));
            return true;
        } catch {
            return false;
        }
    }

    function note(OpenxToken token, int256 net) private {
        if (token.isHome()) _netAtHome += net;
        else _netAway += net;
    }

    function sumOf(OpenxToken token) private view returns (int256 sum) {
        for (uint256 i = 0; i < BRIDGES; i++) {
            sum += token.netMintedBy(bridgeAt(i));
        }
    }

    function setLimits(OpenxToken token, address bridge, uint256 mintPerDay, uint256 burnPerDay, uint256 ceiling)
        private
    {
        IOpenxToken.BridgeLimits memory limits =
            IOpenxToken.BridgeLimits(uint128(mintPerDay), uint128(burnPerDay), uint128(ceiling));
        token.setBridgeLimits(bridge, limits);
    }

    function bridgeAt(uint256 which) private pure returns (address) {
        return address(uint160(0xB41D0 + which % BRIDGES));
    }

    function holderAt(uint256 which) private pure returns (address) {
        return address(uint160(0x401D0 + which % HOLDERS));
    }
}
