// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";

import {Timelock} from "../../src/governance/Timelock.sol";
import {ICapacityRegistry} from "../../src/interfaces/ICapacityRegistry.sol";
import {IChallengeRules} from "../../src/interfaces/IChallengeRules.sol";
import {IComputeCredit} from "../../src/interfaces/IComputeCredit.sol";
import {IGovernedForGood} from "../../src/interfaces/IGovernedForGood.sol";
import {IOpenxToken} from "../../src/interfaces/IOpenxToken.sol";
import {IPaymentEscrow} from "../../src/interfaces/IPaymentEscrow.sol";
import {IProviderRegistry} from "../../src/interfaces/IProviderRegistry.sol";
import {ITimelock} from "../../src/interfaces/ITimelock.sol";
import {IVerifierRegistry} from "../../src/interfaces/IVerifierRegistry.sol";
import {ComputeCredit} from "../../src/money/ComputeCredit.sol";
import {PlainAsset} from "../Assets.sol";
import {Scene} from "./Scene.sol";

/// @notice What the timelock may never do: it uses every power it has, each as far as it goes, once in the one direction and once in the
/// other, and then what the table of docs/contracts.md denies it is tried.
contract TimelockPowersTest is Scene {
    uint256[] private _before;
    bytes32 private _inForce;
    address[] private _panel;
    uint256 private _collateral;

    function setUp() public override {
        super.setUp();
        _before = holdings();
        _inForce = keccak256(abi.encode(capacity.capacityOf(provider)));
        _collateral = tgpu.collateralOf(provider);
        uint256 undrawn = vm.snapshotState();
        address[] memory panel = drawn(asked).panel;
        vm.revertToState(undrawn);
        _panel = panel;
    }

    modifier eitherWay() {
        uint256 unchanged = vm.snapshotState();
        useEveryPower(true);
        _;
        vm.revertToState(unchanged);
        useEveryPower(false);
        _;
    }

    function test_the_timelock_may_never_take_anyones_balance() external eitherWay {
        address[3] memory whose = [payer, address(registry), address(escrow)];
        for (uint256 i = 0; i < whose.length; i++) {
            vm.expectPartialRevert(IERC20Errors.ERC20InsufficientAllowance.selector);
            vm.prank(OUT);
            openx.crosschainBurn(whose[i], 1 ether);
            vm.expectPartialRevert(IERC20Errors.ERC20InsufficientAllowance.selector);
            openx.transferFrom(whose[i], OUT, 1);
        }
        vm.expectPartialRevert(IPaymentEscrow.NotEnoughFree.selector);
        escrow.withdraw(address(asset), 1, OUT);
        escrow.withdrawFees(address(asset));
        escrow.withdrawFees(address(tgpu));
        checkEqual(asset.balanceOf(OUT) + tgpu.balanceOf(OUT), 0, "no claim, no fee");
        checkSameHoldings(_before, "after every power");
    }

    function test_the_timelock_may_never_stop_a_withdrawal_or_a_claim() external eitherWay {
        everybodyLeaves();
        uint256 fees = escrow.assetOf(address(asset)).fees + escrow.assetOf(address(tgpu)).fees;
        checkTrue(fees <= 80 ether / 20, "a twentieth of what was claimed at most");
    }

    function test_the_timelock_may_never_remove_an_asset() external eitherWay {
        address[5] memory whats = [address(asset), address(credit), address(tgpu), address(tcpu), address(openx)];
        for (uint256 i = 0; i < whats.length; i++) {
            bool isCredit = escrow.assetOf(whats[i]).isCredit;
            vm.expectRevert(abi.encodeWithSelector(IPaymentEscrow.AssetAlreadyAdded.selector, whats[i]));
            escrow.addAsset(whats[i], !isCredit);
            checkTrue(escrow.isAccepted(whats[i]), "still there");
            checkTrue(isCredit == (i > 0 && i < 4), "and what it was");
        }
    }

    function test_the_timelock_may_never_mint_credits() external eitherWay {
        uint256 supply = tgpu.totalSupply();
        vm.expectRevert(abi.encodeWithSelector(IComputeCredit.NotMintable.selector, address(this)));
        tgpu.mint(OUT, 1);
        // Also with stake and a node key of its own: what it lacks is a verdict.
        stakeFor(address(this), 1_000 ether);
        bytes memory proof = signNodeKey(STRANGER_KEY, address(this), stranger, registry.nonces(address(this)), FAR);
        registry.register(stranger, address(0), FAR, proof);
        vm.expectRevert(abi.encodeWithSelector(IComputeCredit.NotMintable.selector, address(this)));
        tgpu.mint(OUT, 1);
        checkEqual(tgpu.totalSupply(), supply, "supply");
    }

    function test_the_timelock_may_never_mint_more_openx_at_home_than_left_it() external eitherWay {
        uint256 supply = openx.totalSupply();
        bridgeRefused(1);
        vm.prank(payer);
        openx.approve(OUT, 4 ether);
        vm.prank(OUT);
        openx.crosschainBurn(payer, 4 ether);
        vm.prank(OUT);
        openx.crosschainMint(OUT, 4 ether);
        bridgeRefused(1);
        checkEqual(openx.totalSupply(), supply, "what left, and no unit more");
        IOpenxToken.BridgeLimits memory limits = IOpenxToken.BridgeLimits(1, 1, 1);
        vm.expectRevert(abi.encodeWithSelector(IOpenxToken.CeilingOnHomeChain.selector, OUT, 1));
        openx.setBridgeLimits(OUT, limits);
    }

    function test_the_timelock_may_never_slash() external eitherWay {
        IProviderRegistry.Role[2] memory roles = [IProviderRegistry.Role.Provider, IProviderRegistry.Role.Verifier];
        for (uint256 i = 0; i < 2; i++) {
            IProviderRegistry.Penalty memory penalty = makePledgePenalty(1_000_000);
            penalty.role = roles[i];
            bytes memory refused = abi.encodeWithSelector(IProviderRegistry.NotJudge.selector, address(this), roles[i]);
            vm.expectRevert(refused);
            registry.slash(i == 0 ? provider : judgeAt(0), penalty);
            vm.expectRevert(refused);
            registry.announce(i == 0 ? provider : judgeAt(0), roles[i], 1, 0);
            vm.expectRevert(refused);
            registry.compensate(i == 0 ? provider : judgeAt(0), roles[i], OUT, 1, 0);
        }
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.NotHold.selector, address(this)));
        registry.takeStake(provider, OUT, 1);
        // Here it is even the account that connected them.
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.AlreadyConnected.selector, address(breaches)));
        registry.connect(makeJudges(address(this), 1_000_000), noHolds(), new address[](0), address(this));
        checkSameHoldings(_before, "no stake is gone");
    }

    function test_the_timelock_may_never_unjail() external eitherWay {
        checkTrue(capacity.isJailed(jailed), "still jailed");
        checkEqual(tgpu.limitOf(jailed), 0, "and mints nothing");
        // What frees it is a challenge that it passes.
        judge(asked, drawn(asked).panel, true);
        checkTrue(!capacity.isJailed(jailed), "free");
    }

    function test_the_timelock_may_never_change_the_collateral_of_a_credit_that_is_out() external eitherWay {
        checkTrue(_collateral != 0, "there is some");
        checkEqual(tgpu.collateralOf(provider), _collateral, "of all");
        checkEqual(registry.heldStakeOf(provider), _collateral, "held");
        uint256 owed = uint256(tgpu.outstanding(provider));
        vm.prank(payer);
        tgpu.burnAt(provider, owed / 2);
        checkEqual(tgpu.collateralOf(provider), _collateral / 2, "and of what is left");
    }

    function test_the_timelock_may_never_keep_stake_from_leaving() external eitherWay {
        // What thaws, what begins to thaw now, and the pledge of a verifier that has left.
        uint256 surplus = registry.stakeOf(provider) - registry.heldStakeOf(provider);
        vm.prank(provider);
        registry.startUnstake(surplus);
        checkEqual(registry.stakeDetails(provider).thawEnd, block.timestamp + STAKE_THAW, "as long as ever");
        checkEqual(withdrawAs(jailed), LEAVING, "what had begun to leave");
        checkEqual(withdrawAs(provider), surplus, "what began to leave after it");
        vm.warp(block.timestamp + LEAVE_DELAY);
        checkEqual(registry.heldIn(gone, IProviderRegistry.Role.Verifier), 0, "no longer than it was told");
    }

    function test_the_timelock_may_never_change_the_panel_the_quorum_or_the_classes_of_a_challenge_that_is_open()
        external
        eitherWay
    {
        address[] memory panel = drawn(asked).panel;
        checkEqual(panel.length, _panel.length, "as many");
        for (uint256 i = 0; i < panel.length; i++) {
            checkEqual(panel[i], _panel[i], "the same");
        }
        checkEqual(capacity.quorumOf(asked), 4, "quorum");
        IChallengeRules.Class[] memory classes = capacity.conditionsOf(asked);
        checkClass(classes[0], GPU_WEIGHT, GPU_N, 5_000);
        checkClass(classes[1], CPU_WEIGHT, CPU_N, 10_000);
        judge(asked, panel, true);
        ICapacityRegistry.Capacity memory verified = capacity.capacityOf(jailed);
        checkEqual(verified.gpuMilli, 2 * GPU_WEIGHT, "what it was asked for");
        checkEqual(verified.cpuMilli, 16 * CPU_WEIGHT, "at the weight of that time");
    }

    function test_the_timelock_may_never_change_a_capacity_in_force() external eitherWay {
        checkEqual(keccak256(abi.encode(capacity.capacityOf(provider))), _inForce, "every number of it");
        checkEqual(capacity.verifiedOf(provider, GPU), 2, "of a class that closes too");
        vm.warp(capacity.capacityOf(provider).until - 1);
        checkEqual(keccak256(abi.encode(capacity.capacityOf(provider))), _inForce, "until its last second");
    }

    function test_the_timelock_may_never_strike_off_a_verifier() external eitherWay {
        for (uint256 i = 0; i < VERIFIERS; i++) {
            vm.expectRevert(abi.encodeWithSelector(IVerifierRegistry.VerifierInOrder.selector, judgeAt(i)));
            verifiers.strikeOff(judgeAt(i));
            checkEqual(verifiers.pledgeOf(judgeAt(i)), PLEDGE, "nor ask for more");
        }
        checkEqual(verifiers.verifierCount(), VERIFIERS, "all there");
    }

    function test_the_timelock_may_never_hand_on_what_it_owns_or_give_it_up() external eitherWay {
        address[6] memory owned =
            [address(escrow), address(openx), address(tgpu), address(tcpu), address(rules), address(verifiers)];
        bytes memory forGood = abi.encodeWithSelector(IGovernedForGood.OwnedForGood.selector, address(this));
        for (uint256 i = 0; i < owned.length; i++) {
            vm.expectRevert(forGood);
            Ownable(owned[i]).transferOwnership(OUT);
            vm.expectRevert(forGood);
            Ownable(owned[i]).renounceOwnership();
            checkEqual(Ownable(owned[i]).owner(), address(this), "owner");
        }
    }

    /// @dev By what it does to itself, so with a timelock of its own.
    function test_the_timelock_may_never_make_its_delay_shorter_than_it_was_at_the_beginning() external {
        address[] memory council = new address[](1);
        council[0] = address(this);
        bytes memory args = abi.encode(2 days, council, council, address(0));
        Timelock timelock = Timelock(payable(deploy(creationCode("Timelock", args))));
        checkEqual(timelock.leastDelay(), 2 days, "at the beginning");
        setDelay(timelock, 5 days, 2 days, "");
        checkEqual(timelock.getMinDelay(), 5 days, "longer");
        bytes4 tooShort = ITimelock.DelayTooShort.selector;
        setDelay(timelock, 0, 5 days, abi.encodeWithSelector(tooShort, 0, 2 days));
        setDelay(timelock, 2 days - 1, 5 days, abi.encodeWithSelector(tooShort, 2 days - 1, 2 days));
        checkEqual(timelock.getMinDelay(), 5 days, "as it was");
        setDelay(timelock, 2 days, 5 days, "");
        checkEqual(timelock.getMinDelay(), 2 days, "what it was");
        vm.expectRevert(abi.encodeWithSelector(TimelockController.TimelockUnauthorizedCaller.selector, address(this)));
        timelock.updateDelay(3 days);
    }

    // ---- How

    function setDelay(Timelock timelock, uint256 delay, uint256 wait, bytes memory refusal) private {
        bytes memory data = abi.encodeCall(timelock.updateDelay, (delay));
        timelock.schedule(address(timelock), 0, data, bytes32(0), bytes32(0), wait);
        vm.warp(block.timestamp + wait);
        if (refusal.length != 0) vm.expectRevert(refusal);
        timelock.execute(address(timelock), 0, data, bytes32(0), bytes32(0));
    }

    function useEveryPower(bool up) private {
        address[4] memory whats = [address(asset), address(credit), address(tgpu), address(tcpu)];
        for (uint256 i = 0; i < whats.length; i++) {
            escrow.setFee(whats[i], up ? 50_000 : 0);
            escrow.stopDeposits(whats[i]);
        }
        escrow.stopDeposits(address(0));
        escrow.setFeeRecipient(OUT);
        escrow.setGuardian(OUT);
        escrow.addAsset(address(new PlainAsset()), up);
        openx.setBridgeLimits(OUT, wide());
        setTerms(tgpu, up);
        setTerms(tcpu, up);
        setClasses(up);
        setChallenges(up);
        IVerifierRegistry.Settings memory pledges = verifiers.settings();
        pledges.leaveDelay = uint32(step(pledges.leaveDelay, up));
        pledges.verifierStake = uint96(step(pledges.verifierStake, up));
        verifiers.setSettings(pledges);
    }

    function setTerms(ComputeCredit of_, bool up) private {
        of_.setCollateralRatio(step(of_.collateralRatio(), up));
        of_.setWindowHours(uint32(step(of_.windowHours(), up)));
    }

    function setClasses(bool up) private {
        for (uint16 id = GPU; id <= CPU; id++) {
            IChallengeRules.Class memory class = rules.classOf(id);
            uint256 n = step(class.n, up);
            class.n = uint32(n < 256 ? 256 : n);
            class.weightMilli = uint32(step(class.weightMilli, up));
            class.timeLimitMs = uint32(step(class.timeLimitMs, up));
            rules.addClass(class);
            rules.changeClass(id, class.weightMilli, class.n, class.timeLimitMs);
            rules.closeClass(id);
        }
    }

    function setChallenges(bool up) private {
        IChallengeRules.Settings memory next = rules.settings();
        next.drawDelay = uint16(step(next.drawDelay, up));
        next.panelSize = uint8(step(next.panelSize, up));
        next.quorum = uint8(uint256(next.panelSize) * 2 / 3 + 1);
        next.minPanel = uint8(step(next.minPanel, up));
        next.minList = uint16(step(next.minList, up));
        next.answerTime = uint32(step(next.answerTime, up));
        next.validity = uint32(step(next.validity, up));
        next.spotCheckPause = uint32(step(next.spotCheckPause, up));
        next.recheckTime = uint32(step(next.recheckTime, up));
        next.fee = uint96(step(next.fee, up));
        next.deviceFee = uint96(step(next.deviceFee, up));
        rules.setSettings(next);
    }

    /// @dev As far as a setting goes at once.
    function step(uint256 current, bool up) private pure returns (uint256) {
        return up ? 2 * current : (current + 1) / 2;
    }

    function bridgeRefused(uint256 amount) private {
        vm.expectPartialRevert(IOpenxToken.AboveCeiling.selector);
        vm.prank(OUT);
        openx.crosschainMint(OUT, amount);
    }

    /// @dev As soon as its thaw is over.
    function withdrawAs(address who) private returns (uint256) {
        uint256 end = registry.stakeDetails(who).thawEnd;
        if (block.timestamp < end) vm.warp(end);
        vm.prank(who);
        return registry.withdrawStake();
    }

    function checkClass(IChallengeRules.Class memory class, uint256 weight, uint256 n, uint256 limit) private pure {
        checkEqual(class.weightMilli, weight, "weight");
        checkEqual(class.n, n, "n");
        checkEqual(class.timeLimitMs, limit, "time");
    }
}
