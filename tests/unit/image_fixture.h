/* Images for tests: layers written as text (tests/common/tree_text.h) go through the real scanner, and from there
 * through tree, plan, emitter and verifier. Configurations and policies are JSON with ' for ". Everything asserts. */
#ifndef QN_TESTS_UNIT_IMAGE_FIXTURE_H
#define QN_TESTS_UNIT_IMAGE_FIXTURE_H

#include "harden/plan.h"
#include "harden/verify.h"
#include "image/scan.h"
#include "unit.h"

#define FIXTURE_LAYERS 8

struct fixture {
    struct qn_arena arena;
    struct qn_layer_index layer[FIXTURE_LAYERS];
    struct qn_buf tar[FIXTURE_LAYERS];
    struct qn_buf facts[FIXTURE_LAYERS];
    size_t layers;
    struct qn_buf config;
    json_t *policy;
    struct qn_options opt;
    struct qn_image image;
    struct qn_plan plan;
};

void fixture_fini(struct fixture *f);
#define auto_fixture QN_CLEANUP(fixture_fini) struct fixture

/* Scans an archive (compressed or not); 0 or -1. `facts` and the result of a good scan may be NULL. */
int fixture_scan(struct qn_str tar, enum qn_compression compression, const struct qn_limits *limits,
                 struct qn_buf *facts, struct qn_scan_result *result, struct qn_err *e);

/* Adds a layer on top. */
void fixture_layer(struct fixture *f, const char *text);
void fixture_layer_tar(struct fixture *f, struct qn_str tar);
/* Reads the policy ("" for the default one); before fixture_image(), which uses its keep lists. */
void fixture_policy(struct fixture *f, const char *policy);
/* Builds the image; `config` are the members of config.config ("'Cmd':['nginx']"). */
void fixture_image(struct fixture *f, const char *config);
/* The same, and 0 or -1. */
int fixture_try_image(struct fixture *f, const char *config, struct qn_err *e);
void fixture_plan(struct fixture *f);
/* One layer, configuration and policy, planned. */
void fixture_make(struct fixture *f, const char *layer, const char *config, const char *policy);

/* Carries the plan out: emits every layer, scans what came out, builds the image of the result under the same policy.
 * `touched` (may be NULL) has a bit for every layer that was rewritten. */
void fixture_after(const struct fixture *f, struct fixture *after, unsigned *touched);
/* Carries the plan out and checks that every check of the verifier is content. */
void fixture_verified(const struct fixture *f);
/* Runs the verifier; its result for one check. */
struct qn_verdict fixture_check(const struct fixture *before, const struct fixture *after, enum qn_check check);

/* What is where; the path must exist, but for fixture_has. */
uint32_t fixture_node(const struct fixture *f, const char *path);
bool fixture_has(const struct fixture *f, const char *path);
bool fixture_reached(const struct fixture *f, const char *path);
bool fixture_removed(const struct fixture *f, const char *path);
uint32_t fixture_mode(const struct fixture *f, const char *path);
uint32_t fixture_uid(const struct fixture *f, const char *path);
/* Content as planned; not captured is an error. */
struct qn_str fixture_text(const struct fixture *f, const char *path);
/* Name of the package that owns a path, or "". */
const char *fixture_owner(const struct fixture *f, const char *path);
/* The last change of a rule to a path, or NULL; the last finding with that check whose place or text has `what`. */
const struct qn_change *fixture_change(const struct fixture *f, enum qn_rule rule, const char *path);
const struct qn_finding *fixture_finding(const struct fixture *f, const char *check, const char *what);
/* A member of the planned config.config as compact JSON, "" when absent. */
const char *fixture_config(struct fixture *f, const char *member);

/* Proposes a removal by hand, on behalf of a rule; the path must exist. */
void fixture_remove(struct fixture *f, enum qn_rule rule, const char *path);

/* A policy in which nothing is on. */
#define ALL_OFF                                                                                                        \
    "{'rules':{'docs':'off','caches':'off','debris':'off','devices':'off','package-managers':'off','network-tools':"   \
    "'off','services':'off','setuid':'off','file-caps':'off','permissions':'off','accounts':'off','config':'off',"     \
    "'user':'off','secrets':'off','kernel':'off','preload':'off','language-managers':'off','build-tools':'off',"       \
    "'privilege-tools':'off','unused-packages':'off','unused-files':'off','shells':'off'}}"
/* Policies without the rules that remove what is unused, for tests of the others. */
#define LISTS_OFF  "'privilege-tools':'off','unused-packages':'off','unused-files':'off','shells':'off'"
#define LISTS_ONLY "{'rules':{" LISTS_OFF "}}"
/* Blocks of text that many images share. */
#define DPKG_STATUS(name, extra)                                                                                       \
    "Package: " name "\\nStatus: install ok installed\\nPriority: optional\\nArchitecture: amd64\\nVersion: "          \
    "1.0-1\\n" extra "\\n"
#define OS_DEBIAN "usr/lib/os-release text=ID=debian\\nVERSION_ID=\"12\"\\n\n"

#endif
