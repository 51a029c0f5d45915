/* What the configuration file says, as the service uses it: immutable once read. */
#ifndef QN_SERVICE_SETTINGS_H
#define QN_SERVICE_SETTINGS_H

#include "base/json.h"
#include "base/limits.h"
#include "base/mem.h"
#include "formats/descriptor.h"
#include "upstream/address.h"

/* A list of views. */
struct qn_names {
    struct qn_str *v;
    size_t n;
};

struct qn_upstream_settings {
    struct qn_str name, url;
    struct qn_names aliases, allow;
    bool library_prefix, anonymous_read;
    bool guarded; /* it has credentials, and what they open is not for everybody */
    struct qn_str username, password, docker_config;
    const char **command;        /* NULL-terminated, or NULL */
    uint64_t tag_ttl, stale_ttl; /* seconds */
    struct qn_cidr *addresses;
    size_t address_count;
};

enum qn_mode { QN_MODE_ENFORCE = 1, QN_MODE_AUDIT, QN_MODE_OFF };

struct qn_policy {
    struct qn_str name;
    struct qn_names match;
    enum qn_mode mode;
    bool wait_on_update; /* on_update: wait */
    bool exact_digests;  /* digest_pulls: exact */
    bool public_report;  /* evidence.report: public */
    bool manual;         /* approval: manual */
    json_t *document;    /* canonical: the fields that can change bytes */
    json_t *build;       /* the same with use: build, for the path build/UPSTREAM/REPO */
    char digest[QN_DIGEST_TEXT];
    char build_digest[QN_DIGEST_TEXT];
};

/* A name that people push below. */
struct qn_local_settings {
    struct qn_str name;
    bool sparse;         /* manifests are taken whose blobs or children are not here */
    bool harden_on_push; /* a pushed tag resolves to the hardened image */
};

/* What somebody wants to do with a repository; bits of a rule's `actions`. */
enum qn_action { QN_PULL = 1, QN_PUSH = 2, QN_DELETE = 4 };

struct qn_access_rule {
    struct qn_names who;          /* users, "cn:NAME", "*" */
    struct qn_names repositories; /* globs over UPSTREAM/REPOSITORY and NAME/REPOSITORY */
    unsigned actions;
};

struct qn_token_settings {
    struct qn_str name, token;
    enum { QN_ROLE_READ = 1, QN_ROLE_APPROVE, QN_ROLE_OPERATE } role;
};

struct qn_settings {
    struct qn_arena arena;
    json_t *effective;                                /* owned; the views borrow from it */
    struct qn_names registry, mirror, admin, metrics; /* listeners */
    struct qn_str tls_cert, tls_key, tls_client_ca;
    struct qn_cidr *trusted; /* proxies */
    size_t trusted_count;
    struct qn_str public_url, mirror_url, admin_url;
    struct qn_str root;
    uint64_t max_size, keep_derivations, keep_sources, upload_ttl;
    struct qn_upstream_settings *upstream;
    size_t upstreams;
    struct qn_str default_upstream;
    struct qn_local_settings *local;
    size_t locals;
    bool auth; /* the file has `auth`; without it everybody may pull and nobody push */
    struct qn_str htpasswd;
    struct qn_access_rule *rule;
    size_t rules;
    struct qn_platform *platform;
    size_t platforms;
    char platform_list[512]; /* "linux/amd64,linux/arm64": part of an index's key */
    struct qn_policy *policy;
    size_t policies;
    struct qn_token_settings *token;
    size_t tokens;
    struct qn_limits limits;
    uint64_t connections, per_client, jobs, queue, job_time, worker_memory, spill, cold_wait;
    bool log_pulls;      /* audit.pulls: manifests */
    uint64_t audit_keep; /* seconds */
    bool log_json;
    int log_level; /* enum qn_log_level */
};

/* Fills `out` from a bound configuration (see daemon/bind.h) and takes it over. CONFIG names the key and the item that
 * contradict each other. Free with qn_settings_fini(). */
int qn_settings_read(json_t *effective, struct qn_settings *out, struct qn_err *e) QN_MUST_CHECK;
void qn_settings_fini(struct qn_settings *s);

/* The upstream of a name or alias (any case), or NULL. */
const struct qn_upstream_settings *qn_settings_upstream(const struct qn_settings *s, struct qn_str name);
/* The local name, or NULL. */
const struct qn_local_settings *qn_settings_local(const struct qn_settings *s, struct qn_str name);
/* Whether a rule lets `who` (a user or "cn:NAME"; "" for nobody known, to whom only rules for "*" apply) do that with
 * "UPSTREAM/REPOSITORY" or "NAME/REPOSITORY". Without `auth` everybody may pull and nobody anything else. */
bool qn_settings_may(const struct qn_settings *s, struct qn_str who, struct qn_str repository, enum qn_action action);
/* The first policy whose match fits "UPSTREAM/REPOSITORY[:TAG]" (contract section 3). Never NULL. */
const struct qn_policy *qn_settings_policy(const struct qn_settings *s, struct qn_str repository, struct qn_str tag);
/* The policy of a name, or NULL. */
const struct qn_policy *qn_settings_policy_named(const struct qn_settings *s, struct qn_str name);
/* Whether a glob of a policy's match fits. */
bool qn_settings_fits(struct qn_str glob, struct qn_str repository, struct qn_str tag);
/* A policy like `base` with another mode (0: the same) and other rules (NULL: none) on top: what an override makes.
 * It borrows name and match of `base`; its documents are released with qn_policy_fini(). */
int qn_policy_derive(const struct qn_policy *base, enum qn_mode mode, const json_t *rules, struct qn_policy *out,
                     struct qn_err *e) QN_MUST_CHECK;
void qn_policy_fini(struct qn_policy *p);
/* 0 for other words. */
enum qn_mode qn_mode_parse(struct qn_str word);
const char *qn_mode_name(enum qn_mode mode);
/* SHA-256 of the canonical form of a policy document. */
int qn_policy_digest(const json_t *document, char out[QN_DIGEST_TEXT], struct qn_err *e) QN_MUST_CHECK;

#endif
