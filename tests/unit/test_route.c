#include "settings_common.h"

#include "service/route.h"

static const char *const yaml =
    "upstreams:\n"
    "- {name: docker.io, url: 'https://registry-1.docker.io', aliases: [index.docker.io], library_prefix: true}\n"
    "- {name: quay.io, url: 'https://quay.io', allow: ['acme/**', 'one']}\n"
    "- {name: dev.local, url: 'http://dev.local:5000/v2'}\n"
    "- {name: build, url: 'https://build.example', aliases: []}\n";
static const char *const local_yaml = "local: [{name: apps}, {name: other, sparse: on}]\n";

/* One row a request: listener, name, ns, and either repo, policy name and remote name, or the error. */
static const struct {
    bool mirror;
    const char *name, *ns;
    enum qn_code code; /* QN_OK: it is routed */
    const char *repo, *policy_name, *remote;
} table[] = {
    /* (1) the first component is an upstream's name or alias, on both listeners */
    {false, "docker.io/library/nginx", "", QN_OK, "docker.io/library/nginx", "docker.io/library/nginx",
     "library/nginx"},
    {true, "docker.io/library/nginx", "", QN_OK, "docker.io/library/nginx", "docker.io/library/nginx", "library/nginx"},
    {false, "docker.io/nginx", "", QN_OK, "docker.io/library/nginx", "docker.io/library/nginx", "library/nginx"},
    {false, "index.docker.io/nginx", "", QN_OK, "docker.io/library/nginx", "docker.io/library/nginx", "library/nginx"},
    {false, "docker.io/a/b/c", "", QN_OK, "docker.io/a/b/c", "docker.io/a/b/c", "a/b/c"},
    {false, "dev.local/x", "", QN_OK, "dev.local/x", "dev.local/x", "x"},
    /* optionally after build/ */
    {false, "build/docker.io/nginx", "", QN_OK, "build/docker.io/library/nginx", "docker.io/library/nginx",
     "library/nginx"},
    {true, "build/quay.io/acme/x", "", QN_OK, "build/quay.io/acme/x", "quay.io/acme/x", "acme/x"},
    {true, "build/nginx", "docker.io", QN_OK, "build/docker.io/library/nginx", "docker.io/library/nginx",
     "library/nginx"},
    {true, "build/nginx", "", QN_OK, "docker.io/build/nginx", "docker.io/build/nginx", "build/nginx"},
    {false, "build/nginx", "", QN_E_NAME_UNKNOWN, NULL, NULL, NULL},
    {false, "build/docker.io", "", QN_E_NAME_UNKNOWN, NULL, NULL, NULL},
    /* (2) on mirror, ns; case and default port do not count */
    {true, "library/nginx", "docker.io", QN_OK, "docker.io/library/nginx", "docker.io/library/nginx", "library/nginx"},
    {true, "nginx", "Docker.IO:443", QN_OK, "docker.io/library/nginx", "docker.io/library/nginx", "library/nginx"},
    {true, "nginx", "index.docker.io", QN_OK, "docker.io/library/nginx", "docker.io/library/nginx", "library/nginx"},
    {true, "nginx", "registry-1.docker.io", QN_OK, "docker.io/library/nginx", "docker.io/library/nginx",
     "library/nginx"},
    {true, "x/y", "dev.local:5000", QN_OK, "dev.local/x/y", "dev.local/x/y", "x/y"},
    {true, "x/y", "dev.local", QN_OK, "dev.local/x/y", "dev.local/x/y", "x/y"},
    {true, "x/y", "dev.local:5001", QN_E_NAME_UNKNOWN, NULL, NULL, NULL},
    {true, "x/y", "ghcr.io", QN_E_NAME_UNKNOWN, NULL, NULL, NULL},
    {true, "docker.io/nginx", "docker.io", QN_OK, "docker.io/library/nginx", "docker.io/library/nginx",
     "library/nginx"},
    /* a prefix and an ns that disagree */
    {true, "docker.io/nginx", "quay.io", QN_E_NAME_INVALID, NULL, NULL, NULL},
    {true, "docker.io/nginx", "ghcr.io", QN_E_NAME_INVALID, NULL, NULL, NULL},
    /* ns means nothing on registry */
    {false, "nginx", "docker.io", QN_E_NAME_UNKNOWN, NULL, NULL, NULL},
    {false, "docker.io/nginx", "quay.io", QN_OK, "docker.io/library/nginx", "docker.io/library/nginx", "library/nginx"},
    /* (3) a local name, on registry only */
    {false, "apps/web", "", QN_OK, "apps/web", "apps/web", "web"},
    {false, "apps/team/web", "docker.io", QN_OK, "apps/team/web", "apps/team/web", "team/web"},
    {false, "build/apps/web", "", QN_E_NAME_UNKNOWN, NULL, NULL, NULL},
    {false, "apps", "", QN_E_NAME_INVALID, NULL, NULL, NULL},
    {false, "apps/", "", QN_E_NAME_INVALID, NULL, NULL, NULL},
    {false, "apps//web", "", QN_E_NAME_INVALID, NULL, NULL, NULL},
    {true, "apps/web", "", QN_OK, "docker.io/apps/web", "docker.io/apps/web", "apps/web"},
    /* (4) the default upstream, on mirror only */
    {true, "nginx", "", QN_OK, "docker.io/library/nginx", "docker.io/library/nginx", "library/nginx"},
    {true, "acme/app", "", QN_OK, "docker.io/acme/app", "docker.io/acme/app", "acme/app"},
    /* (5) unknown */
    {false, "nginx", "", QN_E_NAME_UNKNOWN, NULL, NULL, NULL},
    {false, "ghcr.io/x/y", "", QN_E_NAME_UNKNOWN, NULL, NULL, NULL},
    /* the allow list */
    {false, "quay.io/acme/a/b", "", QN_OK, "quay.io/acme/a/b", "quay.io/acme/a/b", "acme/a/b"},
    {false, "quay.io/one", "", QN_OK, "quay.io/one", "quay.io/one", "one"},
    {false, "quay.io/other", "", QN_E_DENIED, NULL, NULL, NULL},
    {true, "other", "quay.io", QN_E_DENIED, NULL, NULL, NULL},
    /* names that are none */
    {true, "", "", QN_E_NAME_INVALID, NULL, NULL, NULL},
    {true, "UPPER", "", QN_E_NAME_INVALID, NULL, NULL, NULL},
    {true, "docker.io/../etc", "", QN_E_NAME_INVALID, NULL, NULL, NULL},
    {true, "docker.io//x", "", QN_E_NAME_INVALID, NULL, NULL, NULL},
    {true, "a/b/", "", QN_E_NAME_INVALID, NULL, NULL, NULL},
    {false, "docker.io/", "", QN_E_NAME_UNKNOWN, NULL, NULL, NULL},
};

static const char *settings_text(char out[2048])
{
    /* "build" as an upstream's name would need a dot: the row above is only there to be refused. */
    const char *cut = strstr(yaml, "- {name: build");
    snprintf(out, 2048, "%.*s%s", (int)(cut - yaml), yaml, local_yaml);
    return out;
}

START_TEST(rows)
{
    auto_settings s = {0};
    char text[2048];

    settings_load(settings_text(text), &s);
    for (size_t i = 0; i < QN_ARRAY_LEN(table); i++) {
        struct qn_route r;
        struct qn_err e = {.code = QN_OK};
        int got = qn_route(&s, table[i].mirror, qn_str_c(table[i].name), qn_str_c(table[i].ns), &r, &e);
        const char *listener = table[i].mirror ? "mirror" : "registry";
        ck_assert_msg((got == 0 ? QN_OK : e.code) == table[i].code, "%s %s?ns=%s: %s", listener, table[i].name,
                      table[i].ns, got == 0 ? r.repo : e.msg);
        if (got < 0)
            continue;
        ck_assert_msg(strcmp(r.repo, table[i].repo) == 0 && strcmp(r.name, table[i].policy_name) == 0 &&
                          strcmp(r.remote, table[i].remote) == 0,
                      "%s %s?ns=%s: %s, %s, %s", listener, table[i].name, table[i].ns, r.repo, r.name, r.remote);
        ck_assert_int_eq(r.local != NULL, strncmp(r.repo, "apps/", 5) == 0);
        ck_assert_int_eq(r.local != NULL, r.upstream == NULL);
        ck_assert_int_eq(r.build, strncmp(r.repo, "build/", 6) == 0);
    }
}
END_TEST

START_TEST(without_a_default)
{
    auto_settings s = {0};
    struct qn_route r;
    struct qn_err e;

    settings_load("upstreams: [{name: quay.io, url: 'https://quay.io'}]\n", &s);
    qn_fails(qn_route(&s, true, QN_STR("nginx"), QN_STR(""), &r, &e), e, QN_E_NAME_UNKNOWN);
}
END_TEST

START_TEST(long_names)
{
    auto_settings s = {0};
    struct qn_route r;
    struct qn_err e;
    char name[400];

    settings_load("", &s);
    memset(name, 'a', sizeof name);
    name[255] = '\0';
    qn_fails(qn_route(&s, true, qn_str_c(name), QN_STR(""), &r, &e), e, QN_E_NAME_INVALID);
    name[247] = '\0';
    qn_ok(qn_route(&s, true, qn_str_c(name), QN_STR(""), &r, &e), e);
    ck_assert_uint_eq(strlen(r.remote), 255);
    ck_assert_uint_eq(strlen(r.repo), 255 + strlen("docker.io/"));
    memset(name, 'a', sizeof name);
    name[256] = '\0';
    qn_fails(qn_route(&s, true, qn_str_c(name), QN_STR(""), &r, &e), e, QN_E_NAME_INVALID);
}
END_TEST

Suite *suite_route(void)
{
    const TTest *const tests[] = {rows, without_a_default, long_names};
    return qn_suite("route", tests, QN_ARRAY_LEN(tests));
}
