/* passwd, group, shadow and gshadow files as rows that can be edited; untouched lines are printed byte for byte.
 * Sources: passwd(5), group(5), shadow(5), gshadow(5). */
#ifndef QN_FORMATS_PASSWD_H
#define QN_FORMATS_PASSWD_H

#include "base/buf.h"
#include "base/mem.h"

#include <stdint.h>

enum qn_rows_kind { QN_ROWS_PASSWD = 1, QN_ROWS_GROUP, QN_ROWS_SHADOW, QN_ROWS_GSHADOW };

/* Numbers of fields, for qn_row.field[] and qn_rows_set(). */
enum { QN_PW_NAME, QN_PW_PASSWORD, QN_PW_UID, QN_PW_GID, QN_PW_GECOS, QN_PW_HOME, QN_PW_SHELL };
enum { QN_GR_NAME, QN_GR_PASSWORD, QN_GR_GID, QN_GR_MEMBERS };
enum { QN_SP_NAME, QN_SP_PASSWORD, QN_SP_CHANGED };
enum { QN_SG_NAME, QN_SG_PASSWORD, QN_SG_ADMINS, QN_SG_MEMBERS };
#define QN_ROW_FIELDS 9
#define QN_ROWS_MAX   100000u

struct qn_row {
    struct qn_str raw;                  /* the line with its newline, as it was read; "" for appended rows */
    struct qn_str field[QN_ROW_FIELDS]; /* the last one takes the rest of the line */
    unsigned fields;                    /* as many as the line has; 0 for comments, blank and broken lines */
    bool changed;
    bool dropped;
};

struct qn_rows {
    enum qn_rows_kind kind;
    struct qn_row *row;
    size_t n;
    size_t cap;
    bool changed; /* something was set, dropped or appended */
    struct qn_arena arena;
};

/* Splits `text`, which must outlive the rows. Lines that do not have the fields a reader needs (passwd 4, group 3,
 * shadow and gshadow 2) stay as raw text and are never found. LIMIT for more than QN_ROWS_MAX lines or 16 MiB. */
int qn_rows_parse(enum qn_rows_kind kind, struct qn_str text, struct qn_rows *out, struct qn_err *e) QN_MUST_CHECK;
void qn_rows_fini(struct qn_rows *r);
#define qn_auto_rows QN_CLEANUP(qn_rows_fini)

/* The first row with that name that is not dropped, or NULL. Stale after an append. */
struct qn_row *qn_rows_find(const struct qn_rows *r, struct qn_str name);
/* The first row with that uid (passwd) or gid (group), or NULL. */
struct qn_row *qn_rows_find_id(const struct qn_rows *r, uint32_t id);
/* A numeric field; false when it is missing or not a number of 32 bits. */
bool qn_row_number(const struct qn_row *row, unsigned field, uint32_t *out);
/* Whether `name` is in a comma-separated list. */
bool qn_rows_list_has(struct qn_str list, struct qn_str name);
/* Replaces a field the row has; MALFORMED when the value holds ":", a newline or NUL. The value is copied. */
int qn_rows_set(struct qn_rows *r, struct qn_row *row, unsigned field, struct qn_str value,
                struct qn_err *e) QN_MUST_CHECK;
/* Drops a row. */
void qn_rows_drop(struct qn_rows *r, struct qn_row *row);
/* Appends a row of `n` fields (copied). Pointers to rows are stale afterwards. */
int qn_rows_append(struct qn_rows *r, const struct qn_str *fields, unsigned n, struct qn_err *e) QN_MUST_CHECK;
/* Appends the file to `b`. */
int qn_rows_print(const struct qn_rows *r, struct qn_buf *b, struct qn_err *e) QN_MUST_CHECK;

#endif
