/* Local names, and who may do what with which repository. */
#include "settings_int.h"

#include "base/path.h"
#include "formats/reference.h"

/* --- local names -------------------------------------------------------------------------------------------------- */
static int read_local(struct qn_settings *s, const json_t *o, struct qn_local_settings *l, struct qn_err *e)
{
    l->name = qn_settings_text(o, "name");
    l->sparse = json_is_true(json_object_get(o, "sparse"));
    l->harden_on_push = json_is_true(json_object_get(o, "harden_on_push"));
    if (!qn_reference_repository_valid(l->name) || qn_str_chr(l->name, '/') >= 0 || qn_str_chr(l->name, '.') >= 0 ||
        qn_str_eq(l->name, QN_STR("build")))
        return qn_fail(e, QN_E_CONFIG,
                       "local: name \"%s\" must be one path component of lower-case letters, digits, '-' and '_', and "
                       "not \"build\"",
                       QN_Q(l->name));
    if (qn_settings_upstream(s, l->name))
        return qn_fail(e, QN_E_CONFIG, "local: \"%s\" is the name of an upstream already", QN_Q(l->name));
    return 0;
}

int qn_settings_locals(struct qn_settings *s, struct qn_err *e)
{
    json_t *list, *item;
    size_t i;

    if (qn_json_array_opt(s->effective, "local", &list, e) < 0)
        return -1;
    s->local = qn_arena_alloc(&s->arena, json_array_size(list), sizeof *s->local, e);
    if (!s->local)
        return -1;
    json_array_foreach (list, i, item) {
        if (read_local(s, item, &s->local[i], e) < 0)
            return -1;
        if (qn_settings_local(s, s->local[i].name))
            return qn_fail(e, QN_E_CONFIG, "local: two are named \"%s\"", QN_Q(s->local[i].name));
        s->locals = i + 1;
    }
    return 0;
}

const struct qn_local_settings *qn_settings_local(const struct qn_settings *s, struct qn_str name)
{
    for (size_t i = 0; i < s->locals; i++)
        if (qn_str_eq(s->local[i].name, name))
            return &s->local[i];
    return NULL;
}

/* --- rules -------------------------------------------------------------------------------------------------------- */
static int read_actions(const struct qn_names *words, unsigned *out, struct qn_err *e)
{
    static const struct {
        const char *word;
        enum qn_action action;
    } known[] = {{"pull", QN_PULL}, {"push", QN_PUSH}, {"delete", QN_DELETE}};

    *out = 0;
    for (size_t i = 0; i < words->n; i++) {
        unsigned bit = 0;
        for (size_t k = 0; k < QN_ARRAY_LEN(known); k++)
            if (qn_str_eq_c(words->v[i], known[k].word))
                bit = known[k].action;
        if (!bit)
            return qn_fail(e, QN_E_CONFIG, "auth.rules: action \"%s\" is none of pull, push, delete",
                           QN_Q(words->v[i]));
        *out |= bit;
    }
    return 0;
}

static int read_rule(struct qn_settings *s, const json_t *o, struct qn_access_rule *r, struct qn_err *e)
{
    struct qn_names actions;

    if (qn_settings_names(s, o, "who", &r->who, e) < 0 ||
        qn_settings_names(s, o, "repositories", &r->repositories, e) < 0 ||
        qn_settings_names(s, o, "actions", &actions, e) < 0)
        return -1;
    if (r->who.n == 0)
        return qn_fail(e, QN_E_CONFIG, "auth.rules: every rule needs who");
    return read_actions(&actions, &r->actions, e);
}

/* What stands without a rule: everybody pulls everything. */
static int builtin_rule(struct qn_settings *s, struct qn_access_rule *r, struct qn_err *e)
{
    struct qn_str *word = qn_arena_alloc(&s->arena, 2, sizeof *word, e);

    if (!word)
        return -1;
    word[0] = QN_STR("*");
    word[1] = QN_STR("**");
    *r = (struct qn_access_rule){.who = {&word[0], 1}, .repositories = {&word[1], 1}, .actions = QN_PULL};
    s->rules = 1;
    return 0;
}

int qn_settings_rules(struct qn_settings *s, struct qn_err *e)
{
    const json_t *auth = json_object_get(s->effective, "auth");
    json_t *list, *item;
    size_t i;

    s->auth = auth != NULL;
    s->htpasswd = qn_settings_text(auth, "htpasswd");
    if (qn_json_array_opt(auth, "rules", &list, e) < 0)
        return -1;
    s->rule = qn_arena_alloc(&s->arena, json_array_size(list) + 1, sizeof *s->rule, e);
    if (!s->rule)
        return -1;
    if (json_array_size(list) == 0)
        return builtin_rule(s, &s->rule[0], e);
    json_array_foreach (list, i, item) {
        if (read_rule(s, item, &s->rule[i], e) < 0)
            return -1;
        s->rules = i + 1;
    }
    return 0;
}

/* Whether a glob could fit something below an upstream's name. */
static bool reaches(struct qn_str glob, struct qn_str upstream)
{
    ptrdiff_t slash = qn_str_chr(glob, '/');
    struct qn_str first = slash < 0 ? glob : qn_str_head(glob, (size_t)slash);

    return qn_str_find(first, QN_STR("**")) >= 0 || qn_glob(first, upstream);
}

static bool lets_all_pull(const struct qn_access_rule *r)
{
    bool all = false;

    for (size_t i = 0; i < r->who.n; i++)
        all = all || qn_str_eq(r->who.v[i], QN_STR("*"));
    return all && r->actions & QN_PULL;
}

int qn_settings_guard(const struct qn_settings *s, struct qn_err *e)
{
    for (size_t i = 0; i < s->upstreams; i++)
        for (size_t k = 0; k < s->rules && s->upstream[i].guarded; k++)
            for (size_t n = 0; lets_all_pull(&s->rule[k]) && n < s->rule[k].repositories.n; n++)
                if (reaches(s->rule[k].repositories.v[n], s->upstream[i].name))
                    return qn_fail(e, QN_E_CONFIG,
                                   "upstreams: %s: credentials are set and anybody may pull (%s); set anonymous_read: "
                                   "true if private images may be pulled by everyone who reaches Quench",
                                   QN_Q(s->upstream[i].name),
                                   s->auth ? "a rule of auth.rules lets \"*\" do it" : "there is no auth");
    return 0;
}

static bool names_him(const struct qn_access_rule *r, struct qn_str who)
{
    for (size_t i = 0; i < r->who.n; i++)
        if (qn_str_eq(r->who.v[i], QN_STR("*")) || (who.n && qn_str_eq(r->who.v[i], who)))
            return true;
    return false;
}

static bool names_it(const struct qn_access_rule *r, struct qn_str repository)
{
    for (size_t i = 0; i < r->repositories.n; i++)
        if (qn_glob(r->repositories.v[i], repository))
            return true;
    return false;
}

bool qn_settings_may(const struct qn_settings *s, struct qn_str who, struct qn_str repository, enum qn_action action)
{
    for (size_t i = 0; i < s->rules; i++)
        if (s->rule[i].actions & (unsigned)action && names_him(&s->rule[i], who) && names_it(&s->rule[i], repository))
            return true;
    return false;
}
