// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IProviderRegistry} from "../../src/interfaces/IProviderRegistry.sol";
import {Market} from "../Market.sol";

/// @notice A thief of every node key that a provider ever had, who shows a judge whatever documents serve him best, while the owner rotates
/// its keys, leaves, comes back, stakes and unstakes. A memory of what each judge took, and when.
/// Forge calls the functions whose names begin with act; each either does something lawful, which must then succeed, or returns.
contract Thieving is Market {
    struct Taking {
        uint256 at;
        uint256 lay;
        uint256 added;
        uint256 amount;
    }

    uint256 private constant KEYS = 3;
    uint32 private constant HALF = 500_000;
    address private constant BREACHES = address(0xB4E);
    address private constant FAULTS = address(0xFA7);
    address private constant THIEF = address(0x741EF);

    uint256 private _current;
    uint256 private _added;
    /// @dev For each judge and compartment.
    mapping(bytes32 key => Taking[]) private _takings;
    uint256 public burned;
    uint256 public genesis;
    uint256 public proofs;
    bool public tookAboveTheCeiling;
    bool public deadKeyAnswered;
    bool public liveKeyWasSilent;

    constructor() {
        setUp();
        IProviderRegistry.Judge[] memory judges = new IProviderRegistry.Judge[](3);
        judges[0] = IProviderRegistry.Judge(FAULTS, IProviderRegistry.Role.Provider, HALF);
        judges[1] = IProviderRegistry.Judge(FAULTS, IProviderRegistry.Role.Verifier, 1_000_000);
        judges[2] = IProviderRegistry.Judge(BREACHES, IProviderRegistry.Role.Provider, HALF);
        registry.connect(judges, noHolds(), new address[](0), BREACHES);
        genesis = openx.totalSupply();
        _current = KEYS;
        stake(IProviderRegistry.Role.Provider, 1_000 ether);
        stake(IProviderRegistry.Role.Verifier, 100 ether);
    }

    // ---- The owner

    function actRotate(uint256 which) external {
        which = which % KEYS;
        address key = vm.addr(keyAt(which));
        bytes memory proof = signNodeKey(keyAt(which), provider, key, registry.nonces(provider), FAR);
        vm.prank(provider);
        if (_current == KEYS) registry.register(key, address(0), FAR, proof);
        else registry.rotateNodeKey(key, FAR, proof);
        _current = which;
    }

    function actLeave() external {
        if (_current == KEYS) return;
        vm.prank(provider);
        registry.deactivate();
        _current = KEYS;
    }

    function actStake(uint256 amount, bool pledge) external {
        stake(roleOf(pledge), within(amount, 1, 100 ether));
    }

    function actUnstake(uint256 amount, bool pledge, bool withdraws) external {
        IProviderRegistry.Role role = roleOf(pledge);
        uint256 staked = registry.stakeIn(provider, role);
        if (staked != 0) {
            vm.prank(provider);
            registry.startUnstakeFrom(role, within(amount, 1, staked));
        }
        uint256 end = registry.stakeDetailsIn(provider, role).thawEnd;
        if (!withdraws || end == 0) return;
        if (block.timestamp < end) vm.warp(end);
        vm.prank(provider);
        uint256 left = registry.withdrawStakeFrom(role);
        vm.prank(provider);
        openx.transfer(treasury, left);
    }

    function actWait(uint256 time) external {
        vm.warp(block.timestamp + within(time, 1, 3 days));
    }

    // ---- The thief

    /// @dev Any kind of fault under any of the keys, dated whenever it serves. The judge asks who answers for it.
    function actShow(uint256 which, uint256 age, uint8 fault, uint32 ppm, bool pledge) external {
        uint256 at = block.timestamp + 2 hours - within(age, 0, 40 days);
        address author = registry.authorOf(vm.addr(keyAt(which % KEYS)), at);
        checkAuthor(which % KEYS, at, author);
        if (author == address(0)) return;
        IProviderRegistry.Role role = roleOf(pledge);
        (uint256 lay, uint256 before) = (ownOf(role), openx.totalSupply());
        IProviderRegistry.Penalty memory penalty =
            IProviderRegistry.Penalty(role, fault % 4, ppm % 1_000_001, uint64(at), bytes32(proofs), THIEF);
        vm.prank(FAULTS);
        try registry.slash(author, penalty) returns (uint256 slashed, uint256) {
            burned += before - openx.totalSupply();
            proofs++;
            note(FAULTS, role, lay, slashed);
        } catch (bytes memory reason) {
            checkEqual(bytes4(reason), IProviderRegistry.NothingToTake.selector, "never for another reason");
        }
    }

    function actBreach(uint256 amount) external {
        uint256 lay = ownOf(IProviderRegistry.Role.Provider);
        amount = within(amount, 0, 2_000 ether);
        vm.prank(BREACHES);
        registry.announce(provider, IProviderRegistry.Role.Provider, amount, 0);
        vm.prank(BREACHES);
        uint256 paid = registry.compensate(provider, IProviderRegistry.Role.Provider, THIEF, amount, "breach");
        note(BREACHES, IProviderRegistry.Role.Provider, lay, paid);
    }

    // ---- What is asked

    /// @notice What lies in the registry, counted from its compartments.
    function parts() external view returns (uint256) {
        return
            ownOf(IProviderRegistry.Role.Provider) + ownOf(IProviderRegistry.Role.Verifier)
                + registry.forfeitOf(provider);
    }

    function lies() external view returns (uint256) {
        return openx.balanceOf(address(registry));
    }

    function supply() external view returns (uint256) {
        return openx.totalSupply();
    }

    // ---- How

    function keyAt(uint256 which) private pure returns (uint256) {
        return 0x6E1 + which;
    }

    function roleOf(bool pledge) private pure returns (IProviderRegistry.Role) {
        return pledge ? IProviderRegistry.Role.Verifier : IProviderRegistry.Role.Provider;
    }

    function ownOf(IProviderRegistry.Role role) private view returns (uint256) {
        IProviderRegistry.Stake memory own = registry.stakeDetailsIn(provider, role);
        return uint256(own.staked) + own.thawing;
    }

    function stake(IProviderRegistry.Role role, uint256 amount) private {
        vm.prank(treasury);
        openx.approve(address(registry), amount);
        vm.prank(treasury);
        registry.stakeInto(provider, role, amount);
        if (role == IProviderRegistry.Role.Provider) _added += amount;
    }

    /// @dev The key that serves answers for now; one that was taken away never for what is dated later.
    function checkAuthor(uint256 which, uint256 at, address author) private {
        (uint64 since, uint64 until) = registry.keyTimeOf(vm.addr(keyAt(which)));
        bool isBound = which == _current;
        if (isBound != (since != 0 && until == 0)) liveKeyWasSilent = true;
        bool mustNot = at < since || at > block.timestamp + 1 hours || since == 0
            || (until != 0 && (at > until || block.timestamp > until + STAKE_THAW));
        if (mustNot && author != address(0)) deadKeyAnswered = true;
        if (!mustNot && author != provider) liveKeyWasSilent = true;
    }

    /// @dev In every stretch of a period that ends now, the judge took no more than half of what lay there at its beginning and
    /// was staked since. A pledge it may take whole.
    function note(address judge, IProviderRegistry.Role role, uint256 lay, uint256 amount) private {
        if (role == IProviderRegistry.Role.Verifier) return;
        Taking[] storage all = _takings[keccak256(abi.encode(judge, role))];
        all.push(Taking(block.timestamp, lay, _added, amount));
        uint256 sum = 0;
        for (uint256 i = all.length; i > 0; i--) {
            Taking storage each = all[i - 1];
            if (each.at + STAKE_THAW < block.timestamp) return;
            sum += each.amount;
            if (sum > (each.lay + _added - each.added) / 2 + 1) tookAboveTheCeiling = true;
        }
    }
}
