// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

import {ICapacityRegistry} from "../src/interfaces/ICapacityRegistry.sol";
import {IComputeCredit} from "../src/interfaces/IComputeCredit.sol";
import {Providing} from "./Providing.sol";

/// @notice What a credit is made with, what its owner may change, and its signed approvals.
contract CreditTermsTest is Providing {
    function test_a_credit_is_what_it_was_made() external view {
        checkEqual(keccak256(bytes(tgpu.name())), keccak256("xnode GPU credit"), "name");
        checkEqual(keccak256(bytes(tcpu.symbol())), keccak256("tCPU"), "symbol");
        checkEqual(tgpu.decimals(), 18, "decimals");
        checkTrue(tgpu.kind() == ICapacityRegistry.Kind.Gpu && tcpu.kind() == ICapacityRegistry.Kind.Cpu, "kinds");
        checkEqual(address(tgpu.registry()), address(registry), "registry");
        checkEqual(address(tgpu.capacity()), address(capacity), "capacity");
        checkEqual(tgpu.collateralRatio(), COLLATERAL_RATIO, "collateral ratio");
        checkEqual(tgpu.collateralRatioSetAt(), block.timestamp, "set now");
        checkEqual(tgpu.windowHours(), WINDOW, "window");
        checkEqual(tgpu.windowSetAt(), block.timestamp, "set now");
        checkEqual(tgpu.TERMS_INTERVAL(), STAKE_THAW, "changes are a thaw apart");
        checkEqual(tgpu.owner(), address(this), "owner");
    }

    function test_a_credit_needs_both_registries() external {
        bytes memory code = creationCode(
            "ComputeCredit", abi.encode("x", "x", 0, address(0), capacity, address(this), COLLATERAL_RATIO, WINDOW)
        );
        vm.expectRevert(IComputeCredit.ZeroAddress.selector);
        deploy(code);
        code = creationCode(
            "ComputeCredit", abi.encode("x", "x", 0, registry, address(0), address(this), COLLATERAL_RATIO, WINDOW)
        );
        vm.expectRevert(IComputeCredit.ZeroAddress.selector);
        deploy(code);
    }

    function test_the_first_terms_are_bounded() external {
        (uint256 low, uint256 high) = (tgpu.MIN_COLLATERAL_RATIO(), tgpu.MAX_COLLATERAL_RATIO());
        uint256[2] memory rates = [low - 1, high + 1];
        for (uint256 i = 0; i < 2; i++) {
            bytes memory code = creditCode(ICapacityRegistry.Kind.Gpu, rates[i], WINDOW);
            vm.expectRevert(
                abi.encodeWithSelector(IComputeCredit.CollateralRatioOutOfBounds.selector, rates[i], low, high)
            );
            deploy(code);
        }
        uint32[2] memory windows = [uint32(0), 8761];
        for (uint256 i = 0; i < 2; i++) {
            bytes memory code = creditCode(ICapacityRegistry.Kind.Gpu, COLLATERAL_RATIO, windows[i]);
            vm.expectRevert(abi.encodeWithSelector(IComputeCredit.WindowOutOfBounds.selector, windows[i], 1, 8760));
            deploy(code);
        }
        deploy(creditCode(ICapacityRegistry.Kind.Gpu, low, 1));
        deploy(creditCode(ICapacityRegistry.Kind.Gpu, high, 8760));
    }

    function test_the_collateral_ratio_doubles_or_halves_at_most() external {
        vm.warp(block.timestamp + STAKE_THAW);
        for (uint256 i = 0; i < 2; i++) {
            uint256 wrong = i == 0 ? COLLATERAL_RATIO * 2 + 1 : COLLATERAL_RATIO / 2 - 1;
            vm.expectRevert(
                abi.encodeWithSelector(
                    IComputeCredit.CollateralRatioOutOfBounds.selector,
                    wrong,
                    COLLATERAL_RATIO / 2,
                    COLLATERAL_RATIO * 2
                )
            );
            tgpu.setCollateralRatio(wrong);
        }
        vm.expectEmit();
        emit IComputeCredit.CollateralRatioSet(COLLATERAL_RATIO * 2);
        tgpu.setCollateralRatio(COLLATERAL_RATIO * 2);
        vm.warp(block.timestamp + STAKE_THAW);
        tgpu.setCollateralRatio(COLLATERAL_RATIO);
        checkEqual(tgpu.collateralRatio(), COLLATERAL_RATIO, "and back");
    }

    function test_the_collateral_ratio_changes_once_in_a_thaw() external {
        uint64 next = uint64(block.timestamp + STAKE_THAW);
        vm.warp(next - 1);
        vm.expectRevert(abi.encodeWithSelector(IComputeCredit.CollateralRatioTooSoon.selector, next, next - 1));
        tgpu.setCollateralRatio(COLLATERAL_RATIO);
        vm.warp(next);
        tgpu.setCollateralRatio(COLLATERAL_RATIO + 1);
        checkEqual(tgpu.collateralRatioSetAt(), next, "set");
        vm.expectRevert(abi.encodeWithSelector(IComputeCredit.CollateralRatioTooSoon.selector, next + STAKE_THAW, next));
        tgpu.setCollateralRatio(COLLATERAL_RATIO);
    }

    function test_many_changes_stay_within_the_bounds() external {
        (uint256 low, uint256 high) = (tgpu.MIN_COLLATERAL_RATIO(), tgpu.MAX_COLLATERAL_RATIO());
        vm.warp(block.timestamp + STAKE_THAW);
        while (tgpu.collateralRatio() * 2 <= high) {
            tgpu.setCollateralRatio(tgpu.collateralRatio() * 2);
            vm.warp(block.timestamp + STAKE_THAW);
        }
        vm.expectPartialRevert(IComputeCredit.CollateralRatioOutOfBounds.selector);
        tgpu.setCollateralRatio(high + 1);
        tgpu.setCollateralRatio(high);
        vm.warp(block.timestamp + STAKE_THAW);
        while ((tgpu.collateralRatio() + 1) / 2 >= low) {
            tgpu.setCollateralRatio((tgpu.collateralRatio() + 1) / 2);
            vm.warp(block.timestamp + STAKE_THAW);
        }
        vm.expectPartialRevert(IComputeCredit.CollateralRatioOutOfBounds.selector);
        tgpu.setCollateralRatio(low - 1);
    }

    function test_a_higher_ratio_touches_no_credit_that_is_out() external {
        mintAs(provider, tgpu, 100 ether);
        unstakeAs(provider, 800 ether);
        vm.warp(block.timestamp + STAKE_THAW);
        tgpu.setCollateralRatio(COLLATERAL_RATIO * 2);
        checkEqual(registry.heldStakeOf(provider), 200 ether, "as when it was minted");
        checkEqual(tgpu.valueOf(provider, 100 ether), 200 ether, "and so what it is redeemed for");
        vm.prank(provider);
        checkEqual(registry.withdrawStake(), 800 ether, "what was free to leave has left");
        checkTrue(!tgpu.isDefaulted(provider), "no default");
        giveStake(provider, 400 ether);
        checkEqual(tgpu.mintableOf(provider), 100 ether, "new ones need the new ratio");
        mintAs(provider, tgpu, 100 ether);
        checkEqual(registry.heldStakeOf(provider), 600 ether, "200 and 400");
    }

    function test_a_lower_ratio_frees_nothing_of_what_is_out() external {
        mintAs(provider, tgpu, 100 ether);
        vm.warp(block.timestamp + STAKE_THAW);
        tgpu.setCollateralRatio(COLLATERAL_RATIO / 2);
        checkEqual(registry.heldStakeOf(provider), 200 ether, "as when it was minted");
        burnAs(provider, tgpu, provider, 100 ether);
        mintAs(provider, tgpu, 100 ether);
        checkEqual(registry.heldStakeOf(provider), 100 ether, "but when all of them were bought back");
    }

    function test_the_window_doubles_or_halves_at_most_once_in_a_thaw() external {
        uint64 next = uint64(block.timestamp + STAKE_THAW);
        vm.warp(next - 1);
        vm.expectRevert(abi.encodeWithSelector(IComputeCredit.WindowTooSoon.selector, next, next - 1));
        tgpu.setWindowHours(WINDOW);
        vm.warp(next);
        vm.expectRevert(abi.encodeWithSelector(IComputeCredit.WindowOutOfBounds.selector, 201, 50, 200));
        tgpu.setWindowHours(201);
        vm.expectRevert(abi.encodeWithSelector(IComputeCredit.WindowOutOfBounds.selector, 49, 50, 200));
        tgpu.setWindowHours(49);
        vm.expectEmit();
        emit IComputeCredit.WindowSet(200);
        tgpu.setWindowHours(200);
        checkEqual(tgpu.limitOf(provider), 400 ether, "the limit follows");
        checkEqual(tgpu.windowSetAt(), next, "set");
        vm.expectRevert(abi.encodeWithSelector(IComputeCredit.WindowTooSoon.selector, next + STAKE_THAW, next));
        tgpu.setWindowHours(200);
    }

    function test_many_changes_of_the_window_stay_within_the_bounds() external {
        for (uint256 i = 0; i < 7; i++) {
            vm.warp(block.timestamp + STAKE_THAW);
            tgpu.setWindowHours((tgpu.windowHours() + 1) / 2);
        }
        vm.warp(block.timestamp + STAKE_THAW);
        vm.expectRevert(abi.encodeWithSelector(IComputeCredit.WindowOutOfBounds.selector, 0, 1, 2));
        tgpu.setWindowHours(0);
        while (tgpu.windowHours() <= 4380) {
            tgpu.setWindowHours(tgpu.windowHours() * 2);
            vm.warp(block.timestamp + STAKE_THAW);
        }
        vm.expectRevert(
            abi.encodeWithSelector(IComputeCredit.WindowOutOfBounds.selector, 8761, tgpu.windowHours() / 2, 8760)
        );
        tgpu.setWindowHours(8761);
        tgpu.setWindowHours(8760);
    }

    function test_only_the_owner_sets_terms() external {
        bytes memory refused = abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, provider);
        vm.expectRevert(refused);
        vm.prank(provider);
        tgpu.setCollateralRatio(COLLATERAL_RATIO);
        vm.expectRevert(refused);
        vm.prank(provider);
        tgpu.setWindowHours(WINDOW);
    }

    // ---- Signed approvals

    function test_permit_approves_once() external {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(PAYER_KEY, permitDigest(address(tgpu), tgpu.DOMAIN_SEPARATOR()));
        tgpu.permit(payer, stranger, 5 ether, FAR, v, r, s);
        checkEqual(tgpu.allowance(payer, stranger), 5 ether, "allowance");
        checkEqual(tgpu.nonces(payer), 1, "nonce");
        vm.expectPartialRevert(ERC20Permit.ERC2612InvalidSigner.selector);
        tgpu.permit(payer, stranger, 5 ether, FAR, v, r, s);
    }

    function test_a_permit_of_one_credit_is_none_of_the_other() external {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(PAYER_KEY, permitDigest(address(tgpu), tgpu.DOMAIN_SEPARATOR()));
        vm.expectPartialRevert(ERC20Permit.ERC2612InvalidSigner.selector);
        tcpu.permit(payer, stranger, 5 ether, FAR, v, r, s);
    }

    function test_a_permit_is_good_on_one_chain() external {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(PAYER_KEY, permitDigest(address(tgpu), tgpu.DOMAIN_SEPARATOR()));
        vm.chainId(4242);
        vm.expectPartialRevert(ERC20Permit.ERC2612InvalidSigner.selector);
        tgpu.permit(payer, stranger, 5 ether, FAR, v, r, s);
    }

    function permitDigest(address credit, bytes32 domain) private view returns (bytes32) {
        bytes32 typehash =
            keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        uint256 nonce = ERC20Permit(credit).nonces(payer);
        bytes32 hash = keccak256(abi.encode(typehash, payer, stranger, 5 ether, nonce, uint256(FAR)));
        return MessageHashUtils.toTypedDataHash(domain, hash);
    }
}
