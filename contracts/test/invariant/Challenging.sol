// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICapacityRegistry} from "../../src/interfaces/ICapacityRegistry.sol";
import {IChallengeRules} from "../../src/interfaces/IChallengeRules.sol";
import {IVerifierRegistry} from "../../src/interfaces/IVerifierRegistry.sol";
import {Judging} from "../Judging.sol";

/// @notice Random providers, verifiers and governors at challenges. All actors are providers 0 to 7 of {Judging}, and may be
/// verifiers too. Forge calls the functions whose names begin with act; each either does something lawful or returns.
contract Challenging is Judging {
    uint256 private constant ACTORS = 8;

    address[] private _actors;
    mapping(address actor => uint256) private _open;
    bytes32[] private _challenges;
    mapping(bytes32 id => uint256) private _fees;
    uint256 public payments;
    uint256 public withdrawals;
    uint256 public recorded;
    uint256 public genesis;
    bool public doubtEndedEarly;
    bool public struckOffInOrder;
    uint256 private _randoms;

    constructor() {
        setUp();
        connectJudge(address(0xDEAD), pledgeHold(verifiers));
        for (uint256 i = 0; i < ACTORS; i++) {
            registerStaked(i, 2 * PLEDGE);
            _actors.push(verifierAt(i));
            giveOpenx(_actors[i], 10_000 ether);
            approveFees(_actors[i]);
            vm.prank(_actors[i]);
            verifiers.enlist();
        }
        genesis = openx.totalSupply();
    }

    function actRequest(uint256 who, uint16 gpus, uint16 vcpus) external {
        address asking = _actors[who % ACTORS];
        (gpus, vcpus) = (uint16(within(gpus, 1, 20)), uint16(within(vcpus, 1, 20)));
        uint256 price = rules.requestPrice(uint256(gpus) + vcpus);
        if (capacity.openChallengeOf(asking) != 0 || !hasJudges(asking) || !canPay(asking, price)) return;
        vm.prank(asking);
        note(capacity.requestChallenge(makeDeclared(gpus, vcpus)), price);
    }

    function actSpotCheck(uint256 who, uint256 by) external {
        address checked = _actors[who % ACTORS];
        address asking = _actors[by % ACTORS];
        uint256 price = capacity.spotCheckPrice(checked);
        bool isIdle = capacity.openChallengeOf(checked) == 0 && hasJudges(checked) && canPay(asking, price);
        if (!isIdle || capacity.capacityOf(checked).until == 0 || asking == checked) return;
        vm.prank(asking);
        note(capacity.spotCheck(checked), price);
    }

    function actDraw(uint256 which, uint256 late) external {
        bytes32 id = choose(which);
        if (stageOf(id) != ICapacityRegistry.Stage.Requested) return;
        uint64 drawBlock = capacity.challengeOf(id).drawBlock;
        late = late % 4 == 0 ? 400 : 1;
        if (block.number < drawBlock + late) vmBlocks.roll(drawBlock + late);
        vmBlocks.prevrandao(keccak256(abi.encode(_randoms++)));
        capacity.draw(id);
    }

    function actRecord(uint256 which, bool passed) external {
        bytes32 id = choose(which);
        ICapacityRegistry.Challenge memory known = capacity.challengeOf(id);
        if (known.stage != ICapacityRegistry.Stage.Drawn || block.timestamp > known.deadline) return;
        uint64 until = capacity.inDoubtUntil(known.provider);
        judge(id, known.panel, passed);
        // Only its own challenge ends a doubt before its time: no other can be asked for while it lasts.
        if (until != 0 && !passed && !capacity.isJailed(known.provider)) doubtEndedEarly = true;
        recorded++;
    }

    /// @dev A part of a panel shows its verdicts, which need not agree.
    function actNoteVerdicts(uint256 which, uint256 count, bool passed) external {
        bytes32 id = choose(which);
        ICapacityRegistry.Challenge memory known = capacity.challengeOf(id);
        if (known.panel.length == 0 || block.timestamp > known.deadline) return;
        Ballot memory ballot = makeBallot(id, known.panel, within(count, 1, known.panel.length), passed);
        capacity.noteVerdicts(id, ballot.verifiers, ballot.verdicts, ballot.signatures);
    }

    function actStrikeOff(uint256 who) external {
        address verifier = _actors[who % ACTORS];
        if (!verifiers.isVerifier(verifier)) return;
        (uint8 misses, uint64 since) = verifiers.missesOf(verifier);
        try verifiers.strikeOff(verifier) {
            if (misses < 8 || block.timestamp < since + 2 days) struckOffInOrder = true;
        } catch (bytes memory reason) {
            checkEqual(bytes4(reason), IVerifierRegistry.VerifierInOrder.selector, "only those in order stay");
        }
    }

    /// @dev A whole challenge at once, without which few runs would see many verdicts.
    function actChallenge(uint256 who, bool passed) external {
        address asking = _actors[who % ACTORS];
        uint256 price = rules.requestPrice(18);
        if (capacity.openChallengeOf(asking) != 0 || !hasJudges(asking) || !canPay(asking, price)) return;
        vm.prank(asking);
        bytes32 id = capacity.requestChallenge(makeDeclared(2, 16));
        note(id, price);
        rollToDraw(id, keccak256(abi.encode(_randoms++)));
        capacity.draw(id);
        judge(id, capacity.challengeOf(id).panel, passed);
        recorded++;
    }

    function actLapse(uint256 which) external {
        bytes32 id = choose(which);
        ICapacityRegistry.Challenge memory known = capacity.challengeOf(id);
        if (known.stage != ICapacityRegistry.Stage.Drawn) return;
        if (block.timestamp <= known.deadline) vm.warp(known.deadline + 1);
        capacity.lapse(id);
    }

    function actEnlistOrLeave(uint256 who) external {
        address verifier = _actors[who % ACTORS];
        bool isLeaving = verifiers.isVerifier(verifier);
        if (!isLeaving && verifiers.heldStakeOf(verifier) != 0) return;
        vm.prank(verifier);
        if (isLeaving) verifiers.leave();
        else verifiers.enlist();
    }

    function actWithdrawFees(uint256 who) external {
        withdrawals += verifiers.withdrawFees(_actors[who % ACTORS]);
    }

    function actPass(uint256 time, uint256 blocks) external {
        vm.warp(block.timestamp + within(time, 1, 3 days));
        vmBlocks.roll(block.number + within(blocks, 1, 400));
    }

    function actSettle(uint96 fee, uint8 size, uint32 pause, bool waits) external {
        if (waits) vm.warp(block.timestamp + STAKE_THAW);
        IChallengeRules.Settings memory settings = rules.settings();
        settings.fee = uint96(within(fee, settings.fee / 2 + 1, settings.fee * 2));
        settings.panelSize =
            uint8(within(size, (settings.panelSize + 1) / 2, settings.panelSize < 4 ? 7 : settings.panelSize * 2));
        settings.quorum = uint8(uint256(settings.panelSize) * 2 / 3 + 1);
        settings.spotCheckPause = uint32(within(pause, 1, PAUSE));
        // What is out of a step, or too soon, is refused, and changes nothing.
        try rules.setSettings(settings) {} catch {}
    }

    // ---- What is asked

    function held() external view returns (uint256) {
        return openx.balanceOf(address(verifiers));
    }

    function burned() external view returns (uint256) {
        return genesis - openx.totalSupply();
    }

    /// @notice The fees of open challenges, and all that accounts may withdraw.
    function owedFees() external view returns (uint256 owed) {
        for (uint256 i = 0; i < ACTORS; i++) {
            owed += verifiers.feesOf(_actors[i]);
        }
        for (uint256 i = 0; i < _challenges.length; i++) {
            ICapacityRegistry.Stage stage = stageOf(_challenges[i]);
            bool isOpen = stage == ICapacityRegistry.Stage.Requested || stage == ICapacityRegistry.Stage.Drawn;
            if (isOpen) owed += _fees[_challenges[i]];
        }
    }

    function panelsAreLawful() external view returns (bool) {
        for (uint256 i = 0; i < _challenges.length; i++) {
            ICapacityRegistry.Challenge memory known = capacity.challengeOf(_challenges[i]);
            address[] memory panel = known.panel;
            if (panel.length == 0) continue;
            uint256 quorum = capacity.quorumOf(_challenges[i]);
            if (quorum * 3 <= panel.length * 2 || quorum > panel.length) return false;
            for (uint256 k = 0; k < panel.length; k++) {
                if (panel[k] == known.provider || (k > 0 && panel[k - 1] >= panel[k])) return false;
            }
        }
        return true;
    }

    /// @dev Counts in storage, and clears it again.
    function eachProviderHasOneOpenAtMost() external returns (bool) {
        for (uint256 k = 0; k < _challenges.length; k++) {
            ICapacityRegistry.Challenge memory known = capacity.challengeOf(_challenges[k]);
            bool isDrawn = known.stage == ICapacityRegistry.Stage.Drawn && block.timestamp <= known.deadline;
            if (isDrawn || known.stage == ICapacityRegistry.Stage.Requested) _open[known.provider]++;
        }
        bool isLawful = true;
        for (uint256 i = 0; i < ACTORS; i++) {
            uint256 found = capacity.openChallengeOf(_actors[i]) != 0 ? 1 : 0;
            if (_open[_actors[i]] != found) isLawful = false;
            delete _open[_actors[i]];
        }
        return isLawful;
    }

    function historiesAreInOrder() external view returns (bool) {
        for (uint256 i = 0; i < ACTORS; i++) {
            address who = _actors[i];
            uint256 length = capacity.historyLength(who);
            uint256 end;
            for (uint256 k = 0; k < length; k++) {
                ICapacityRegistry.Capacity memory entry = capacity.historyOf(who, k);
                if (entry.from < end || entry.until < entry.from) return false;
                end = entry.until;
            }
            bool isInForce = block.timestamp < end;
            bool isDoubted = capacity.inDoubtUntil(who) != 0;
            if (isDoubted && !isInForce) return false;
            if ((capacity.capacityOf(who).until != 0) != (isInForce && !isDoubted)) return false;
            if (isInForce && capacity.isJailed(who)) return false;
            if (capacity.lapsedSince(who) != (isInForce ? 0 : end)) return false;
        }
        return true;
    }

    function pledgesAreStaked() external view returns (bool) {
        address[] memory list = verifiers.verifiers();
        if (list.length != verifiers.verifierCount()) return false;
        for (uint256 i = 0; i < list.length; i++) {
            if (!verifiers.isVerifier(list[i]) || verifiers.heldStakeOf(list[i]) != PLEDGE) return false;
            if (pledgeOf(list[i]) < PLEDGE) return false;
        }
        return true;
    }

    // ---- How

    function note(bytes32 id, uint256 price) private {
        _challenges.push(id);
        _fees[id] = price;
        payments += price;
    }

    function choose(uint256 which) private view returns (bytes32) {
        // The latest few, so that acts meet.
        uint256 count = _challenges.length;
        if (count == 0) return 0;
        return _challenges[count - 1 - which % (count < 6 ? count : 6)];
    }

    function stageOf(bytes32 id) private view returns (ICapacityRegistry.Stage) {
        return capacity.challengeOf(id).stage;
    }

    function hasJudges(address who) private view returns (bool) {
        return verifiers.countWithout(who) >= rules.settings().minList;
    }

    function canPay(address who, uint256 price) private view returns (bool) {
        return openx.balanceOf(who) >= price;
    }
}
