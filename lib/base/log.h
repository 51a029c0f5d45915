/* Structured log lines on standard error. Only the daemon and the command line log; libraries return errors.
 * Text that comes from outside is quoted by the formatter; secrets never reach it. */
#ifndef QN_BASE_LOG_H
#define QN_BASE_LOG_H

#include "compiler.h"
#include "err.h"

#include <stdint.h>

enum qn_log_level { QN_LOG_ERROR, QN_LOG_WARN, QN_LOG_INFO, QN_LOG_DEBUG };
enum qn_log_format { QN_LOG_TEXT, QN_LOG_JSON };

/* Sets what is printed; call before threads start. */
void qn_log_setup(enum qn_log_level level, enum qn_log_format format);
bool qn_log_enabled(enum qn_log_level level);

/* Request id of this thread, printed as "request"; "" for none. Copied, at most 63 bytes. */
void qn_log_request(const char *id);
const char *qn_log_request_get(void);

/* Writes one line: time, level, `event` (a short constant phrase), then pairs of key and value, all C strings,
 * ended by NULL: qn_log(QN_LOG_INFO, "pull done", "ref", ref, "digest", d, NULL). NULL values are skipped. */
void qn_log(enum qn_log_level level, const char *event, ...) __attribute__((sentinel));
/* The same for a failure: adds code, message and where it was raised. */
void qn_log_err(enum qn_log_level level, const char *event, const struct qn_err *err, ...) __attribute__((sentinel));

#endif
