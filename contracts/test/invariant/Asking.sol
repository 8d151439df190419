// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IAnswerReveals} from "../../src/interfaces/IAnswerReveals.sol";
import {IFaultProver} from "../../src/interfaces/IFaultProver.sol";
import {Revealing} from "../Revealing.sol";

/// @notice Random demands for right and wrong leaves of one provider's answers, some shown in time and some not. Forge calls the
/// functions whose names begin with act; each either does something lawful or returns.
contract Asking is Revealing {
    mapping(uint256 demandId => IAnswerReveals.Leaf) private _leafOf;
    mapping(uint256 demandId => IFaultProver.ElementProof) private _proofOf;
    mapping(uint256 demandId => bool) private _isWrong;
    uint256 public openFees;
    uint256 public unrevealed;
    uint256 public provenWrong;
    uint256 public paidToProvider;

    constructor() {
        setUp();
        giveOpenx(asker, 100_000 ether);
    }

    function actDemand(uint32 device, uint64 index, uint8 column, uint8 off) external {
        delete places;
        delete leaves;
        delete proofs;
        setLeaf(uint32(within(device, 0, 11)), uint64(within(index, 0, N - 1)), column, int256(uint256(off % 2)));
        verdicts.setFee(uint96(within(index, 1, 5 ether)));
        uint256 id = demand();
        (_leafOf[id], _proofOf[id], _isWrong[id]) = (leaves[0], proofs[0], off % 2 != 0);
        openFees += reveals.demandOf(id).fee;
    }

    /// @dev A node shows what is asked, right or wrong: the worst that a provider can do to itself.
    function actReveal(uint256 which) external {
        uint256 id = choose(which);
        if (stageOf(id) != uint256(IAnswerReveals.Stage.Demanded)) return;
        IAnswerReveals.Demand memory asked = reveals.demandOf(id);
        (IAnswerReveals.Leaf[] memory shown, IFaultProver.ElementProof[] memory ways) = evidenceOf(id);
        vm.prank(node);
        if (block.timestamp > asked.deadline) {
            vm.expectPartialRevert(IAnswerReveals.TooLate.selector);
            reveals.reveal(id, shown, ways);
            return;
        }
        reveals.reveal(id, shown, ways);
        openFees -= asked.fee;
        paidToProvider += asked.fee;
    }

    function actDoubt(uint256 which) external {
        uint256 id = choose(which);
        IAnswerReveals.Demand memory asked = reveals.demandOf(id);
        if (asked.stage != IAnswerReveals.Stage.Demanded || block.timestamp <= asked.deadline) return;
        reveals.doubt(id);
        openFees -= asked.fee;
        // Later it only gives the fee back.
        if (block.timestamp <= asked.deadline + reveals.DOUBT_TIME()) unrevealed++;
    }

    /// @dev An episode takes its part once, so most of what is proved after the first finds nothing to take.
    function actProve(uint256 which) external {
        uint256 id = choose(which);
        if (stageOf(id) != uint256(IAnswerReveals.Stage.Revealed)) return;
        (IAnswerReveals.Leaf[] memory shown, IFaultProver.ElementProof[] memory ways) = evidenceOf(id);
        try reveals.proveRevealed(id, shown, 0, ways[0]) {
            checkTrue(_isWrong[id], "only a wrong element is slashed");
            provenWrong++;
        } catch (bytes memory reason) {
            bool isRight = bytes4(reason) == IFaultProver.ElementIsRight.selector;
            checkTrue(isRight != _isWrong[id], "a right element is told to be right");
        }
    }

    function actWait(uint256 time) external {
        vm.warp(block.timestamp + within(time, 1, 2 days));
    }

    function held() external view returns (uint256) {
        return openx.balanceOf(address(reveals));
    }

    function stake() external view returns (uint256) {
        return registry.stakeOf(provider);
    }

    function staked() external pure returns (uint256) {
        return STAKED;
    }

    function providersOpenx() external view returns (uint256) {
        return openx.balanceOf(provider);
    }

    function doubts() external view returns (uint256) {
        return verdicts.doubts(CHALLENGE);
    }

    function choose(uint256 which) private view returns (uint256) {
        uint256 count = reveals.demandCount();
        return count == 0 ? 0 : 1 + which % count;
    }

    function evidenceOf(uint256 id)
        private
        view
        returns (IAnswerReveals.Leaf[] memory shown, IFaultProver.ElementProof[] memory ways)
    {
        (shown, ways) = (new IAnswerReveals.Leaf[](1), new IFaultProver.ElementProof[](1));
        (shown[0], ways[0]) = (_leafOf[id], _proofOf[id]);
    }
}
