/* TLS listeners and client certificates, with libcurl as the client. */
#include "http_fixture.h"

#include <curl/curl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

struct pair {
    EVP_PKEY *key;
    X509 *cert;
    char *key_pem, *cert_pem;
};

static char *pem(EVP_PKEY *key, X509 *cert)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *data;

    ck_assert(key ? PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) : PEM_write_bio_X509(bio, cert));
    long n = BIO_get_mem_data(bio, &data);
    char *text = qn_xstrndup(qn_str_n(data, (size_t)n));
    BIO_free(bio);
    return text;
}

static void extend(X509 *cert, int nid, const char *value)
{
    X509_EXTENSION *x = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    ck_assert(x && X509_add_ext(cert, x, -1));
    X509_EXTENSION_free(x);
}

/* A certificate with a common name, signed by `ca` (NULL: by itself, as a CA). */
static struct pair make_pair(const char *cn, const struct pair *ca)
{
    struct pair p = {EVP_EC_gen("P-256"), X509_new(), NULL, NULL};
    X509_NAME *name = X509_get_subject_name(p.cert);

    ck_assert(p.key && p.cert);
    X509_set_version(p.cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(p.cert), (long)(uintptr_t)p.cert & 0xffffff);
    X509_gmtime_adj(X509_getm_notBefore(p.cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(p.cert), 3600);
    X509_set_pubkey(p.cert, p.key);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1, -1, 0);
    X509_set_issuer_name(p.cert, ca ? X509_get_subject_name(ca->cert) : name);
    extend(p.cert, NID_basic_constraints, ca ? "critical,CA:FALSE" : "critical,CA:TRUE");
    if (ca)
        extend(p.cert, NID_subject_alt_name, "IP:127.0.0.1");
    ck_assert(X509_sign(p.cert, ca ? ca->key : p.key, EVP_sha256()) > 0);
    p.key_pem = pem(p.key, NULL);
    p.cert_pem = pem(NULL, p.cert);
    return p;
}

static void free_pair(struct pair *p)
{
    EVP_PKEY_free(p->key);
    X509_free(p->cert);
    free(p->key_pem);
    free(p->cert_pem);
}

static size_t take(char *p, size_t size, size_t n, void *arg)
{
    struct qn_err e;
    return qn_buf_put(arg, p, size * n, &e) == 0 ? size * n : 0;
}

static struct curl_blob blob(const char *text)
{
    return (struct curl_blob){(void *)(uintptr_t)text, strlen(text), CURL_BLOB_COPY};
}

/* Fetches a path; the client shows `me` when not NULL. */
static CURLcode fetch(const char *path, const struct pair *ca, const struct pair *me, struct qn_buf *body)
{
    char url[128];
    CURL *c = curl_easy_init();
    struct curl_blob ca_blob = blob(ca->cert_pem);

    snprintf(url, sizeof url, "https://127.0.0.1:%u%s", T.port, path);
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_CAINFO_BLOB, &ca_blob);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, body);
    curl_easy_setopt(c, CURLOPT_TIMEOUT, 20l);
    curl_easy_setopt(c, CURLOPT_PROXY, "");
    if (me) {
        struct curl_blob cert = blob(me->cert_pem), key = blob(me->key_pem);
        curl_easy_setopt(c, CURLOPT_SSLCERT_BLOB, &cert);
        curl_easy_setopt(c, CURLOPT_SSLCERTTYPE, "PEM");
        curl_easy_setopt(c, CURLOPT_SSLKEY_BLOB, &key);
    }
    CURLcode r = curl_easy_perform(c);
    curl_easy_cleanup(c);
    return r;
}

START_TEST(tls)
{
    struct pair ca = make_pair("ca", NULL), server = make_pair("server", &ca), client = make_pair("alice", &ca);
    struct pair other_ca = make_pair("ca", NULL), mallory = make_pair("alice", &other_ca);
    const struct qn_http_listen listen[] = {{"127.0.0.1:0", 1, "tls", true, false, false}};
    qn_auto_buf struct qn_buf b = {0};

    qn_buf_init(&b, 8u << 20);
    start((struct qn_http_options){.listen = listen,
                                   .listen_count = 1,
                                   .tls_cert = server.cert_pem,
                                   .tls_key = server.key_pem,
                                   .tls_client_ca = ca.cert_pem},
          false);
    ck_assert_int_eq(fetch("/shared", &ca, NULL, &b), CURLE_OK);
    qn_is(qn_buf_view(&b), "shared");
    qn_buf_clear(&b);
    ck_assert_int_eq(fetch("/file", &ca, NULL, &b), CURLE_OK);
    ck_assert_uint_eq(b.n, FILE_SIZE);
    size_t same = 0;
    while (same < b.n && (unsigned char)b.p[same] == same % 251)
        same++;
    ck_assert_uint_eq(same, b.n);
    /* Who a client is: nobody, a verified name, and a name that nobody we know vouches for. */
    qn_buf_clear(&b);
    ck_assert_int_eq(fetch("/cn", &ca, NULL, &b), CURLE_OK);
    qn_is(qn_buf_view(&b), "");
    ck_assert_int_eq(fetch("/cn", &ca, &client, &b), CURLE_OK);
    qn_is(qn_buf_view(&b), "alice");
    qn_buf_clear(&b);
    (void)fetch("/cn", &ca, &mallory, &b);
    qn_is(qn_buf_view(&b), "");
    ck_assert_int_ne(fetch("/shared", &other_ca, NULL, &b), CURLE_OK);
    /* Plain HTTP is not answered. */
    auto_reply plain = client_get(T.port, "GET", "/shared", "");
    ck_assert(!strstr(plain.p, "HTTP/1.1"));
    stop();
    free_pair(&ca);
    free_pair(&server);
    free_pair(&client);
    free_pair(&other_ca);
    free_pair(&mallory);
}
END_TEST

Suite *suite_http_tls(void)
{
    const TTest *const tests[] = {tls};
    return qn_suite("http_tls", tests, QN_ARRAY_LEN(tests));
}
