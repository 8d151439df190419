// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC3009} from "@openzeppelin/contracts/token/ERC20/extensions/draft-ERC3009.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

/// @notice A well-behaved asset that can be set not to pay an account, as some stable assets do.
contract PlainAsset is ERC20("Plain", "PLN") {
    mapping(address => bool) public isBlocked;

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function setBlocked(address who, bool blocked) external {
        isBlocked[who] = blocked;
    }

    function _update(address from, address to, uint256 amount) internal virtual override {
        require(!isBlocked[to], "blocked");
        super._update(from, to, amount);
    }
}

/// @notice The smallest thing that is burned as a compute credit is; can be set to refuse.
contract PlainCredit is PlainAsset {
    mapping(address provider => uint256) public burnedAt;
    bool public refuses;

    function refuse(bool refuses_) external {
        refuses = refuses_;
    }

    function burnAt(address provider, uint256 amount) external {
        require(!refuses, "refused");
        burnedAt[provider] += amount;
        _burn(msg.sender, amount);
    }
}

/// @notice Keeps one percent of every transfer.
contract FeeAsset is ERC20("Fee", "FEE") {
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function _update(address from, address to, uint256 amount) internal override {
        uint256 fee = from == address(0) ? 0 : amount / 100;
        super._update(from, to, amount - fee);
        if (fee != 0) super._update(from, address(0xfee), fee);
    }
}

/// @notice Moves exactly the amount until its owner turns a fee on, as some stable assets can.
contract SwitchAsset is PlainAsset {
    uint256 public feePercent;

    function setFee(uint256 feePercent_) external {
        feePercent = feePercent_;
    }

    function _update(address from, address to, uint256 amount) internal override {
        uint256 fee = from == address(0) ? 0 : amount * feePercent / 100;
        super._update(from, to, amount - fee);
        if (fee != 0) super._update(from, address(0xfee), fee);
    }
}

/// @notice Can be set to lie: transfers then move nothing and return false, or return true and move nothing.
contract LyingAsset is ERC20("Lying", "LIE") {
    enum Mood {
        Honest,
        ReturnsFalse,
        PretendsTrue
    }

    Mood public mood;

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function feel(Mood mood_) external {
        mood = mood_;
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        return mood == Mood.Honest ? super.transfer(to, amount) : mood == Mood.PretendsTrue;
    }

    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        return mood == Mood.Honest ? super.transferFrom(from, to, amount) : mood == Mood.PretendsTrue;
    }
}

/// @notice Calls back into a target in the middle of every transfer and keeps what happened.
contract CallingAsset is ERC20("Calling", "CBK") {
    address public target;
    bytes public message;
    bool public succeeded;
    bytes public answer;
    uint256 public calls;

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function aim(address target_, bytes calldata message_) external {
        (target, message, calls) = (target_, message_, 0);
    }

    function _update(address from, address to, uint256 amount) internal override {
        super._update(from, to, amount);
        if (target == address(0) || from == address(0)) return;
        calls++;
        (succeeded, answer) = target.call(message);
    }
}

/// @notice Returns nothing from transfers, as some old assets do.
contract SilentAsset {
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function approve(address spender, uint256 amount) external {
        allowance[msg.sender][spender] = amount;
    }

    function transfer(address to, uint256 amount) external {
        balanceOf[msg.sender] -= amount;
        balanceOf[to] += amount;
    }

    function transferFrom(address from, address to, uint256 amount) external {
        allowance[from][msg.sender] -= amount;
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
    }
}

/// @notice Takes signed transfers, as USDC does.
contract AuthorizedAsset is ERC3009 {
    constructor() ERC20("Authorized", "AUT") EIP712("Authorized", "1") {}

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    // solhint-disable-next-line func-name-mixedcase
    function DOMAIN_SEPARATOR() external view returns (bytes32) {
        return _domainSeparatorV4();
    }
}

/// @notice Answers every call it does not know, as wrapped ether does.
contract AnsweringAsset is ERC20("Answering", "ANS") {
    fallback() external {}
}

/// @notice Balances here change by themselves.
contract RebasingAsset is ERC20("Rebasing", "REB") {
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function rebase(address who, uint256 balance) external {
        uint256 current = balanceOf(who);
        if (balance < current) _burn(who, current - balance);
        else _mint(who, balance - current);
    }
}
