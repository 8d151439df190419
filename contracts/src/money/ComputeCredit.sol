// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {SignedMath} from "@openzeppelin/contracts/utils/math/SignedMath.sol";

import {GovernedForGood} from "../governance/GovernedForGood.sol";
import {ICapacityRegistry} from "../interfaces/ICapacityRegistry.sol";
import {IComputeCredit} from "../interfaces/IComputeCredit.sol";
import {IProviderRegistry} from "../interfaces/IProviderRegistry.sol";

/// @notice See {IComputeCredit}.
contract ComputeCredit is ERC20, ERC20Permit, GovernedForGood, IComputeCredit {
    using SafeCast for uint256;

    /// @dev What was outstanding when the provider minted last, and its collateral; a burn changes neither, because the collateral of
    /// what is left is read in proportion.
    /// @param scaled the collateral in OPENX base units x 1e18, exactly as amounts times ratios are: no division rounds it
    /// @param window of that mint
    /// @param outstanding above zero, after that mint
    struct Cover {
        uint224 scaled;
        uint32 window;
        uint256 outstanding;
    }

    /// @dev A millionth of an OPENX, and a million, for one credit: far on both sides of any price we can think of, and
    /// small enough that nothing below overflows.
    uint256 public constant MIN_COLLATERAL_RATIO = 1e12;
    uint256 public constant MAX_COLLATERAL_RATIO = 1e24;
    uint32 public constant MIN_WINDOW_HOURS = 1;
    uint32 public constant MAX_WINDOW_HOURS = 8760;
    uint256 private constant ONE = 1e18;
    uint256 private constant MILLI = 1e15;

    ICapacityRegistry.Kind public immutable kind;
    IProviderRegistry public immutable registry;
    ICapacityRegistry public immutable capacity;
    // Readers see it as a constant.
    // solhint-disable-next-line immutable-vars-naming
    uint64 public immutable DEFAULT_GRACE;
    // solhint-disable-next-line immutable-vars-naming
    uint64 public immutable TERMS_INTERVAL;

    uint256 public collateralRatio;
    uint64 public collateralRatioSetAt;
    uint64 public windowSetAt;
    uint32 public windowHours;
    /// @dev What windowHours was until windowSetAt; zero before its first change.
    uint32 private _windowBefore;
    mapping(address provider => int256) public outstanding;
    mapping(address provider => Cover) private _covers;

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
        TERMS_INTERVAL = DEFAULT_GRACE;
        _setCollateralRatio(collateralRatio_, MIN_COLLATERAL_RATIO, MAX_COLLATERAL_RATIO);
        _setWindowHours(windowHours_, MIN_WINDOW_HOURS, MAX_WINDOW_HOURS);
    }

    function mint(address to, uint256 amount) external {
        if (to == address(0)) revert ZeroAddress();
        if (amount == 0) revert ZeroAmount();
        // Only the credits of a hold are backed by collateral.
        if (!registry.isHold(address(this))) revert NotConnected();
        uint256 limit = limitOf(msg.sender);
        if (limit == 0) revert NotMintable(msg.sender);
        int256 before = outstanding[msg.sender];
        int256 current = before + amount.toInt256();
        if (current > int256(limit)) revert AboveCapacity(msg.sender, current, limit);
        outstanding[msg.sender] = current;
        _cover(msg.sender, _aboveZero(before), _aboveZero(current));

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
        int256 current = outstanding[provider] - amount.toInt256();
        // Asked of the last unit, so that it matters neither in what parts credits are redeemed nor who comes first.
        if (!_isOverdue(provider, _aboveZero(current + 1))) {
            if (!isDefaulted(provider)) revert NotDefaulted(provider);
            revert AboveRedeemable(provider, amount, redeemableOf(provider));
        }
        paid = valueOf(provider, amount);
        if (paid == 0) revert PaysNothing(provider, amount);
        outstanding[provider] = current;
        emit Redeemed(provider, msg.sender, amount, paid, current);
        _burn(msg.sender, amount);
        // Never less than paid: valueOf is at most what lies there.
        // slither-disable-next-line unused-return
        registry.takeStake(provider, msg.sender, paid);
    }

    // ---- Governed

    function setCollateralRatio(uint256 collateralRatio_) external onlyOwner {
        uint64 next = collateralRatioSetAt + TERMS_INTERVAL;
        if (block.timestamp < next) revert CollateralRatioTooSoon(next, block.timestamp);
        uint256 min = Math.max(MIN_COLLATERAL_RATIO, Math.ceilDiv(collateralRatio, 2));
        _setCollateralRatio(collateralRatio_, min, Math.min(MAX_COLLATERAL_RATIO, collateralRatio * 2));
    }

    function setWindowHours(uint32 windowHours_) external onlyOwner {
        uint64 next = windowSetAt + TERMS_INTERVAL;
        if (block.timestamp < next) revert WindowTooSoon(next, block.timestamp);
        uint256 min = Math.max(MIN_WINDOW_HOURS, Math.ceilDiv(windowHours, 2));
        _setWindowHours(windowHours_, min, Math.min(MAX_WINDOW_HOURS, uint256(windowHours) * 2));
    }

    // ---- Views

    function limitOf(address provider) public view returns (uint256) {
        return _milliOf(capacity.capacityOf(provider)) * windowHours * MILLI;
    }

    function mintableOf(address provider) external view returns (uint256) {
        uint256 limit = limitOf(provider);
        (uint256 held, uint256 staked) = (registry.heldStakeOf(provider), registry.stakeOf(provider));
        if (limit == 0 || held > staked || !registry.isHold(address(this))) return 0;
        Cover storage cover = _covers[provider];
        int256 current = outstanding[provider];
        (uint256 owed, uint256 scaled) = (_aboveZero(current), _scaledOf(provider));
        // What may be added to scaled; then what adds so much, at each of the two ratios that {_cover} takes the higher of.
        uint256 room = (Math.ceilDiv(scaled, ONE) + staked - held) * ONE - scaled;
        uint256 more = room / collateralRatio;
        if (owed != 0) more = Math.min(more, Math.mulDiv(room, cover.outstanding, cover.scaled));
        // Up to zero nothing is needed.
        int256 most = SignedMath.min(int256(limit), int256(owed + more)) - current;
        return _aboveZero(most);
    }

    function collateralOf(address provider) public view returns (uint256) {
        return Math.ceilDiv(_scaledOf(provider), ONE);
    }

    function heldStakeOf(address provider) external view returns (uint256) {
        return collateralOf(provider);
    }

    function shortfallOf(address provider) external view returns (uint256) {
        uint256 served = _milliOf(capacity.capacityOf(provider)) * _unitOf(provider);
        return Math.saturatingSub(_aboveZero(outstanding[provider]), served);
    }

    function servedUntil(address provider) external view returns (uint64) {
        uint256 owed = _aboveZero(outstanding[provider]);
        return owed == 0 ? type(uint64).max : _servedUntil(provider, Math.ceilDiv(owed, _graceUnitOf(provider)));
    }

    function isDefaulted(address provider) public view returns (bool) {
        return _isOverdue(provider, _aboveZero(outstanding[provider]));
    }

    function redeemableOf(address provider) public view returns (uint256) {
        uint256 owed = _aboveZero(outstanding[provider]);
        if (!_isOverdue(provider, owed)) return 0;
        uint256 unit = _graceUnitOf(provider);
        // Between what a verdict of the last grace could serve and what none could; both in thousandths of a reference unit.
        (uint256 served, uint256 unserved) = (0, Math.ceilDiv(owed, unit));
        while (served + 1 < unserved) {
            uint256 middle = (served + unserved) / 2;
            if (_isUnserved(provider, middle)) unserved = middle;
            else served = middle;
        }
        return owed - served * unit;
    }

    function valueOf(address provider, uint256 amount) public view returns (uint256 value) {
        Cover storage cover = _covers[provider];
        if (outstanding[provider] <= 0) return 0;
        value = Math.mulDiv(amount, cover.scaled, cover.outstanding * ONE);
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

    function _setWindowHours(uint32 windowHours_, uint256 min, uint256 max) private {
        if (windowHours_ < min || windowHours_ > max) revert WindowOutOfBounds(windowHours_, min, max);
        (_windowBefore, windowHours) = (windowHours, windowHours_);
        windowSetAt = uint64(block.timestamp);
        emit WindowSet(windowHours_);
    }

    /// @dev Sets what is held for what a provider has outstanding after a mint, owed before and current now, both above zero.
    ///
    /// More is needed at the ratio now or, where that is higher, at the one of what is outstanding. Otherwise a provider could
    /// burn and mint a few of its own credits again and again after a fall of the ratio, and so have the collateral of all others
    /// fall with it.
    function _cover(address provider, uint256 owed, uint256 current) private {
        Cover storage cover = _covers[provider];
        (uint256 scaled, uint256 more) = (_scaledAt(cover, owed), current - owed);
        uint256 added = more * collateralRatio;
        if (owed != 0) added = Math.max(added, Math.mulDiv(cover.scaled, more, cover.outstanding, Math.Rounding.Ceil));
        cover.scaled = (scaled + added).toUint224();
        cover.window = windowHours;
        cover.outstanding = current;
    }

    function _scaledOf(address provider) private view returns (uint256) {
        return _scaledAt(_covers[provider], _aboveZero(outstanding[provider]));
    }

    /// @dev The part of a cover that falls to what is still owed.
    function _scaledAt(Cover storage cover, uint256 owed) private view returns (uint256) {
        return owed == 0 ? 0 : Math.mulDiv(cover.scaled, owed, cover.outstanding, Math.Rounding.Ceil);
    }

    /// @dev What a thousandth of a reference unit serves: in the window now or in that of the provider's last mint, whichever is longer.
    function _unitOf(address provider) private view returns (uint256) {
        return Math.max(windowHours, _covers[provider].window) * MILLI;
    }

    /// @dev The same, where a window that was lowered counts on for a grace: nobody is in default by a setting of today.
    function _graceUnitOf(address provider) private view returns (uint256) {
        bool isFresh = block.timestamp - windowSetAt <= DEFAULT_GRACE;
        return Math.max(_unitOf(provider), isFresh ? _windowBefore * MILLI : 0);
    }

    function _milliOf(ICapacityRegistry.Capacity memory verified) private view returns (uint256) {
        return kind == ICapacityRegistry.Kind.Gpu ? verified.gpuMilli : verified.cpuMilli;
    }

    function _isOverdue(address provider, uint256 owed) private view returns (bool) {
        return owed != 0 && _isUnserved(provider, Math.ceilDiv(owed, _graceUnitOf(provider)));
    }

    function _isUnserved(address provider, uint256 milli) private view returns (bool) {
        uint256 until = _servedUntil(provider, milli);
        return until < block.timestamp && block.timestamp - until > DEFAULT_GRACE;
    }

    function _servedUntil(address provider, uint256 milli) private view returns (uint64) {
        // The search of {redeemableOf} ends after as many steps as a capacity has bits, and asks our own registry.
        // slither-disable-next-line calls-loop
        return capacity.servedUntil(provider, kind, milli);
    }

    function _aboveZero(int256 amount) private pure returns (uint256) {
        return amount > 0 ? uint256(amount) : 0;
    }
}
