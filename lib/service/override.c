/* Overrides: policies changed for a while. Those in force are kept in memory; a policy that one makes is made once and
 * lives as long as the site, since pulls and jobs hold it. */
#include "decide_int.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

struct made {
    struct made *next;
    const struct qn_policy *base;
    char mode[QN_ROW_SLUG];
    char rules[2048];
    struct qn_policy policy;
};

struct qn_overrides {
    struct qn_site *site;
    pthread_mutex_t lock;                          /* of what follows */
    struct qn_row_override live[QN_OVERRIDES_MAX]; /* newest first */
    size_t n;
    struct made *made;
    _Atomic int64_t next_end; /* seconds: when the first of them expires; INT64_MAX: none is in force */
};

static bool add_live(void *arg, const struct qn_row_override *row)
{
    struct qn_overrides *o = arg;

    o->live[o->n++] = *row;
    if (row->expires < atomic_load(&o->next_end))
        atomic_store(&o->next_end, row->expires);
    return o->n < QN_OVERRIDES_MAX;
}

static int load(struct qn_overrides *o, struct qn_err *e)
{
    qn_auto_read struct qn_tx *tx = NULL;

    if (qn_index_read(o->site->index, &tx, e) < 0)
        return -1;
    pthread_mutex_lock(&o->lock);
    o->n = 0;
    atomic_store(&o->next_end, INT64_MAX);
    int r = qn_index_overrides(tx, qn_time_now(), 0, QN_OVERRIDES_MAX, add_live, o, e);
    pthread_mutex_unlock(&o->lock);
    return r;
}

int qn_overrides_new(struct qn_site *site, struct qn_overrides **out, struct qn_err *e)
{
    struct qn_overrides *o = qn_new(struct qn_overrides);

    o->site = site;
    pthread_mutex_init(&o->lock, NULL);
    if (load(o, e) < 0) {
        qn_overrides_free(o);
        return -1;
    }
    *out = o;
    return 0;
}

void qn_overrides_free(struct qn_overrides *o)
{
    if (!o)
        return;
    while (o->made) {
        struct made *next = o->made->next;
        qn_policy_fini(&o->made->policy);
        free(o->made);
        o->made = next;
    }
    pthread_mutex_destroy(&o->lock);
    free(o);
}

/* With the lock held. */
static const struct qn_row_override *find(struct qn_overrides *o, struct qn_str repository, struct qn_str tag)
{
    int64_t now = qn_time_now();

    for (size_t i = 0; i < o->n; i++)
        if (o->live[i].expires > now && qn_settings_fits(qn_str_c(o->live[i].match), repository, tag))
            return &o->live[i];
    return NULL;
}

static int make(const struct qn_policy *base, const struct qn_row_override *row, struct qn_policy *out,
                struct qn_err *e)
{
    qn_auto_json json_t *rules = NULL;

    if (row->rules[0] && qn_json_parse(qn_str_c(row->rules), sizeof row->rules, &rules, e) < 0)
        return -1;
    return qn_policy_derive(base, row->mode[0] ? qn_mode_parse(qn_str_c(row->mode)) : (enum qn_mode)0, rules, out, e);
}

/* With the lock held. */
static const struct qn_policy *policy_for(struct qn_overrides *o, const struct qn_policy *base,
                                          const struct qn_row_override *row)
{
    struct qn_err e;

    for (struct made *m = o->made; m; m = m->next)
        if (m->base == base && strcmp(m->mode, row->mode) == 0 && strcmp(m->rules, row->rules) == 0)
            return &m->policy;
    struct made *m = qn_new(struct made);
    m->base = base;
    snprintf(m->mode, sizeof m->mode, "%s", row->mode);
    snprintf(m->rules, sizeof m->rules, "%s", row->rules);
    if (make(base, row, &m->policy, &e) < 0) { /* it could be made when it was put in force */
        free(m);
        return base;
    }
    m->next = o->made;
    o->made = m;
    return &m->policy;
}

const struct qn_policy *qn_site_policy(struct qn_site *site, struct qn_str repository, struct qn_str tag)
{
    const struct qn_policy *base = qn_settings_policy(site->settings, repository, tag);
    struct qn_overrides *o = site->overrides;

    if (atomic_load(&o->next_end) == INT64_MAX)
        return base;
    pthread_mutex_lock(&o->lock);
    const struct qn_row_override *row = find(o, repository, tag);
    if (row)
        base = policy_for(o, base, row);
    pthread_mutex_unlock(&o->lock);
    return base;
}

bool qn_override_of(struct qn_site *site, struct qn_str repository, struct qn_str tag, struct qn_row_override *out)
{
    struct qn_overrides *o = site->overrides;

    pthread_mutex_lock(&o->lock);
    const struct qn_row_override *row = find(o, repository, tag);
    if (row)
        *out = *row;
    pthread_mutex_unlock(&o->lock);
    return row != NULL;
}

uint64_t qn_site_generation(struct qn_site *site)
{
    struct qn_overrides *o = site->overrides;
    int64_t end = atomic_load(&o->next_end);

    if (end != INT64_MAX && qn_time_now() >= end) {
        struct qn_err e;
        if (load(o, &e) == 0)
            qn_site_changed(site);
    }
    return atomic_load(&site->changes);
}

void qn_site_changed(struct qn_site *site)
{
    atomic_fetch_add(&site->changes, 1);
}

/* --- decisions ---------------------------------------------------------------------------------------------------- */
struct override_job {
    const struct qn_actor *actor;
    struct qn_row_override *row;
    int64_t id;
};

static int put(struct qn_tx *tx, void *arg, struct qn_err *e)
{
    struct override_job *j = arg;
    char end[QN_TIME_TEXT];
    const char *pairs[] = {"mode",   j->row->mode,   "rules",   j->row->rules,
                           "reason", j->row->reason, "expires", (qn_time_format(j->row->expires, end), end),
                           NULL};

    if (qn_index_override_put(tx, j->row, &j->row->id, e) < 0)
        return -1;
    return qn_audit_put(tx, j->actor, "override", j->row->match, pairs, e);
}

/* Rules must be those that policies take: tried on each of them. */
static int try_out(struct qn_site *site, const struct qn_row_override *row, struct qn_err *e)
{
    for (size_t i = 0; i < site->settings->policies; i++) {
        struct qn_policy p;
        if (make(&site->settings->policy[i], row, &p, e) < 0) {
            e->code = QN_E_USAGE;
            return -1;
        }
        qn_policy_fini(&p);
    }
    return 0;
}

int qn_decide_override(struct qn_site *site, const struct qn_actor *actor, struct qn_row_override *row,
                       struct qn_err *e)
{
    struct override_job j = {.actor = actor, .row = row};

    pthread_mutex_lock(&site->overrides->lock);
    bool full = site->overrides->n >= QN_OVERRIDES_MAX;
    pthread_mutex_unlock(&site->overrides->lock);
    if (full)
        return qn_fail(e, QN_E_CONFLICT, "%d overrides are in force; end some first", QN_OVERRIDES_MAX);
    snprintf(row->who, sizeof row->who, "%s", actor->who);
    row->at = qn_time_now();
    if (try_out(site, row, e) < 0 || qn_index_write(site->index, put, &j, e) < 0 || load(site->overrides, e) < 0)
        return -1;
    qn_site_changed(site);
    return 0;
}

static int end(struct qn_tx *tx, void *arg, struct qn_err *e)
{
    struct override_job *j = arg;
    char subject[48];
    const char *pairs[] = {NULL};
    bool found;

    if (qn_index_override_end(tx, j->id, &found, e) < 0)
        return -1;
    if (!found)
        return qn_fail(e, QN_E_NOT_FOUND, "override %lld is not in force", (long long)j->id);
    snprintf(subject, sizeof subject, "override %lld", (long long)j->id);
    return qn_audit_put(tx, j->actor, "override-end", subject, pairs, e);
}

int qn_decide_override_end(struct qn_site *site, const struct qn_actor *actor, int64_t id, struct qn_err *e)
{
    struct override_job j = {.actor = actor, .id = id};

    if (qn_index_write(site->index, end, &j, e) < 0 || load(site->overrides, e) < 0)
        return -1;
    qn_site_changed(site);
    return 0;
}
