// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {ICapacityRegistry} from "../interfaces/ICapacityRegistry.sol";
import {IComputeCredit} from "../interfaces/IComputeCredit.sol";
import {IProviderRegistry} from "../interfaces/IProviderRegistry.sol";

/// @notice See {IComputeCredit}.
contract ComputeCredit is ERC20, ERC20Permit, Ownable2Step, IComputeCredit {
    using SafeCast for uint256;

    /// @param since when the capacity in force was first noted to be too small; zero: not noted
    /// @param seen how many verdicts on the provider were looked at
    /// @param window of the provider's last mint
    struct Shortage {
        uint64 since;
        uint64 seen;
        uint32 window;
    }

    /// @dev A millionth of an OPENX, and a million, for one credit: far on both sides of any price we can think of, and
    /// small enough that nothing below overflows.
    uint256 public constant MIN_COLLATERAL_RATIO = 1e12;
    uint256 public constant MAX_COLLATERAL_RATIO = 1e24;
    /// @dev So that changes which are each bounded cannot be made many at once.
    uint64 public constant COLLATERAL_RATIO_INTERVAL = 1 days;
    uint32 public constant MIN_WINDOW_HOURS = 1;
    uint32 public constant MAX_WINDOW_HOURS = 8760;
    /// @dev A verdict costs some 8,000 gas to look at.
    uint256 public constant MAX_NOTED = 64;
    uint256 private constant ONE = 1e18;
    uint256 private constant MILLI = 1e15;

    ICapacityRegistry.Kind public immutable kind;
    IProviderRegistry public immutable registry;
    ICapacityRegistry public immutable capacity;
    // Readers see it as a constant.
    // solhint-disable-next-line immutable-vars-naming
    uint64 public immutable DEFAULT_GRACE;

    uint256 public collateralRatio;
    uint64 public collateralRatioSetAt;
    uint32 public windowHours;
    mapping(address provider => int256) public outstanding;
    mapping(address provider => Shortage) private _shortages;

    constructor(
        string memory name_,
        string memory symbol_,
        ICapacityRegistry.Kind kind_,
        IProviderRegistry registry_,
        ICapacityRegistry capacity_,
        address owner_,
        uint256 collateralRatio_,
        uint32 windowHours_
    ) ERC20(name_, symbol_) ERC20Permit(name_) Ownable(owner_) {
        if (address(registry_) == address(0) || address(capacity_) == address(0)) {
            revert ZeroAddress();
        }
        kind = kind_;
        registry = registry_;
        capacity = capacity_;
        DEFAULT_GRACE = registry_.stakeThaw();
        _setCollateralRatio(collateralRatio_, MIN_COLLATERAL_RATIO, MAX_COLLATERAL_RATIO);
        _setWindowHours(windowHours_);
    }

    function mint(address to, uint256 amount) external {
        if (to == address(0)) revert ZeroAddress();
        if (amount == 0) revert ZeroAmount();
        // Only the credits of a hold are backed by collateral.
        if (!registry.isHold(address(this))) revert NotConnected();
        uint256 limit = limitOf(msg.sender);
        if (limit == 0) revert NotMintable(msg.sender);
        int256 current = outstanding[msg.sender] + amount.toInt256();
        if (current > int256(limit)) revert AboveCapacity(msg.sender, current, limit);
        outstanding[msg.sender] = current;
        _shortages[msg.sender].since = 0;
        _shortages[msg.sender].window = windowHours;

        // Asked with the new credits counted, because the registry asks all holds, this one included.
        (uint256 held, uint256 staked) = (registry.heldStakeOf(msg.sender), registry.stakeOf(msg.sender));
        if (held > staked) revert AboveCollateral(msg.sender, held, staked);
        emit Minted(msg.sender, to, amount, current);
        _mint(to, amount);
    }

    function burnAt(address provider, uint256 amount) external {
        if (provider == address(0)) revert ZeroAddress();
        if (amount == 0) revert ZeroAmount();
        int256 current = outstanding[provider] - amount.toInt256();
        outstanding[provider] = current;
        emit BurnedAt(provider, msg.sender, amount, current);
        _burn(msg.sender, amount);
    }

    function redeem(address provider, uint256 amount) external returns (uint256 paid) {
        if (amount == 0) revert ZeroAmount();
        if (!isDefaulted(provider)) revert NotDefaulted(provider);
        uint256 shortfall = shortfallOf(provider);
        if (amount > shortfall) revert AboveShortfall(provider, amount, shortfall);
        paid = valueOf(provider, amount);
        if (paid == 0) revert PaysNothing(provider, amount);
        int256 current = outstanding[provider] - int256(amount);
        outstanding[provider] = current;
        emit Redeemed(provider, msg.sender, amount, paid, current);
        _burn(msg.sender, amount);
        // Never less than paid: valueOf is at most what lies there.
        // slither-disable-next-line unused-return
        registry.takeStake(provider, msg.sender, paid);
    }

    function noteShortage(address provider) external {
        Shortage storage noted = _shortages[provider];
        uint256 length = capacity.historyLength(provider);
        uint256 end = Math.min(length, noted.seen + MAX_NOTED);
        uint64 since = noted.since;
        // The last one seen is looked at again: what was burned since may have made it suffice.
        for (uint256 i = Math.saturatingSub(noted.seen, 1); i < end; i++) {
            // At most {MAX_NOTED}, of our own registry.
            // slither-disable-next-line calls-loop
            if (_shortfallAt(provider, capacity.historyOf(provider, i)) == 0) since = 0;
        }
        if (end == length && since == 0 && shortfallOf(provider) != 0) since = uint64(block.timestamp);
        noted.seen = uint64(end);
        noted.since = since;
        emit ShortageNoted(provider, since);
    }

    // ---- Governed

    function setCollateralRatio(uint256 collateralRatio_) external onlyOwner {
        uint64 next = collateralRatioSetAt + COLLATERAL_RATIO_INTERVAL;
        if (block.timestamp < next) revert CollateralRatioTooSoon(next, block.timestamp);
        uint256 min = Math.max(MIN_COLLATERAL_RATIO, Math.ceilDiv(collateralRatio, 2));
        _setCollateralRatio(collateralRatio_, min, Math.min(MAX_COLLATERAL_RATIO, collateralRatio * 2));
    }

    function setWindowHours(uint32 windowHours_) external onlyOwner {
        _setWindowHours(windowHours_);
    }

    // ---- Views

    function limitOf(address provider) public view returns (uint256) {
        return _milliOf(capacity.capacityOf(provider)) * windowHours * MILLI;
    }

    function mintableOf(address provider) external view returns (uint256) {
        uint256 limit = limitOf(provider);
        (uint256 held, uint256 staked) = (registry.heldStakeOf(provider), registry.stakeOf(provider));
        if (limit == 0 || held > staked || !registry.isHold(address(this))) return 0;
        uint256 covered = Math.mulDiv(heldStakeOf(provider) + staked - held, ONE, collateralRatio);
        int256 most = int256(Math.min(limit, covered)) - outstanding[provider];
        return most > 0 ? uint256(most) : 0;
    }

    function heldStakeOf(address provider) public view returns (uint256) {
        int256 current = outstanding[provider];
        return current > 0 ? Math.mulDiv(uint256(current), collateralRatio, ONE, Math.Rounding.Ceil) : 0;
    }

    function shortfallOf(address provider) public view returns (uint256) {
        return _shortfallAt(provider, capacity.capacityOf(provider));
    }

    function shortageOf(address provider) external view returns (uint64 since, uint64 seen) {
        return (_shortages[provider].since, _shortages[provider].seen);
    }

    function isDefaulted(address provider) public view returns (bool) {
        if (shortfallOf(provider) == 0) return false;
        if (_isOverdue(capacity.lapsedSince(provider))) return true;
        // A verdict that was not looked at may have cured it.
        Shortage storage noted = _shortages[provider];
        return _isOverdue(noted.since) && noted.seen == capacity.historyLength(provider);
    }

    function valueOf(address provider, uint256 amount) public view returns (uint256 value) {
        value = Math.mulDiv(amount, collateralRatio, ONE);
        (uint256 held, uint256 backing) = (registry.heldStakeOf(provider), registry.backingOf(provider));
        if (backing < held) value = Math.mulDiv(value, backing, held);
    }

    function nonces(address holder) public view override(ERC20Permit, IERC20Permit) returns (uint256) {
        return super.nonces(holder);
    }

    // ---- Inside

    function _setCollateralRatio(uint256 collateralRatio_, uint256 min, uint256 max) private {
        if (collateralRatio_ < min || collateralRatio_ > max) {
            revert CollateralRatioOutOfBounds(collateralRatio_, min, max);
        }
        collateralRatio = collateralRatio_;
        collateralRatioSetAt = uint64(block.timestamp);
        emit CollateralRatioSet(collateralRatio_);
    }

    function _setWindowHours(uint32 windowHours_) private {
        if (windowHours_ < MIN_WINDOW_HOURS || windowHours_ > MAX_WINDOW_HOURS) {
            revert WindowOutOfBounds(windowHours_, MIN_WINDOW_HOURS, MAX_WINDOW_HOURS);
        }
        windowHours = windowHours_;
        emit WindowSet(windowHours_);
    }

    function _milliOf(ICapacityRegistry.Capacity memory verified) private view returns (uint256) {
        return kind == ICapacityRegistry.Kind.Gpu ? verified.gpuMilli : verified.cpuMilli;
    }

    function _shortfallAt(address provider, ICapacityRegistry.Capacity memory verified) private view returns (uint256) {
        uint256 served = _milliOf(verified) * Math.max(windowHours, _shortages[provider].window) * MILLI;
        int256 short = outstanding[provider] - int256(served);
        return short > 0 ? uint256(short) : 0;
    }

    function _isOverdue(uint64 since) private view returns (bool) {
        return since != 0 && block.timestamp - since > DEFAULT_GRACE;
    }
}
