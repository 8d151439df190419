// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {ICapacityRegistry} from "../interfaces/ICapacityRegistry.sol";
import {IChallengeRules} from "../interfaces/IChallengeRules.sol";
import {IProviderRegistry} from "../interfaces/IProviderRegistry.sol";
import {IRandomness} from "../interfaces/IRandomness.sol";
import {IVerifierRegistry} from "../interfaces/IVerifierRegistry.sol";
import {XnodeHashes} from "../libraries/XnodeHashes.sol";

/// @notice See {ICapacityRegistry}.
contract CapacityRegistry is ICapacityRegistry, EIP712 {
    using SafeERC20 for IERC20;

    /// @dev What is stored of a challenge. seats, quorum, least (minPanel) and slotCount are the settings and the list at the request;
    /// quorum is lowered at the draw where the panel came out smaller. noted: bit i, when member i of the panel showed a verdict.
    struct Trial {
        address provider;
        Stage stage;
        bool isSpotCheck;
        uint8 seats;
        uint8 quorum;
        uint8 least;
        uint16 slotCount;
        uint16 devices;
        address payer;
        uint96 fee;
        uint48 requestBlock;
        uint48 drawBlock;
        uint48 drawnAt;
        uint48 deadline;
        uint32 noted;
        bytes32 seed;
        bytes32 answersHash;
        address[] panel;
        IChallengeRules.Condition[] conditions;
    }

    /// @param open the last challenge requested, until it is over
    /// @param passed the requested challenge that the last capacity stands on
    /// @param verdicts how many passed requested challenges there are, which is where the last one stands in the history
    /// @param checkStep how often the price of a spot check has doubled at spotCheckedAt
    struct Standing {
        bytes32 open;
        bytes32 passed;
        uint48 challenges;
        uint32 verdicts;
        uint32 failed;
        uint32 lapsed;
        uint48 spotCheckedAt;
        uint8 checkStep;
        bool isJailed;
        bool isDoubted;
    }

    /// @dev A verifier opens so many rows of every device: 4 rows of 65,536 elements are 1 MiB a device.
    uint32 public constant OPENED_ROWS = 4;
    /// @dev So many times the price of a spot check doubles: 64 times the first.
    uint8 public constant MAX_CHECK_STEPS = 6;
    /// @dev A verdict costs some 5,000 gas to look at.
    uint256 public constant MAX_LOOKED_AT = 64;

    IProviderRegistry public immutable registry;
    IERC20 public immutable openx;
    IVerifierRegistry public immutable verifiers;
    IChallengeRules public immutable rules;
    IRandomness public immutable randomness;

    mapping(bytes32 challengeId => Trial) private _trials;
    mapping(address provider => Standing) private _standings;
    /// @dev From 1, so that the last of none is number 0: an empty capacity that ended at time zero.
    mapping(address provider => mapping(uint256 number => Capacity)) private _history;

    constructor(
        IProviderRegistry registry_,
        IVerifierRegistry verifiers_,
        IChallengeRules rules_,
        IRandomness randomness_
    ) EIP712("xnode", "1") {
        bool isMissing = address(registry_) == address(0) || address(verifiers_) == address(0)
            || address(rules_) == address(0) || address(randomness_) == address(0);
        if (isMissing) revert ZeroAddress();
        if (address(verifiers_.registry()) != address(registry_)) {
            revert OfAnotherRegistry(address(verifiers_), address(verifiers_.registry()));
        }
        if (address(rules_.registry()) != address(registry_)) {
            revert OfAnotherRegistry(address(rules_), address(rules_.registry()));
        }
        registry = registry_;
        openx = registry_.openx();
        verifiers = verifiers_;
        rules = rules_;
        randomness = randomness_;
    }

    // ---- Challenges

    /// @dev What is called before is our own VerifierRegistry, which calls OPENX and nobody else.
    // slither-disable-next-line reentrancy-no-eth,reentrancy-benign,reentrancy-events
    function requestChallenge(DeclaredClass[] calldata declared) external returns (bytes32 challengeId) {
        if (registry.nodeKeyOf(msg.sender) == address(0)) revert NotRegistered(msg.sender);
        challengeId = _open(msg.sender);
        (IChallengeRules.Condition[] memory conditions, uint256 devices) = rules.judgedBy(declared);
        Trial storage trial = _trials[challengeId];
        for (uint256 i = 0; i < conditions.length; i++) {
            trial.conditions.push(conditions[i]);
        }
        _charge(challengeId, devices, rules.requestPrice(devices));
    }

    /// @dev What is called before is our own VerifierRegistry, which calls OPENX and nobody else.
    // slither-disable-next-line reentrancy-no-eth,reentrancy-benign,reentrancy-events
    function spotCheck(address provider) external returns (bytes32 challengeId) {
        if (msg.sender == provider) revert OwnCheck(provider);
        if (!_isInForce(provider)) revert NothingInForce(provider);
        Standing storage standing = _standings[provider];
        if (standing.isDoubted) revert CapacityInDoubt(provider, _lastOf(provider).until);
        challengeId = _open(provider);
        Trial storage trial = _trials[challengeId];
        Trial storage passed = _trials[standing.passed];
        trial.isSpotCheck = true;
        trial.conditions = passed.conditions;
        uint256 price = spotCheckPrice(provider);
        (standing.checkStep, standing.spotCheckedAt) = (_nextStep(standing), uint48(block.timestamp));
        _charge(challengeId, passed.devices, price);
    }

    /// @dev The stage is set before the randomness is asked, so that not even that could draw twice.
    // slither-disable-next-line reentrancy-no-eth,reentrancy-benign,reentrancy-events
    function draw(bytes32 challengeId) external {
        Trial storage trial = _trials[challengeId];
        if (trial.stage != Stage.Requested) revert WrongStage(challengeId, trial.stage);
        if (block.number <= trial.drawBlock) revert TooEarlyToDraw(challengeId, trial.drawBlock, block.number);
        trial.stage = Stage.Drawn;
        bytes32 seed = keccak256(abi.encode(randomness.draw(), challengeId));
        address[] memory panel =
            verifiers.drawPanel(seed, trial.requestBlock, trial.slotCount, trial.seats, trial.provider);
        if (panel.length < trial.least) return _lapse(challengeId, trial);
        if (panel.length < trial.seats) trial.quorum = uint8(panel.length * 2 / 3 + 1);
        trial.seed = seed;
        trial.panel = panel;
        trial.drawnAt = uint48(block.timestamp);
        trial.deadline = uint48(block.timestamp) + rules.settings().answerTime;
        emit ChallengeDrawn(challengeId, trial.provider, seed, panel, trial.deadline);
    }

    /// @dev Only our own contracts are called, which call no one back.
    // slither-disable-next-line reentrancy-no-eth,reentrancy-benign,reentrancy-events
    function record(
        bytes32 challengeId,
        bytes32[] calldata roots,
        address[] calldata judges,
        Verdict[] calldata verdicts,
        bytes[] calldata signatures
    ) external {
        Trial storage trial = _trials[challengeId];
        if (trial.stage != Stage.Drawn) revert WrongStage(challengeId, trial.stage);
        _checkInTime(challengeId, trial);
        if (judges.length < trial.quorum) revert QuorumShort(challengeId, judges.length, trial.quorum);
        uint32 signed = trial.noted | _checkVerdicts(challengeId, judges, verdicts, signatures);
        for (uint256 i = 1; i < judges.length; i++) {
            bool isSame = verdicts[i].passed == verdicts[0].passed && verdicts[i].answersHash == verdicts[0].answersHash;
            if (!isSame) revert VerdictsDiffer(judges[i]);
        }
        bool passed = verdicts[0].passed;
        _checkRoots(roots, passed ? trial.devices : 0, verdicts[0]);

        trial.stage = passed ? Stage.Passed : Stage.Failed;
        trial.noted = signed;
        trial.answersHash = verdicts[0].answersHash;
        delete _standings[trial.provider].open;
        emit VerdictsRecorded(challengeId, passed, verdicts[0].answersHash, judges);
        if (passed) emit AnswersRevealed(challengeId, roots);
        if (passed) _pass(challengeId, trial);
        else _fail(challengeId, trial);
        verifiers.noteSigned(judges, trial.fee);
        verifiers.noteMissed(trial.panel, signed);
    }

    function noteVerdicts(
        bytes32 challengeId,
        address[] calldata judges,
        Verdict[] calldata verdicts,
        bytes[] calldata signatures
    ) external {
        Trial storage trial = _trials[challengeId];
        if (trial.panel.length == 0) revert WrongStage(challengeId, trial.stage);
        _checkInTime(challengeId, trial);
        trial.noted |= _checkVerdicts(challengeId, judges, verdicts, signatures);
        emit VerdictsNoted(challengeId, judges);
        verifiers.noteSigned(judges, 0);
    }

    function lapse(bytes32 challengeId) external {
        Trial storage trial = _trials[challengeId];
        if (trial.stage != Stage.Drawn) revert WrongStage(challengeId, trial.stage);
        if (block.timestamp <= trial.deadline) {
            revert DeadlineNotPassed(challengeId, trial.deadline, block.timestamp);
        }
        _lapse(challengeId, trial);
    }

    function putInDoubt(bytes32 challengeId) external returns (bool) {
        if (msg.sender != verifiers.reveals()) revert NotReveals(msg.sender);
        Trial storage trial = _trials[challengeId];
        address provider = trial.provider;
        // A check is of what was in force at its draw; no own challenge can end between its request and its verdict.
        // And an id is not a balance.
        // slither-disable-next-line incorrect-equality
        bool isAbout =
            trial.isSpotCheck ? _lastOf(provider).from <= trial.drawnAt : _standings[provider].passed == challengeId;
        return isAbout && _doubt(challengeId, provider);
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

    function conditionsOf(bytes32 challengeId) external view returns (IChallengeRules.Class[] memory classes) {
        IChallengeRules.Condition[] storage conditions = _trials[challengeId].conditions;
        classes = new IChallengeRules.Class[](conditions.length);
        for (uint256 i = 0; i < classes.length; i++) {
            IChallengeRules.Condition memory judged = conditions[i];
            // At most MAX_DECLARED of these calls, to our own contract.
            // slither-disable-next-line calls-loop
            classes[i] = rules.classOf(judged.classId);
            (classes[i].weightMilli, classes[i].n, classes[i].timeLimitMs) =
            (judged.weightMilli, judged.n, judged.timeLimitMs);
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

    function drawnAt(bytes32 challengeId) external view returns (uint64) {
        return _trials[challengeId].drawnAt;
    }

    function isOnPanel(bytes32 challengeId, address verifier) external view returns (bool) {
        address[] memory panel = _trials[challengeId].panel;
        for (uint256 i = 0; i < panel.length; i++) {
            if (panel[i] == verifier) return true;
        }
        return false;
    }

    function answersHashOf(bytes32 challengeId) external view returns (bytes32) {
        return _trials[challengeId].answersHash;
    }

    function openChallengeOf(address provider) external view returns (bytes32) {
        bytes32 open = _standings[provider].open;
        return _isOverdue(_trials[open]) ? bytes32(0) : open;
    }

    function spotCheckPrice(address provider) public view returns (uint256) {
        Standing storage standing = _standings[provider];
        return rules.requestPrice(_trials[standing.passed].devices) << _nextStep(standing);
    }

    function triesOf(address provider) external view returns (uint64 passed, uint64 failed, uint64 lapsed) {
        Standing storage standing = _standings[provider];
        return (standing.verdicts, standing.failed, standing.lapsed);
    }

    // ---- Capacity

    function capacityOf(address provider) external view returns (Capacity memory inForce) {
        if (_isGood(provider)) inForce = _lastOf(provider);
    }

    function verifiedOf(address provider, uint16 classId) external view returns (uint16) {
        if (!_isGood(provider)) return 0;
        IChallengeRules.Condition[] storage conditions = _trials[_standings[provider].passed].conditions;
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

    function inDoubtUntil(address provider) external view returns (uint64) {
        return _standings[provider].isDoubted && _isInForce(provider) ? _lastOf(provider).until : 0;
    }

    function lapsedSince(address provider) external view returns (uint64) {
        return _isInForce(provider) ? 0 : _lastOf(provider).until;
    }

    function servedUntil(address provider, Kind kind, uint256 milli) external view returns (uint64) {
        uint256 last = _standings[provider].verdicts;
        uint256 first = Math.saturatingSub(last, MAX_LOOKED_AT) + 1;
        for (uint256 number = last; number >= first; number--) {
            Capacity storage verdict = _history[provider][number];
            if ((kind == Kind.Gpu ? verdict.gpuMilli : verdict.cpuMilli) < milli) continue;
            return block.timestamp < verdict.until ? type(uint64).max : verdict.until;
        }
        // A place in our own history, not a balance.
        // slither-disable-next-line incorrect-equality
        return first == 1 ? 0 : _history[provider][first].from;
    }

    function domainSeparator() external view returns (bytes32) {
        return _domainSeparatorV4();
    }

    // ---- Inside: requesting and drawing

    /// @dev Fixes the block after which it is drawn, and all that the draw decides about. What is called before is our own
    /// VerifierRegistry, which calls OPENX and nobody else.
    // slither-disable-next-line reentrancy-no-eth,reentrancy-benign,reentrancy-events
    function _open(address provider) private returns (bytes32 challengeId) {
        Standing storage standing = _standings[provider];
        _endOverdue(provider, standing.open);
        IChallengeRules.Settings memory settings = rules.settings();
        uint256 there = verifiers.countWithout(provider);
        if (there < settings.minList) revert TooFewVerifiers(there, settings.minList);
        uint256 number = ++standing.challenges;
        challengeId = keccak256(abi.encode(block.chainid, address(this), provider, number));
        standing.open = challengeId;

        Trial storage trial = _trials[challengeId];
        trial.provider = provider;
        trial.stage = Stage.Requested;
        trial.seats = settings.panelSize;
        trial.quorum = settings.quorum;
        trial.least = settings.minPanel;
        trial.slotCount = verifiers.slotCount();
        trial.requestBlock = uint48(block.number);
        trial.drawBlock = uint48(block.number) + settings.drawDelay;
    }

    function _charge(bytes32 challengeId, uint256 devices, uint256 price) private {
        Trial storage trial = _trials[challengeId];
        (trial.devices, trial.payer, trial.fee) = (uint16(devices), msg.sender, uint96(price));
        emit ChallengeRequested(challengeId, trial.provider, msg.sender, trial.drawBlock, price);
        openx.safeTransferFrom(msg.sender, address(verifiers), price);
    }

    function _nextStep(Standing storage standing) private view returns (uint8) {
        bool isAgain = standing.spotCheckedAt != 0
            && block.timestamp < uint256(standing.spotCheckedAt) + rules.settings().spotCheckPause;
        return isAgain ? uint8(Math.min(standing.checkStep + 1, MAX_CHECK_STEPS)) : 0;
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
        Standing storage standing = _standings[trial.provider];
        delete standing.open;
        if (!trial.isSpotCheck) standing.lapsed++;
        emit ChallengeLapsed(challengeId, trial.provider);
        // Somebody who pays to have another checked is not to blame that nobody judges; nor shall it be free to ask.
        uint256 back = trial.isSpotCheck ? trial.fee / 2 : 0;
        verifiers.endFee(trial.payer, back, trial.fee - back);
        verifiers.noteMissed(trial.panel, trial.noted);
    }

    // ---- Inside: judging

    function _checkInTime(bytes32 challengeId, Trial storage trial) private view {
        if (block.timestamp > trial.deadline) revert DeadlinePassed(challengeId, trial.deadline, block.timestamp);
    }

    /// @dev Each is of this challenge, and signed by another member of its panel. signed: bit i, when member i is among them.
    function _checkVerdicts(
        bytes32 challengeId,
        address[] calldata judges,
        Verdict[] calldata verdicts,
        bytes[] calldata signatures
    ) private view returns (uint32 signed) {
        if (verdicts.length != judges.length || signatures.length != judges.length) {
            revert LengthsDiffer(judges.length, verdicts.length, signatures.length);
        }
        signed = _findSeats(challengeId, _trials[challengeId].panel, judges);
        address[] memory keys = verifiers.keysOf(judges);
        for (uint256 i = 0; i < judges.length; i++) {
            if (verdicts[i].challengeId != challengeId) revert VerdictOfAnother(verdicts[i].challengeId, challengeId);
            _checkSigned(judges[i], keys[i], verdicts[i], signatures[i]);
        }
    }

    function _findSeats(bytes32 challengeId, address[] memory panel, address[] calldata judges)
        private
        pure
        returns (uint32 seats)
    {
        uint256 seat = 0;
        for (uint256 i = 0; i < judges.length; i++) {
            while (seat < panel.length && panel[seat] < judges[i]) {
                seat++;
            }
            // Both lists ascend, so one that is out of order, or there twice, is not found again either.
            // slither-disable-next-line incorrect-equality
            if (seat == panel.length || panel[seat] != judges[i]) revert NotOnPanel(challengeId, judges[i]);
            seats |= uint32(1 << seat++);
        }
    }

    function _checkSigned(address judge, address nodeKey, Verdict calldata verdict, bytes calldata signature)
        private
        view
    {
        bytes32 digest = _hashTypedDataV4(XnodeHashes.hashVerdict(verdict));
        // Why a signature recovers to no one does not matter.
        // slither-disable-next-line unused-return
        (address recovered,,) = ECDSA.tryRecoverCalldata(digest, signature);
        // A verifier that is no longer a provider has a key of zero, which a broken signature would give.
        if (recovered != nodeKey || nodeKey == address(0)) revert WrongVerdictSignature(judge, nodeKey, recovered);
    }

    function _checkRoots(bytes32[] calldata roots, uint256 devices, Verdict calldata verdict) private pure {
        if (roots.length != devices) revert RootsCount(roots.length, devices);
        if (!verdict.passed) return;
        bytes32 rootsHash = keccak256(abi.encodePacked(roots));
        if (rootsHash != verdict.answersHash) revert RootsNotOfVerdict(rootsHash, verdict.answersHash);
    }

    function _pass(bytes32 challengeId, Trial storage trial) private {
        address provider = trial.provider;
        if (!trial.isSpotCheck) {
            _endCapacity(provider);
            Standing storage standing = _standings[provider];
            standing.passed = challengeId;
            (standing.isJailed, standing.isDoubted) = (false, false);
            _history[provider][++standing.verdicts] = _makeCapacity(trial.conditions);
        }
        emit CapacityVerified(challengeId, provider, _lastOf(provider));
    }

    function _fail(bytes32 challengeId, Trial storage trial) private {
        address provider = trial.provider;
        if (trial.isSpotCheck) {
            _doubt(challengeId, provider);
            return;
        }
        _endCapacity(provider);
        Standing storage standing = _standings[provider];
        standing.isJailed = true;
        standing.failed++;
        emit Jailed(challengeId, provider);
    }

    /// @dev Nothing, and false, where the capacity has ended meanwhile, or is in doubt already: a doubt is not made shorter or longer.
    function _doubt(bytes32 challengeId, address provider) private returns (bool) {
        if (!_isGood(provider)) return false;
        Capacity storage last = _lastOf(provider);
        last.until = uint64(Math.min(last.until, block.timestamp + rules.settings().recheckTime));
        _standings[provider].isDoubted = true;
        emit Doubted(challengeId, provider, last.until);
        return true;
    }

    function _endCapacity(address provider) private {
        if (_isInForce(provider)) _lastOf(provider).until = uint64(block.timestamp);
    }

    function _isInForce(address provider) private view returns (bool) {
        return block.timestamp < _lastOf(provider).until;
    }

    /// @dev In force and not in doubt.
    function _isGood(address provider) private view returns (bool) {
        return _isInForce(provider) && !_standings[provider].isDoubted;
    }

    function _lastOf(address provider) private view returns (Capacity storage) {
        return _history[provider][_standings[provider].verdicts];
    }

    function _makeCapacity(IChallengeRules.Condition[] storage conditions) private view returns (Capacity memory made) {
        for (uint256 i = 0; i < conditions.length; i++) {
            IChallengeRules.Condition memory judged = conditions[i];
            if (judged.kind == Kind.Gpu) {
                made.gpus += judged.count;
                made.gpuMilli += uint64(judged.count) * judged.weightMilli;
            } else {
                made.vcpus += judged.count;
                made.cpuMilli += uint64(judged.count) * judged.weightMilli;
            }
        }
        made.from = uint64(block.timestamp);
        made.until = uint64(block.timestamp) + rules.settings().validity;
    }
}
