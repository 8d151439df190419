// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ComputeCredit} from "../src/money/ComputeCredit.sol";
import {ProviderRegistry} from "../src/money/ProviderRegistry.sol";
import {ICapacityRegistry} from "../src/interfaces/ICapacityRegistry.sol";
import {IProviderRegistry} from "../src/interfaces/IProviderRegistry.sol";
import {IStakeHold} from "../src/interfaces/IStakeHold.sol";
import {Market} from "./Market.sol";

/// @notice Capacity as a test gives it: the views that credits read, without challenges and verifiers.
contract GivenCapacity is IStakeHold {
    mapping(address provider => ICapacityRegistry.Capacity[]) private _history;
    mapping(address provider => uint256) public heldStakeOf;

    function give(address provider, uint64 gpuMilli, uint64 cpuMilli, uint64 until) external {
        end(provider);
        uint64 from = uint64(block.timestamp);
        _history[provider].push(ICapacityRegistry.Capacity(0, 0, gpuMilli, cpuMilli, from, until));
    }

    /// @dev As a jail does, or a later verdict.
    function end(address provider) public {
        uint256 length = _history[provider].length;
        if (length == 0) return;
        ICapacityRegistry.Capacity storage last = _history[provider][length - 1];
        if (last.until > block.timestamp) last.until = uint64(block.timestamp);
    }

    function hold(address provider, uint256 amount) external {
        heldStakeOf[provider] = amount;
    }

    function capacityOf(address provider) external view returns (ICapacityRegistry.Capacity memory verified) {
        uint256 length = _history[provider].length;
        if (length != 0 && _history[provider][length - 1].until > block.timestamp) {
            verified = _history[provider][length - 1];
        }
    }

    function lapsedSince(address provider) external view returns (uint64 since) {
        uint256 length = _history[provider].length;
        if (length != 0) since = _history[provider][length - 1].until;
        if (since > block.timestamp) since = 0;
    }

    function servedUntil(address provider, ICapacityRegistry.Kind kind, uint256 milli) external view returns (uint64) {
        ICapacityRegistry.Capacity[] storage history = _history[provider];
        uint256 oldest = history.length > 64 ? history.length - 64 : 0;
        for (uint256 i = history.length; i > oldest; i--) {
            ICapacityRegistry.Capacity storage past = history[i - 1];
            uint256 served = kind == ICapacityRegistry.Kind.Gpu ? past.gpuMilli : past.cpuMilli;
            if (served >= milli) return past.until > block.timestamp ? type(uint64).max : past.until;
        }
        return oldest == 0 ? 0 : history[oldest].from;
    }

    function historyLength(address provider) external view returns (uint256) {
        return _history[provider].length;
    }

    function historyOf(address provider, uint256 index) external view returns (ICapacityRegistry.Capacity memory) {
        return _history[provider][index];
    }
}

/// @notice Keeps what a test says of verifiers' pledges.
contract GivenPledges is IStakeHold {
    mapping(address provider => uint256) public heldStakeOf;

    function hold(address provider, uint256 amount) external {
        heldStakeOf[provider] = amount;
    }
}

/// @notice A registry with both credits connected, and one provider with stake and capacity.
abstract contract Providing is Market {
    uint256 internal constant COLLATERAL_RATIO = 2 ether;
    uint32 internal constant WINDOW = 100;
    uint256 internal constant STAKED = 1_000 ether;
    bytes32 internal constant FAULT_ID = keccak256("fault");

    address internal slasher = address(0x51A5);
    address internal reporter = address(0x4E9);
    GivenCapacity internal capacity;
    GivenPledges internal pledges;
    ComputeCredit internal tgpu;
    ComputeCredit internal tcpu;
    uint8 private _faults;

    function setUp() public virtual override {
        super.setUp();
        registry = ProviderRegistry(deploy(registryCode(STAKE_THAW)));
        capacity = new GivenCapacity();
        pledges = new GivenPledges();
        tgpu = ComputeCredit(deploy(creditCode(ICapacityRegistry.Kind.Gpu, COLLATERAL_RATIO, WINDOW)));
        tcpu = ComputeCredit(deploy(creditCode(ICapacityRegistry.Kind.Cpu, COLLATERAL_RATIO, WINDOW)));
        connectProviding();
        giveStake(provider, STAKED);
        giveCapacity(provider, 2_000, 3_000);
    }

    function creditCode(ICapacityRegistry.Kind kind, uint256 collateralRatio, uint32 window)
        internal
        view
        returns (bytes memory)
    {
        (string memory name, string memory symbol) =
            kind == ICapacityRegistry.Kind.Gpu ? ("xnode GPU credit", "tGPU") : ("xnode CPU credit", "tCPU");
        bytes memory args = abi.encode(name, symbol, kind, registry, capacity, address(this), collateralRatio, window);
        return creationCode("ComputeCredit", args);
    }

    /// @dev With a judge that may take all, so that a test of something else meets no ceiling.
    function connectProviding() internal {
        registry.connect(makeJudges(slasher, 1_000_000), holds(), new address[](0), slasher);
    }

    /// @dev GivenCapacity stands for any other hold of a provider's stake.
    function holds() internal view returns (IProviderRegistry.Hold[] memory all) {
        all = new IProviderRegistry.Hold[](4);
        all[0] = IProviderRegistry.Hold(tgpu, IProviderRegistry.Role.Provider);
        all[1] = IProviderRegistry.Hold(tcpu, IProviderRegistry.Role.Provider);
        all[2] = IProviderRegistry.Hold(capacity, IProviderRegistry.Role.Provider);
        all[3] = IProviderRegistry.Hold(pledges, IProviderRegistry.Role.Verifier);
    }

    function giveStake(address who, uint256 amount) internal {
        vm.prank(treasury);
        openx.transfer(who, amount);
        vm.prank(who);
        openx.approve(address(registry), amount);
        vm.prank(who);
        registry.stake(amount);
    }

    /// @dev Thousandths of reference units, for 30 days.
    function giveCapacity(address who, uint64 gpuMilli, uint64 cpuMilli) internal {
        capacity.give(who, gpuMilli, cpuMilli, uint64(block.timestamp + 30 days));
    }

    function mintAs(address who, ComputeCredit credit, uint256 amount) internal {
        vm.prank(who);
        credit.mint(who, amount);
    }

    function send(ComputeCredit credit, address from, address to, uint256 amount) internal {
        vm.prank(from);
        credit.transfer(to, amount);
    }

    function burnAs(address who, ComputeCredit credit, address server, uint256 amount) internal {
        vm.prank(who);
        credit.burnAt(server, amount);
    }

    function redeemAs(address who, ComputeCredit credit, uint256 amount) internal returns (uint256) {
        vm.prank(who);
        return credit.redeem(provider, amount);
    }

    function unstakeAs(address who, uint256 amount) internal {
        vm.prank(who);
        registry.startUnstake(amount);
    }

    /// @dev A fault of a kind that was not proven before: each of them is an episode of its own.
    function slash(address who, uint32 ppm) internal returns (uint256 slashed, uint256 reward) {
        return slashFor(who, ppm, reporter);
    }

    function slashFor(address who, uint32 ppm, address rewarded) internal returns (uint256 slashed, uint256 reward) {
        IProviderRegistry.Penalty memory penalty = makePenalty(++_faults, ppm);
        penalty.reporter = rewarded;
        vm.prank(slasher);
        return registry.slash(who, penalty);
    }

    /// @dev Of a provider, dated now.
    function makePenalty(uint8 fault, uint32 ppm) internal view returns (IProviderRegistry.Penalty memory) {
        return IProviderRegistry.Penalty({
            role: IProviderRegistry.Role.Provider,
            fault: fault,
            ppm: ppm,
            datedAt: uint64(block.timestamp),
            faultId: FAULT_ID,
            reporter: reporter
        });
    }

    /// @dev Ends all capacity and lets the grace pass.
    function vanish(address who) internal {
        capacity.end(who);
        vm.warp(block.timestamp + tgpu.DEFAULT_GRACE() + 1);
    }

    function isOut(ComputeCredit credit, address who, int256 wanted, string memory what) internal view {
        if (credit.outstanding(who) != wanted) revert NotTrue(what);
    }
}
