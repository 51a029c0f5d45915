/* The image's configuration: search path, working directory, triggers, labels that a runtime obeys. */
#include "edits.h"

#include "base/path.h"

static json_t *config_object(struct qn_plan *p)
{
    json_t *c = json_object_get(p->config, "config");
    return json_is_object(c) ? c : NULL;
}

/* Why an element of PATH must go, or NULL. */
static const char *bad_element(const struct qn_plan *p, struct qn_str dir)
{
    if (dir.n == 0)
        return "an empty element means the current directory";
    if (dir.p[0] != '/')
        return "a relative element depends on the current directory";
    uint32_t n = qn_tree_resolve(&p->img->tree, dir, true);
    if (n != QN_NO_NODE && p->img->tree.node[n].type == QN_DIR && (p->fate[n].mode & 02))
        return "anybody could put programs there";
    return NULL;
}

/* Whether the image starts something that it finds in that directory. Relative ones start at the working directory. */
static bool starts_from(const struct qn_image *img, struct qn_str dir)
{
    const struct qn_tree *t = &img->tree;
    uint32_t n = qn_tree_resolve_at(t, img->config.working_dir, dir, true);
    /* The working directory is no place for programs: only what is called by its name alone counts there. */
    bool named = dir.n == 0 || qn_str_eq(dir, QN_STR(".")) || qn_str_eq(dir, QN_STR("./"));

    if (n == QN_NO_NODE)
        return false;
    for (uint32_t i = n + 1, end = qn_tree_end(t, n); i < end; i = qn_tree_end(t, i))
        if (t->node[i].type != QN_DIR && (t->node[i].mode & 0111) &&
            (named ? (img->reach[i].all & QN_WHY_BY_NAME) != 0 : qn_image_reached(img, i)))
            return true;
    return false;
}

static int search_path(struct qn_plan *p, json_t *config, struct qn_err *e)
{
    json_t *env = json_object_get(config, "Env"), *item;
    size_t i;

    json_array_foreach (env, i, item) {
        struct qn_str text = qn_str_n(json_string_value(item), json_string_length(item)), rest, dir;
        qn_auto_buf struct qn_buf b = {0};
        const char *why = NULL;
        if (!json_is_string(item) || !qn_str_starts(text, QN_STR("PATH=")))
            continue;
        qn_buf_init(&b, 1u << 20);
        rest = qn_str_from(text, 5);
        bool trailing = rest.n == 0 || rest.p[rest.n - 1] == ':';
        while (qn_str_next(&rest, ':', &dir)) {
            const char *bad = bad_element(p, dir);
            if (bad && starts_from(p->img, dir)) {
                if (qn_plan_finding(p, "NIST-CM-6", QN_WARN, false, QN_STR("config.Env"), e,
                                    "PATH element \"%s\" stays: the image starts a program from it", QN_Q(dir)) < 0)
                    return -1;
                bad = NULL;
            }
            why = bad ? bad : why;
            if (!bad && (qn_buf_c(&b, b.n ? ":" : "", e) < 0 || qn_buf_str(&b, dir, e) < 0))
                return -1;
        }
        if (trailing && text.n > 5)
            why = "an empty element means the current directory";
        if (!why || b.n == 0)
            continue;
        int apply = qn_plan_config(p, "config.Env.PATH", qn_str_from(text, 5), qn_buf_view(&b), why, e);
        if (apply < 0)
            return -1;
        qn_auto_free char *value = qn_xasprintf("PATH=%s", b.p);
        if (apply)
            json_array_set_new(env, i, qn_json_string_c(value));
    }
    return 0;
}

static int working_dir(struct qn_plan *p, json_t *config, struct qn_err *e)
{
    struct qn_str dir = p->img->config.working_dir;

    if (dir.n == 0 || dir.p[0] == '/')
        return 0;
    qn_auto_free char *fixed = qn_xasprintf("/%.*s", QN_FMT(dir));
    int apply =
        qn_plan_config(p, "config.WorkingDir", dir, qn_str_c(fixed), "a working directory is an absolute path", e);
    if (apply > 0)
        qn_json_set_c(config, "WorkingDir", fixed);
    return apply < 0 ? -1 : 0;
}

static int on_build(struct qn_plan *p, json_t *config, struct qn_err *e)
{
    if (p->opt->use == QN_USE_BUILD || p->img->config.on_build.n == 0)
        return 0;
    int apply = qn_plan_config(p, "config.OnBuild", QN_STR("triggers"), QN_STR(""),
                               "instructions for builds that nobody sees in their Dockerfile", e);
    if (apply > 0)
        json_object_del(config, "OnBuild");
    return apply < 0 ? -1 : 0;
}

static bool reserved_label(const char *name)
{
    static const char *const prefixes[] = {"containerd.io/restart", "io.containerd.", "io.kubernetes.cri",
                                           "cdi.k8s.io/", "io.cri-o."};
    for (size_t i = 0; i < QN_ARRAY_LEN(prefixes); i++)
        if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return false;
}

static int labels(struct qn_plan *p, json_t *config, struct qn_err *e)
{
    json_t *all = json_object_get(config, "Labels"), *value;
    const char *name;
    void *tmp;

    json_object_foreach_safe (all, tmp, name, value) {
        if (!reserved_label(name))
            continue;
        qn_auto_free char *key = qn_xasprintf("config.Labels.%s", name);
        int apply = qn_plan_config(p, key, qn_str_c(json_string_value(value)), QN_STR(""),
                                   "a runtime acts on labels of this prefix", e);
        if (apply < 0)
            return -1;
        if (apply)
            json_object_del(all, name);
    }
    return 0;
}

/* Whether a word stands in a name at the end or before "_", a digit or a plural: TOKENS, not TOKENIZERS. */
static bool has_word(struct qn_str name, const char *word)
{
    size_t n = strlen(word);

    for (size_t i = 0; i + n <= name.n; i++) {
        if (!qn_str_ieq(qn_str_head(qn_str_from(name, i), n), qn_str_c(word)))
            continue;
        struct qn_str rest = qn_str_from(name, i + n);
        if (rest.n && (rest.p[0] == 'S' || rest.p[0] == 's'))
            rest = qn_str_from(rest, 1);
        if (rest.n == 0 || rest.p[0] == '_' || (rest.p[0] >= '0' && rest.p[0] <= '9'))
            return true;
    }
    return false;
}

/* Names of variables whose values look like secrets; the values are never looked at nor printed. */
static bool secret_name(struct qn_str name)
{
    static const char *const parts[] = {"PASSWORD", "PASSWD",      "SECRET",     "TOKEN",     "API_KEY",
                                        "APIKEY",   "PRIVATE_KEY", "ACCESS_KEY", "CREDENTIAL"};
    static const char *const ends[] = {"_FILE", "_PATH", "_URL"};
    for (size_t i = 0; i < QN_ARRAY_LEN(ends); i++)
        if (name.n > 5 && qn_str_ieq(qn_str_from(name, name.n - strlen(ends[i])), qn_str_c(ends[i])))
            return false;
    for (size_t i = 0; i < QN_ARRAY_LEN(parts); i++)
        if (has_word(name, parts[i]))
            return true;
    return false;
}

/* One instruction of a history, by its words. */
struct instruction {
    bool add;               /* ADD of a file or an address */
    bool updates, installs; /* lists of packages; packages */
};

static struct instruction read_instruction(struct qn_str text)
{
    static const char *const managers[] = {"apt-get", "apt", "apk", "yum", "dnf", "microdnf", "zypper"};
    static const char *const installs[] = {"install", "add", "upgrade", "dist-upgrade", "full-upgrade", "in"};
    struct instruction out = {false, false, false};
    struct qn_str word, rest = text;
    bool manager = false, add = false;

    while (qn_str_word(&rest, &word)) {
        bool ends = memchr(";&|", word.p[0], 3) || memchr(";&|", word.p[word.n - 1], 3);
        bool update = qn_str_starts(word, QN_STR("update")) || qn_str_eq(word, QN_STR("makecache"));
        add = add || qn_str_eq(word, QN_STR("ADD"));
        out.add = out.add || (add && (qn_str_eq(word, QN_STR("in")) || qn_str_eq(word, QN_STR("buildkit"))));
        out.updates = out.updates || (manager && update);
        for (size_t i = 0; manager && i < QN_ARRAY_LEN(installs); i++)
            out.installs = out.installs || qn_str_eq_c(word, installs[i]);
        manager = manager && !ends;
        for (size_t i = 0; i < QN_ARRAY_LEN(managers); i++)
            manager = manager || qn_str_eq_c(qn_path_base(word), managers[i]);
    }
    return out;
}

/* What a history says of how the image was made, as Dockle looks at it; a base image's first entry adds its files. */
static int history_findings(struct qn_plan *p, struct qn_err *e)
{
    const struct qn_imgconfig *c = &p->img->config;

    for (size_t i = 0; i < c->history_count; i++) {
        struct instruction n = read_instruction(c->history[i].created_by);
        if (i > 0 && n.add &&
            qn_plan_finding(p, "CIS-DI-0009", QN_WARN, false, QN_STR("config.history"), e,
                            "entry %zu uses ADD, which also unpacks and downloads: COPY is safer (CIS 4.9)", i) < 0)
            return -1;
        if (n.updates && !n.installs &&
            qn_plan_finding(p, "CIS-DI-0007", QN_WARN, false, QN_STR("config.history"), e,
                            "entry %zu updates lists of packages alone: later ones install from old lists (CIS 4.7)",
                            i) < 0)
            return -1;
    }
    return 0;
}

static int findings(struct qn_plan *p, struct qn_err *e)
{
    const struct qn_imgconfig *c = &p->img->config;

    bool none = c->healthcheck.n == 0 || qn_str_eq(c->healthcheck.v[0], QN_STR("NONE"));
    if (none && qn_plan_finding(p, "CIS-DI-0006", QN_INFO, false, QN_STR("config.Healthcheck"), e,
                                "no HEALTHCHECK (CIS 4.6)") < 0)
        return -1;
    for (size_t i = 0; i < c->env.n; i++) {
        ptrdiff_t eq = qn_str_chr(c->env.v[i], '=');
        struct qn_str name = qn_str_head(c->env.v[i], eq < 0 ? c->env.v[i].n : (size_t)eq);
        if (eq >= 0 && (size_t)eq + 1 < c->env.v[i].n && secret_name(name) &&
            qn_plan_finding(p, "CIS-DI-0010", QN_FATAL, false, QN_STR("config.Env"), e,
                            "variable \"%s\" looks like a secret (CIS 4.10)", QN_Q(name)) < 0)
            return -1;
    }
    return history_findings(p, e);
}

int qn_rule_config(const struct qn_image *img, const struct qn_options *opt, struct qn_plan *plan, struct qn_err *e)
{
    json_t *config = config_object(plan);

    (void)img;
    (void)opt;
    if (config && (search_path(plan, config, e) < 0 || working_dir(plan, config, e) < 0 ||
                   on_build(plan, config, e) < 0 || labels(plan, config, e) < 0))
        return -1;
    return findings(plan, e);
}
