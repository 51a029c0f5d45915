/* Takes away from this process everything but computing and the descriptors that it holds or is sent.
 * Order: resource limits, capabilities, no_new_privs, Landlock (no file system, no network, no signals or abstract
 * sockets outwards), seccomp (an allow-list; the default kills the process). */
#ifndef QN_WORKER_JAIL_H
#define QN_WORKER_JAIL_H

#include "base/err.h"

#include <stdint.h>

struct qn_jail {
    uint64_t memory;      /* RLIMIT_DATA in bytes; 0: no limit. Not set under a sanitizer, whose shadow is larger */
    uint64_t cpu_seconds; /* RLIMIT_CPU; 0: no limit */
    uint64_t file_size;   /* RLIMIT_FSIZE in bytes; 0: no limit */
};

/* What the kernel gave. */
struct qn_jail_state {
    int landlock_abi; /* 0: the kernel has no Landlock (or it is off), which is the only tolerated loss */
    bool sanitizer;   /* built with a sanitizer: a few more system calls, no RLIMIT_DATA */
};

/* Locks the calling process (which must have one thread) for good; `channel` is the one descriptor that messages may
 * come and go by. IO when any step but Landlock's absence fails: the process must then exit. */
int qn_jail_enter(const struct qn_jail *jail, int channel, struct qn_jail_state *out, struct qn_err *e) QN_MUST_CHECK;

#endif
