/* Package URLs of operating system packages. Source: package-url/purl-spec, types deb, apk and rpm. */
#ifndef QN_FORMATS_PURL_H
#define QN_FORMATS_PURL_H

#include "base/buf.h"

struct qn_purl {
    const char *type;         /* "deb", "apk", "rpm" */
    struct qn_str namespace_; /* distribution id: "debian", "alpine"; "" for none */
    struct qn_str name;
    struct qn_str version;        /* "" for none */
    struct qn_str arch;           /* "" for none */
    struct qn_str epoch;          /* rpm: qualifier epoch; "" for none */
    struct qn_str distro_version; /* VERSION_ID of os-release: qualifier distro=ID-VERSION; "" for none */
};

/* Appends "pkg:deb/debian/nginx@1.22.1-9?arch=amd64&distro=debian-12", percent-encoded. */
int qn_purl_print(const struct qn_purl *p, struct qn_buf *b, struct qn_err *e) QN_MUST_CHECK;

#endif
