#include "jail.h"
#include "base/fd.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZER 1
#endif
#endif
#ifndef SANITIZER
#define SANITIZER 0
#endif

/* --- resource limits, capabilities -------------------------------------------------------------------------------- */

/* `grace` is between the soft limit, whose signal says what happened, and the hard one. */
static int limit(int what, const char *name, uint64_t value, uint64_t grace, struct qn_err *e)
{
    struct rlimit r;

    if (getrlimit((__rlimit_resource_t)what, &r) < 0)
        return qn_fail_errno(e, QN_E_IO, "jail: %s", name);
    r.rlim_max = QN_MIN(r.rlim_max, value + grace); /* RLIM_INFINITY is the largest number */
    r.rlim_cur = QN_MIN(r.rlim_max, value);
    if (setrlimit((__rlimit_resource_t)what, &r) < 0)
        return qn_fail_errno(e, QN_E_IO, "jail: %s", name);
    return 0;
}

static int limits(const struct qn_jail *jail, struct qn_err *e)
{
    if (limit(RLIMIT_CORE, "RLIMIT_CORE", 0, 0, e) < 0 || limit(RLIMIT_NPROC, "RLIMIT_NPROC", 0, 0, e) < 0 ||
        limit(RLIMIT_NOFILE, "RLIMIT_NOFILE", 32, 0, e) < 0)
        return -1;
    if (jail->memory && !SANITIZER && limit(RLIMIT_DATA, "RLIMIT_DATA", jail->memory, 0, e) < 0)
        return -1;
    if (jail->cpu_seconds && limit(RLIMIT_CPU, "RLIMIT_CPU", jail->cpu_seconds, 5, e) < 0)
        return -1;
    if (jail->file_size && limit(RLIMIT_FSIZE, "RLIMIT_FSIZE", jail->file_size, 0, e) < 0)
        return -1;
    return 0;
}

static int drop_capabilities(struct qn_err *e)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {{0}};

    if (syscall(SYS_capset, &header, none) < 0)
        return qn_fail_errno(e, QN_E_IO, "jail: capset");
    return 0;
}

/* --- Landlock ----------------------------------------------------------------------------------------------------- */

/* The kernel's structure as of ABI 6; older kernels get the part that they know. */
struct ruleset {
    uint64_t access_fs;
    uint64_t access_net; /* ABI 4 */
    uint64_t scoped;     /* ABI 6 */
};

#define RULESET_VERSION 1u /* LANDLOCK_CREATE_RULESET_VERSION */

/* Every right that the ABI knows is handled and none granted. */
static void deny_all(int abi, struct ruleset *r, size_t *size)
{
    static const uint64_t fs[] = {0, 0x1fff, 0x3fff, 0x7fff, 0x7fff, 0xffff};

    *r = (struct ruleset){.access_fs = fs[QN_MIN((size_t)abi, QN_ARRAY_LEN(fs) - 1)]};
    *size = offsetof(struct ruleset, access_net);
    if (abi >= 4) {
        r->access_net = 3; /* bind and connect TCP */
        *size = offsetof(struct ruleset, scoped);
    }
    if (abi >= 6) {
        r->scoped = 3; /* abstract unix sockets, signals */
        *size = sizeof *r;
    }
}

static int landlock(int *abi_out, struct qn_err *e)
{
    struct ruleset rules;
    size_t size;
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, RULESET_VERSION);

    *abi_out = 0;
    if (abi < 0 && (errno == ENOSYS || errno == EOPNOTSUPP))
        return 0;
    if (abi < 0)
        return qn_fail_errno(e, QN_E_IO, "jail: landlock");
    deny_all((int)abi, &rules, &size);
    qn_auto_close int fd = (int)syscall(SYS_landlock_create_ruleset, &rules, size, 0);
    if (fd < 0 || syscall(SYS_landlock_restrict_self, fd, 0) < 0)
        return qn_fail_errno(e, QN_E_IO, "jail: landlock");
    *abi_out = (int)abi;
    return 0;
}

/* --- seccomp ------------------------------------------------------------------------------------------------------ */

/* What computing on open descriptors needs. newfstatat is glibc's fstat; sysinfo and sched_getaffinity are asked for by
 * qsort and sysconf. */
static const int allowed[] = {
    SCMP_SYS(read),        SCMP_SYS(readv),        SCMP_SYS(pread64),         SCMP_SYS(preadv),
    SCMP_SYS(write),       SCMP_SYS(writev),       SCMP_SYS(pwrite64),        SCMP_SYS(pwritev),
    SCMP_SYS(lseek),       SCMP_SYS(fstat),        SCMP_SYS(newfstatat),      SCMP_SYS(ftruncate),
    SCMP_SYS(fallocate),   SCMP_SYS(fadvise64),    SCMP_SYS(close),           SCMP_SYS(munmap),
    SCMP_SYS(mremap),      SCMP_SYS(brk),          SCMP_SYS(madvise),         SCMP_SYS(futex),
    SCMP_SYS(poll),        SCMP_SYS(ppoll),        SCMP_SYS(clock_gettime),   SCMP_SYS(gettimeofday),
    SCMP_SYS(getrandom),   SCMP_SYS(getpid),       SCMP_SYS(gettid),          SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(sysinfo),     SCMP_SYS(rt_sigreturn), SCMP_SYS(restart_syscall), SCMP_SYS(sched_getaffinity),
    SCMP_SYS(exit),        SCMP_SYS(exit_group),
#if SANITIZER
    SCMP_SYS(sigaltstack), SCMP_SYS(sched_yield),  SCMP_SYS(rt_sigaction),    SCMP_SYS(getrlimit),
    SCMP_SYS(prlimit64),
#endif
};

#if SANITIZER
/* A sanitizer that wants to report looks for files first; it must get to its report. */
static const int refused[] = {SCMP_SYS(open),       SCMP_SYS(openat), SCMP_SYS(readlink),
                              SCMP_SYS(readlinkat), SCMP_SYS(access), SCMP_SYS(prctl)};
#endif

/* Messages through one descriptor only; memory never executable; signals to nobody but itself (abort). */
static int conditional(scmp_filter_ctx ctx, int channel)
{
    struct scmp_arg_cmp on_channel = SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)channel, 0);
    struct scmp_arg_cmp no_exec = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
    struct scmp_arg_cmp own_pid = SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0);
    static const int messages[] = {SCMP_SYS(sendmsg), SCMP_SYS(sendto), SCMP_SYS(recvmsg), SCMP_SYS(recvfrom)};
    static const int memory[] = {SCMP_SYS(mmap), SCMP_SYS(mprotect)};
    int r = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, &own_pid);

    for (size_t i = 0; i < QN_ARRAY_LEN(messages) && r == 0; i++)
        r = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, messages[i], 1, &on_channel);
    for (size_t i = 0; i < QN_ARRAY_LEN(memory) && r == 0; i++)
        r = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, memory[i], 1, &no_exec);
    return r;
}

static int seccomp_on(int channel, struct qn_err *e)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
    int r = ctx ? 0 : -ENOMEM;

    for (size_t i = 0; i < QN_ARRAY_LEN(allowed) && r == 0; i++)
        r = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, allowed[i], 0, NULL);
#if SANITIZER
    for (size_t i = 0; i < QN_ARRAY_LEN(refused) && r == 0; i++)
        r = seccomp_rule_add_array(ctx, SCMP_ACT_ERRNO(EACCES), refused[i], 0, NULL);
#endif
    if (r == 0)
        r = conditional(ctx, channel);
    if (r == 0)
        r = seccomp_load(ctx);
    if (ctx)
        seccomp_release(ctx);
    if (r == 0)
        return 0;
    errno = -r;
    return qn_fail_errno(e, QN_E_IO, "jail: seccomp");
}

int qn_jail_enter(const struct qn_jail *jail, int channel, struct qn_jail_state *out, struct qn_err *e)
{
    struct qn_jail_state state = {.sanitizer = SANITIZER};

    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return qn_fail_errno(e, QN_E_IO, "jail: PR_SET_DUMPABLE");
    if (limits(jail, e) < 0 || drop_capabilities(e) < 0)
        return -1;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return qn_fail_errno(e, QN_E_IO, "jail: PR_SET_NO_NEW_PRIVS");
    if (landlock(&state.landlock_abi, e) < 0 || seccomp_on(channel, e) < 0)
        return -1;
    *out = state;
    return 0;
}
