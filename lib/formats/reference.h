/* Image references and the places an image can be at.
 * Sources: OCI distribution-spec "Pulling manifests" (name and tag grammar); containers-transports(5). */
#ifndef QN_FORMATS_REFERENCE_H
#define QN_FORMATS_REFERENCE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/path.h"
#include "base/str.h"
#include "digest.h"

#define QN_NAME_MAX 255u /* bytes of a repository name */
#define QN_TAG_MAX  128u

/* Whether `s` is a repository name: components of [a-z0-9] runs joined by ".", "_", "__" or dashes, joined by "/";
 * 1 to QN_NAME_MAX bytes. ".", ".." and empty components never are. */
bool qn_reference_repository_valid(struct qn_str s);
/* Whether `s` is a tag: [A-Za-z0-9_][A-Za-z0-9._-]{0,127}. */
bool qn_reference_tag_valid(struct qn_str s);
/* Whether `s` is HOST or HOST:PORT: dotted letters, digits and inner dashes, or an IPv6 address in brackets. */
bool qn_reference_host_valid(struct qn_str s);

/* A reference taken apart; owns its text. */
struct qn_reference {
    char host[QN_NAME_MAX + 1]; /* "" when the text names none */
    char repository[QN_NAME_MAX + 1];
    char tag[QN_TAG_MAX + 1]; /* "" when there is none */
    struct qn_digest digest;  /* algorithm QN_DIGEST_NONE when there is none */
};

/* Parses "[HOST/]REPOSITORY[:TAG][@DIGEST]". As in docker, the first component is a host when it holds "." or ":",
 * is "localhost", or holds an upper-case letter, and something follows. No default host, namespace or tag is added.
 * NAME_INVALID or DIGEST_INVALID. */
int qn_reference_parse(struct qn_str s, struct qn_reference *out, struct qn_err *e) QN_MUST_CHECK;
/* Appends the reference as text; what is absent is left out. */
int qn_reference_print(const struct qn_reference *r, struct qn_buf *b, struct qn_err *e) QN_MUST_CHECK;

enum qn_transport {
    QN_TRANSPORT_DOCKER = 1, /* docker://REFERENCE: a registry */
    QN_TRANSPORT_OCI,        /* oci:DIR[:TAG] */
    QN_TRANSPORT_OCI_ARCHIVE,
    QN_TRANSPORT_DOCKER_ARCHIVE, /* docker-archive:FILE[:REFERENCE] */
};

/* SRC or DST of the command line; owns its text. */
struct qn_location {
    enum qn_transport transport;
    struct qn_reference reference; /* QN_TRANSPORT_DOCKER only; the host is never empty */
    char path[QN_PATH_MAX];        /* the others: directory or file */
    char name[QN_NAME_MAX * 2];    /* what follows the path: a tag (ref.name annotation) or a reference; "" for none */
};

/* Spelling of a transport: "docker", "oci", ... Never NULL. */
const char *qn_transport_name(enum qn_transport t);
/* Parses the containers-transports(5) spelling. The path of the file transports ends at the first ":".
 * A docker:// reference without a host means docker.io (library/ is added to a single component), without tag and
 * digest the tag "latest". NOT_BUILT for docker-daemon:, USAGE for anything else that is not understood. */
int qn_location_parse(struct qn_str s, struct qn_location *out, struct qn_err *e) QN_MUST_CHECK;

#endif
