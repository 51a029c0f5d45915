/* Commands of `quench ctl` that are more than one request. */
#include "cli.h"
#include "ctl.h"
#include "progress.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "store/rows_admin.h"

#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

/* --- wait --------------------------------------------------------------------------------------------------------- */
#define WAIT_SECONDS 1200
#define LOOK_MS      500

static const char *text(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static bool is(const json_t *o, const char *state)
{
    return strcmp(text(o, "state"), state) == 0;
}

static int say(const struct qn_ctl_run *r, const json_t *o, int status)
{
    const char *because = *text(o, "message") ? text(o, "message") : text(o, "reason");

    if (r->json) {
        char *out = json_dumps(o, JSON_INDENT(2));
        puts(out ? out : "");
        free(out);
    } else if (status == 0) {
        printf("%s %s\n", *text(o, "hardened") ? text(o, "hardened") : text(o, "id"), text(o, "state"));
    } else {
        fprintf(stderr, "quench: ctl wait: %s: %s%s%s\n", r->arg[1], text(o, "state"), *because ? ": " : "", because);
    }
    return status;
}

/* Exit status of a state, or -1 while it may still change. */
static int judge(const json_t *o, bool job)
{
    if (job)
        return is(o, "done") ? 0 : is(o, "denied") ? 3 : is(o, "failed") || is(o, "cancelled") ? 1 : -1;
    if (is(o, "hardened") || is(o, "unchanged") || is(o, "original"))
        return 0;
    if (is(o, "awaiting-approval"))
        return 3;
    return is(o, "denied") ? (*text(o, "retry_at") ? 1 : 3) : -1;
}

static void show(const json_t *o)
{
    const json_t *p = json_object_get(o, "progress");

    if (!isatty(STDERR_FILENO))
        return;
    fprintf(stderr, "\r\033[K%s %s %lld/%lld", text(o, "state"), text(o, "stage"),
            (long long)json_integer_value(json_object_get(p, "done")),
            (long long)json_integer_value(json_object_get(p, "total")));
}

/* The job that works on a reference, for progress; asking for it starts one where none was. */
static int start(const struct qn_ctl_run *r, json_t **out, struct qn_err *e)
{
    qn_auto_json json_t *o = json_object();
    qn_auto_buf struct qn_buf b = {0};

    qn_json_set_c(o, "ref", r->arg[1]);
    qn_buf_init(&b, 4096);
    if (qn_json_print(o, &b, e) < 0 || qn_buf_put(&b, "", 1, e) < 0)
        return -1;
    return qn_ctl_json(r->client, "POST", "/api/v1/images", b.p, out, e);
}

int qn_ctl_wait(const struct qn_ctl_run *r)
{
    const char *given = json_string_value(json_object_get(r->options, "timeout"));
    bool job = !strchr(r->arg[1], '/'), quiet = json_object_get(r->options, "quiet") != NULL;
    qn_auto_free char *what = qn_ctl_escape(r->arg[1]);
    qn_auto_free char *path =
        job ? qn_xasprintf("/api/v1/jobs/%s", what) : qn_xasprintf("/api/v1/resolve?ref=%s", what);
    uint64_t seconds = WAIT_SECONDS;
    struct qn_err e;

    if (given && qn_num_u64(qn_str_c(given), 1, 86400, &seconds, &e) < 0)
        return qn_cli_usage("ctl", "--timeout: %s", e.msg);
    int64_t end = qn_time_mono_ms() + (int64_t)seconds * 1000;
    for (bool started = job;;) {
        qn_auto_json json_t *o = NULL;
        if (qn_ctl_json(r->client, "GET", path, NULL, &o, &e) < 0)
            return qn_cli_error(&e);
        int status = judge(o, job);
        if (status >= 0)
            return say(r, o, status);
        if (!quiet)
            show(o);
        if (qn_time_mono_ms() > end) {
            fprintf(stderr, "quench: ctl wait: %s: still %s after %llu s\n", r->arg[1], text(o, "state"),
                    (unsigned long long)seconds);
            return 1;
        }
        qn_auto_json json_t *accepted = NULL;
        if (!started && start(r, &accepted, &e) < 0) /* joins what is under way */
            return qn_cli_error(&e);
        started = true;
        poll(NULL, 0, LOOK_MS);
    }
}

/* --- audit verify ------------------------------------------------------------------------------------------------- */
static int read_entry(const json_t *o, struct qn_row_audit *row, struct qn_err *e)
{
    qn_auto_buf struct qn_buf detail = {0};
    uint64_t id;

    *row = (struct qn_row_audit){.id = 0};
    qn_buf_init(&detail, sizeof row->detail - 1);
    if (qn_num_u64(qn_str_c(text(o, "id")), 1, INT64_MAX, &id, e) < 0 ||
        qn_time_parse(qn_str_c(text(o, "at")), &row->at, e) < 0 ||
        qn_digest_parse(qn_str_c(text(o, "hash")), &row->hash, e) < 0 ||
        qn_json_print(json_object_get(o, "detail"), &detail, e) < 0)
        return -1;
    row->id = (int64_t)id;
    snprintf(row->who, sizeof row->who, "%s", text(o, "who"));
    snprintf(row->action, sizeof row->action, "%s", text(o, "action"));
    snprintf(row->subject, sizeof row->subject, "%s", text(o, "subject"));
    snprintf(row->request, sizeof row->request, "%s", text(o, "request"));
    snprintf(row->detail, sizeof row->detail, "%.*s", QN_FMT(qn_buf_view(&detail)));
    return 0;
}

struct chain {
    int64_t last;
    struct qn_digest hash;
    uint64_t n;
    bool began_later; /* the first entries were pruned: it hangs on a hash that is not there any more */
};

/* 0 when the entry follows from the chain so far; 1 when it does not. */
static int follow(struct chain *c, const json_t *o, struct qn_err *e)
{
    struct qn_row_audit row;
    struct qn_digest made;

    if (read_entry(o, &row, e) < 0)
        return -1;
    if (c->n == 0 && row.id > 1) {
        c->began_later = true;
        if (qn_digest_parse(qn_str_c(text(o, "previous")), &c->hash, e) < 0)
            c->hash = (struct qn_digest){QN_DIGEST_NONE, {0}};
        if (c->hash.algorithm == QN_DIGEST_NONE) { /* pruned: its hash is the anchor */
            c->hash = row.hash;
            c->last = row.id;
            c->n = 1;
            return 0;
        }
    } else if (row.id != c->last + 1) {
        return 1;
    }
    row.previous = c->hash;
    qn_audit_hash(&row, &made);
    if (!qn_digest_eq(&made, &row.hash))
        return 1;
    c->hash = row.hash;
    c->last = row.id;
    c->n++;
    return 0;
}

int qn_ctl_verify(const struct qn_ctl_run *r)
{
    struct chain c = {.hash = {QN_DIGEST_NONE, {0}}};
    char digest[QN_DIGEST_TEXT] = "";
    struct qn_err e;

    for (size_t got = 1000; got == 1000;) {
        qn_auto_json json_t *page = NULL;
        qn_auto_free char *path =
            c.last ? qn_xasprintf("/api/v1/audit?order=oldest&limit=1000&after=%lld", (long long)c.last)
                   : qn_xstrdup("/api/v1/audit?order=oldest&limit=1000");
        size_t i;
        json_t *item;
        if (qn_ctl_json(r->client, "GET", path, NULL, &page, &e) < 0)
            return qn_cli_error(&e);
        got = json_array_size(json_object_get(page, "entries"));
        json_array_foreach (json_object_get(page, "entries"), i, item) {
            int bad = follow(&c, item, &e);
            if (bad) {
                fprintf(stderr, "quench: ctl audit verify: entry %s: %s\n", text(item, "id"),
                        bad < 0 ? e.msg : "does not follow from the entries before it: the log was changed");
                return 1;
            }
        }
    }
    if (c.n)
        qn_digest_text(&c.hash, digest);
    printf("%llu entries, the last one %s%s\n", (unsigned long long)c.n, c.n ? digest : "none",
           c.began_later ? "; older ones were pruned" : "");
    return 0;
}
