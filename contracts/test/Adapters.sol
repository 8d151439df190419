// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC7802} from "@openzeppelin/contracts/interfaces/draft-IERC7802.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC165} from "@openzeppelin/contracts/utils/introspection/IERC165.sol";

import {IOpenxToken} from "../src/interfaces/IOpenxToken.sol";

/// @notice What the bridge of the OP stack's interop asks of a token: ERC-165, then ERC-7802. Messages are carried by the test.
contract SuperchainBridge {
    error InvalidERC7802();

    function sendERC20(address token, address to, uint256 amount, uint256 chainId) external returns (bytes32) {
        if (!IERC165(token).supportsInterface(type(IERC7802).interfaceId)) revert InvalidERC7802();
        IERC7802(token).crosschainBurn(msg.sender, amount);
        return keccak256(abi.encode(token, to, amount, chainId));
    }

    function relayERC20(address token, address, address to, uint256 amount) external {
        IERC7802(token).crosschainMint(to, amount);
    }
}

/// @notice Stands between the token, which names it as a bridge, and an endpoint that speaks mint(address,uint256) and
/// burn(address,uint256): xERC20 (ERC-7281) and LayerZero's IMintableBurnable.
contract Adapter {
    IOpenxToken private immutable _token;
    address private immutable _endpoint;

    error NotEndpoint(address caller);

    constructor(IOpenxToken token, address endpoint) {
        (_token, _endpoint) = (token, endpoint);
    }

    modifier onlyEndpoint() {
        if (msg.sender != _endpoint) revert NotEndpoint(msg.sender);
        _;
    }

    function mint(address user, uint256 amount) external onlyEndpoint returns (bool) {
        _token.crosschainMint(user, amount);
        return true;
    }

    function burn(address user, uint256 amount) external onlyEndpoint returns (bool) {
        _token.crosschainBurn(user, amount);
        return true;
    }

    function mintingMaxLimitOf(address bridge) external view returns (uint256) {
        return _token.bridgeLimitsOf(bridge).mintPerDay;
    }

    function burningMaxLimitOf(address bridge) external view returns (uint256) {
        return _token.bridgeLimitsOf(bridge).burnPerDay;
    }

    function mintingCurrentLimitOf(address bridge) external view returns (uint256) {
        return _token.mintableBy(bridge);
    }

    function burningCurrentLimitOf(address bridge) external view returns (uint256) {
        return _token.burnableBy(bridge);
    }
}

/// @notice A pool of CCIP's kind: what is sent to it, it burns; what arrives on the other side, it mints.
contract PoolAdapter {
    IOpenxToken private immutable _token;
    address private immutable _ramp;

    error NotRamp(address caller);

    constructor(IOpenxToken token, address ramp) {
        (_token, _ramp) = (token, ramp);
    }

    modifier onlyRamp() {
        if (msg.sender != _ramp) revert NotRamp(msg.sender);
        _;
    }

    function lockOrBurn(uint256 amount) external onlyRamp {
        // A bridge burns by allowance alone, its own tokens too.
        _token.approve(address(this), amount);
        _token.crosschainBurn(address(this), amount);
    }

    function releaseOrMint(address receiver, uint256 amount) external onlyRamp {
        _token.crosschainMint(receiver, amount);
    }
}

/// @notice What CCIP's own pools call on a token (IBurnMintERC20).
interface IBurnMint is IERC20 {
    function mint(address account, uint256 amount) external;
    function burn(uint256 amount) external;
}

/// @notice CCIP's burn-and-mint pool as it comes.
contract StandardPool {
    IBurnMint private immutable _token;

    constructor(IERC20 token) {
        _token = IBurnMint(address(token));
    }

    function lockOrBurn(uint256 amount) external {
        _token.burn(amount);
    }

    function releaseOrMint(address receiver, uint256 amount) external {
        _token.mint(receiver, amount);
    }
}
