// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC7802} from "@openzeppelin/contracts/interfaces/draft-IERC7802.sol";
import {IERC165} from "@openzeppelin/contracts/utils/introspection/IERC165.sol";

import {OpenxToken} from "../src/money/OpenxToken.sol";
import {IOpenxToken} from "../src/interfaces/IOpenxToken.sol";
import {Adapter, PoolAdapter, StandardPool, SuperchainBridge} from "./Adapters.sol";
import {Market} from "./Market.sol";

/// @notice The bridge families the token is made for, by the calls their published interfaces make. Adapters to be deployed come
/// with the first bridge that is named; those here are the least that each family needs.
contract BridgeFamiliesTest is Market {
    OpenxToken private away;

    function setUp() public override {
        super.setUp();
        away = OpenxToken(deploy(creationCode("OpenxToken", abi.encode(treasury, 0, address(this)))));
        vm.prank(treasury);
        openx.transfer(payer, 1_000 ether);
    }

    // ---- ERC-7802, which all of them come down to

    function test_selectors_and_events_are_those_of_erc_7802() external view {
        checkTrue(IERC7802.crosschainMint.selector == 0x18bf5077, "crosschainMint(address,uint256)");
        checkTrue(IERC7802.crosschainBurn.selector == 0x2b8c49e3, "crosschainBurn(address,uint256)");
        checkTrue(type(IERC7802).interfaceId == 0x33331994, "their ERC-165 id");
        checkTrue(IERC165.supportsInterface.selector == 0x01ffc9a7, "supportsInterface(bytes4)");
        checkTrue(openx.supportsInterface(0x33331994) && openx.supportsInterface(0x01ffc9a7), "announced");
        bytes32 minted = keccak256("CrosschainMint(address,uint256,address)");
        bytes32 burned = keccak256("CrosschainBurn(address,uint256,address)");
        checkEqual(IERC7802.CrosschainMint.selector, minted, "CrosschainMint");
        checkEqual(IERC7802.CrosschainBurn.selector, burned, "CrosschainBurn");
    }

    // ---- SuperchainERC20

    function test_the_bridge_of_the_superchain_carries_it_both_ways() external {
        SuperchainBridge here = new SuperchainBridge();
        SuperchainBridge there = new SuperchainBridge();
        name(openx, address(here));
        name(away, address(there));
        vm.prank(payer);
        openx.approve(address(here), 10 ether);
        vm.prank(payer);
        here.sendERC20(address(openx), stranger, 10 ether, 10);
        there.relayERC20(address(away), payer, stranger, 10 ether);
        checkEqual(away.balanceOf(stranger), 10 ether, "there");
        vm.prank(stranger);
        away.approve(address(there), 10 ether);
        vm.prank(stranger);
        there.sendERC20(address(away), payer, 10 ether, 1);
        here.relayERC20(address(openx), stranger, payer, 10 ether);
        checkEqual(openx.balanceOf(payer), 1_000 ether, "and back");
    }

    function test_the_bridge_of_the_superchain_takes_nothing_without_an_allowance() external {
        SuperchainBridge here = new SuperchainBridge();
        name(openx, address(here));
        vm.expectRevert();
        vm.prank(payer);
        here.sendERC20(address(openx), stranger, 10 ether, 10);
    }

    // ---- xERC20 (ERC-7281) and LayerZero's mint-and-burn OFT adapter: mint(address,uint256) and burn(address,uint256)

    function test_an_adapter_answers_as_xerc20_and_as_a_minter_of_an_oft() external {
        Adapter here = new Adapter(openx, address(this));
        Adapter there = new Adapter(away, address(this));
        name(openx, address(here));
        name(away, address(there));
        checkTrue(here.mint.selector == 0x40c10f19 && here.burn.selector == 0x9dc29fac, "the published selectors");
        vm.prank(payer);
        openx.approve(address(here), 10 ether);
        checkTrue(here.burn(payer, 10 ether), "an OFT wants true");
        checkTrue(there.mint(stranger, 10 ether), "on both sides");
        checkEqual(away.balanceOf(stranger), 10 ether, "there");
        checkEqual(there.mintingMaxLimitOf(address(there)), 100 ether, "the limits of xERC20 are ours");
        checkEqual(there.mintingCurrentLimitOf(address(there)), 90 ether, "what is left of a day");
        checkEqual(there.burningMaxLimitOf(address(there)), 100 ether, "for burning");
        checkEqual(there.burningCurrentLimitOf(address(there)), 10 ether, "no more than there is");
    }

    function test_an_adapter_obeys_its_endpoint_alone() external {
        Adapter here = new Adapter(openx, address(this));
        name(openx, address(here));
        vm.expectRevert(abi.encodeWithSelector(Adapter.NotEndpoint.selector, stranger));
        vm.prank(stranger);
        here.mint(stranger, 1);
    }

    // ---- CCIP: a pool that first holds what it burns

    function test_a_pool_adapter_burns_what_was_sent_to_it_and_mints() external {
        PoolAdapter here = new PoolAdapter(openx, address(this));
        PoolAdapter there = new PoolAdapter(away, address(this));
        name(openx, address(here));
        name(away, address(there));
        vm.prank(payer);
        openx.transfer(address(here), 10 ether);
        here.lockOrBurn(10 ether);
        there.releaseOrMint(stranger, 10 ether);
        checkEqual(away.balanceOf(stranger), 10 ether, "there");
        vm.prank(stranger);
        away.transfer(address(there), 10 ether);
        there.lockOrBurn(10 ether);
        here.releaseOrMint(payer, 10 ether);
        checkEqual(openx.balanceOf(payer), 1_000 ether, "and back");
        // CCIP lets the token's owner register who administers its pools.
        checkEqual(openx.owner(), address(this), "owner()");
    }

    /// @dev A pool as it comes burns as a holder does, which no bridge may bring back, and cannot mint: it must not be used.
    function test_a_pool_without_an_adapter_cannot_bring_anything_back() external {
        StandardPool pool = new StandardPool(openx);
        name(openx, address(pool));
        vm.prank(payer);
        openx.transfer(address(pool), 10 ether);
        pool.lockOrBurn(10 ether);
        checkTrue(openx.netMinted() == 0, "not a bridge's burn");
        checkEqual(openx.mintableBy(address(pool)), 0, "so nothing comes back");
        vm.expectRevert();
        pool.releaseOrMint(payer, 10 ether);
    }

    function name(OpenxToken token, address bridge) private {
        uint128 ceiling = token.isHome() ? 0 : 1_000 ether;
        token.setBridgeLimits(bridge, IOpenxToken.BridgeLimits(100 ether, 100 ether, ceiling));
    }
}
