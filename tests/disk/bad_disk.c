/* Bad disk: a library to preload. Calls that write below BAD_DISK_PREFIX are counted, and fail when told to, as a full or
   broken disk's would. A write that fails as full writes half of its bytes first, as a disk that fills up does. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static long calls, fail_at, fail_until;
static int fail_errno;
static char where[64];

void bad_disk_arm(long at, long count, int error) {
  fail_errno = error;
  fail_at = at ? calls + at : 0;
  fail_until = count > LONG_MAX - fail_at ? LONG_MAX : fail_at + count;
  if (at) where[0] = 0;
}
long bad_disk_calls(void) { return __atomic_load_n(&calls, __ATOMIC_SEQ_CST); }
const char *bad_disk_where(void) { return where; }

static int below(const char *path) {
  static const char *prefix;
  if (!prefix) prefix = getenv("BAD_DISK_PREFIX");
  return prefix && *prefix && strncmp(path, prefix, strlen(prefix)) == 0;
}
static int below_fd(int fd) {
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t size = readlink(link, path, sizeof path - 1);
  if (size < 0) return 0;
  path[size] = 0;
  return below(path);
}
static int below_at(int dir, const char *path) { return path[0] == '/' ? below(path) : dir != AT_FDCWD && below_fd(dir); }

/* 1 when this call fails. */
static int fails(const char *name) {
  long call = __atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST);
  if (!fail_at || call < fail_at || call >= fail_until) return 0;
  if (!where[0]) snprintf(where, sizeof where, "%s", name);
  errno = fail_errno;
  return 1;
}
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define OPENS(name) \
  int name(const char *path, int flags, ...) { \
    va_list more; va_start(more, flags); mode_t mode = va_arg(more, mode_t); va_end(more); \
    if ((flags & (O_WRONLY | O_RDWR | O_CREAT)) && below_at(AT_FDCWD, path) && fails("open")) return -1; \
    return REAL(name)(path, flags, mode); \
  }
#define OPENS_AT(name) \
  int name(int dir, const char *path, int flags, ...) { \
    va_list more; va_start(more, flags); mode_t mode = va_arg(more, mode_t); va_end(more); \
    if ((flags & (O_WRONLY | O_RDWR | O_CREAT)) && below_at(dir, path) && fails("open")) return -1; \
    return REAL(name)(dir, path, flags, mode); \
  }
OPENS(open) OPENS(open64) OPENS_AT(openat) OPENS_AT(openat64)

ssize_t write(int fd, const void *data, size_t size) {
  if (below_fd(fd) && fails("write")) return -1;
  return REAL(write)(fd, data, size);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
  if (below_fd(fd) && fails("write")) { if (size > 1 && fail_errno == ENOSPC) { int e = errno; REAL(pwrite)(fd, data, size / 2, at); errno = e; } return -1; }
  return REAL(pwrite)(fd, data, size, at);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
  if (below_fd(fd) && fails("write")) { if (size > 1 && fail_errno == ENOSPC) { int e = errno; REAL(pwrite64)(fd, data, size / 2, at); errno = e; } return -1; }
  return REAL(pwrite64)(fd, data, size, at);
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
  if (below_fd(fd) && fails("write")) return -1;
  return REAL(writev)(fd, parts, count);
}
ssize_t sendfile(int out, int in, off_t *at, size_t size) {
  if (below_fd(out) && fails("write")) return -1;
  return ((ssize_t(*)(int, int, off_t *, size_t))dlsym(RTLD_NEXT, "sendfile"))(out, in, at, size);
}
ssize_t sendfile64(int out, int in, off64_t *at, size_t size) {
  if (below_fd(out) && fails("write")) return -1;
  return ((ssize_t(*)(int, int, off64_t *, size_t))dlsym(RTLD_NEXT, "sendfile64"))(out, in, at, size);
}
int fsync(int fd) { return below_fd(fd) && fails("fsync") ? -1 : REAL(fsync)(fd); }
int fdatasync(int fd) { return below_fd(fd) && fails("fsync") ? -1 : REAL(fdatasync)(fd); }
int syncfs(int fd) { return below_fd(fd) && fails("syncfs") ? -1 : REAL(syncfs)(fd); }
int ftruncate(int fd, off_t size) { return below_fd(fd) && fails("truncate") ? -1 : REAL(ftruncate)(fd, size); }
int ftruncate64(int fd, off64_t size) { return below_fd(fd) && fails("truncate") ? -1 : REAL(ftruncate64)(fd, size); }
int truncate(const char *path, off_t size) { return below(path) && fails("truncate") ? -1 : REAL(truncate)(path, size); }
int truncate64(const char *path, off64_t size) { return below(path) && fails("truncate") ? -1 : REAL(truncate64)(path, size); }
int rename(const char *from, const char *to) { return below(to) && fails("rename") ? -1 : REAL(rename)(from, to); }
int renameat(int a, const char *from, int b, const char *to) { return below_at(b, to) && fails("rename") ? -1 : REAL(renameat)(a, from, b, to); }
int link(const char *from, const char *to) { return below(to) && fails("link") ? -1 : REAL(link)(from, to); }
int linkat(int a, const char *from, int b, const char *to, int flags) { return below_at(b, to) && fails("link") ? -1 : REAL(linkat)(a, from, b, to, flags); }
int symlink(const char *to, const char *path) { return below(path) && fails("symlink") ? -1 : REAL(symlink)(to, path); }
int symlinkat(const char *to, int dir, const char *path) { return below_at(dir, path) && fails("symlink") ? -1 : REAL(symlinkat)(to, dir, path); }
int mkdir(const char *path, mode_t mode) { return below(path) && fails("mkdir") ? -1 : REAL(mkdir)(path, mode); }
int mkdirat(int dir, const char *path, mode_t mode) { return below_at(dir, path) && fails("mkdir") ? -1 : REAL(mkdirat)(dir, path, mode); }
int fallocate(int fd, int mode, off_t at, off_t size) { return below_fd(fd) && fails("fallocate") ? -1 : REAL(fallocate)(fd, mode, at, size); }
int fallocate64(int fd, int mode, off64_t at, off64_t size) { return below_fd(fd) && fails("fallocate") ? -1 : REAL(fallocate64)(fd, mode, at, size); }
