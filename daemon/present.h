/* Results of one-shot runs for people. Text that comes from an image is made safe for a terminal. */
#ifndef QN_DAEMON_PRESENT_H
#define QN_DAEMON_PRESENT_H

#include "oneshot.h"

enum qn_output { QN_OUT_TEXT = 1, QN_OUT_JSON, QN_OUT_SARIF };
/* "text", "json", "sarif"; USAGE otherwise. */
int qn_output_parse(const char *text, enum qn_output *out, struct qn_err *e) QN_MUST_CHECK;

/* The reports of all platforms as one array; the caller owns it. */
json_t *qn_present_reports(const struct qn_oneshot_result *r);
/* An image as it came, for machines; the caller owns it. */
json_t *qn_present_inspected(const struct qn_oneshot_image *image);
/* Findings as SARIF; the caller owns it. */
json_t *qn_present_sarif(const struct qn_oneshot_result *r, const char *src, bool as_is);
/* Prints a document, indented, and a newline; IO when that fails. */
int qn_present_json(const json_t *j, struct qn_err *e) QN_MUST_CHECK;

/* IO when standard output could not take what was printed. */
int qn_present_flush(struct qn_err *e) QN_MUST_CHECK;
enum qn_colour { QN_RED = 31, QN_GREEN = 32, QN_YELLOW = 33 };
/* Prints a word of ours, padded to `width`, in colour when standard output is a terminal and NO_COLOR is not set
 * (no-color.org). */
void qn_present_coloured(enum qn_colour c, const char *s, int width);
/* Prints text of an image, made safe for a terminal. */
void qn_present_safe(const char *s);

/* Results of the verifier alone as SARIF: objects with "platform", "source" and "verification". */
json_t *qn_present_sarif_checks(const json_t *list, const char *src);
/* Answers of explain, verify and diff; `with_platform` puts it in front. */
void qn_present_explanation(const struct qn_oneshot_image *image, bool with_platform);
void qn_present_verification(const struct qn_oneshot_image *image, const char *src);
void qn_present_diff(const json_t *diff, bool with_platform);

/* The table of before and after, rules, open findings. */
void qn_present_hardened(const struct qn_oneshot_image *image, const char *src, const char *dst);
/* What an image is made of, findings, what would stay and why, what the rules would do. */
void qn_present_inspection(const struct qn_oneshot_image *image, const char *src);

/* How many findings of the reports are at `level` ("info", "warn", "fatal") or above, fixable ones as well. */
size_t qn_present_count(const struct qn_oneshot_result *r, const char *level);

#endif
