#include "passwd.h"
#include "base/num.h"

#include <stdlib.h>

#define TEXT_MAX (16u << 20)

static unsigned fields_min(enum qn_rows_kind kind)
{
    return kind == QN_ROWS_PASSWD ? 4 : kind == QN_ROWS_GROUP ? 3 : 2;
}

static unsigned fields_max(enum qn_rows_kind kind)
{
    return kind == QN_ROWS_PASSWD ? 7 : kind == QN_ROWS_SHADOW ? 9 : 4;
}

/* Splits a line; a line that a reader would not take keeps no fields. */
static void split(enum qn_rows_kind kind, struct qn_str line, struct qn_row *row)
{
    unsigned max = fields_max(kind), n = 0;

    if (line.n && line.p[line.n - 1] == '\n')
        line.n--;
    if (line.n == 0 || line.p[0] == '#' || line.p[0] == ':' || qn_str_chr(line, '\0') >= 0)
        return;
    for (;;) {
        ptrdiff_t colon = n + 1 < max ? qn_str_chr(line, ':') : -1;
        if (colon < 0) {
            row->field[n++] = line;
            break;
        }
        row->field[n++] = qn_str_head(line, (size_t)colon);
        line = qn_str_from(line, (size_t)colon + 1);
    }
    if (n >= fields_min(kind))
        row->fields = n;
}

static struct qn_row *add(struct qn_rows *r, struct qn_err *e)
{
    if (qn_grow((void **)&r->row, &r->cap, r->n + 1, sizeof *r->row, QN_ROWS_MAX, e) < 0)
        return NULL;
    struct qn_row *row = &r->row[r->n++];
    memset(row, 0, sizeof *row);
    row->raw = QN_STR("");
    for (unsigned i = 0; i < QN_ROW_FIELDS; i++)
        row->field[i] = QN_STR("");
    return row;
}

int qn_rows_parse(enum qn_rows_kind kind, struct qn_str text, struct qn_rows *out, struct qn_err *e)
{
    qn_auto_rows struct qn_rows r = {.kind = kind};

    if (text.n > TEXT_MAX)
        return qn_fail(e, QN_E_LIMIT, "account file of %zu bytes, at most %u", text.n, TEXT_MAX);
    qn_arena_init(&r.arena, TEXT_MAX);
    while (text.n) {
        ptrdiff_t end = qn_str_chr(text, '\n');
        struct qn_str line = end < 0 ? text : qn_str_head(text, (size_t)end + 1);
        text = qn_str_from(text, line.n);
        struct qn_row *row = add(&r, e);
        if (!row)
            return qn_err_wrap(e, "account file");
        row->raw = line;
        split(kind, line, row);
    }
    *out = r;
    memset(&r, 0, sizeof r);
    return 0;
}

void qn_rows_fini(struct qn_rows *r)
{
    free(r->row);
    qn_arena_fini(&r->arena);
    memset(r, 0, sizeof *r);
}

struct qn_row *qn_rows_find(const struct qn_rows *r, struct qn_str name)
{
    for (size_t i = 0; i < r->n; i++) {
        struct qn_row *row = &r->row[i];
        if (!row->dropped && row->fields > 0 && qn_str_eq(row->field[0], name))
            return row;
    }
    return NULL;
}

bool qn_row_number(const struct qn_row *row, unsigned field, uint32_t *out)
{
    struct qn_err e;
    uint64_t v;

    if (field >= row->fields || qn_num_u64(row->field[field], 0, UINT32_MAX, &v, &e) < 0)
        return false;
    *out = (uint32_t)v;
    return true;
}

struct qn_row *qn_rows_find_id(const struct qn_rows *r, uint32_t id)
{
    uint32_t v;

    if (r->kind != QN_ROWS_PASSWD && r->kind != QN_ROWS_GROUP)
        return NULL;
    for (size_t i = 0; i < r->n; i++)
        if (!r->row[i].dropped && qn_row_number(&r->row[i], 2, &v) && v == id)
            return &r->row[i];
    return NULL;
}

bool qn_rows_list_has(struct qn_str list, struct qn_str name)
{
    struct qn_str part;

    while (qn_str_next(&list, ',', &part))
        if (qn_str_eq(qn_str_trim(part), name))
            return true;
    return false;
}

/* Copies a value that may stand in a field. */
static int copy_value(struct qn_rows *r, struct qn_str value, struct qn_str *out, struct qn_err *e)
{
    if (qn_str_chr(value, ':') >= 0 || qn_str_chr(value, '\n') >= 0 || qn_str_chr(value, '\0') >= 0)
        return qn_fail(e, QN_E_MALFORMED, "account file: \"%s\" cannot stand in a field", QN_Q(value));
    return qn_arena_str(&r->arena, value, out, e);
}

int qn_rows_set(struct qn_rows *r, struct qn_row *row, unsigned field, struct qn_str value, struct qn_err *e)
{
    if (field >= row->fields)
        return qn_fail(e, QN_E_MALFORMED, "account file: \"%s\" has no field %u", QN_Q(row->field[0]), field);
    if (qn_str_eq(row->field[field], value))
        return 0;
    if (copy_value(r, value, &row->field[field], e) < 0)
        return -1;
    row->changed = r->changed = true;
    return 0;
}

void qn_rows_drop(struct qn_rows *r, struct qn_row *row)
{
    row->dropped = r->changed = true;
}

int qn_rows_append(struct qn_rows *r, const struct qn_str *fields, unsigned n, struct qn_err *e)
{
    struct qn_str copy[QN_ROW_FIELDS];

    qn_assert(n >= fields_min(r->kind) && n <= fields_max(r->kind));
    for (unsigned i = 0; i < n; i++)
        if (copy_value(r, fields[i], &copy[i], e) < 0)
            return -1;
    struct qn_row *row = add(r, e);
    if (!row)
        return -1;
    memcpy(row->field, copy, n * sizeof copy[0]);
    row->fields = n;
    row->changed = r->changed = true;
    return 0;
}

static int print_row(const struct qn_row *row, struct qn_buf *b, struct qn_err *e)
{
    /* A last line without a newline gets one before another line follows. */
    if (b->n > 0 && b->p[b->n - 1] != '\n' && qn_buf_c(b, "\n", e) < 0)
        return -1;
    if (!row->changed)
        return qn_buf_str(b, row->raw, e);
    for (unsigned i = 0; i < row->fields; i++)
        if ((i > 0 && qn_buf_c(b, ":", e) < 0) || qn_buf_str(b, row->field[i], e) < 0)
            return -1;
    bool bare = row->raw.n > 0 && row->raw.p[row->raw.n - 1] != '\n';
    return bare ? 0 : qn_buf_c(b, "\n", e);
}

int qn_rows_print(const struct qn_rows *r, struct qn_buf *b, struct qn_err *e)
{
    for (size_t i = 0; i < r->n; i++)
        if (!r->row[i].dropped && print_row(&r->row[i], b, e) < 0)
            return -1;
    return 0;
}
