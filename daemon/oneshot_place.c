/* Where a one-shot run reads and writes, and by which policy: configuration and command line put together. */
#include "oneshot_int.h"

#include "base/fd.h"
#include "base/mem.h"
#include "harden/rule.h"
#include "upstream/client.h"

#include <stdlib.h>
#include <unistd.h>

/* --- registries --------------------------------------------------------------------------------------------------- */

/* Whether a file of docker's or podman's knows a login for a host: itself, or by a credential helper. Helpers are not
 * asked about hosts that nobody logged in to: a public image needs none. */
static bool has_login(const char *path, const char *host)
{
    qn_auto_buf struct qn_buf b = {0};
    qn_auto_json json_t *root = NULL;
    struct qn_err ignored;
    json_t *auths, *entry;

    qn_buf_init(&b, 1u << 20);
    if (access(path, R_OK) != 0 || qn_file_read(path, &b, &ignored) < 0 ||
        qn_json_parse(qn_buf_view(&b), 1u << 20, &root, &ignored) < 0)
        return false;
    auths = json_object_get(root, "auths");
    entry = json_object_get(auths, host);
    if (!entry && strcmp(host, "docker.io") == 0)
        entry = json_object_get(auths, "https://index.docker.io/v1/");
    return json_object_get(entry, "auth") || json_object_get(entry, "identitytoken") ||
           json_object_get(json_object_get(root, "credHelpers"), host) ||
           (entry && json_object_get(root, "credsStore"));
}

/* The first file that knows the host, as skopeo and docker look for it; heap, or NULL. */
static char *login_file(const char *host)
{
    const char *file = getenv("REGISTRY_AUTH_FILE"), *runtime = getenv("XDG_RUNTIME_DIR");
    const char *docker = getenv("DOCKER_CONFIG"), *home = getenv("HOME");
    char *candidates[4] = {file && *file ? qn_xstrdup(file) : NULL,
                           runtime && *runtime ? qn_xasprintf("%s/containers/auth.json", runtime) : NULL,
                           docker && *docker ? qn_xasprintf("%s/config.json", docker) : NULL,
                           home && *home ? qn_xasprintf("%s/.docker/config.json", home) : NULL};
    char *found = NULL;

    for (size_t i = 0; i < QN_ARRAY_LEN(candidates); i++) {
        if (!found && candidates[i] && has_login(candidates[i], host))
            found = qn_steal(candidates[i]);
        free(candidates[i]);
    }
    return found;
}

static void configured(const struct qn_upstream_settings *u, struct qn_registry_config *c)
{
    c->url = u->url.p;
    c->library_prefix = u->library_prefix;
    if (u->username.n)
        c->credentials =
            (struct qn_credentials){.kind = QN_CRED_STATIC, .username = u->username.p, .password = u->password.p};
    else if (u->docker_config.n)
        c->credentials = (struct qn_credentials){.kind = QN_CRED_DOCKER_CONFIG, .path = u->docker_config.p};
    else if (u->command)
        c->credentials = (struct qn_credentials){.kind = QN_CRED_COMMAND, .argv = u->command};
}

/* Who types a host means it: every address is allowed, unlike in the daemon, which dials for strangers. */
static int open_registry(struct qn_oneshot *o, const struct qn_location *at, bool plain, struct qn_registry **out,
                         struct qn_err *e)
{
    const char *host = at->reference.host;
    const struct qn_upstream_settings *u = qn_settings_upstream(&o->settings, qn_str_c(host));
    bool hub = strcmp(host, "docker.io") == 0;
    qn_auto_free char *url = qn_xasprintf("%s://%s", plain ? "http" : "https", hub ? "registry-1.docker.io" : host);
    qn_auto_free char *login = NULL;
    struct qn_cidr everywhere[2];
    struct qn_registry_config c = {.name = host,
                                   .url = url,
                                   .library_prefix = hub,
                                   .allow = everywhere,
                                   .allows = 2,
                                   .manifest_max = o->settings.limits.manifest_size};

    if (qn_cidr_parse(QN_STR("0.0.0.0/0"), &everywhere[0], e) < 0 ||
        qn_cidr_parse(QN_STR("::/0"), &everywhere[1], e) < 0)
        return -1;
    if (u)
        configured(u, &c);
    if (plain)
        c.url = url;
    if (c.credentials.kind == QN_CRED_NONE && (login = login_file(host)))
        c.credentials = (struct qn_credentials){.kind = QN_CRED_DOCKER_CONFIG, .path = login};
    return qn_registry_new(o->client, &c, out, e);
}

/* Tag or digest of a registry's reference. */
static void reference_text(const struct qn_reference *r, char out[QN_DIGEST_TEXT + QN_TAG_MAX])
{
    if (r->digest.algorithm != QN_DIGEST_NONE)
        qn_digest_text(&r->digest, out);
    else
        snprintf(out, QN_DIGEST_TEXT + QN_TAG_MAX, "%s", r->tag);
}

/* --- SRC and DST -------------------------------------------------------------------------------------------------- */
static int parse(const char *text, struct qn_location *out, struct qn_err *e)
{
    if (qn_location_parse(qn_str_c(text), out, e) == 0)
        return 0;
    /* A spelling mistake on the command line, whatever it is elsewhere. */
    if (e->code == QN_E_NAME_INVALID || e->code == QN_E_DIGEST_INVALID)
        e->code = QN_E_USAGE;
    return -1;
}

int qn_oneshot_places(struct qn_oneshot *o, struct qn_err *e)
{
    struct qn_client_options http = {.per_host = 8, .total = 16};

    if (parse(o->opt->src, &o->from, e) < 0 || (o->opt->dst && parse(o->opt->dst, &o->to, e) < 0))
        return -1;
    if (o->opt->dst && o->to.transport == QN_TRANSPORT_DOCKER && o->to.reference.digest.algorithm != QN_DIGEST_NONE)
        return qn_fail(e, QN_E_USAGE, "%s: a destination has a tag, its digest comes from what is written",
                       QN_Q(qn_str_c(o->opt->dst)));
    if (o->from.transport != QN_TRANSPORT_DOCKER && o->to.transport != QN_TRANSPORT_DOCKER)
        return 0;
    return qn_client_new(&http, &o->client, e);
}

int qn_oneshot_source(struct qn_oneshot *o, struct qn_err *e)
{
    char ref[QN_DIGEST_TEXT + QN_TAG_MAX];

    if (o->from.transport != QN_TRANSPORT_DOCKER)
        return qn_layout_source(&o->from, o->settings.limits.manifest_size, &o->source, e);
    reference_text(&o->from.reference, ref);
    if (open_registry(o, &o->from, o->opt->src_plain_http, &o->from_registry, e) < 0 ||
        qn_registry_source(o->from_registry, o->from.reference.repository, ref, &o->source, e) < 0)
        return qn_err_wrap(e, "%s", o->opt->src);
    return 0;
}

int qn_oneshot_dest_failed(struct qn_oneshot *o, struct qn_err *e)
{
    o->dest_failed = true;
    return qn_err_wrap(e, "%s", o->opt->dst);
}

int qn_oneshot_dest(struct qn_oneshot *o, struct qn_err *e)
{
    char ref[QN_DIGEST_TEXT + QN_TAG_MAX];

    if (!o->opt->dst || o->dest.ops)
        return 0;
    if (o->to.transport != QN_TRANSPORT_DOCKER) {
        o->dest_failed = qn_layout_dest(&o->to, &o->dest, e) < 0; /* names the place itself */
        return o->dest_failed ? -1 : 0;
    }
    reference_text(&o->to.reference, ref);
    if (open_registry(o, &o->to, o->opt->dst_plain_http, &o->to_registry, e) < 0 ||
        qn_registry_dest(o->to_registry, o->to.reference.repository, ref, &o->dest, e) < 0)
        return qn_oneshot_dest_failed(o, e);
    return 0;
}

/* --- policy ------------------------------------------------------------------------------------------------------- */
static const struct qn_policy *choose(struct qn_oneshot *o, struct qn_err *e)
{
    const struct qn_settings *s = &o->settings;

    if (o->opt->policy) {
        const struct qn_policy *p = qn_settings_policy_named(s, qn_str_c(o->opt->policy));
        if (!p)
            qn_fail(e, QN_E_USAGE, "--policy: there is no policy \"%s\"", QN_Q(qn_str_c(o->opt->policy)));
        return p;
    }
    /* A file has no name that a match could fit: the last policy, which fits everything. */
    if (o->from.transport != QN_TRANSPORT_DOCKER)
        return &s->policy[s->policies - 1];
    const struct qn_upstream_settings *u = qn_settings_upstream(s, qn_str_c(o->from.reference.host));
    qn_auto_free char *name =
        qn_xasprintf("%s/%s", u ? u->name.p : o->from.reference.host, o->from.reference.repository);
    return qn_settings_policy(s, qn_str_c(name), qn_str_c(o->from.reference.tag));
}

static int set_rules(json_t *document, const struct qn_oneshot_list *list, struct qn_err *e)
{
    json_t *rules = json_object_get(document, "rules");

    if (!json_is_object(rules)) {
        qn_json_set(document, "rules", json_object());
        rules = json_object_get(document, "rules");
    }
    for (size_t i = 0; i < list->n; i++) {
        const char *eq = strchr(list->v[i], '=');
        if (!eq || eq == list->v[i])
            return qn_fail(e, QN_E_USAGE, "--rule \"%s\": write NAME=on, NAME=off or NAME=report",
                           QN_Q(qn_str_c(list->v[i])));
        qn_auto_free char *name = qn_xstrndup(qn_str_n(list->v[i], (size_t)(eq - list->v[i])));
        qn_json_set_c(rules, name, eq + 1);
    }
    return 0;
}

static void add_keep(json_t *document, const char *key, const struct qn_oneshot_list *list)
{
    json_t *keep = json_object_get(document, "keep");

    if (!json_is_object(keep)) {
        qn_json_set(document, "keep", json_object());
        keep = json_object_get(document, "keep");
    }
    if (!json_is_array(json_object_get(keep, key)))
        qn_json_set(keep, key, json_array());
    for (size_t i = 0; i < list->n; i++)
        qn_json_push(json_object_get(keep, key), qn_json_string_c(list->v[i]));
}

/* Looking at an image shows what every rule finds, also those that the policy has switched off. */
static int report_all(json_t *document, struct qn_err *e)
{
    qn_auto_options struct qn_options opt = {0};

    if (qn_options_read(document, &opt, e) < 0)
        return -1;
    for (int i = 0; i < QN_RULE_COUNT; i++)
        if (opt.rule[i] == QN_RULE_OFF)
            qn_json_set_c(json_object_get(document, "rules"), qn_rule_name((enum qn_rule)i), "report");
    return 0;
}

static int read_platforms(struct qn_oneshot *o, struct qn_err *e)
{
    const struct qn_oneshot_list *list = &o->opt->platform;
    size_t at = 0;

    o->want = o->settings.platform;
    o->wants = o->settings.platforms;
    snprintf(o->platforms, sizeof o->platforms, "%s", o->settings.platform_list);
    if (list->n == 0)
        return 0;
    o->explicit_platforms = true;
    o->want = qn_arena_alloc(&o->settings.arena, list->n, sizeof *o->want, e);
    if (!o->want)
        return -1;
    o->wants = list->n;
    for (size_t i = 0; i < list->n; i++) {
        char text[QN_PLATFORM_TEXT];
        if (strcmp(list->v[i], "all") == 0) {
            o->want = NULL;
            o->explicit_platforms = false;
            snprintf(o->platforms, sizeof o->platforms, "any platform");
            return 0;
        }
        if (qn_platform_parse(qn_str_c(list->v[i]), &o->want[i], e) < 0)
            return qn_err_wrap(e, "--platform");
        int n = snprintf(o->platforms + at, sizeof o->platforms - at, "%s%s", i ? "," : "",
                         qn_platform_text(&o->want[i], text));
        at += n > 0 ? QN_MIN((size_t)n, sizeof o->platforms - at - 1) : 0;
    }
    return 0;
}

int qn_oneshot_policy(struct qn_oneshot *o, struct qn_err *e)
{
    const struct qn_policy *p = choose(o, e);
    qn_auto_options struct qn_options check = {0};

    if (!p)
        return -1;
    o->policy = json_deep_copy(p->document);
    snprintf(o->policy_name, sizeof o->policy_name, "%.*s", QN_FMT(p->name));
    if (o->opt->profile)
        qn_json_set_c(o->policy, "profile", o->opt->profile);
    if (o->opt->use)
        qn_json_set_c(o->policy, "use", o->opt->use);
    if (set_rules(o->policy, &o->opt->rule, e) < 0)
        return -1;
    add_keep(o->policy, "paths", &o->opt->keep);
    add_keep(o->policy, "commands", &o->opt->keep_command);
    if ((o->opt->every_rule && report_all(o->policy, e) < 0) || qn_options_read(o->policy, &check, e) < 0)
        return -1;
    qn_engine_text(o->engine);
    return qn_policy_digest(o->policy, o->policy_digest, e) < 0 ? -1 : read_platforms(o, e);
}
