#include "settings_int.h"

#include "base/log.h"
#include "base/path.h"
#include "formats/reference.h"
#include "harden/rule.h"

int qn_settings_names(struct qn_settings *s, const json_t *obj, const char *key, struct qn_names *out, struct qn_err *e)
{
    json_t *list, *item;
    size_t i;

    if (qn_json_array_opt(obj, key, &list, e) < 0)
        return -1;
    out->n = json_array_size(list);
    out->v = qn_arena_alloc(&s->arena, out->n, sizeof *out->v, e);
    if (!out->v)
        return -1;
    json_array_foreach (list, i, item) {
        out->v[i] = qn_str_n(json_string_value(item), json_string_length(item));
    }
    return 0;
}

static uint64_t number(const json_t *obj, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(obj, key));
}

struct qn_str qn_settings_text(const json_t *obj, const char *key)
{
    const json_t *v = json_object_get(obj, key);
    return json_is_string(v) ? qn_str_n(json_string_value(v), json_string_length(v)) : QN_STR("");
}

/* --- upstreams ---------------------------------------------------------------------------------------------------- */
static int command(struct qn_settings *s, const json_t *o, struct qn_upstream_settings *u, struct qn_err *e)
{
    struct qn_names words;

    if (qn_settings_names(s, o, "command", &words, e) < 0)
        return -1;
    if (words.n == 0)
        return 0;
    u->command = qn_arena_alloc(&s->arena, words.n + 1, sizeof *u->command, e);
    for (size_t i = 0; u->command && i < words.n; i++)
        u->command[i] = words.v[i].p; /* jansson's strings end with NUL */
    return u->command ? 0 : -1;
}

/* A list of address blocks. */
static int blocks(struct qn_settings *s, const json_t *o, const char *key, struct qn_cidr **out, size_t *n,
                  struct qn_err *e)
{
    struct qn_names list;

    if (qn_settings_names(s, o, key, &list, e) < 0)
        return -1;
    *out = qn_arena_alloc(&s->arena, list.n, sizeof **out, e);
    if (!*out)
        return -1;
    *n = list.n;
    for (size_t i = 0; i < list.n; i++)
        if (qn_cidr_parse(list.v[i], &(*out)[i], e) < 0)
            return qn_err_wrap(e, "%s", key);
    return 0;
}

static int read_upstream(struct qn_settings *s, const json_t *o, struct qn_upstream_settings *u, struct qn_err *e)
{
    const json_t *c = json_object_get(o, "credentials");

    u->name = qn_settings_text(o, "name");
    u->url = qn_settings_text(o, "url");
    if (u->name.n == 0 || u->url.n == 0)
        return qn_fail(e, QN_E_CONFIG, "upstreams: every upstream needs name and url");
    if (qn_str_chr(u->name, '.') < 0 || qn_str_chr(u->name, ':') >= 0 || qn_str_chr(u->name, '/') >= 0 ||
        !qn_reference_host_valid(u->name))
        return qn_fail(e, QN_E_CONFIG,
                       "upstreams: name \"%s\" must look like a host name, with a dot and without port or path "
                       "(write the port in url)",
                       QN_Q(u->name));
    u->library_prefix = json_is_true(json_object_get(o, "library_prefix"));
    u->anonymous_read = json_is_true(json_object_get(o, "anonymous_read"));
    u->tag_ttl = number(o, "tag_ttl");
    u->stale_ttl = number(o, "stale_ttl");
    u->username = qn_settings_text(c, "username");
    u->password = qn_settings_text(c, "password");
    u->docker_config = qn_settings_text(c, "docker_config");
    if (qn_settings_names(s, o, "aliases", &u->aliases, e) < 0 || qn_settings_names(s, o, "allow", &u->allow, e) < 0 ||
        command(s, c, u, e) < 0)
        return -1;
    if (blocks(s, o, "allow_addresses", &u->addresses, &u->address_count, e) < 0)
        return qn_err_wrap(e, "upstreams: %s", QN_Q(u->name));
    u->guarded = (u->username.n || u->docker_config.n || u->command) && !u->anonymous_read;
    return 0;
}

static bool same_name(struct qn_str a, const struct qn_upstream_settings *u)
{
    if (qn_str_ieq(a, u->name))
        return true;
    for (size_t i = 0; i < u->aliases.n; i++)
        if (qn_str_ieq(a, u->aliases.v[i]))
            return true;
    return false;
}

static int builtin_upstream(struct qn_settings *s, struct qn_err *e)
{
    struct qn_str *aliases = qn_arena_alloc(&s->arena, 2, sizeof *aliases, e);

    if (!aliases)
        return -1;
    aliases[0] = QN_STR("index.docker.io");
    aliases[1] = QN_STR("registry-1.docker.io");
    s->upstream[0] = (struct qn_upstream_settings){.name = QN_STR("docker.io"),
                                                   .url = QN_STR("https://registry-1.docker.io"),
                                                   .aliases = {aliases, 2},
                                                   .library_prefix = true,
                                                   .tag_ttl = 300,
                                                   .stale_ttl = 7 * 86400};
    s->upstreams = 1;
    return 0;
}

static int read_upstreams(struct qn_settings *s, struct qn_err *e)
{
    json_t *list, *item;
    size_t i;

    if (qn_json_array_opt(s->effective, "upstreams", &list, e) < 0)
        return -1;
    s->upstream = qn_arena_alloc(&s->arena, json_array_size(list) + 1, sizeof *s->upstream, e);
    if (!s->upstream)
        return -1;
    if (json_array_size(list) == 0)
        return builtin_upstream(s, e);
    json_array_foreach (list, i, item) {
        if (read_upstream(s, item, &s->upstream[i], e) < 0)
            return -1;
        const struct qn_upstream_settings *u = &s->upstream[i];
        for (size_t k = 0; k < i; k++)
            for (size_t a = 0; a <= u->aliases.n; a++)
                if (same_name(a ? u->aliases.v[a - 1] : u->name, &s->upstream[k]))
                    return qn_fail(e, QN_E_CONFIG, "upstreams: the name \"%s\" stands for two upstreams",
                                   QN_Q(a ? u->aliases.v[a - 1] : u->name));
        s->upstreams = i + 1;
    }
    return 0;
}

const struct qn_upstream_settings *qn_settings_upstream(const struct qn_settings *s, struct qn_str name)
{
    for (size_t i = 0; i < s->upstreams; i++)
        if (same_name(name, &s->upstream[i]))
            return &s->upstream[i];
    return NULL;
}

/* --- policies ----------------------------------------------------------------------------------------------------- */
int qn_policy_digest(const json_t *document, char out[QN_DIGEST_TEXT], struct qn_err *e)
{
    qn_auto_buf struct qn_buf b = {0};

    qn_buf_init(&b, 1u << 20);
    if (qn_json_print_canonical(document, &b, e) < 0)
        return -1;
    struct qn_digest d = qn_digest_of(qn_buf_view(&b));
    qn_digest_text(&d, out);
    return 0;
}

/* The fields of a policy that can change bytes; checked by reading them as the workers do. Its name is one of them:
 * results say whose they are, so that two policies of different names share none. */
static int document(const json_t *o, const char *use, json_t **out, char digest[QN_DIGEST_TEXT], struct qn_err *e)
{
    static const char *const fields[] = {"name",   "use",  "profile",   "rules",       "keep",
                                         "remove", "user", "low_ports", "compression", "on_doubt"};
    json_t *d = json_object();
    qn_auto_options struct qn_options opt = {0};

    for (size_t i = 0; i < QN_ARRAY_LEN(fields); i++) {
        json_t *v = json_object_get(o, fields[i]);
        if (v)
            qn_json_set(d, fields[i], json_deep_copy(v));
    }
    if (use)
        qn_json_set_c(d, "use", use);
    *out = d;
    return qn_options_read(d, &opt, e) < 0 ? -1 : qn_policy_digest(d, digest, e);
}

static const char *const modes[] = {[QN_MODE_ENFORCE] = "enforce", [QN_MODE_AUDIT] = "audit", [QN_MODE_OFF] = "off"};

enum qn_mode qn_mode_parse(struct qn_str word)
{
    for (size_t i = 1; i < QN_ARRAY_LEN(modes); i++)
        if (qn_str_eq_c(word, modes[i]))
            return (enum qn_mode)i;
    return 0;
}

const char *qn_mode_name(enum qn_mode mode)
{
    return modes[mode];
}

int qn_policy_derive(const struct qn_policy *base, enum qn_mode mode, const json_t *rules, struct qn_policy *out,
                     struct qn_err *e)
{
    qn_auto_json json_t *changed = json_deep_copy(base->document);
    struct qn_policy p = *base;

    p.mode = mode ? mode : base->mode;
    p.document = p.build = NULL;
    if (rules) {
        json_t *merged = json_deep_copy(json_object_get(changed, "rules"));
        if (!merged)
            merged = json_object();
        json_object_update(merged, (json_t *)(uintptr_t)rules);
        qn_json_set(changed, "rules", merged);
    }
    if (document(changed, NULL, &p.document, p.digest, e) < 0 ||
        document(changed, "build", &p.build, p.build_digest, e) < 0) {
        qn_policy_fini(&p);
        return -1;
    }
    *out = p;
    return 0;
}

void qn_policy_fini(struct qn_policy *p)
{
    json_decref(p->document);
    json_decref(p->build);
    p->document = p->build = NULL;
}

static int read_policy(struct qn_settings *s, const json_t *o, struct qn_policy *p, struct qn_err *e)
{
    p->name = qn_settings_text(o, "name");
    if (p->name.n == 0 || p->name.n > 64)
        return qn_fail(e, QN_E_CONFIG, "policies: every policy needs a name of at most 64 bytes");
    for (size_t i = 0; i < p->name.n; i++)
        if (!((p->name.p[i] >= 'a' && p->name.p[i] <= 'z') || (p->name.p[i] >= 'A' && p->name.p[i] <= 'Z') ||
              (p->name.p[i] >= '0' && p->name.p[i] <= '9') || p->name.p[i] == '-' || p->name.p[i] == '_' ||
              p->name.p[i] == '.'))
            return qn_fail(e, QN_E_CONFIG, "policies: name \"%s\": letters, digits, '-', '_' and '.' only",
                           QN_Q(p->name));
    p->mode = qn_mode_parse(qn_settings_text(o, "mode"));
    p->manual = qn_str_eq(qn_settings_text(o, "approval"), QN_STR("manual"));
    p->wait_on_update = qn_str_eq(qn_settings_text(o, "on_update"), QN_STR("wait"));
    p->exact_digests = qn_str_eq(qn_settings_text(o, "digest_pulls"), QN_STR("exact"));
    p->public_report = !qn_str_eq(qn_settings_text(json_object_get(o, "evidence"), "report"), QN_STR("admin"));
    if (qn_settings_names(s, o, "match", &p->match, e) < 0 || document(o, NULL, &p->document, p->digest, e) < 0 ||
        document(o, "build", &p->build, p->build_digest, e) < 0)
        return qn_err_wrap(e, "policies: %s", QN_Q(p->name));
    return 0;
}

static int read_policies(struct qn_settings *s, struct qn_err *e)
{
    json_t *list, *item;
    size_t i;
    struct qn_str *all = qn_arena_alloc(&s->arena, 1, sizeof *all, e);

    if (!all || qn_json_array_opt(s->effective, "policies", &list, e) < 0)
        return -1;
    s->policy = qn_arena_alloc(&s->arena, json_array_size(list) + 1, sizeof *s->policy, e);
    if (!s->policy)
        return -1;
    json_array_foreach (list, i, item) {
        s->policies = i + 1;
        if (read_policy(s, item, &s->policy[i], e) < 0)
            return -1;
        bool is_default = qn_str_eq(s->policy[i].name, QN_STR("default"));
        if (is_default && i + 1 != json_array_size(list))
            return qn_fail(e, QN_E_CONFIG, "policies: \"default\" must be the last one");
        for (size_t k = 0; k < i; k++)
            if (qn_str_eq(s->policy[k].name, s->policy[i].name))
                return qn_fail(e, QN_E_CONFIG, "policies: two are named \"%s\"", QN_Q(s->policy[i].name));
        if (is_default)
            return 0;
    }
    struct qn_policy *p = &s->policy[s->policies++];
    qn_auto_json json_t *empty = json_object();
    *all = QN_STR("**");
    *p = (struct qn_policy){
        .name = QN_STR("default"), .match = {all, 1}, .mode = QN_MODE_ENFORCE, .public_report = true};
    qn_json_set_c(empty, "name", "default");
    qn_json_set_c(empty, "use", "run");
    qn_json_set_c(empty, "profile", "standard");
    qn_json_set(empty, "rules", json_object());
    qn_json_set(empty, "keep", json_pack("{s[]s[]s[]}", "paths", "packages", "commands"));
    qn_json_set(empty, "remove", json_pack("{s[]s[]}", "paths", "packages"));
    qn_json_set_c(empty, "user", "auto");
    qn_json_set_c(empty, "low_ports", "restricted");
    qn_json_set_c(empty, "compression", "keep");
    qn_json_set_c(empty, "on_doubt", "back-off");
    if (document(empty, NULL, &p->document, p->digest, e) < 0)
        return -1;
    return document(empty, "build", &p->build, p->build_digest, e);
}

/* Globs over UPSTREAM/REPOSITORY[:TAG]: one with a tag fits that tag only. */
bool qn_settings_fits(struct qn_str glob, struct qn_str repository, struct qn_str tag)
{
    ptrdiff_t colon = qn_str_rchr(glob, ':');
    struct qn_str name = glob;

    if (colon >= 0 && qn_str_chr(qn_str_from(glob, (size_t)colon), '/') < 0) {
        if (tag.n == 0 || !qn_glob(qn_str_from(glob, (size_t)colon + 1), tag))
            return false;
        name = qn_str_head(glob, (size_t)colon);
    }
    return qn_glob(name, repository);
}

const struct qn_policy *qn_settings_policy(const struct qn_settings *s, struct qn_str repository, struct qn_str tag)
{
    for (size_t i = 0; i < s->policies; i++)
        for (size_t k = 0; k < s->policy[i].match.n; k++)
            if (qn_settings_fits(s->policy[i].match.v[k], repository, tag))
                return &s->policy[i];
    return &s->policy[s->policies - 1];
}

const struct qn_policy *qn_settings_policy_named(const struct qn_settings *s, struct qn_str name)
{
    for (size_t i = 0; i < s->policies; i++)
        if (qn_str_eq(s->policy[i].name, name))
            return &s->policy[i];
    return NULL;
}

/* --- the rest ----------------------------------------------------------------------------------------------------- */
static int read_platforms(struct qn_settings *s, struct qn_err *e)
{
    struct qn_names list;
    size_t at = 0;

    if (qn_settings_names(s, s->effective, "platforms", &list, e) < 0)
        return -1;
    if (list.n == 0 || list.n > 16)
        return qn_fail(e, QN_E_CONFIG, "platforms: between 1 and 16 are needed");
    s->platform = qn_arena_alloc(&s->arena, list.n, sizeof *s->platform, e);
    if (!s->platform)
        return -1;
    for (size_t i = 0; i < list.n; i++) {
        char one[QN_PLATFORM_TEXT];
        if (qn_platform_parse(list.v[i], &s->platform[i], e) < 0)
            return qn_err_wrap(e, "platforms");
        int n = snprintf(s->platform_list + at, sizeof s->platform_list - at, "%s%s", i ? "," : "",
                         qn_platform_text(&s->platform[i], one));
        if (n < 0 || (size_t)n >= sizeof s->platform_list - at)
            return qn_fail(e, QN_E_CONFIG, "platforms: the list is too long");
        at += (size_t)n;
    }
    s->platforms = list.n;
    return 0;
}

static int read_tokens(struct qn_settings *s, struct qn_err *e)
{
    json_t *list, *item;
    size_t i;

    if (qn_json_array_opt(json_object_get(s->effective, "admin"), "tokens", &list, e) < 0)
        return -1;
    s->tokens = json_array_size(list);
    s->token = qn_arena_alloc(&s->arena, s->tokens, sizeof *s->token, e);
    if (!s->token)
        return -1;
    json_array_foreach (list, i, item) {
        struct qn_str role = qn_settings_text(item, "role");
        s->token[i].name = qn_settings_text(item, "name");
        s->token[i].token = qn_settings_text(item, "token");
        s->token[i].role = qn_str_eq(role, QN_STR("operate"))   ? QN_ROLE_OPERATE
                           : qn_str_eq(role, QN_STR("approve")) ? QN_ROLE_APPROVE
                                                                : QN_ROLE_READ;
        if (s->token[i].name.n == 0 || s->token[i].token.n < 16)
            return qn_fail(e, QN_E_CONFIG, "admin.tokens: every token needs a name and at least 16 characters");
    }
    return 0;
}

static int read_listeners(struct qn_settings *s, struct qn_err *e)
{
    const json_t *l = json_object_get(s->effective, "listen"), *tls = json_object_get(l, "tls");

    s->tls_cert = qn_settings_text(tls, "cert");
    s->tls_key = qn_settings_text(tls, "key");
    s->tls_client_ca = qn_settings_text(tls, "client_ca");
    if ((s->tls_cert.n == 0) != (s->tls_key.n == 0))
        return qn_fail(e, QN_E_CONFIG, "listen.tls: cert and key go together");
    if (blocks(s, l, "trusted_proxies", &s->trusted, &s->trusted_count, e) < 0)
        return qn_err_wrap(e, "listen");
    return qn_settings_names(s, l, "registry", &s->registry, e) < 0 ||
                   qn_settings_names(s, l, "mirror", &s->mirror, e) < 0 ||
                   qn_settings_names(s, l, "admin", &s->admin, e) < 0
               ? -1
               : qn_settings_names(s, json_object_get(s->effective, "metrics"), "listen", &s->metrics, e);
}

static int read_limits(struct qn_settings *s, struct qn_err *e)
{
    const json_t *l = json_object_get(s->effective, "limits");

    s->limits = (struct qn_limits){.image_size = number(l, "image_size"),
                                   .layer_ratio = number(l, "layer_ratio"),
                                   .layer_entries = number(l, "layer_entries"),
                                   .manifest_size = number(l, "manifest_size")};
    s->connections = number(l, "connections");
    s->per_client = number(l, "per_client");
    s->jobs = number(l, "jobs");
    s->queue = number(l, "queue");
    s->job_time = number(l, "job_time");
    s->worker_memory = number(l, "worker_memory");
    s->spill = number(l, "spill");
    s->cold_wait = number(l, "cold_wait");
    if (s->jobs == 0 || s->jobs > 64 || s->connections < 8 || s->per_client == 0 || s->limits.image_size == 0 ||
        s->limits.layer_entries == 0 || s->limits.manifest_size < 4096 || s->limits.manifest_size > (64u << 20) ||
        s->worker_memory < (64u << 20) || s->job_time == 0)
        return qn_fail(
            e, QN_E_CONFIG,
            "limits: jobs 1 to 64, connections from 8, per_client from 1, image_size and layer_entries not 0, "
            "manifest_size 4KiB to 64MiB, worker_memory from 64MiB, job_time not 0");
    return 0;
}

static void read_log(struct qn_settings *s)
{
    const json_t *l = json_object_get(s->effective, "log");
    struct qn_str level = qn_settings_text(l, "level");

    s->log_json = qn_str_eq(qn_settings_text(l, "format"), QN_STR("json"));
    s->log_level = qn_str_eq(level, QN_STR("debug"))   ? QN_LOG_DEBUG
                   : qn_str_eq(level, QN_STR("warn"))  ? QN_LOG_WARN
                   : qn_str_eq(level, QN_STR("error")) ? QN_LOG_ERROR
                                                       : QN_LOG_INFO;
}

int qn_settings_read(json_t *effective, struct qn_settings *out, struct qn_err *e)
{
    struct qn_settings s = {.effective = effective};
    const json_t *storage = json_object_get(effective, "storage");

    qn_arena_init(&s.arena, 16u << 20);
    s.public_url = qn_settings_text(effective, "public_url");
    s.mirror_url = qn_settings_text(effective, "mirror_url");
    s.admin_url = qn_settings_text(effective, "admin_url");
    s.root = qn_settings_text(storage, "root");
    s.max_size = number(storage, "max_size");
    s.keep_derivations = number(storage, "keep_derivations");
    s.keep_sources = number(storage, "keep_sources");
    s.upload_ttl = number(storage, "upload_ttl");
    s.default_upstream = qn_settings_text(effective, "default_upstream");
    read_log(&s);
    s.log_pulls = qn_str_eq(qn_settings_text(json_object_get(effective, "audit"), "pulls"), QN_STR("manifests"));
    s.audit_keep = number(json_object_get(effective, "audit"), "keep");
    if (read_listeners(&s, e) < 0 || read_upstreams(&s, e) < 0 || read_platforms(&s, e) < 0 ||
        read_policies(&s, e) < 0 || read_tokens(&s, e) < 0 || qn_settings_locals(&s, e) < 0 ||
        qn_settings_rules(&s, e) < 0 || qn_settings_guard(&s, e) < 0 || read_limits(&s, e) < 0) {
        qn_settings_fini(&s);
        return -1;
    }
    *out = s;
    return 0;
}

void qn_settings_fini(struct qn_settings *s)
{
    for (size_t i = 0; i < s->policies; i++)
        qn_policy_fini(&s->policy[i]);
    json_decref(s->effective);
    qn_arena_fini(&s->arena);
    *s = (struct qn_settings){0};
}
