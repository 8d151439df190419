// Runs the CUDA kernels' threads on the host, a block at a time, so that their logic can be compared with numpy where there is no GPU.
// Built by test_cuda_kernels.py: gcc -shared -fPIC -pthread -include this, over kernels.cu as C.
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>

typedef uint32_t u32;
typedef unsigned long long u64;
typedef struct {
  u32 x, y, z;
} place;

static _Thread_local place threadIdx;
static place blockIdx, blockDim, gridDim;
static pthread_barrier_t barrier;

#define KERNEL void
#define DEVICE static inline
#define CONSTANT static const
#define __shared__ static
#define __syncthreads() pthread_barrier_wait(&barrier)

static int __dp4a(int a, int b, int sum) {
  for (int k = 0; k < 32; k += 8) sum += (int8_t)((u32)a >> k) * (int8_t)((u32)b >> k);
  return sum;
}

#include KERNELS

#define MAX_ARGS 8

typedef struct {
  const char *name;
  void (*call)(const u64 *args);
} kernel;

static void call_expand(const u64 *a) { expand((u64 *)a[0], a[1], a[2], a[3]); }
static void call_multiply(const u64 *a) { multiply((u32 *)a[0], (u32 *)a[1], (int *)a[2], (u32)a[3], (u32)a[4]); }
static void call_multiply_vector(const u64 *a) { multiply_vector((int *)a[0], (u32 *)a[1], (u64 *)a[2], (u32)a[3]); }
static void call_hash_leaves(const u64 *a) { hash_leaves((u32 *)a[0], (u64 *)a[1], a[2], a[3]); }
static void call_hash_nodes(const u64 *a) { hash_nodes((u64 *)a[0], (u64 *)a[1], a[2], a[3], a[4], a[5], a[6]); }

static void (*const calls[])(const u64 *) = {call_expand, call_multiply, call_multiply_vector, call_hash_leaves, call_hash_nodes};

typedef struct {
  u32 number, kernel;
  const u64 *args;
} thread_task;

static void *run_thread(void *given) {
  const thread_task *task = given;
  threadIdx.x = task->number;
  calls[task->kernel](task->args);
  return 0;
}

// As cuLaunchKernel, with pointers of this process. At most 256 threads a block.
void launch(u32 kernel_number, u32 grid_x, u32 grid_y, u32 threads, const u64 *args) {
  pthread_t ids[256];
  thread_task tasks[256];
  gridDim = (place){grid_x, grid_y, 1};
  blockDim = (place){threads, 1, 1};
  pthread_barrier_init(&barrier, 0, threads);
  for (u32 y = 0; y < grid_y; y++)
    for (u32 x = 0; x < grid_x; x++) {
      blockIdx = (place){x, y, 0};
      for (u32 t = 0; t < threads; t++) {
        tasks[t] = (thread_task){t, kernel_number, args};
        pthread_create(&ids[t], 0, run_thread, &tasks[t]);
      }
      for (u32 t = 0; t < threads; t++) pthread_join(ids[t], 0);
    }
  pthread_barrier_destroy(&barrier);
}
