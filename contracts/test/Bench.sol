// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @dev The cheat codes these tests use; forge answers them at the address below.
interface Vm {
    struct Log {
        bytes32[] topics;
        bytes data;
        address emitter;
    }

    function addr(uint256 key) external pure returns (address);
    function chainId(uint256 id) external;
    function envOr(string calldata name, string calldata otherwise) external view returns (string memory);
    function etch(address target, bytes calldata code) external;
    function expectEmit() external;
    function expectRevert(bytes calldata) external;
    function expectRevert(bytes4) external;
    function expectPartialRevert(bytes4) external;
    function mockCall(address, bytes calldata data, bytes calldata answer) external;
    function clearMockedCalls() external;
    function expectRevert() external;
    function getCode(string calldata artifact) external view returns (bytes memory creation);
    function getRecordedLogs() external returns (Log[] memory);
    function parseJsonAddress(string calldata json, string calldata path) external pure returns (address);
    function parseJsonBytes(string calldata json, string calldata path) external pure returns (bytes memory);
    function parseJsonBytes32(string calldata json, string calldata path) external pure returns (bytes32);
    function parseJsonString(string calldata json, string calldata path) external pure returns (string memory);
    function parseJsonUint(string calldata json, string calldata path) external pure returns (uint256);
    function keyExistsJson(string calldata json, string calldata path) external view returns (bool);
    function toString(uint256 number) external pure returns (string memory);
    function prank(address sender) external;
    function readFile(string calldata path) external view returns (string memory);
    function recordLogs() external;
    function revertToState(uint256 id) external returns (bool);
    function sign(uint256 key, bytes32 digest) external pure returns (uint8 v, bytes32 r, bytes32 s);
    function snapshotState() external returns (uint256 id);
    function warp(uint256 time) external;
}

/// @notice What every test stands on: the cheat codes and a few checks.
abstract contract Bench {
    /// @dev Forge looks for this name.
    bool public constant IS_TEST = true;
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    /// @dev The folder of what goes on chain.
    string private constant DEPLOYED = "artifacts";

    error NotEqual(string what, uint256 got, uint256 wanted);
    error NotTrue(string what);

    function checkEqual(uint256 got, uint256 wanted, string memory what) internal pure {
        if (got != wanted) revert NotEqual(what, got, wanted);
    }

    function checkEqual(address got, address wanted, string memory what) internal pure {
        checkEqual(uint160(got), uint160(wanted), what);
    }

    function checkEqual(bytes32 got, bytes32 wanted, string memory what) internal pure {
        checkEqual(uint256(got), uint256(wanted), what);
    }

    function checkTrue(bool holds, string memory what) internal pure {
        if (!holds) revert NotTrue(what);
    }

    /// @dev Only of what goes on chain: elsewhere the code is not optimised.
    function checkGas(uint256 used, uint256 most) internal view {
        if (keccak256(bytes(vm.envOr("XNODE_ARTIFACTS", DEPLOYED))) != keccak256(bytes(DEPLOYED))) return;
        if (used >= most) revert NotEqual("gas", used, most);
    }

    /// @notice The creation code that script/build.py made, which is what the daemon deploys. XNODE_ARTIFACTS names another
    /// folder of such files (a mutant's), or is "compiled": what forge just compiled, so that coverage can be measured.
    function creationCode(string memory name, bytes memory args) internal view returns (bytes memory) {
        string memory folder = vm.envOr("XNODE_ARTIFACTS", DEPLOYED);
        if (keccak256(bytes(folder)) == keccak256("compiled")) {
            return bytes.concat(vm.getCode(string.concat(name, ".sol:", name)), args);
        }
        string memory artifact = vm.readFile(string.concat(folder, "/", name, ".json"));
        return bytes.concat(vm.parseJsonBytes(artifact, ".bytecode"), args);
    }

    function deploy(bytes memory code) internal returns (address made) {
        assembly {
            made := create(0, add(code, 0x20), mload(code))
            if iszero(made) {
                returndatacopy(0, 0, returndatasize())
                revert(0, returndatasize())
            }
        }
    }

    function within(uint256 any, uint256 low, uint256 high) internal pure returns (uint256) {
        return low + any % (high - low + 1);
    }
}
