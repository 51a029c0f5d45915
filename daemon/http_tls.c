/* Client certificates. GnuTLS is inside libmicrohttpd, so its few functions are found at run time and no header of
 * it is needed. Source: GnuTLS manual, "Verifying a certificate in the context of a TLS session". */
#include "base/mem.h"
#include "http_int.h"

#include <dlfcn.h>
#include <openssl/x509.h>
#include <stdlib.h>

struct datum {
    unsigned char *data;
    unsigned size;
};

/* The verified common name of the peer, or "" (a heap string). */
static char *common_name(void *session)
{
    int (*verify)(void *, unsigned *) = NULL;
    const struct datum *(*peers)(void *, unsigned *) = NULL;
    unsigned status = 0, count = 0;
    char name[256] = "";

    *(void **)&verify = dlsym(RTLD_DEFAULT, "gnutls_certificate_verify_peers2");
    *(void **)&peers = dlsym(RTLD_DEFAULT, "gnutls_certificate_get_peers");
    if (!verify || !peers || verify(session, &status) != 0 || status != 0)
        return qn_xstrdup("");
    const struct datum *chain = peers(session, &count);
    if (!chain || count == 0)
        return qn_xstrdup("");
    const unsigned char *der = chain[0].data;
    X509 *cert = d2i_X509(NULL, &der, (long)chain[0].size);
    if (cert) {
        int n = X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, name, sizeof name);
        if (n <= 0 || strlen(name) != (size_t)n)
            name[0] = '\0';
    }
    X509_free(cert);
    return qn_xstrdup(name);
}

const char *qn_http_client_cn(const struct qn_http_request *r)
{
    struct qn_conn *c = r->conn;

    if (!atomic_load(&r->h->asks_clients) || c->local || !qn_http_is_tls(r))
        return "";
    if (!c->cn) {
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(r->mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION);
        c->cn = info && info->tls_session ? common_name(info->tls_session) : qn_xstrdup("");
    }
    return c->cn;
}
