"""Seccomp: the system calls a workload may make, generated from one table by topic.

An allow list: what is not named answers ENOSYS, so that a C library falls back to an older call; what is named as
denied answers EPERM. Against podman's own default it further denies namespaces, keyrings, ptrace and its kin, bpf,
perf, userfaultfd, io_uring, the mount calls, sockets of families that reach past a network namespace, and 32-bit calls.
"""

from __future__ import annotations

import json
import platform
from typing import Any

from xnode.errors import Permanent

EPERM, ENOSYS = 1, 38

ARCHITECTURES = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}
"""Only the native one: 32-bit entry points are a second, less tested set of calls."""

ALLOWED = {
    "files": """
        access chdir chmod chown close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64
        fallocate fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl fdatasync fgetxattr flistxattr flock
        fremovexattr fsetxattr fstat fstatfs fsync ftruncate futimesat getcwd getdents getdents64 getxattr ioctl lchown
        lgetxattr link linkat listxattr llistxattr lremovexattr lseek lsetxattr lstat mkdir mkdirat mknod mknodat
        newfstatat open openat openat2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink
        readlinkat readv removexattr rename renameat renameat2 rmdir sendfile setxattr splice stat statfs statx symlink
        symlinkat sync sync_file_range syncfs tee truncate umask unlink unlinkat utime utimensat utimes write writev""",
    "waiting": """
        epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 futex futex_wait
        futex_wake futex_requeue futex_waitv inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel
        io_destroy io_getevents io_setup io_submit pause poll ppoll pselect6 select signalfd signalfd4""",
    "memory": """
        brk cachestat get_mempolicy madvise map_shadow_stack mbind membarrier memfd_create mincore mlock mlock2 mlockall
        mmap mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect remap_file_pages
        set_mempolicy set_mempolicy_home_node""",
    "processes": """
        arch_prctl capget capset execve execveat exit exit_group fork getcpu getegid geteuid getgid getgroups getpgid
        getpgrp getpid getppid getpriority getresgid getresuid getrlimit getrusage getsid gettid getuid get_robust_list
        get_thread_area ioprio_get ioprio_set kill pidfd_open pidfd_send_signal prctl prlimit64 process_mrelease rseq
        restart_syscall rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
        rt_sigtimedwait rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr
        sched_getparam sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam
        sched_setscheduler sched_yield set_robust_list set_thread_area set_tid_address setfsgid setfsuid setgid
        setgroups setitimer getitimer setpgid setpriority setregid setresgid setresuid setreuid setrlimit setsid setuid
        sigaltstack tgkill tkill vfork wait4 waitid""",
    "its own sandbox": "landlock_add_rule landlock_create_ruleset landlock_restrict_self seccomp",
    "time": """
        alarm clock_getres clock_gettime clock_nanosleep gettimeofday nanosleep time timer_create timer_delete
        timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime timerfd_settime times""",
    "between processes": """
        mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink msgctl msgget msgrcv msgsnd pipe pipe2
        semctl semget semop semtimedop shmat shmctl shmdt shmget""",
    "sockets": """
        accept accept4 bind connect getpeername getsockname getsockopt listen recvfrom recvmmsg recvmsg sendmmsg sendmsg
        sendto setsockopt shutdown socketpair""",
    "the system": "getrandom sysinfo uname",
}

DENIED = {
    "namespaces": "chroot pivot_root setns unshare",
    "mounts": """
        fsconfig fsmount fsopen fspick listmount mount mount_setattr move_mount open_tree open_tree_attr quotactl
        quotactl_fd statmount swapoff swapon umount umount2""",
    "keyrings": "add_key keyctl request_key",
    "other processes' memory": """
        kcmp move_pages migrate_pages perf_event_open pidfd_getfd process_madvise process_vm_readv process_vm_writev
        ptrace userfaultfd vmsplice""",
    "the kernel itself": """
        acct adjtimex bpf clock_adjtime clock_settime delete_module finit_module init_module ioperm iopl kexec_file_load
        kexec_load lookup_dcookie modify_ldt reboot setdomainname sethostname settimeofday syslog vhangup""",
    "files by handle": "fanotify_init fanotify_mark name_to_handle_at open_by_handle_at",
}

ANSWERED_ENOSYS = "clone3 io_uring_enter io_uring_register io_uring_setup"
"""clone3 hides its flags behind a pointer, so no filter can read them; C libraries fall back to clone on ENOSYS."""

CLONE_NAMESPACES = 0x7E02_0000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET together."""

PERSONALITIES = (0x0, 0x0008, 0x2_0000, 0x2_0008, 0xFFFF_FFFF)
"""Linux, 32-bit Linux, both with UNAME26, and the query."""

AF_UNIX, AF_INET, AF_INET6, AF_NETLINK = 1, 2, 10, 16
NETLINK_ROUTE = 0


def make_profile(machine: str = platform.machine()) -> str:
    """The profile as JSON, the same text for the same machine."""
    if machine not in ARCHITECTURES:
        raise Permanent(f"no seccomp profile for {machine}", hint=f"xnode runs on {' and '.join(ARCHITECTURES)}")
    rules = [_rule(names.split(), "SCMP_ACT_ALLOW") for names in ALLOWED.values()]
    rules += [_rule(names.split(), "SCMP_ACT_ERRNO", EPERM) for names in DENIED.values()]
    rules.append(_rule(ANSWERED_ENOSYS.split(), "SCMP_ACT_ERRNO", ENOSYS))
    rules += _conditional_rules()
    return json.dumps(
        {
            "defaultAction": "SCMP_ACT_ERRNO",
            "defaultErrnoRet": ENOSYS,
            "architectures": [ARCHITECTURES[machine]],
            "syscalls": rules,
        },
        indent=1,
    )


def _conditional_rules() -> list[dict[str, Any]]:
    clone = _rule(["clone"], "SCMP_ACT_ALLOW", args=[_arg(0, CLONE_NAMESPACES, 0, "SCMP_CMP_MASKED_EQ")])
    personalities = [_rule(["personality"], "SCMP_ACT_ALLOW", args=[_arg(0, value)]) for value in PERSONALITIES]
    families = [_rule(["socket"], "SCMP_ACT_ALLOW", args=[_arg(0, value)]) for value in (AF_UNIX, AF_INET, AF_INET6)]
    route = _rule(["socket"], "SCMP_ACT_ALLOW", args=[_arg(0, AF_NETLINK), _arg(2, NETLINK_ROUTE)])
    return [clone, *personalities, *families, route]


def _rule(
    names: list[str], action: str, errno: int | None = None, args: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    rule: dict[str, Any] = {"names": names, "action": action, "args": args or []}
    return rule if errno is None else rule | {"errnoRet": errno}


def _arg(index: int, value: int, value_two: int = 0, op: str = "SCMP_CMP_EQ") -> dict[str, Any]:
    return {"index": index, "value": value, "valueTwo": value_two, "op": op}
