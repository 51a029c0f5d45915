/* The error object: plain memory on the caller's stack, filled on failure, nothing to free.
 *
 * Every fallible function takes `struct qn_err *e` as its last parameter (never NULL) and returns 0 or -1.
 * The code that detects the failure calls qn_fail(); code on the way up may put context in front with
 * qn_err_wrap(). Library code never logs a failure: it returns it. */
#ifndef QN_BASE_ERR_H
#define QN_BASE_ERR_H

#include "compiler.h"

#include <stdbool.h>
#include <stddef.h>

enum qn_code {
    QN_OK = 0,
#define X(name, number, http, oci, exit_status, retry, summary) QN_E_##name = number,
#include "errors.def"
#undef X
};

struct qn_err {
    enum qn_code code;
    int sys;          /* errno at the time of the failure, or 0 */
    int line;         /* where the failure was raised first */
    const char *file; /* static storage */
    char msg[512];    /* "what: where: why"; cut to size, never an allocation */
};

/* What the table errors.def says of a code. */
struct qn_code_info {
    const char *name;    /* "MALFORMED" */
    int http_status;     /* for the registry and admin listeners */
    const char *oci;     /* OCI Distribution error code */
    int exit_status;     /* of the command line */
    bool retryable;      /* may succeed when tried again later */
    const char *summary; /* one line of documentation */
};

/* Describes `code`; unknown numbers are described as BUG. Never NULL. */
const struct qn_code_info *qn_code_info(enum qn_code code);

/* Fills `e` and returns -1. Use the macros below, which add file and line. */
int qn_err_set(struct qn_err *e, enum qn_code code, int sys, const char *file, int line, const char *fmt, ...)
    QN_PRINTF(6, 7);

/* Puts "text: " in front of the message of an error that was already raised; returns -1. */
int qn_err_wrap(struct qn_err *e, const char *fmt, ...) QN_PRINTF(2, 3);

/* Raises `code` with a printf message; evaluates to -1. */
#define qn_fail(e, code, ...) qn_err_set((e), (code), 0, __FILE__, __LINE__, __VA_ARGS__)

/* Raises a failed system call: appends strerror(errno); ENOSPC and EDQUOT become NO_SPACE, ENOMEM becomes NOMEM. */
#define qn_fail_errno(e, code, ...) qn_err_set((e), (code), errno, __FILE__, __LINE__, __VA_ARGS__)

/* "Our bug": aborts with file and line, also in release builds. */
#define qn_assert(cond) ((cond) ? (void)0 : qn_assert_failed(#cond, __FILE__, __LINE__))
void qn_assert_failed(const char *cond, const char *file, int line) QN_NORETURN;

#endif
