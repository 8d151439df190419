// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title One element of the product of the matrices that a device's seed gives, exactly
/// @notice A and B are n x n int8. Word w of row i of A is mix(seedA + (i * W + w) * PHI), word w of column j of B is mix(seedB +
/// (j * W + w) * PHI), all mod 2^64, with W = n / 8 and mix the finaliser of SplitMix64 (Steele, Lea and Flood 2014). seedA and
/// seedB are the seed's first two words of 64 bits, big-endian. Byte t of a word, least significant first, is element 8w + t.
///
/// A loop over bytes costs 700 gas for each word of 8 elements; this costs under 300, which is what lets the largest n be judged in
/// one transaction. Three things do it, and a fuzz test holds them to the loop:
/// - Both words are mixed in one: lanes of 128 bits, of which the low 64 count.
/// - The bytes of a are spread over 8 lanes of 32 bits, those of b too, in reverse, so that the top lane of one multiplication is
///   the sum of the 8 products. No lane carries over: 8 * 255 * 255 < 2^32.
/// - That wants bytes without a sign: x + 128 for each x. What this adds is taken out at the end, from the sums of all bytes.
library MatrixProduct {
    uint256 private constant LANE = 0xffffffffffffffff;
    uint256 private constant BOTH_LANES = 0xffffffffffffffff << 128 | 0xffffffffffffffff;
    uint256 private constant PHI = 0x9e3779b97f4a7c15;
    uint256 private constant PHI_BOTH = 0x9e3779b97f4a7c15 << 128 | 0x9e3779b97f4a7c15;
    uint256 private constant MIX_1 = 0xbf58476d1ce4e5b9;
    uint256 private constant MIX_2 = 0x94d049bb133111eb;
    uint256 private constant SIGNS_BOTH = 0x8080808080808080 << 128 | 0x8080808080808080;
    uint256 private constant SPREAD_32 = 0xffffffff << 128 | 0xffffffff;
    uint256 private constant SPREAD_16 = 0xffff << 192 | 0xffff << 128 | 0xffff << 64 | 0xffff;
    uint256 private constant SPREAD_8 =
        0xff << 224 | 0xff << 192 | 0xff << 160 | 0xff << 128 | 0xff << 96 | 0xff << 64 | 0xff << 32 | 0xff;
    uint256 private constant ONES = 1 << 224 | 1 << 192 | 1 << 160 | 1 << 128 | 1 << 96 | 1 << 64 | 1 << 32 | 1;

    /// @notice Row `row` of A times column `column` of B; both below n, and n a multiple of 8 up to 131,072.
    function element(bytes32 seed, uint256 n, uint256 row, uint256 column) internal pure returns (int256) {
        uint256 words = n >> 3;
        uint256 lanes;
        unchecked {
            uint256 a = uint256(seed) >> 192;
            uint256 b = uint256(seed) >> 128;
            a = (a + row * words * PHI) & LANE;
            b = (b + column * words * PHI) & LANE;
            lanes = b << 128 | a;
        }
        (uint256 products, uint256 bytesSum) = _sum(lanes, words);
        // (a + 128)(b + 128) = ab + 128 ((a + 128) + (b + 128)) - 128 * 128
        return int256(products) - 128 * int256(bytesSum) + int256(128 * 128 * n);
    }

    /// @dev The sum of the products of the bytes plus 128, and the sum of all those bytes of both sides.
    function _sum(uint256 lanes, uint256 words) private pure returns (uint256 products, uint256 bytesSum) {
        assembly ("memory-safe") {
            for {} words { words := sub(words, 1) } {
                let z := and(xor(lanes, shr(30, lanes)), BOTH_LANES)
                z := and(mul(z, MIX_1), BOTH_LANES)
                z := and(xor(z, shr(27, z)), BOTH_LANES)
                z := and(mul(z, MIX_2), BOTH_LANES)
                z := xor(xor(z, shr(31, z)), SIGNS_BOTH)
                lanes := and(add(lanes, PHI_BOTH), BOTH_LANES)

                let a := and(z, LANE)
                a := and(or(a, shl(96, a)), SPREAD_32)
                a := and(or(a, shl(48, a)), SPREAD_16)
                a := and(or(a, shl(24, a)), SPREAD_8)

                let b := shr(128, z)
                b := and(or(shl(128, b), shr(32, b)), SPREAD_32)
                b := and(or(shl(64, b), shr(16, b)), SPREAD_16)
                b := and(or(shl(32, b), shr(8, b)), SPREAD_8)

                products := add(products, shr(224, mul(a, b)))
                bytesSum := add(bytesSum, add(a, b))
            }
            // The lanes' own sums stay far below 2^32: 2 * 16,384 words * 255.
            bytesSum := shr(224, mul(bytesSum, ONES))
        }
    }
}
