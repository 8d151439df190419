// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {IERC7802} from "@openzeppelin/contracts/interfaces/draft-IERC7802.sol";
import {IERC165} from "@openzeppelin/contracts/utils/introspection/IERC165.sol";

import {OpenxToken} from "../src/money/OpenxToken.sol";
import {IOpenxToken} from "../src/interfaces/IOpenxToken.sol";
import {Market} from "./Market.sol";

/// @notice What bridges may do with OPENX, on its home chain and elsewhere.
contract BridgingTest is Market {
    address private bridge = address(0xB41D);
    address private second = address(0xB41E);
    OpenxToken private away;

    function setUp() public override {
        super.setUp();
        away = OpenxToken(deploy(creationCode("OpenxToken", abi.encode(treasury, 0, address(this)))));
        vm.prank(treasury);
        openx.transfer(payer, 1_000 ether);
        setLimits(openx, bridge, 100 ether, 100 ether, 0);
        setLimits(away, bridge, 100 ether, 50 ether, 250 ether);
    }

    // ---- The standard

    function test_the_token_says_that_bridges_can_use_it() external view {
        checkTrue(openx.supportsInterface(0x33331994), "ERC-7802");
        checkTrue(type(IERC7802).interfaceId == 0x33331994, "the id of the standard");
        checkTrue(openx.supportsInterface(type(IERC165).interfaceId), "ERC-165");
        checkTrue(!openx.supportsInterface(0xffffffff), "nothing else");
    }

    function test_a_mint_and_a_burn_emit_what_the_standard_says() external {
        vm.expectEmit();
        emit IERC7802.CrosschainMint(payer, 10 ether, bridge);
        mintBy(away, bridge, 10 ether);
        checkEqual(away.balanceOf(payer), 10 ether, "minted");
        allow(away, bridge, 4 ether);
        vm.expectEmit();
        emit IERC7802.CrosschainBurn(payer, 4 ether, bridge);
        burnBy(away, bridge, 4 ether);
        checkEqual(away.totalSupply(), 6 ether, "supply");
        checkTrue(away.netMintedBy(bridge) == 6 ether && away.netMinted() == 6 ether, "net");
    }

    // ---- Who

    function test_nobody_mints_or_burns_but_bridges() external {
        address[3] memory callers = [address(this), payer, second];
        for (uint256 i = 0; i < 3; i++) {
            isRefused(callers[i]);
        }
    }

    function test_a_removed_bridge_can_do_nothing() external {
        mintBy(away, bridge, 10 ether);
        allow(away, bridge, 10 ether);
        setLimits(away, bridge, 0, 0, 0);
        vm.warp(block.timestamp + 10 days);
        isRefused(bridge);
        checkEqual(away.mintableBy(bridge) + away.burnableBy(bridge), 0, "nothing");
    }

    function test_a_bridge_may_go_one_way_only() external {
        setLimits(away, second, 10 ether, 0, 10 ether);
        mintBy(away, second, 10 ether);
        vm.expectRevert(abi.encodeWithSelector(IOpenxToken.AboveBurnLimit.selector, second, 1, 0));
        burnBy(away, second, 1);
        setLimits(away, second, 0, 10 ether, 10 ether);
        allow(away, second, 10 ether);
        burnBy(away, second, 10 ether);
    }

    function test_a_bridge_burns_only_what_it_was_allowed() external {
        vm.expectRevert(abi.encodeWithSelector(IERC20Errors.ERC20InsufficientAllowance.selector, bridge, 0, 1 ether));
        burnBy(openx, bridge, 1 ether);
        allow(openx, bridge, 1 ether);
        burnBy(openx, bridge, 1 ether);
        vm.expectPartialRevert(IERC20Errors.ERC20InsufficientAllowance.selector);
        burnBy(openx, bridge, 1);
    }

    function test_attack_a_bad_bridge_cannot_burn_what_lies_in_stake_and_escrow() external {
        vm.prank(payer);
        openx.approve(address(registry), 10 ether);
        vm.prank(payer);
        registry.stakeFor(provider, 10 ether);
        vm.expectPartialRevert(IERC20Errors.ERC20InsufficientAllowance.selector);
        vm.prank(bridge);
        openx.crosschainBurn(address(registry), 10 ether);
    }

    function test_only_the_owner_sets_limits_of_a_bridge() external {
        IOpenxToken.BridgeLimits memory limits = IOpenxToken.BridgeLimits(1, 1, 0);
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, bridge));
        vm.prank(bridge);
        openx.setBridgeLimits(bridge, limits);
        vm.expectRevert(IOpenxToken.ZeroAddress.selector);
        openx.setBridgeLimits(address(0), limits);
        vm.expectEmit();
        emit IOpenxToken.BridgeLimitsSet(second, limits);
        openx.setBridgeLimits(second, limits);
        setLimits(away, second, 1, 2, 3);
        checkEqual(away.bridgeLimitsOf(second).mintPerDay, 1, "mint");
        checkEqual(away.bridgeLimitsOf(second).burnPerDay, 2, "burn");
        checkEqual(away.bridgeLimitsOf(second).ceiling, 3, "ceiling");
    }

    // ---- Home

    function test_on_the_home_chain_a_bridge_only_brings_back_what_it_took() external {
        uint256 supply = openx.totalSupply();
        checkTrue(openx.isHome() && !away.isHome(), "home is where the supply was made");
        vm.expectRevert(abi.encodeWithSelector(IOpenxToken.AboveCeiling.selector, bridge, int256(1), 0));
        mintBy(openx, bridge, 1);

        allow(openx, bridge, 60 ether);
        burnBy(openx, bridge, 60 ether);
        checkEqual(openx.totalSupply(), supply - 60 ether, "away");
        checkEqual(openx.mintableBy(bridge), 60 ether, "may come back");
        mintBy(openx, bridge, 60 ether);
        checkEqual(openx.totalSupply(), supply, "back");
        vm.expectRevert(abi.encodeWithSelector(IOpenxToken.AboveCeiling.selector, bridge, int256(1), 0));
        mintBy(openx, bridge, 1);
    }

    function test_what_left_by_one_bridge_comes_back_by_another() external {
        setLimits(openx, second, 100 ether, 100 ether, 0);
        setLimits(away, second, 100 ether, 100 ether, 250 ether);
        uint256 supply = openx.totalSupply();
        allow(openx, bridge, 60 ether);
        burnBy(openx, bridge, 60 ether);
        mintBy(away, bridge, 60 ether);
        checkEqual(away.burnableBy(second), 60 ether, "whichever bridge brought it");
        allow(away, second, 60 ether);
        burnBy(away, second, 60 ether);
        checkEqual(openx.mintableBy(second), 60 ether, "and the other side takes it");
        mintBy(openx, second, 60 ether);
        checkEqual(openx.totalSupply(), supply, "all of it is back");
        checkTrue(openx.netMinted() == 0 && away.netMinted() == 0, "in balance");
        checkTrue(openx.netMintedBy(bridge) == -60 ether && openx.netMintedBy(second) == 60 ether, "by bridge");
    }

    function test_two_bridges_bring_back_no_more_than_what_left_by_both() external {
        setLimits(openx, second, 100 ether, 100 ether, 0);
        allow(openx, bridge, 30 ether);
        burnBy(openx, bridge, 30 ether);
        allow(openx, second, 10 ether);
        burnBy(openx, second, 10 ether);
        mintBy(openx, second, 40 ether);
        checkEqual(openx.mintableBy(bridge), 0, "the first finds nothing left");
        vm.expectRevert(abi.encodeWithSelector(IOpenxToken.AboveCeiling.selector, bridge, int256(1), 0));
        mintBy(openx, bridge, 1);
    }

    function test_what_left_by_a_bridge_that_was_removed_comes_back_by_another() external {
        setLimits(openx, second, 100 ether, 100 ether, 0);
        allow(openx, bridge, 60 ether);
        burnBy(openx, bridge, 60 ether);
        setLimits(openx, bridge, 0, 0, 0);
        checkTrue(openx.netMinted() == -60 ether, "stays counted");
        mintBy(openx, second, 60 ether);
        checkTrue(openx.netMinted() == 0, "all back");
    }

    /// @dev What holders burned themselves is gone: no bridge brings it back.
    function test_what_a_holder_burned_never_comes_back() external {
        vm.prank(payer);
        openx.burn(5 ether);
        checkEqual(openx.mintableBy(bridge), 0, "nothing left by a bridge");
        vm.expectRevert(abi.encodeWithSelector(IOpenxToken.AboveCeiling.selector, bridge, int256(1), 0));
        mintBy(openx, bridge, 1);
    }

    function test_on_the_home_chain_every_ceiling_is_zero() external {
        vm.expectRevert(abi.encodeWithSelector(IOpenxToken.CeilingOnHomeChain.selector, second, 1));
        setLimits(openx, second, 1, 1, 1);
    }

    // ---- Elsewhere

    function test_the_ceiling_bounds_what_a_bridge_can_forge() external {
        for (uint256 i = 0; i < 2; i++) {
            mintBy(away, bridge, 100 ether);
            vm.warp(block.timestamp + 1 days);
        }
        checkEqual(away.mintableBy(bridge), 50 ether, "by the ceiling");
        vm.expectRevert(
            abi.encodeWithSelector(IOpenxToken.AboveCeiling.selector, bridge, int256(250 ether + 1), 250 ether)
        );
        mintBy(away, bridge, 50 ether + 1);
        mintBy(away, bridge, 50 ether);
        checkEqual(away.mintableBy(bridge), 0, "reached");
        allow(away, bridge, 50 ether);
        burnBy(away, bridge, 50 ether);
        checkEqual(away.mintableBy(bridge), 50 ether, "burning makes room");
    }

    /// @dev A ceiling of each bridge's own balance would be used up by this for good.
    function test_traffic_in_one_direction_by_each_bridge_uses_up_no_ceiling() external {
        setLimits(away, second, 100 ether, 100 ether, 250 ether);
        for (uint256 i = 0; i < 10; i++) {
            mintBy(away, bridge, 100 ether);
            allow(away, second, 100 ether);
            burnBy(away, second, 100 ether);
            vm.warp(block.timestamp + 1 days);
        }
        checkTrue(away.netMintedBy(bridge) == 1_000 ether, "far above its ceiling");
        checkEqual(away.mintableBy(bridge), 100 ether, "and still a day's worth");
    }

    function test_a_ceiling_counts_what_all_bridges_brought() external {
        setLimits(away, second, 100 ether, 100 ether, 120 ether);
        mintBy(away, bridge, 100 ether);
        checkEqual(away.mintableBy(second), 20 ether, "of its own ceiling");
        vm.expectRevert(
            abi.encodeWithSelector(IOpenxToken.AboveCeiling.selector, second, int256(120 ether + 1), 120 ether)
        );
        mintBy(away, second, 20 ether + 1);
        mintBy(away, second, 20 ether);
        vm.warp(block.timestamp + 1 days);
        checkEqual(away.mintableBy(bridge), 100 ether, "the higher ceiling has room");
    }

    function test_no_more_is_burnable_than_there_is() external {
        checkEqual(away.burnableBy(bridge), 0, "nothing here yet");
        mintBy(away, bridge, 3 ether);
        checkEqual(away.burnableBy(bridge), 3 ether, "all there is, though the limit is more");
    }

    function test_a_lower_ceiling_stops_mints_until_enough_is_burned() external {
        mintBy(away, bridge, 100 ether);
        vm.warp(block.timestamp + 1 days);
        setLimits(away, bridge, 100 ether, 50 ether, 60 ether);
        checkEqual(away.mintableBy(bridge), 0, "above the ceiling");
        vm.expectPartialRevert(IOpenxToken.AboveCeiling.selector);
        mintBy(away, bridge, 1);
        allow(away, bridge, 50 ether);
        burnBy(away, bridge, 50 ether);
        checkEqual(away.mintableBy(bridge), 10 ether, "room again");
    }

    function test_taking_a_bridge_off_and_on_forgives_nothing() external {
        mintBy(away, bridge, 100 ether);
        setLimits(away, bridge, 0, 0, 0);
        setLimits(away, bridge, 100 ether, 50 ether, 100 ether);
        checkEqual(away.mintableBy(bridge), 0, "neither the limit nor the ceiling");
        vm.expectPartialRevert(IOpenxToken.AboveMintLimit.selector);
        mintBy(away, bridge, 1);
        vm.warp(block.timestamp + 1 days);
        vm.expectPartialRevert(IOpenxToken.AboveCeiling.selector);
        mintBy(away, bridge, 1);
    }

    // ---- Pace

    function test_limits_refill_evenly() external {
        mintBy(away, bridge, 100 ether);
        vm.expectRevert(abi.encodeWithSelector(IOpenxToken.AboveMintLimit.selector, bridge, 1, 0));
        mintBy(away, bridge, 1);
        vm.warp(block.timestamp + 6 hours);
        checkEqual(away.mintableBy(bridge), 25 ether, "a quarter of a day");
        mintBy(away, bridge, 10 ether);
        checkEqual(away.mintableBy(bridge), 15 ether, "less what was used");
        vm.warp(block.timestamp + 6 hours);
        checkEqual(away.mintableBy(bridge), 40 ether, "and on");
        vm.warp(block.timestamp + 30 days);
        checkEqual(away.mintableBy(bridge), 100 ether, "never more than a day's");
    }

    function test_burning_has_a_pace_of_its_own() external {
        mintBy(away, bridge, 100 ether);
        checkEqual(away.burnableBy(bridge), 50 ether, "untouched by the mint");
        allow(away, bridge, 60 ether);
        burnBy(away, bridge, 50 ether);
        vm.expectRevert(abi.encodeWithSelector(IOpenxToken.AboveBurnLimit.selector, bridge, 1 ether, 0));
        burnBy(away, bridge, 1 ether);
        vm.warp(block.timestamp + 12 hours);
        checkEqual(away.burnableBy(bridge), 25 ether, "half a day");
        burnBy(away, bridge, 10 ether);
        checkEqual(away.burnableBy(bridge), 15 ether, "less what was used");
    }

    function test_a_changed_limit_counts_from_now_on() external {
        mintBy(away, bridge, 100 ether);
        vm.warp(block.timestamp + 12 hours);
        // 50 of 100 came back at the old pace; of a limit of 60, 50 are used.
        setLimits(away, bridge, 60 ether, 50 ether, 250 ether);
        checkEqual(away.mintableBy(bridge), 10 ether, "at the change");
        vm.warp(block.timestamp + 6 hours);
        checkEqual(away.mintableBy(bridge), 25 ether, "at the new pace");
        setLimits(away, bridge, 20 ether, 50 ether, 250 ether);
        checkEqual(away.mintableBy(bridge), 0, "more is used than the limit");
    }

    function test_a_changed_limit_of_burning_counts_from_now_on() external {
        mintBy(away, bridge, 100 ether);
        allow(away, bridge, 50 ether);
        burnBy(away, bridge, 50 ether);
        vm.warp(block.timestamp + 12 hours);
        // 25 of 50 came back at the old pace; of a limit of 60, 25 are used.
        setLimits(away, bridge, 100 ether, 60 ether, 250 ether);
        checkEqual(away.burnableBy(bridge), 35 ether, "at the change");
    }

    function test_the_last_unit_below_the_ceiling_is_mintable() external {
        setLimits(away, second, 10, 10, 3);
        mintBy(away, second, 2);
        checkEqual(away.mintableBy(second), 1, "a unit");
        mintBy(away, second, 1);
        checkEqual(away.mintableBy(second), 0, "none");
    }

    /// @dev However it is split over a day, a bridge makes at most two days' worth: the one it had and the one that came back.
    function testFuzz_a_day_brings_at_most_two_limits(uint256[8] memory amounts, uint256[8] memory pauses) external {
        setLimits(away, bridge, 100 ether, 100 ether, 10_000 ether);
        uint256 end = block.timestamp + 1 days;
        uint256 sum;
        for (uint256 i = 0; i < 8; i++) {
            uint256 most = away.mintableBy(bridge);
            uint256 amount = most == 0 ? 0 : within(amounts[i], 1, most);
            mintBy(away, bridge, amount);
            sum += amount;
            uint256 later = block.timestamp + within(pauses[i], 1, 6 hours);
            vm.warp(later < end ? later : end);
        }
        checkTrue(sum <= 200 ether, "two limits");
    }

    /// @dev The supply of the home chain never passes what it began with.
    function testFuzz_supply_at_home_never_passes_genesis(uint256[12] memory acts, uint256[12] memory amounts)
        external
    {
        uint256 genesis = openx.totalSupply();
        setLimits(openx, second, 70 ether, 30 ether, 0);
        for (uint256 i = 0; i < 12; i++) {
            address who = acts[i] & 1 == 0 ? bridge : second;
            uint256 amount = within(amounts[i], 0, 40 ether);
            if (acts[i] & 2 == 0) {
                vm.prank(who);
                try openx.crosschainMint(payer, amount) {} catch {}
            } else {
                allow(openx, who, amount);
                vm.prank(who);
                try openx.crosschainBurn(payer, amount) {} catch {}
            }
            vm.warp(block.timestamp + within(acts[i], 0, 1 days));
            checkTrue(openx.totalSupply() <= genesis, "genesis");
            int256 net = openx.netMintedBy(bridge) + openx.netMintedBy(second);
            checkTrue(openx.netMinted() == net, "the sum over bridges");
            checkTrue(int256(openx.totalSupply()) - int256(genesis) == net, "supply is genesis and net");
        }
    }

    // ---- Burning one's own

    function test_anyone_burns_its_own_and_no_more() external {
        uint256 supply = openx.totalSupply();
        vm.prank(payer);
        openx.burn(400 ether);
        checkEqual(openx.balanceOf(payer), 600 ether, "balance");
        checkEqual(openx.totalSupply(), supply - 400 ether, "supply");
        vm.expectPartialRevert(IERC20Errors.ERC20InsufficientBalance.selector);
        vm.prank(payer);
        openx.burn(600 ether + 1);
    }

    /// @dev Not even with nothing, which would be announced.
    function isRefused(address who) private {
        for (uint256 amount = 0; amount < 2; amount++) {
            vm.expectRevert(abi.encodeWithSelector(IOpenxToken.NotBridge.selector, who));
            mintBy(away, who, amount);
            vm.expectRevert(abi.encodeWithSelector(IOpenxToken.NotBridge.selector, who));
            burnBy(away, who, amount);
        }
    }

    function setLimits(OpenxToken token, address who, uint128 mintPerDay, uint128 burnPerDay, uint128 ceiling) private {
        token.setBridgeLimits(who, IOpenxToken.BridgeLimits(mintPerDay, burnPerDay, ceiling));
    }

    function mintBy(OpenxToken token, address who, uint256 amount) private {
        vm.prank(who);
        token.crosschainMint(payer, amount);
    }

    function burnBy(OpenxToken token, address who, uint256 amount) private {
        vm.prank(who);
        token.crosschainBurn(payer, amount);
    }

    function allow(OpenxToken token, address who, uint256 amount) private {
        vm.prank(payer);
        token.approve(who, amount);
    }
}
