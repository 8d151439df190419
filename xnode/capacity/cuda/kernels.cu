// The challenge's arithmetic on an NVIDIA GPU: matrices, exact product, leaf hashes, tree, product with a vector.
//
// build.py beside this file makes PTX of it, which xnode/capacity/cuda_product.py loads through the driver. It is C as well
// as CUDA: tests/xnode/capacity/cuda_host.c runs every kernel's threads on the host, to be compared with numpy. Kernels
// bound their own work, so any grid will do, but multiply needs blocks of 256 threads and multiply_vector a power of two.

#ifdef __CUDACC__
typedef unsigned int u32;
typedef unsigned long long u64;
#define KERNEL extern "C" __global__ void
#define DEVICE static __device__ __forceinline__
#define CONSTANT __constant__
#endif

#define STEP 0x9E3779B97F4A7C15ULL

DEVICE u64 mix(u64 z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}

// Words first to first + count - 1 of a matrix, counted from the start of `out`.
KERNEL expand(u64 *out, u64 word, u64 first, u64 count) {
  u64 at = (u64)blockIdx.x * blockDim.x + threadIdx.x;
  u64 stride = (u64)gridDim.x * blockDim.x;
  for (; at < count; at += stride) out[first + at] = mix(word + (first + at) * STEP);
}

// ---- The product

#define TILE 128
#define DEPTH 8

// Rows first_row + 128 x blockIdx.y and on of out = rows x columns; 16 x 16 threads compute 8 x 8 elements each. Lines lie
// along k, four int8 in a word. n is a multiple of 256, so tiles never cross an edge.
KERNEL multiply(const u32 *rows, const u32 *columns, int *out, u32 n, u32 first_row) {
  __shared__ u32 left[DEPTH][TILE];
  __shared__ u32 right[DEPTH][TILE];
  int sum[8][8];
  u32 a[8], b[8];
  const u32 line_words = n / 4;
  const u32 tx = threadIdx.x % 16, ty = threadIdx.x / 16;
  const u64 row0 = first_row + (u64)blockIdx.y * TILE, column0 = (u64)blockIdx.x * TILE;
  // Each thread brings four words of one line: 256 threads, 128 lines of 8 words.
  const u32 load_line = threadIdx.x / 2, load_word = 4 * (threadIdx.x % 2);
  const u32 *from_left = rows + (row0 + load_line) * line_words + load_word;
  const u32 *from_right = columns + (column0 + load_line) * line_words + load_word;

  for (int i = 0; i < 8; i++)
    for (int j = 0; j < 8; j++) sum[i][j] = 0;

  for (u32 k = 0; k < line_words; k += DEPTH) {
    for (int w = 0; w < 4; w++) {
      left[load_word + w][load_line] = from_left[k + w];
      right[load_word + w][load_line] = from_right[k + w];
    }
    __syncthreads();
    for (int d = 0; d < DEPTH; d++) {
      for (int i = 0; i < 8; i++) a[i] = left[d][ty + 16 * i];
      for (int j = 0; j < 8; j++) b[j] = right[d][tx + 16 * j];
      for (int i = 0; i < 8; i++)
        for (int j = 0; j < 8; j++) sum[i][j] = __dp4a((int)a[i], (int)b[j], sum[i][j]);
    }
    __syncthreads();
  }
  for (int i = 0; i < 8; i++)
    for (int j = 0; j < 8; j++) out[(row0 + ty + 16 * i) * n + column0 + tx + 16 * j] = sum[i][j];
}

// out[row] = the row of the product times the vector, modulo 2^64. One block a row; threads: a power of two, up to 256.
KERNEL multiply_vector(const int *product, const u32 *vector, u64 *out, u32 n) {
  __shared__ u64 part[256];
  u64 sum = 0;
  const int *row = product + (u64)blockIdx.x * n;
  for (u32 j = threadIdx.x; j < n; j += blockDim.x) sum += (u64)(long long)row[j] * vector[j];
  part[threadIdx.x] = sum;
  __syncthreads();
  for (u32 half = blockDim.x / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
    __syncthreads();
  }
  if (threadIdx.x == 0) out[blockIdx.x] = part[0];
}

// ---- keccak-256 (FIPS 202's permutation, Ethereum's padding)

#define RATE_LANES 17

DEVICE u64 rotate(u64 x, int by) { return by ? (x << by) | (x >> (64 - by)) : x; }

CONSTANT u64 round_constants[24] = {
  0x0000000000000001ULL, 0x0000000000008082ULL, 0x800000000000808aULL, 0x8000000080008000ULL, 0x000000000000808bULL,
  0x0000000080000001ULL, 0x8000000080008081ULL, 0x8000000000008009ULL, 0x000000000000008aULL, 0x0000000000000088ULL,
  0x0000000080008009ULL, 0x000000008000000aULL, 0x000000008000808bULL, 0x800000000000008bULL, 0x8000000000008089ULL,
  0x8000000000008003ULL, 0x8000000000008002ULL, 0x8000000000000080ULL, 0x000000000000800aULL, 0x800000008000000aULL,
  0x8000000080008081ULL, 0x8000000000008080ULL, 0x0000000080000001ULL, 0x8000000080008008ULL};

DEVICE void permute(u64 *s) {
  const int turns[24] = {1, 3, 6, 10, 15, 21, 28, 36, 45, 55, 2, 14, 27, 41, 56, 8, 25, 43, 62, 18, 39, 61, 20, 44};
  const int lanes[24] = {10, 7, 11, 17, 18, 3, 5, 16, 8, 21, 24, 4, 15, 23, 19, 13, 12, 2, 20, 14, 22, 9, 6, 1};
  u64 c[5];
#pragma unroll 1
  for (int round = 0; round < 24; round++) {
#pragma unroll
    for (int x = 0; x < 5; x++) c[x] = s[x] ^ s[x + 5] ^ s[x + 10] ^ s[x + 15] ^ s[x + 20];
#pragma unroll
    for (int x = 0; x < 5; x++) {
      u64 d = c[(x + 4) % 5] ^ rotate(c[(x + 1) % 5], 1);
#pragma unroll
      for (int y = 0; y < 25; y += 5) s[x + y] ^= d;
    }
    u64 moved = s[1];
#pragma unroll
    for (int t = 0; t < 24; t++) {
      u64 next = s[lanes[t]];
      s[lanes[t]] = rotate(moved, turns[t]);
      moved = next;
    }
#pragma unroll
    for (int y = 0; y < 25; y += 5) {
#pragma unroll
      for (int x = 0; x < 5; x++) c[x] = s[y + x];
#pragma unroll
      for (int x = 0; x < 5; x++) s[y + x] = c[x] ^ (~c[(x + 1) % 5] & c[(x + 2) % 5]);
    }
    s[0] ^= round_constants[round];
  }
}

DEVICE u32 swap32(u32 x) { return (x >> 24) | ((x >> 8) & 0xff00u) | ((x << 8) & 0xff0000u) | (x << 24); }

DEVICE u64 swap64(u64 x) { return ((u64)swap32((u32)x) << 32) | swap32((u32)(x >> 32)); }

// Two elements as the eight bytes that are hashed, big-endian each.
DEVICE u64 read_pair(const u32 *values, int pair) {
  return (u64)swap32(values[2 * pair]) | ((u64)swap32(values[2 * pair + 1]) << 32);
}

#define LEAF_PAIRS 128

// Hashes of leaves first to first + count - 1, four words each: 0x00, the leaf's number in 8 bytes, 256 elements. That is
// 1,033 bytes, with the elements one byte off the sponge's lanes.
KERNEL hash_leaves(const u32 *product, u64 *out, u64 first, u64 count) {
  u64 at = (u64)blockIdx.x * blockDim.x + threadIdx.x;
  u64 stride = (u64)gridDim.x * blockDim.x;
  for (; at < count; at += stride) {
    const u64 index = first + at;
    const u32 *values = product + index * 256;
    u64 s[25], before = index << 56;
    for (int k = 0; k < 25; k++) s[k] = 0;
    s[0] = swap64(index) << 8;
    int lane = 1;
    for (int pair = 0; pair <= LEAF_PAIRS; pair++) {
      u64 pair_bytes = pair < LEAF_PAIRS ? read_pair(values, pair) : 1;
      // After the last pair the first byte of padding stands where the next pair would.
      u64 word = (before >> 56) | (pair_bytes << 8);
#pragma unroll
      for (int k = 0; k < RATE_LANES; k++)
        if (k == lane) s[k] ^= word;
      before = pair_bytes;
      if (++lane == RATE_LANES) {
        permute(s);
        lane = 0;
      }
    }
    s[RATE_LANES - 1] ^= 0x8000000000000000ULL;
    permute(s);
    for (int k = 0; k < 4; k++) out[4 * index + k] = s[k];
  }
}

// A level of the tree: each the hash of 0x01 and two below; where the second is missing, the hash of an empty part is it.
KERNEL hash_nodes(const u64 *below, u64 *out, u64 count_below, u64 empty0, u64 empty1, u64 empty2, u64 empty3) {
  const u64 count = (count_below + 1) / 2;
  u64 at = (u64)blockIdx.x * blockDim.x + threadIdx.x;
  u64 stride = (u64)gridDim.x * blockDim.x;
  for (; at < count; at += stride) {
    u64 x[8], s[25];
    for (int k = 0; k < 4; k++) x[k] = below[8 * at + k];
    if (2 * at + 1 < count_below) {
      for (int k = 4; k < 8; k++) x[k] = below[8 * at + k];
    } else {
      x[4] = empty0, x[5] = empty1, x[6] = empty2, x[7] = empty3;
    }
    for (int k = 0; k < 25; k++) s[k] = 0;
    s[0] = 1 | (x[0] << 8);
    for (int k = 1; k < 8; k++) s[k] = (x[k - 1] >> 56) | (x[k] << 8);
    s[8] = (x[7] >> 56) | (1ULL << 8);
    s[RATE_LANES - 1] ^= 0x8000000000000000ULL;
    permute(s);
    for (int k = 0; k < 4; k++) out[4 * at + k] = s[k];
  }
}
