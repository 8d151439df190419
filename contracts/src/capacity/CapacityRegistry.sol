// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {ChallengeRules} from "./ChallengeRules.sol";
import {IProviderRegistry} from "../interfaces/IProviderRegistry.sol";
import {VerifierList} from "./VerifierList.sol";
import {XnodeHashes} from "../libraries/XnodeHashes.sol";

/// @notice See {ICapacityRegistry}.
contract CapacityRegistry is ChallengeRules, EIP712 {
    using SafeERC20 for IERC20;
    using VerifierList for VerifierList.List;

    /// @dev A declared class with what it is judged by, fixed at the request. One word.
    struct Condition {
        uint16 classId;
        uint16 count;
        Kind kind;
        uint32 weightMilli;
        uint32 n;
        uint32 timeLimitMs;
    }

    /// @dev What is stored of a challenge. seats, quorum and slotCount are the settings and the list at the request; quorum is
    /// lowered at the draw where the panel came out smaller.
    struct Trial {
        address provider;
        Stage stage;
        bool isSpotCheck;
        uint8 seats;
        uint8 quorum;
        uint16 slotCount;
        address payer;
        uint96 fee;
        uint64 requestBlock;
        uint64 drawBlock;
        uint64 deadline;
        bytes32 seed;
        address[] panel;
        Condition[] conditions;
    }

    /// @param open the last challenge requested, until it is over
    /// @param passed the requested challenge that the last capacity stands on
    /// @param verdicts how many passed requested challenges there are, which is where the last one stands in the history
    struct Standing {
        bytes32 open;
        bytes32 passed;
        uint64 challenges;
        uint64 verdicts;
        uint64 spotCheckedAt;
        bool isJailed;
    }

    /// @dev A verifier opens so many rows of every device: 4 rows of 65,536 elements are 1 MiB a device.
    uint32 public constant OPENED_ROWS = 4;
    /// @dev Classes of devices in one host or rack.
    uint256 public constant MAX_DECLARED = 8;
    /// @dev The roots of all devices must fit in the transaction that proves a false verdict: 32 KiB of the 128 KiB that nodes relay.
    uint256 public constant MAX_DEVICES = 1024;
    uint256 public constant MAX_VERIFIERS = VerifierList.MAX_SLOTS;

    IProviderRegistry public immutable registry;
    IERC20 public immutable openx;

    mapping(address account => uint256) public feesOf;
    VerifierList.List private _verifiers;
    mapping(bytes32 challengeId => Trial) private _trials;
    mapping(address provider => Standing) private _standings;
    /// @dev From 1, so that the last of none is number 0: an empty capacity that ended at time zero.
    mapping(address provider => mapping(uint256 number => Capacity)) private _history;

    constructor(
        IProviderRegistry registry_,
        IERC20 openx_,
        address owner_,
        Settings memory settings_,
        Class[] memory classes
    ) EIP712("xnode", "1") Ownable(owner_) ChallengeRules(settings_, classes) {
        if (address(registry_) == address(0) || address(openx_) == address(0)) {
            revert ZeroAddress();
        }
        address registrysOpenx = address(registry_.openx());
        if (registrysOpenx != address(openx_)) revert OpenxNotTheRegistrys(address(openx_), registrysOpenx);
        registry = registry_;
        openx = openx_;
    }

    // ---- Challenges

    function requestChallenge(DeclaredClass[] calldata declared) external returns (bytes32 challengeId) {
        if (registry.nodeKeyOf(msg.sender) == address(0)) revert NotRegistered(msg.sender);
        if (declared.length == 0 || declared.length > MAX_DECLARED) {
            revert DeclaredCount(declared.length, MAX_DECLARED);
        }
        challengeId = _request(msg.sender, false);
        Condition[] storage conditions = _trials[challengeId].conditions;
        uint256 devices = 0;
        for (uint256 i = 0; i < declared.length; i++) {
            if (i > 0 && declared[i].classId <= declared[i - 1].classId) {
                revert DeclaredNotAscending(declared[i].classId);
            }
            conditions.push(_makeCondition(declared[i]));
            devices += declared[i].count;
        }
        if (devices > MAX_DEVICES) revert TooManyDevices(devices, MAX_DEVICES);
    }

    function spotCheck(address provider) external returns (bytes32 challengeId) {
        if (!_isInForce(provider)) revert NothingInForce(provider);
        Standing storage standing = _standings[provider];
        uint256 nextAt = standing.spotCheckedAt + _settings.spotCheckPause;
        if (block.timestamp < nextAt) revert SpotCheckedRecently(provider, nextAt);
        challengeId = _request(provider, true);
        standing.spotCheckedAt = uint64(block.timestamp);
        _trials[challengeId].conditions = _trials[standing.passed].conditions;
    }

    function draw(bytes32 challengeId) external {
        Trial storage trial = _trials[challengeId];
        if (trial.stage != Stage.Requested) revert WrongStage(challengeId, trial.stage);
        if (block.number <= trial.drawBlock) revert TooEarlyToDraw(challengeId, trial.drawBlock, block.number);
        bytes32 hash = blockhash(trial.drawBlock);
        if (hash == 0) {
            _arm(trial);
            emit DrawArmedAgain(challengeId, trial.drawBlock);
            return;
        }
        bytes32 seed = keccak256(abi.encode(hash, challengeId));
        address[] memory panel = _verifiers.draw(seed, trial.requestBlock, trial.slotCount, trial.seats, trial.provider);
        if (panel.length == 0) return _lapse(challengeId, trial);
        if (panel.length < trial.seats) trial.quorum = uint8(_moreThanTwoThirds(panel.length));
        trial.stage = Stage.Drawn;
        trial.seed = seed;
        trial.panel = panel;
        trial.deadline = uint64(block.timestamp) + _settings.answerTime;
        emit ChallengeDrawn(challengeId, trial.provider, seed, panel, trial.deadline);
    }

    function record(
        bytes32 challengeId,
        address[] calldata judges,
        Verdict[] calldata verdicts,
        bytes[] calldata signatures
    ) external {
        Trial storage trial = _trials[challengeId];
        if (trial.stage != Stage.Drawn) revert WrongStage(challengeId, trial.stage);
        if (block.timestamp > trial.deadline) revert DeadlinePassed(challengeId, trial.deadline, block.timestamp);
        if (verdicts.length != judges.length || signatures.length != judges.length) {
            revert LengthsDiffer(judges.length, verdicts.length, signatures.length);
        }
        if (judges.length < trial.quorum) revert QuorumShort(challengeId, judges.length, trial.quorum);
        _checkOnPanel(challengeId, trial.panel, judges);
        for (uint256 i = 0; i < judges.length; i++) {
            _checkVerdict(challengeId, judges[i], verdicts[i], verdicts[0]);
            _checkSigned(judges[i], verdicts[i], signatures[i]);
        }

        bool passed = verdicts[0].passed;
        if (passed && verdicts[0].answersHash == 0) revert PassedWithoutAnswers(challengeId);
        trial.stage = passed ? Stage.Passed : Stage.Failed;
        delete _standings[trial.provider].open;
        _shareFee(trial.fee, judges);
        emit VerdictsRecorded(challengeId, passed, verdicts[0].answersHash, judges);
        if (passed) _pass(challengeId, trial);
        else _jail(challengeId, trial.provider);
    }

    function lapse(bytes32 challengeId) external {
        Trial storage trial = _trials[challengeId];
        if (trial.stage != Stage.Drawn) revert WrongStage(challengeId, trial.stage);
        if (block.timestamp <= trial.deadline) {
            revert DeadlineNotPassed(challengeId, trial.deadline, block.timestamp);
        }
        _lapse(challengeId, trial);
    }

    function challengeOf(bytes32 challengeId) external view returns (Challenge memory) {
        Trial storage trial = _trials[challengeId];
        DeclaredClass[] memory declared = new DeclaredClass[](trial.conditions.length);
        for (uint256 i = 0; i < declared.length; i++) {
            declared[i] = DeclaredClass(trial.conditions[i].classId, trial.conditions[i].count);
        }
        return Challenge({
            provider: trial.provider,
            stage: trial.stage,
            drawBlock: trial.drawBlock,
            deadline: trial.deadline,
            seed: trial.seed,
            panel: trial.panel,
            declared: declared
        });
    }

    function conditionsOf(bytes32 challengeId) external view returns (Class[] memory classes) {
        Condition[] storage conditions = _trials[challengeId].conditions;
        classes = new Class[](conditions.length);
        for (uint256 i = 0; i < classes.length; i++) {
            Condition memory judged = conditions[i];
            classes[i] =
                Class(_classes[judged.classId].name, judged.kind, judged.weightMilli, judged.n, judged.timeLimitMs);
        }
    }

    function deviceOf(bytes32 challengeId, uint32 device)
        external
        view
        returns (address provider, bytes32 seed, uint32 n)
    {
        Trial storage trial = _trials[challengeId];
        if (trial.seed == 0) return (address(0), 0, 0);
        uint256 before = 0;
        for (uint256 i = 0; i < trial.conditions.length; i++) {
            before += trial.conditions[i].count;
            if (device < before) {
                return (trial.provider, keccak256(abi.encode(trial.seed, device)), trial.conditions[i].n);
            }
        }
    }

    function quorumOf(bytes32 challengeId) external view returns (uint8) {
        Trial storage trial = _trials[challengeId];
        return trial.seed == 0 ? 0 : trial.quorum;
    }

    function openChallengeOf(address provider) external view returns (bytes32) {
        bytes32 open = _standings[provider].open;
        return _isOverdue(_trials[open]) ? bytes32(0) : open;
    }

    // ---- Capacity

    function capacityOf(address provider) external view returns (Capacity memory inForce) {
        if (_isInForce(provider)) inForce = _lastOf(provider);
    }

    function verifiedOf(address provider, uint16 classId) external view returns (uint16) {
        if (!_isInForce(provider)) return 0;
        Condition[] storage conditions = _trials[_standings[provider].passed].conditions;
        for (uint256 i = 0; i < conditions.length; i++) {
            if (conditions[i].classId == classId) return conditions[i].count;
        }
        return 0;
    }

    function historyOf(address provider, uint256 index) external view returns (Capacity memory) {
        if (index >= _standings[provider].verdicts) revert NoSuchVerdict(provider, index);
        return _history[provider][index + 1];
    }

    function historyLength(address provider) external view returns (uint256) {
        return _standings[provider].verdicts;
    }

    function isJailed(address provider) external view returns (bool) {
        return _standings[provider].isJailed;
    }

    function lapsedSince(address provider) external view returns (uint64) {
        return _isInForce(provider) ? 0 : _lastOf(provider).until;
    }

    // ---- Verifiers

    function enlist() external {
        if (registry.nodeKeyOf(msg.sender) == address(0)) revert NotRegistered(msg.sender);
        uint96 pledge = _settings.verifierStake;
        // What another hold keeps cannot back verdicts here too.
        IProviderRegistry.Role role = IProviderRegistry.Role.Verifier;
        uint256 unheld = Math.saturatingSub(registry.stakeIn(msg.sender, role), registry.heldIn(msg.sender, role));
        if (unheld < pledge) revert VerifierStakeShort(msg.sender, unheld, pledge);
        _verifiers.add(msg.sender, pledge);
        emit VerifierEnlisted(msg.sender);
    }

    function leave() external {
        _strikeOff(msg.sender);
    }

    function strikeOff(address verifier) external {
        bool inOrder = registry.nodeKeyOf(verifier) != address(0)
            && registry.stakeIn(verifier, IProviderRegistry.Role.Verifier) >= _settings.verifierStake;
        if (inOrder) revert VerifierInOrder(verifier);
        _strikeOff(verifier);
    }

    function isVerifier(address provider) external view returns (bool) {
        return _verifiers.pledges[provider].isEnlisted;
    }

    function verifierCount() external view returns (uint256) {
        return _verifiers.count;
    }

    function verifiers() external view returns (address[] memory) {
        return _verifiers.allOf();
    }

    function heldStakeOf(address provider) external view returns (uint256) {
        return _verifiers.heldOf(provider);
    }

    function withdrawFees(address verifier) external returns (uint256 amount) {
        amount = feesOf[verifier];
        if (amount == 0) return 0;
        address payout = registry.payoutOf(verifier);
        feesOf[verifier] = 0;
        emit FeesWithdrawn(verifier, payout, amount);
        openx.safeTransfer(payout, amount);
    }

    function domainSeparator() external view returns (bytes32) {
        return _domainSeparatorV4();
    }

    // ---- Inside: requesting and drawing

    function _request(address provider, bool isSpotCheck) private returns (bytes32 challengeId) {
        Standing storage standing = _standings[provider];
        _endOverdue(provider, standing.open);
        if (_verifiers.count == (_verifiers.pledges[provider].isEnlisted ? 1 : 0)) revert NoVerifiers(provider);
        uint256 number = ++standing.challenges;
        challengeId = keccak256(abi.encode(block.chainid, address(this), provider, number));
        standing.open = challengeId;

        Trial storage trial = _trials[challengeId];
        trial.provider = provider;
        trial.stage = Stage.Requested;
        trial.isSpotCheck = isSpotCheck;
        trial.payer = msg.sender;
        trial.fee = _settings.fee;
        _arm(trial);
        emit ChallengeRequested(challengeId, provider, msg.sender, trial.drawBlock);
        openx.safeTransferFrom(msg.sender, address(this), trial.fee);
    }

    /// @dev Fixes the block whose hash decides, and all that the hash decides about. Also when a draw is armed again: what was
    /// fixed for a hash that can no longer be read is of no use.
    function _arm(Trial storage trial) private {
        trial.seats = _settings.panelSize;
        trial.quorum = _settings.quorum;
        trial.slotCount = uint16(_verifiers.slots.length);
        trial.requestBlock = uint64(block.number);
        trial.drawBlock = uint64(block.number) + _settings.drawDelay;
    }

    function _makeCondition(DeclaredClass calldata declared) private view returns (Condition memory) {
        if (declared.classId >= _classes.length) revert UnknownClass(declared.classId);
        if (declared.count == 0) revert NothingDeclared(declared.classId);
        Class storage class = _classes[declared.classId];
        if (class.weightMilli == 0) revert ClassIsClosed(declared.classId);
        return Condition(declared.classId, declared.count, class.kind, class.weightMilli, class.n, class.timeLimitMs);
    }

    function _endOverdue(address provider, bytes32 open) private {
        if (open == 0) return;
        if (!_isOverdue(_trials[open])) revert ChallengeOpen(provider, open);
        _lapse(open, _trials[open]);
    }

    function _isOverdue(Trial storage trial) private view returns (bool) {
        return trial.stage == Stage.Drawn && block.timestamp > trial.deadline;
    }

    function _lapse(bytes32 challengeId, Trial storage trial) private {
        trial.stage = Stage.Lapsed;
        delete _standings[trial.provider].open;
        feesOf[trial.payer] += trial.fee;
        emit ChallengeLapsed(challengeId, trial.provider);
    }

    // ---- Inside: judging

    function _checkOnPanel(bytes32 challengeId, address[] memory panel, address[] calldata judges) private pure {
        uint256 seat = 0;
        for (uint256 i = 0; i < judges.length; i++) {
            while (seat < panel.length && panel[seat] < judges[i]) {
                seat++;
            }
            // Both lists ascend, so one that is out of order, or there twice, is not found again either.
            if (seat == panel.length || panel[seat] != judges[i]) revert NotOnPanel(challengeId, judges[i]);
            seat++;
        }
    }

    function _checkVerdict(bytes32 challengeId, address judge, Verdict calldata verdict, Verdict calldata first)
        private
        pure
    {
        if (verdict.challengeId != challengeId) revert VerdictOfAnother(verdict.challengeId, challengeId);
        if (verdict.passed != first.passed || verdict.answersHash != first.answersHash) revert VerdictsDiffer(judge);
    }

    function _checkSigned(address judge, Verdict calldata verdict, bytes calldata signature) private view {
        uint256 pledge = _verifiers.pledges[judge].amount;
        // At most MAX_PANEL of these calls, to our own contract.
        // slither-disable-next-line calls-loop
        uint256 staked = registry.stakeIn(judge, IProviderRegistry.Role.Verifier);
        if (staked < pledge) revert VerifierStakeShort(judge, staked, pledge);
        // slither-disable-next-line calls-loop
        address nodeKey = registry.nodeKeyOf(judge);
        bytes32 digest = _hashTypedDataV4(XnodeHashes.hashVerdict(verdict));
        // Why a signature recovers to no one does not matter.
        // slither-disable-next-line unused-return
        (address recovered,,) = ECDSA.tryRecoverCalldata(digest, signature);
        // A verifier that is no longer a provider has a key of zero, which a broken signature would give.
        if (recovered != nodeKey || nodeKey == address(0)) revert WrongVerdictSignature(judge, nodeKey, recovered);
    }

    function _shareFee(uint256 fee, address[] calldata judges) private {
        uint256 shareDown = fee / judges.length;
        for (uint256 i = 0; i < judges.length; i++) {
            feesOf[judges[i]] += shareDown;
        }
        feesOf[judges[0]] += fee % judges.length;
    }

    function _pass(bytes32 challengeId, Trial storage trial) private {
        address provider = trial.provider;
        if (!trial.isSpotCheck) {
            _endCapacity(provider);
            Standing storage standing = _standings[provider];
            standing.passed = challengeId;
            standing.isJailed = false;
            _history[provider][++standing.verdicts] = _makeCapacity(trial.conditions);
        }
        emit CapacityVerified(challengeId, provider, _lastOf(provider));
    }

    function _jail(bytes32 challengeId, address provider) private {
        _endCapacity(provider);
        _standings[provider].isJailed = true;
        emit Jailed(challengeId, provider);
    }

    function _endCapacity(address provider) private {
        if (_isInForce(provider)) _lastOf(provider).until = uint64(block.timestamp);
    }

    function _isInForce(address provider) private view returns (bool) {
        return block.timestamp < _lastOf(provider).until;
    }

    function _lastOf(address provider) private view returns (Capacity storage) {
        return _history[provider][_standings[provider].verdicts];
    }

    function _makeCapacity(Condition[] storage conditions) private view returns (Capacity memory made) {
        for (uint256 i = 0; i < conditions.length; i++) {
            Condition memory judged = conditions[i];
            if (judged.kind == Kind.Gpu) {
                made.gpus += judged.count;
                made.gpuMilli += uint64(judged.count) * judged.weightMilli;
            } else {
                made.vcpus += judged.count;
                made.cpuMilli += uint64(judged.count) * judged.weightMilli;
            }
        }
        made.from = uint64(block.timestamp);
        made.until = uint64(block.timestamp) + _settings.validity;
    }

    // ---- Inside: verifiers

    function _strikeOff(address verifier) private {
        uint64 heldUntil = uint64(block.timestamp) + _settings.leaveDelay;
        _verifiers.remove(verifier, heldUntil);
        emit VerifierLeft(verifier, heldUntil);
    }
}
