// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Who shares in what a provider earns: royalties and revenue shares
/// @notice A split is a list of recipients and their shares; its id is the hash of both, so an escrow whose terms name the id
/// can never pay anyone else. What the shares leave is the provider's.
///
/// Promises
/// - A split never changes and has no owner. Anyone may register a list; the same list has the same id on every chain.
/// - Money that came in for a split belongs to its recipients in proportion, rounded down once for each: a recipient's part is
///   its share of all that ever came in, however often anyone distributed in between. Less than one base unit for each
///   recipient waits for more to come in.
/// - Recipients take it themselves, so one that cannot be paid does not hold up the others.
/// - What is accrued is what arrived: an asset that keeps a fee of a transfer, also one that begins to later, takes it from the
///   split, and nothing is locked.
/// - For each asset the balance here is never less than what is accrued and owed together.
///
/// Powers: none. There is no owner, fee, pause or upgrade.
///
/// Assumptions
/// - Assets are ERC-20s whose balances change only by transfers, and of which a transfer takes no more from its sender than it
///   names. Anyone may bring any asset; a bad one harms only those who take it. Of one asset a split takes at most
///   2^128 - 1 base units in total.
/// - A recipient can receive the asset. One that never can leaves its part here.
interface ISplitRegistry {
    /// @param sharePpm of what a claim pays, in millionths
    struct Share {
        address recipient;
        uint32 sharePpm;
    }

    error NoShares();
    error TooManyShares(uint256 shares, uint256 maxShares);
    error SharesNotAscending(address before, address recipient);
    error ZeroShare(address recipient);
    error SharesAboveWhole(uint256 totalPpm);
    error SplitNotRegistered(bytes32 split);
    error ZeroAmount();
    error AmountTooLarge(bytes32 split, address asset, uint256 amount, uint256 room);
    error NothingReceived(address asset, uint256 amount);

    event SplitCreated(bytes32 indexed split, Share[] shares);
    /// @param amount what arrived
    event Accrued(bytes32 indexed split, address indexed asset, uint256 amount);
    event Distributed(bytes32 indexed split, address indexed asset, uint256 amount);
    event SharePaid(address indexed recipient, address indexed asset, uint256 amount);

    /// @notice Registers a list: 1 to {MAX_SHARES} recipients in ascending order, none zero, shares above zero that sum to at
    /// most a million. Does nothing but return the id when it is known.
    function create(Share[] calldata shares) external returns (bytes32 split);

    function splitId(Share[] calldata shares) external pure returns (bytes32);

    /// @notice The sum of a registered split's shares in millionths; zero when not registered.
    function totalPpmOf(bytes32 split) external view returns (uint32);

    /// @notice Takes amount of asset from the caller, who approved this contract, and credits what of it arrives to a registered
    /// split.
    function accrue(bytes32 split, address asset, uint256 amount) external;

    /// @notice Moves what a split has accrued to its recipients' ledger. By anyone.
    function distribute(Share[] calldata shares, address asset) external returns (uint256 amount);

    /// @notice Pays a recipient what is owed to it. By anyone; the money only reaches the recipient. Does nothing when nothing is
    /// owed.
    function withdraw(address recipient, address asset) external returns (uint256 amount);

    /// @notice What came in for a split and was not distributed yet.
    function accruedOf(bytes32 split, address asset) external view returns (uint256);

    function owedTo(address recipient, address asset) external view returns (uint256);

    // solhint-disable-next-line func-name-mixedcase
    function MAX_SHARES() external view returns (uint256);
}
