// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IPaymentEscrow} from "../src/interfaces/IPaymentEscrow.sol";
import {Market} from "./Market.sol";
import {Providing} from "./Providing.sol";

/// @notice Claims in an asset that is a compute credit.
contract BurningTest is Market {
    function test_a_claim_in_credits_burns_them_at_the_provider() external {
        registerProvider(address(0xFA11));
        IPaymentEscrow.Escrow memory terms = openCredits(0, 100 ether);
        vm.expectEmit();
        emit IPaymentEscrow.ProviderPaid(provider, address(credit), address(0), 30 ether);
        checkEqual(claimRowsOf(terms, makeRow(SIGNER_KEY, terms, 30 ether)), 30 ether, "paid");
        checkEqual(credit.burnedAt(provider), 30 ether, "burned there");
        checkEqual(credit.totalSupply(), 70 ether, "supply");
        checkEqual(credit.balanceOf(address(escrow)), 70 ether, "exactly what was claimed has left");
        checkEqual(credit.balanceOf(provider) + credit.balanceOf(address(0xFA11)), 0, "nobody got them");
        checkEqual(escrow.liabilities(address(credit)), 70 ether, "liabilities");
        (uint256 settled,,) = escrow.accountOf(provider, address(credit));
        checkEqual(settled, 30 ether, "settled");
    }

    function test_a_batch_is_burned_as_one() external {
        bytes memory rows;
        for (uint96 i = 0; i < 5; i++) {
            rows = bytes.concat(rows, makeRow(SIGNER_KEY, openCredits(i, 10 ether), uint128(i + 1) * 1 ether));
        }
        claimRowsOf(makeTermsIn(credit, 0, 0), rows);
        checkEqual(credit.burnedAt(provider), 15 ether, "burned");
        checkEqual(credit.balanceOf(address(escrow)), 35 ether, "left");
    }

    function test_a_credit_that_refuses_leaves_the_amount_owed_and_it_is_burned_later() external {
        credit.refuse(true);
        IPaymentEscrow.Escrow memory terms = openCredits(0, 100 ether);
        bytes memory row = makeRow(SIGNER_KEY, terms, 30 ether);
        vm.expectEmit();
        emit IPaymentEscrow.PayoutDeferred(provider, address(credit), 30 ether);
        claimRowsOf(terms, row);
        checkEqual(escrow.owed(provider, address(credit)), 30 ether, "owed");
        checkEqual(escrow.liabilities(address(credit)), 100 ether, "liabilities");
        vm.expectRevert(bytes("refused"));
        escrow.withdrawOwed(provider, address(credit));

        credit.refuse(false);
        vm.expectEmit();
        emit IPaymentEscrow.OwedWithdrawn(provider, address(credit), address(0), 30 ether);
        vm.prank(stranger);
        checkEqual(escrow.withdrawOwed(provider, address(credit)), 30 ether, "withdrawn");
        checkEqual(credit.burnedAt(provider), 30 ether, "burned, not paid");
        checkEqual(credit.totalSupply(), 70 ether, "supply");
    }

    function test_what_two_claims_deferred_is_all_owed() external {
        credit.refuse(true);
        IPaymentEscrow.Escrow memory terms = openCredits(0, 100 ether);
        claimRowsOf(terms, makeRow(SIGNER_KEY, terms, 30 ether));
        claimRowsOf(terms, makeRow(SIGNER_KEY, terms, 50 ether));
        checkEqual(escrow.owed(provider, address(credit)), 50 ether, "owed");
        checkEqual(escrow.liabilities(address(credit)), 100 ether, "liabilities");
    }

    function test_a_submitter_cannot_defer_a_burn_by_giving_little_gas() external {
        IPaymentEscrow.Escrow memory terms = openCredits(0, 10 ether);
        bytes memory row = makeRow(SIGNER_KEY, terms, 1 ether);
        uint256 claims;
        for (uint256 gas_ = 40_000; gas_ < 200_000; gas_ += 1_000) {
            uint256 before = vm.snapshotState();
            try escrow.claim{gas: gas_}(provider, address(credit), bytes32(0), MIN_THAW, row) {
                claims++;
                checkEqual(credit.burnedAt(provider), 1 ether, "burned or reverted, never deferred");
            } catch {}
            vm.revertToState(before);
        }
        checkTrue(claims != 0, "some had gas enough");
    }

    function test_credits_that_were_not_used_go_back_as_they_came() external {
        IPaymentEscrow.Escrow memory terms = openCredits(0, 100 ether);
        vm.prank(provider);
        escrow.release(terms, 60 ether);
        vm.prank(payer);
        escrow.startThaw(terms);
        vm.warp(block.timestamp + MIN_THAW);
        escrow.close(terms);
        vm.prank(payer);
        escrow.withdraw(address(credit), 100 ether, payer);
        checkEqual(credit.balanceOf(payer), 100 ether, "payer");
        checkEqual(credit.totalSupply(), 100 ether, "nothing was burned");
    }

    function openCredits(uint96 nonce, uint128 amount) private returns (IPaymentEscrow.Escrow memory terms) {
        terms = makeTermsIn(credit, 0, nonce);
        openUnder(terms, amount);
    }
}

/// @notice The same with tGPU itself.
contract BurningCreditsTest is Providing {
    function test_used_credits_free_their_providers_limit_and_the_split_keeps_its_own() external {
        escrow.addAsset(address(tgpu), true);
        escrow.setFee(address(tgpu), 10_000);
        mintAs(provider, tgpu, 200 ether); // all that its capacity gives
        send(tgpu, provider, payer, 200 ether);
        vm.prank(payer);
        tgpu.approve(address(escrow), 200 ether);
        vm.prank(payer);
        escrow.deposit(payer, address(tgpu), 200 ether);
        IPaymentEscrow.Escrow memory terms = makeTerms(0);
        (terms.asset, terms.split) = (address(tgpu), splits.create(makeShares(50_000, 50_000)));
        vm.prank(payer);
        escrow.open(terms, 200 ether);
        checkEqual(tgpu.mintableOf(provider), 0, "nothing is left to mint");

        claimRowsOf(terms, makeRow(SIGNER_KEY, terms, 100 ether));
        checkEqual(uint256(tgpu.outstanding(provider)), 110.9 ether, "less by what was burned: 100 - 1 - 9.9");
        checkEqual(tgpu.mintableOf(provider), 89.1 ether, "which can be minted again");
        checkEqual(escrow.paySplit(terms.split, address(tgpu)), 9.9 ether, "the split's");
        checkEqual(escrow.assetOf(address(tgpu)).fees, 1 ether, "the protocol's");
        checkEqual(tgpu.balanceOf(address(escrow)), escrow.liabilities(address(tgpu)), "to the unit");
    }

    function test_credits_burned_at_a_provider_that_minted_none_are_its_to_mint() external {
        escrow.addAsset(address(tgpu), true);
        mintAs(provider, tgpu, 100 ether);
        send(tgpu, provider, address(this), 100 ether);
        tgpu.approve(address(escrow), 100 ether);
        escrow.deposit(payer, address(tgpu), 100 ether);
        IPaymentEscrow.Escrow memory terms = makeTerms(0);
        (terms.asset, terms.provider) = (address(tgpu), stranger);
        vm.prank(payer);
        escrow.open(terms, 100 ether);
        claimRowsOf(terms, makeRow(SIGNER_KEY, terms, 60 ether));
        checkTrue(tgpu.outstanding(stranger) == -60 ether, "who served may mint that much more");
        checkEqual(uint256(tgpu.outstanding(provider)), 100 ether, "who sold still owes");
        checkEqual(tgpu.totalSupply(), 40 ether, "supply");
    }
}
