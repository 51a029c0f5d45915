#include "unit.h"

#include "upstream/address.h"
#include "upstream/challenge.h"

#include <arpa/inet.h>
#include <netinet/in.h>

static struct qn_err e;

START_TEST(challenges)
{
    struct qn_challenge c[QN_CHALLENGES_MAX];
    size_t n;

    qn_ok(qn_challenge_parse(QN_STR("Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\","
                                    "scope=\"repository:library/nginx:pull,push\""),
                             c, 8, &n, &e),
          e);
    ck_assert_uint_eq(n, 1);
    ck_assert_int_eq(c[0].scheme, QN_SCHEME_BEARER);
    ck_assert_str_eq(c[0].realm, "https://auth.docker.io/token");
    ck_assert_str_eq(c[0].service, "registry.docker.io");
    ck_assert_str_eq(c[0].scope, "repository:library/nginx:pull,push");
    qn_ok(qn_challenge_parse(QN_STR("Negotiate, Digest realm=x, nonce=\"a,b\", basic Realm = \"R \\\"q\\\"\" ,"
                                    " BEARER realm=https_token,error=\"invalid_token\""),
                             c, 8, &n, &e),
          e);
    ck_assert_uint_eq(n, 4);
    ck_assert_int_eq(c[2].scheme, QN_SCHEME_BASIC);
    ck_assert_str_eq(c[2].realm, "R \"q\"");
    ck_assert_int_eq(c[3].scheme, QN_SCHEME_BEARER);
    ck_assert_str_eq(c[3].error, "invalid_token");
    qn_ok(qn_challenge_parse(QN_STR("NTLM TlRMTVNTUAAB/aa==, Basic realm=\"x\""), c, 8, &n, &e), e);
    ck_assert_uint_eq(n, 2);
    ck_assert_int_eq(c[1].scheme, QN_SCHEME_BASIC);
    qn_ok(qn_challenge_parse(QN_STR(""), c, 8, &n, &e), e);
    ck_assert_uint_eq(n, 0);
    /* the first realm counts */
    qn_ok(qn_challenge_parse(QN_STR("Bearer realm=\"https://a\",realm=\"https://b\""), c, 8, &n, &e), e);
    ck_assert_str_eq(c[0].realm, "https://a");
    qn_fails(qn_challenge_parse(QN_STR("realm=\"x\""), c, 8, &n, &e), e, QN_E_MALFORMED);
    qn_fails(qn_challenge_parse(QN_STR("Bearer realm=\"x"), c, 8, &n, &e), e, QN_E_MALFORMED);
    qn_fails(qn_challenge_parse(QN_STR("Bearer realm=\"x\\"), c, 8, &n, &e), e, QN_E_MALFORMED);
    qn_fails(qn_challenge_parse(QN_STR("Bearer realm=\"x\ny\""), c, 8, &n, &e), e, QN_E_MALFORMED);
    qn_fails(qn_challenge_parse(QN_STR("Bearer realm="), c, 8, &n, &e), e, QN_E_MALFORMED);
    qn_fails(qn_challenge_parse(QN_STR("a, b, c"), c, 2, &n, &e), e, QN_E_LIMIT);
    char big[2100];
    memset(big, 'a', sizeof big);
    memcpy(big, "Bearer realm=\"", 14);
    qn_fails(qn_challenge_parse(qn_str_n(big, sizeof big), c, 8, &n, &e), e, QN_E_LIMIT);
}
END_TEST

START_TEST(realms)
{
    static const struct {
        const char *upstream, *realm;
        bool ok;
    } t[] = {
        {"https://registry-1.docker.io", "https://auth.docker.io/token", true},
        {"https://registry-1.docker.io", "https://docker.io/token", true},
        {"https://registry-1.docker.io", "https://AUTH.Docker.IO/token", true},
        {"https://ghcr.io", "https://ghcr.io/token", true},
        {"https://ghcr.io", "https://evil.io/token", false},
        {"https://registry-1.docker.io", "https://evil-docker.io/token", false},
        {"https://registry-1.docker.io", "https://docker.io.evil.example/token", false},
        {"https://registry-1.docker.io", "http://auth.docker.io/token", false},
        {"https://registry-1.docker.io", "https://user@auth.docker.io/token", false},
        {"https://registry-1.docker.io", "https://auth.docker.io@evil.example/", false},
        {"https://registry-1.docker.io", "//auth.docker.io/token", false},
        {"https://registry-1.docker.io", "", false},
        {"https://registry.co.uk", "https://evil.co.uk/token", false},
        {"https://mine.azurecr.io", "https://yours.azurecr.io/token", false},
        {"https://mine.azurecr.io", "https://mine.azurecr.io/oauth2/token", true},
        {"https://a.b.eu.amazonaws.com", "https://c.b.eu.amazonaws.com/", false},
        {"https://10.0.0.5:5000", "https://10.0.0.5/token", true},
        {"https://10.0.0.5:5000", "https://11.0.0.5/token", false},
        {"https://10.0.0.5:5000", "https://x.0.0.5/token", false},
        {"http://localhost:5000", "http://localhost:5001/token", true},
        {"http://localhost:5000", "http://other:5001/token", false},
        {"https://localhost:5000", "http://localhost:5001/token", false},
        {"https://registry.gitlab.com", "https://gitlab.com/jwt/auth", true},
        {"https://registry.example.com", "https://sso.example.org/token", true}, /* in the list below */
    };
    static const char *const allowed[] = {"sso.example.org"};

    for (size_t i = 0; i < QN_ARRAY_LEN(t); i++) {
        int r = qn_realm_check(t[i].upstream, t[i].realm, allowed, 1, &e);
        ck_assert_msg((r == 0) == t[i].ok, "%s and %s", t[i].upstream, t[i].realm);
        if (r < 0)
            ck_assert_int_eq(e.code, QN_E_ADDRESS);
    }
}
END_TEST

START_TEST(links)
{
    qn_is(qn_link_next(QN_STR("</v2/_catalog?last=a&n=2>; rel=\"next\"")), "/v2/_catalog?last=a&n=2");
    qn_is(qn_link_next(QN_STR("</p>; rel=prev, </a,b>;title=\"x,y\"; REL=next")), "/a,b");
    qn_is(qn_link_next(QN_STR("<x>; rel=\"last next\"")), "x");
    qn_is(qn_link_next(QN_STR("<x>; rel=\"nextish\"")), "");
    qn_is(qn_link_next(QN_STR("<x; rel=next")), "");
    qn_is(qn_link_next(QN_STR("")), "");
}
END_TEST

START_TEST(addresses)
{
    static const struct {
        const char *addr;
        bool ok;
    } t[] = {
        {"1.1.1.1", true},
        {"93.184.216.34", true},
        {"127.0.0.1", false},
        {"127.255.0.9", false},
        {"10.1.2.3", false},
        {"172.15.0.1", true},
        {"172.16.0.1", false},
        {"172.31.255.255", false},
        {"172.32.0.1", true},
        {"192.168.0.1", false},
        {"169.254.169.254", false},
        {"100.64.0.1", false},
        {"100.128.0.1", true},
        {"0.0.0.0", false},
        {"224.0.0.1", false},
        {"255.255.255.255", false},
        {"192.0.2.1", false},
        {"198.18.0.1", false},
        {"203.0.113.9", false},
        {"::1", false},
        {"::", false},
        {"fe80::1", false},
        {"fe80::1%eth0", false},
        {"fc00::1", false},
        {"fd12::1", false},
        {"ff02::1", false},
        {"2606:4700::1111", true},
        {"2001:db8::1", false},
        {"::ffff:10.0.0.1", false},
        {"::ffff:1.1.1.1", true},
        {"64:ff9b::a00:1", false},
        {"64:ff9b::101:101", true},
        {"2002:0a00:0001::1", false},
        {"2002:101:101::1", true},
        {"2001::1", false},
        {"::127.0.0.1", false},
        {"64:ff9b:1::1", false},
        {"nonsense", false},
        {"", false},
    };

    for (size_t i = 0; i < QN_ARRAY_LEN(t); i++)
        ck_assert_msg(qn_address_text_allowed(t[i].addr, NULL, 0) == t[i].ok, "%s", t[i].addr);
}
END_TEST

START_TEST(address_blocks)
{
    struct qn_cidr allow[2];

    qn_ok(qn_cidr_parse(QN_STR("10.0.0.0/8"), &allow[0], &e), e);
    qn_ok(qn_cidr_parse(QN_STR("fd00::/8"), &allow[1], &e), e);
    ck_assert(qn_address_text_allowed("10.255.0.1", allow, 2));
    ck_assert(qn_address_text_allowed("::ffff:10.255.0.1", allow, 2));
    ck_assert(qn_address_text_allowed("64:ff9b::a00:1", allow, 2));
    ck_assert(!qn_address_text_allowed("11.0.0.1%x", allow, 2));
    ck_assert(!qn_address_text_allowed("192.168.0.1", allow, 2));
    ck_assert(qn_address_text_allowed("fd12::1", allow, 2));
    ck_assert(!qn_address_text_allowed("fc12::1", allow, 2));
    qn_ok(qn_cidr_parse(QN_STR("127.0.0.1"), &allow[0], &e), e);
    ck_assert(qn_address_text_allowed("127.0.0.1", allow, 1));
    ck_assert(!qn_address_text_allowed("127.0.0.2", allow, 1));
    qn_fails(qn_cidr_parse(QN_STR("10.0.0.1/8"), &allow[0], &e), e, QN_E_CONFIG);
    qn_fails(qn_cidr_parse(QN_STR("10.0.0.0/33"), &allow[0], &e), e, QN_E_CONFIG);
    qn_fails(qn_cidr_parse(QN_STR("10.0.0/8"), &allow[0], &e), e, QN_E_CONFIG);
    qn_fails(qn_cidr_parse(QN_STR("::/"), &allow[0], &e), e, QN_E_CONFIG);
    qn_fails(qn_cidr_parse(QN_STR(""), &allow[0], &e), e, QN_E_CONFIG);
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x01010101)};
    ck_assert(qn_address_allowed((struct sockaddr *)&in, sizeof in, NULL, 0));
    in.sin_addr.s_addr = htonl(0x7f000001);
    ck_assert(!qn_address_allowed((struct sockaddr *)&in, sizeof in, NULL, 0));
    in.sin_family = AF_UNIX;
    ck_assert(!qn_address_allowed((struct sockaddr *)&in, sizeof in, NULL, 0));
}
END_TEST

Suite *suite_challenge(void);
Suite *suite_challenge(void)
{
    const TTest *tests[] = {challenges, realms, links, addresses, address_blocks};
    return qn_suite("challenge", tests, QN_ARRAY_LEN(tests));
}
