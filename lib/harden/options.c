#include "rule.h"

#include "base/num.h"
#include "image/dynamic.h"

static const struct {
    const char *name;
    enum qn_rule_state profile[3];
    enum qn_rule_state build;
    const char *checks;
    const char *summary;
} table[] = {
#define X(name, safe, standard, strict, build, checks, summary)                                                        \
    {#name, {QN_RULE_##safe, QN_RULE_##standard, QN_RULE_##strict}, QN_RULE_##build, checks, summary},
#include "rules.def"
#undef X
};

/* Names that the contract has and that are not built yet. */
static const char *const reserved_rules[] = {"trust-store"};

/* The table's names are C identifiers, the public ones have dashes. */
static bool name_is(const char *id, struct qn_str name)
{
    size_t n = strlen(id);
    if (n != name.n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (name.p[i] != (id[i] == '_' ? '-' : id[i]))
            return false;
    return true;
}

const char *qn_rule_name(enum qn_rule rule)
{
    static const char *const names[] = {"docs",
                                        "caches",
                                        "debris",
                                        "secrets",
                                        "kernel",
                                        "devices",
                                        "package-managers",
                                        "language-managers",
                                        "network-tools",
                                        "services",
                                        "build-tools",
                                        "privilege-tools",
                                        "unused-packages",
                                        "unused-files",
                                        "shells",
                                        "setuid",
                                        "file-caps",
                                        "permissions",
                                        "accounts",
                                        "preload",
                                        "config",
                                        "user",
                                        "timestamps"};
    _Static_assert(QN_ARRAY_LEN(names) == QN_RULE_COUNT, "one public name a rule");
    qn_assert(rule < QN_RULE_COUNT && name_is(table[rule].name, qn_str_c(names[rule])));
    return names[rule];
}

const char *qn_rule_summary(enum qn_rule rule)
{
    return table[rule].summary;
}

const char *qn_rule_checks(enum qn_rule rule)
{
    return table[rule].checks;
}

int qn_rule_find(struct qn_str name, bool *reserved)
{
    *reserved = false;
    for (int i = 0; i < QN_RULE_COUNT; i++)
        if (name_is(table[i].name, name))
            return i;
    for (size_t i = 0; i < QN_ARRAY_LEN(reserved_rules); i++)
        if (qn_str_eq_c(name, reserved_rules[i]))
            *reserved = true;
    return -1;
}

/* A member that must be one of some words; the number of the word, from 1. */
static int word(const json_t *obj, const char *key, const char *const *words, int initial, int *out, struct qn_err *e)
{
    struct qn_str s;

    if (qn_json_str_opt(obj, key, &s, e) < 0)
        return -1;
    *out = initial;
    if (s.n == 0)
        return 0;
    for (int i = 0; words[i]; i++)
        if (qn_str_eq_c(s, words[i])) {
            *out = i + 1;
            return 0;
        }
    return qn_fail(e, QN_E_CONFIG, "policy: %s: \"%s\" is none of its values", key, QN_Q(s));
}

static int strings(const json_t *obj, const char *key, struct qn_arena *arena, struct qn_str **out, size_t *n,
                   struct qn_err *e)
{
    json_t *list, *item;
    size_t i;

    if (qn_json_array_opt(obj, key, &list, e) < 0)
        return -1;
    *n = json_array_size(list);
    *out = qn_arena_alloc(arena, *n, sizeof **out, e);
    if (!*out)
        return -1;
    json_array_foreach (list, i, item) {
        if (!json_is_string(item))
            return qn_fail(e, QN_E_CONFIG, "policy: %s: item %zu is not a string", key, i);
        (*out)[i] = qn_str_n(json_string_value(item), json_string_length(item));
    }
    return 0;
}

/* What profile and use make of a rule. */
static enum qn_rule_state initial(const struct qn_options *o, int rule)
{
    if ((o->use == QN_USE_BUILD && table[rule].build == QN_RULE_OFF) ||
        (rule == QN_RULE_user && o->user == QN_USER_KEEP))
        return QN_RULE_OFF;
    return table[rule].profile[o->profile - QN_SAFE];
}

void qn_options_for(const struct qn_options *o, const struct qn_image *img, struct qn_options *out, char *because,
                    size_t size)
{
    struct qn_str where, what;

    because[0] = '\0';
    *out = *o;
    if (o->profile != QN_STRICT || o->rule[QN_RULE_unused_files] != QN_RULE_ON || o->chosen[QN_RULE_unused_files])
        return;
    if (!qn_image_dynamic(img, &where, &what))
        return;
    if (where.n)
        snprintf(because, size, "/%s makes up what it runs: \"%s\"", QN_Q(where), QN_Q(what));
    else
        snprintf(because, size, "the image's command makes up what it runs: \"%s\"", QN_Q(what));
    out->profile = QN_STANDARD;
    for (int i = 0; i < QN_RULE_COUNT; i++)
        if (!o->chosen[i])
            out->rule[i] = initial(out, i);
}

static int read_rules(const json_t *policy, struct qn_options *o, struct qn_err *e)
{
    json_t *rules, *value;
    const char *key;

    for (int i = 0; i < QN_RULE_COUNT; i++)
        o->rule[i] = initial(o, i);
    if (qn_json_object_opt(policy, "rules", &rules, e) < 0)
        return -1;
    json_object_foreach (rules, key, value) {
        bool reserved;
        int rule = qn_rule_find(qn_str_c(key), &reserved);
        if (rule < 0 && reserved)
            return qn_fail(e, QN_E_NOT_BUILT, "not built yet: rules.%s", key);
        if (rule < 0)
            return qn_fail(e, QN_E_CONFIG, "policy: rules: there is no rule \"%s\"", QN_Q(qn_str_c(key)));
        o->chosen[rule] = true;
        const char *state = json_string_value(value);
        if (!state)
            state = "";
        if (strcmp(state, "on") == 0)
            o->rule[rule] = QN_RULE_ON;
        else if (strcmp(state, "off") == 0)
            o->rule[rule] = QN_RULE_OFF;
        else if (strcmp(state, "report") == 0)
            o->rule[rule] = QN_RULE_REPORT;
        else
            return qn_fail(e, QN_E_CONFIG, "policy: rules.%s: must be on, off or report", key);
    }
    return 0;
}

/* user: auto, keep, or "UID:GID" ("UID" alone means the group of the same number). */
static int read_user(const json_t *policy, struct qn_options *o, struct qn_err *e)
{
    struct qn_str s, uid;
    uint64_t n;

    if (qn_json_str_opt(policy, "user", &s, e) < 0)
        return -1;
    o->user = s.n == 0 || qn_str_eq(s, QN_STR("auto")) ? QN_USER_AUTO
              : qn_str_eq(s, QN_STR("keep"))           ? QN_USER_KEEP
                                                       : QN_USER_FIXED;
    if (o->user != QN_USER_FIXED)
        return 0;
    struct qn_str gid = s;
    if (!qn_str_next(&gid, ':', &uid) || qn_num_u64(uid, 1, UINT32_MAX - 1, &n, e) < 0)
        return qn_fail(e, QN_E_CONFIG, "policy: user: \"%s\" is neither auto, keep nor \"UID:GID\"", QN_Q(s));
    o->uid = o->gid = (uint32_t)n;
    if (gid.n && qn_num_u64(gid, 0, UINT32_MAX - 1, &n, e) < 0)
        return qn_fail(e, QN_E_CONFIG, "policy: user: \"%s\" is neither auto, keep nor \"UID:GID\"", QN_Q(s));
    o->gid = (uint32_t)n;
    return 0;
}

int qn_options_read(const json_t *policy, struct qn_options *out, struct qn_err *e)
{
    static const char *const profiles[] = {"safe", "standard", "strict", NULL};
    static const char *const uses[] = {"run", "build", NULL};
    static const char *const ports[] = {"restricted", "free", NULL};
    static const char *const doubts[] = {"back-off", "original", "deny", NULL};
    qn_auto_options struct qn_options o = {0};
    int profile, use, port, doubt;
    json_t *keep, *remove;
    struct qn_str *list;

    qn_arena_init(&o.arena, 16u << 20);
    if (word(policy, "profile", profiles, QN_STANDARD, &profile, e) < 0 ||
        word(policy, "use", uses, QN_USE_RUN, &use, e) < 0 || word(policy, "low_ports", ports, 1, &port, e) < 0 ||
        word(policy, "on_doubt", doubts, QN_DOUBT_BACK_OFF, &doubt, e) < 0 || read_user(policy, &o, e) < 0 ||
        qn_json_object_opt(policy, "keep", &keep, e) < 0 || qn_json_object_opt(policy, "remove", &remove, e) < 0)
        return -1;
    o.profile = (enum qn_profile)profile;
    o.use = (enum qn_use)use;
    o.low_ports_free = port == 2;
    o.on_doubt = (enum qn_doubt)doubt;
    if (read_rules(policy, &o, e) < 0)
        return -1;
    if (strings(keep, "paths", &o.arena, &list, &o.keep.path_count, e) < 0)
        return -1;
    o.keep.paths = list;
    if (strings(keep, "packages", &o.arena, &list, &o.keep.package_count, e) < 0)
        return -1;
    o.keep.packages = list;
    if (strings(keep, "commands", &o.arena, &list, &o.keep.command_count, e) < 0)
        return -1;
    o.keep.commands = list;
    if (strings(remove, "paths", &o.arena, &o.remove_paths, &o.remove_path_count, e) < 0 ||
        strings(remove, "packages", &o.arena, &o.remove_packages, &o.remove_package_count, e) < 0)
        return -1;
    *out = o;
    o = (struct qn_options){0};
    return 0;
}

void qn_options_fini(struct qn_options *o)
{
    qn_arena_fini(&o->arena);
}
