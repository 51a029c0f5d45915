#include "report.h"
#include "figures.h"

#include "base/path.h"

#include <stdlib.h>
#include <string.h>

#define COLLAPSE_FROM 12 /* changes below one directory */
#define MAX_CHANGES   40000
#define MAX_FINDINGS  10000

static const char *profile_name(enum qn_profile p)
{
    static const char *const names[] = {[QN_SAFE] = "safe", [QN_STANDARD] = "standard", [QN_STRICT] = "strict"};
    return names[p];
}

/* "/usr/bin/x" for people; the root is "/". */
static json_t *shown_path(struct qn_str path, const char *suffix)
{
    qn_auto_free char *text = qn_xasprintf("/%.*s%s", QN_FMT(path), suffix);
    return qn_json_string_c(text);
}

static json_t *packages(const struct qn_plan *p)
{
    static const char *const states[] = {
        [QN_PACKAGE_KEPT] = "kept", [QN_PACKAGE_PARTIAL] = "partial", [QN_PACKAGE_REMOVED] = "removed"};
    json_t *list = json_array();

    for (uint32_t i = 0; i < p->img->package_count; i++) {
        json_t *o = json_object();
        qn_json_set_str(o, "purl", p->img->package[i].purl);
        qn_json_set_c(o, "state", states[qn_plan_package_state(p, i)]);
        qn_json_push(list, o);
    }
    return list;
}

static json_t *one_change(const struct qn_plan *p, const struct qn_change *c)
{
    json_t *o = json_object();

    qn_json_set_c(o, "action", qn_action_name(c->action));
    qn_json_set(o, "path", c->action == QN_CONFIG ? qn_json_string(c->path) : shown_path(c->path, ""));
    if (c->node != QN_NO_NODE && p->img->tree.node[c->node].package != QN_NO_PACKAGE)
        qn_json_set_str(o, "package", p->img->package[p->img->tree.node[c->node].package].name);
    if (c->from.n)
        qn_json_set_str(o, "from", c->from);
    if (c->to.n)
        qn_json_set_str(o, "to", c->to);
    qn_json_set_str(o, "because", c->because);
    return o;
}

static int by_path(const void *a, const void *b)
{
    const struct qn_change *const *x = a, *const *y = b;
    int c = qn_path_cmp((*x)->path, (*y)->path);
    return c ? c : (*x > *y) - (*x < *y);
}

/* The directory that a run of removals from `i` on collapses to, and how many: those below one directory, for one
 * reason, when there are many. */
static size_t run_below(struct qn_change *const *list, size_t n, size_t i, struct qn_str *dir)
{
    size_t best = 1;

    *dir = list[i]->path;
    /* Not further up than two components: the top of a file system says nothing. */
    for (struct qn_str d = list[i]->path; qn_str_chr(d, '/') >= 0; d = qn_path_dir(d)) {
        size_t k = i;
        while (k < n && list[k]->action == QN_REMOVE && qn_path_under(list[k]->path, d) &&
               qn_str_eq(list[k]->because, list[i]->because))
            k++;
        if (k - i > best) {
            best = k - i;
            *dir = d;
        }
    }
    return best;
}

static json_t *changes(const struct qn_plan *p, enum qn_rule rule, size_t *budget)
{
    struct qn_change **list = qn_xcalloc(p->changes, sizeof *list);
    json_t *out = json_array();
    size_t n = 0;

    for (size_t i = 0; i < p->changes; i++)
        if (p->change[i].rule == rule && !p->change[i].undone)
            list[n++] = &p->change[i];
    qsort(list, n, sizeof *list, by_path);
    size_t i = 0;
    while (i < n && budget[0] > 0) {
        budget[0]--;
        struct qn_str dir = list[i]->path;
        size_t run = list[i]->action == QN_REMOVE ? run_below(list, n, i, &dir) : 1;
        if (run < COLLAPSE_FROM) {
            qn_json_push(out, one_change(p, list[i++]));
            continue;
        }
        char suffix[32];
        json_t *o = json_object();
        snprintf(suffix, sizeof suffix, "/** (%zu)", run);
        qn_json_set_c(o, "action", "remove");
        qn_json_set(o, "path", shown_path(dir, suffix));
        qn_json_set_str(o, "because", list[i]->because);
        qn_json_push(out, o);
        i += run;
    }
    free(list);
    return out;
}

static json_t *undone(const struct qn_plan *p, enum qn_rule rule)
{
    json_t *out = json_array();
    for (size_t i = 0; i < p->changes && json_array_size(out) < 1000; i++)
        if (p->change[i].rule == rule && p->change[i].undone)
            qn_json_push(out, one_change(p, &p->change[i]));
    return out;
}

static json_t *check_names(enum qn_rule rule)
{
    json_t *list = json_array();
    struct qn_str rest = qn_str_c(qn_rule_checks(rule)), word;
    while (qn_str_word(&rest, &word))
        qn_json_push(list, qn_json_string(word));
    return list;
}

static json_t *one_rule(const struct qn_plan *p, enum qn_rule r, size_t *budget)
{
    const struct qn_rule_result *res = &p->result[r];
    enum qn_rule_state state = p->opt->rule[r];
    json_t *o = json_object();
    /* A rule that is off may still have carried out the policy's remove lists. */
    const char *word = state == QN_RULE_OFF && !res->changes ? "off"
                       : state == QN_RULE_REPORT             ? "reported"
                       : res->because.n                      ? "backed-off"
                       : res->changes                        ? "applied"
                       : res->undone                         ? "backed-off"
                                                             : "nothing-to-do";
    char text[256];

    qn_json_set_c(o, "rule", qn_rule_name(r));
    qn_json_set_c(o, "state", word);
    if (res->because.n)
        qn_json_set_str(o, "because", res->because);
    else if (res->undone || res->protected) {
        snprintf(text, sizeof text, "%u paths stay because something that runs needs them%s",
                 res->undone + res->protected, res->undone ? "; some came back after the check of the whole plan" : "");
        qn_json_set_c(o, "because", text);
    } else {
        qn_json_set_c(o, "because", qn_rule_summary(r));
    }
    qn_json_set(o, "checks", check_names(r));
    qn_json_set(o, "changes", changes(p, r, budget));
    if (res->undone)
        qn_json_set(o, "backed_off", undone(p, r));
    return o;
}

/* What a reader would ask about: shells, interpreters, managers, network tools, setuid programs that stay. */
static bool asked_about(const struct qn_plan *p, uint32_t i)
{
    static const char *const interpreters[] = {"python*", "perl*",  "ruby*", "node", "php*",
                                               "lua*",    "tclsh*", "gawk",  "java"};
    const struct qn_node *n = &p->img->tree.node[i];
    struct qn_str base = qn_path_base(n->path);

    if ((n->type != QN_FILE && n->type != QN_SYMLINK) || !(n->mode & 0111) || p->fate[i].removed)
        return false;
    if (n->type == QN_FILE && (p->fate[i].mode & 06000))
        return true;
    struct qn_str dir = qn_path_dir(n->path);
    if (!qn_str_ends(dir, QN_STR("bin")))
        return false;
    int tool = qn_tool_find(base);
    if (qn_is_shell_name(base) ||
        (tool >= 0 && (qn_tool_class(tool) == QN_TOOL_NETWORK || qn_tool_class(tool) == QN_TOOL_MANAGER)))
        return true;
    for (size_t k = 0; k < QN_ARRAY_LEN(interpreters); k++)
        if (qn_glob(qn_str_c(interpreters[k]), base))
            return true;
    return false;
}

static json_t *kept(const struct qn_plan *p, struct qn_err *e)
{
    json_t *list = json_array();

    for (uint32_t i = 1; i < p->img->tree.count && json_array_size(list) < 2000; i++) {
        qn_auto_buf struct qn_buf b = {0};
        if (!asked_about(p, i))
            continue;
        qn_buf_init(&b, 16384);
        if (qn_image_reached(p->img, i)) {
            if (qn_image_explain(p->img, i, &b, e) < 0)
                return NULL;
        } else if (p->kept && qn_keepset_has(&p->keepset, i)) {
            if (qn_keepset_explain(p->img, &p->keepset, i, &b, e) < 0)
                return NULL;
        } else if (p->opt->use == QN_USE_BUILD) {
            if (qn_buf_c(&b, "images that are built on this one may need it (use: build)", e) < 0)
                return NULL;
        } else if (qn_buf_c(&b, "no rule that is on removes it", e) < 0) {
            return NULL;
        }
        json_t *o = json_object();
        qn_json_set(o, "path", shown_path(p->img->tree.node[i].path, ""));
        qn_json_set_str(o, "because", qn_buf_view(&b));
        qn_json_push(list, o);
    }
    return list;
}

static json_t *findings(const struct qn_plan *p)
{
    static const char *const levels[] = {[QN_INFO] = "info", [QN_WARN] = "warn", [QN_FATAL] = "fatal"};
    json_t *list = json_array();

    for (size_t i = 0; i < p->findings && i < MAX_FINDINGS; i++) {
        const struct qn_finding *f = &p->finding[i];
        json_t *o = json_object();
        bool file = f->where.n && !qn_str_starts(f->where, QN_STR("config."));
        qn_json_set_c(o, "check", f->check);
        qn_json_set_c(o, "level", levels[f->level]);
        qn_json_set_bool(o, "fixed", f->fixed);
        qn_json_set(o, "where", file ? shown_path(f->where, "") : qn_json_string(f->where));
        qn_json_set_str(o, "detail", f->detail);
        qn_json_push(list, o);
    }
    return list;
}

static bool has_finding(const struct qn_plan *p, const char *check, bool fixed)
{
    for (size_t i = 0; i < p->findings; i++)
        if (p->finding[i].fixed == fixed && strcmp(p->finding[i].check, check) == 0)
            return true;
    return false;
}

static bool open_finding(const struct qn_plan *p, const char *check)
{
    return has_finding(p, check, false);
}

/* Whether the result starts as root. The rule may be off and have nothing to say. */
static bool stays_root(const struct qn_plan *p)
{
    return open_finding(p, "CIS-DI-0001") || (p->img->runs_as_root && !has_finding(p, "CIS-DI-0001", true));
}

static void control(json_t *list, const char *framework, const char *id, const char *status)
{
    json_t *o = json_object();
    qn_json_set_c(o, "framework", framework);
    qn_json_set_c(o, "id", id);
    qn_json_set_c(o, "status", status);
    qn_json_push(list, o);
}

/* Whether nothing is left that the image has no use for, as far as the rules can tell: all of them did their work. */
static bool only_needed(const struct qn_plan *p)
{
    static const enum qn_rule rules[] = {QN_RULE_package_managers, QN_RULE_language_managers, QN_RULE_network_tools,
                                         QN_RULE_build_tools, QN_RULE_unused_packages};

    for (size_t i = 0; i < QN_ARRAY_LEN(rules); i++)
        if (p->opt->rule[rules[i]] != QN_RULE_ON || p->result[rules[i]].because.n || p->result[rules[i]].undone)
            return false;
    return !p->img->utility;
}

/* A control that the history answers: only where there is one. */
static const char *by_history(const struct qn_plan *p, const char *check)
{
    return p->img->config.history_count == 0 ? "manual" : open_finding(p, check) ? "fail" : "pass";
}

/* What can be told from an image; the rest is for people. CIS Docker Benchmark section 4, and the countermeasures of
 * NIST SP 800-190 section 4.1 (images). */
static json_t *controls(const struct qn_plan *p)
{
    static const char cis[] = "cis-docker-4", nist[] = "nist-sp-800-190";
    json_t *list = json_array();
    bool root = stays_root(p), secrets = open_finding(p, "CIS-DI-0010") || open_finding(p, "CIS-4.10");
    bool raised = open_finding(p, "CIS-DI-0008") || open_finding(p, "CIS-4.8");

    control(list, cis, "4.1", root ? "fail" : "pass");
    control(list, cis, "4.2", "manual");
    control(list, cis, "4.3", only_needed(p) ? "pass" : "partial");
    control(list, cis, "4.4", "manual");
    control(list, cis, "4.5", "manual");
    control(list, cis, "4.6", open_finding(p, "CIS-DI-0006") ? "fail" : "pass");
    control(list, cis, "4.7", by_history(p, "CIS-DI-0007"));
    control(list, cis, "4.8", raised ? "fail" : "pass");
    control(list, cis, "4.9", by_history(p, "CIS-DI-0009"));
    control(list, cis, "4.10", secrets ? "fail" : "partial");
    control(list, cis, "4.11", "manual");
    control(list, cis, "4.12", "manual");
    control(list, nist, "4.1.1", "manual");                            /* vulnerabilities */
    control(list, nist, "4.1.2", root || raised ? "fail" : "partial"); /* configuration defects */
    control(list, nist, "4.1.3", "manual");                            /* malware */
    control(list, nist, "4.1.4", secrets ? "fail" : "partial");        /* secrets in clear text */
    control(list, nist, "4.1.5", "manual");                            /* untrusted images */
    return list;
}

json_t *qn_report_plan(const struct qn_plan *p, struct qn_err *e)
{
    json_t *root = json_object(), *policy = json_object(), *rules = json_array();
    struct qn_figures before;
    char platform[QN_PLATFORM_TEXT];
    size_t budget = MAX_CHANGES;

    qn_json_set_c(root, "schema", "quench.report.v1");
    qn_json_set_c(root, "platform", qn_platform_text(&p->img->config.platform, platform));
    qn_json_set_c(policy, "profile", profile_name(p->asked->profile));
    qn_json_set_c(policy, "achieved", profile_name(p->opt->profile));
    if (p->lowered.n)
        qn_json_set_str(policy, "because", p->lowered);
    qn_json_set_c(policy, "use", p->opt->use == QN_USE_BUILD ? "build" : "run");
    qn_json_set(root, "policy", policy);
    qn_figures_count(p->img, &before);
    qn_json_set(root, "before", qn_figures_json(&before, 0));
    qn_json_set(root, "packages", packages(p));
    for (int r = 0; r < QN_RULE_COUNT; r++)
        qn_json_push(rules, one_rule(p, (enum qn_rule)r, &budget));
    qn_json_set(root, "rules", rules);
    if (budget == 0 || p->findings > MAX_FINDINGS)
        qn_json_set_bool(root, "truncated", true);
    json_t *why = kept(p, e);
    if (!why) {
        json_decref(root);
        return NULL;
    }
    qn_json_set(root, "kept", why);
    qn_json_set(root, "findings", findings(p));
    qn_json_set(root, "controls", controls(p));
    return root;
}
