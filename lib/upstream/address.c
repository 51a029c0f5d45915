#include "address.h"

#include "base/num.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>

struct block {
    uint8_t addr[16];
    unsigned bits;
};

/* IPv4 special-purpose addresses that are not reachable unicast. */
static const struct block v4_closed[] = {
    {{0}, 8},             /* this network */
    {{10}, 8},            /* private */
    {{100, 64}, 10},      /* carrier-grade NAT */
    {{127}, 8},           /* loopback */
    {{169, 254}, 16},     /* link local: metadata services */
    {{172, 16}, 12},      /* private */
    {{192, 0, 0}, 24},    /* protocol assignments */
    {{192, 0, 2}, 24},    /* documentation */
    {{192, 88, 99}, 24},  /* 6to4 relays */
    {{192, 168}, 16},     /* private */
    {{198, 18}, 15},      /* benchmarks */
    {{198, 51, 100}, 24}, /* documentation */
    {{203, 0, 113}, 24},  /* documentation */
    {{224}, 4},           /* multicast */
    {{240}, 4},           /* reserved, broadcast */
};
/* Inside 2000::/3, outside of which no IPv6 address is public. */
static const struct block v6_closed[] = {
    {{0x20, 0x01, 0x00}, 23},       /* protocol assignments: Teredo, ORCHID, benchmarks */
    {{0x20, 0x01, 0x0d, 0xb8}, 32}, /* documentation */
    {{0x3f, 0xff, 0x00}, 20},       /* documentation */
};
static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
static const uint8_t nat64[12] = {0x00, 0x64, 0xff, 0x9b};

static bool inside(const uint8_t *addr, const uint8_t *net, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;

    if (memcmp(addr, net, whole) != 0)
        return false;
    return rest == 0 || ((addr[whole] ^ net[whole]) & (uint8_t)(0xff00u >> rest)) == 0;
}

static bool listed(const uint8_t addr[16], const struct qn_cidr *allow, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (inside(addr, allow[i].addr, allow[i].bits))
            return true;
    }
    return false;
}

static bool v4_public(const uint8_t v4[4])
{
    for (size_t i = 0; i < QN_ARRAY_LEN(v4_closed); i++) {
        if (inside(v4, v4_closed[i].addr, v4_closed[i].bits))
            return false;
    }
    return true;
}

/* An IPv4 address, as itself or inside of an IPv6 one. */
static bool v4_allowed(const uint8_t v4[4], const struct qn_cidr *allow, size_t n)
{
    uint8_t addr[16];

    memcpy(addr, mapped, 12);
    memcpy(addr + 12, v4, 4);
    return v4_public(v4) || listed(addr, allow, n);
}

static bool v6_allowed(const uint8_t a[16], const struct qn_cidr *allow, size_t n)
{
    if (memcmp(a, mapped, 12) == 0 || memcmp(a, nat64, 12) == 0)
        return v4_allowed(a + 12, allow, n);
    if (listed(a, allow, n))
        return true;
    if (a[0] == 0x20 && a[1] == 0x02) /* 6to4 */
        return v4_allowed(a + 2, allow, n);
    if ((a[0] & 0xe0) != 0x20)
        return false;
    for (size_t i = 0; i < QN_ARRAY_LEN(v6_closed); i++) {
        if (inside(a, v6_closed[i].addr, v6_closed[i].bits))
            return false;
    }
    return true;
}

bool qn_address_allowed(const struct sockaddr *sa, socklen_t len, const struct qn_cidr *allow, size_t n)
{
    if (sa->sa_family == AF_INET && len >= sizeof(struct sockaddr_in)) {
        struct sockaddr_in in;
        memcpy(&in, sa, sizeof in);
        return v4_allowed((const uint8_t *)&in.sin_addr, allow, n);
    }
    if (sa->sa_family == AF_INET6 && len >= sizeof(struct sockaddr_in6)) {
        struct sockaddr_in6 in6;
        memcpy(&in6, sa, sizeof in6);
        return v6_allowed(in6.sin6_addr.s6_addr, allow, n);
    }
    return false;
}

bool qn_address_listed(const struct sockaddr *sa, socklen_t len, const struct qn_cidr *list, size_t n)
{
    uint8_t addr[16];

    if (sa->sa_family == AF_INET && len >= sizeof(struct sockaddr_in)) {
        memcpy(addr, mapped, 12);
        memcpy(addr + 12, (const uint8_t *)sa + offsetof(struct sockaddr_in, sin_addr), 4);
        return listed(addr, list, n);
    }
    if (sa->sa_family == AF_INET6 && len >= sizeof(struct sockaddr_in6)) {
        memcpy(addr, (const uint8_t *)sa + offsetof(struct sockaddr_in6, sin6_addr), 16);
        return listed(addr, list, n);
    }
    return false;
}

bool qn_address_text_allowed(const char *text, const struct qn_cidr *allow, size_t n)
{
    uint8_t addr[16];
    char plain[INET6_ADDRSTRLEN];

    if (inet_pton(AF_INET, text, addr) == 1)
        return v4_allowed(addr, allow, n);
    /* libcurl may leave a zone behind the address. */
    struct qn_str s = qn_str_c(text);
    ptrdiff_t zone = qn_str_chr(s, '%');
    if (!qn_str_copy(zone < 0 ? s : qn_str_head(s, (size_t)zone), plain, sizeof plain))
        return false;
    return inet_pton(AF_INET6, plain, addr) == 1 && v6_allowed(addr, allow, n);
}

int qn_cidr_parse(struct qn_str s, struct qn_cidr *out, struct qn_err *e)
{
    struct qn_cidr c = {0};
    char text[INET6_ADDRSTRLEN];
    ptrdiff_t slash = qn_str_chr(s, '/');
    unsigned max = 128, shift = 0;
    uint64_t bits = 0;

    if (!qn_str_copy(slash < 0 ? s : qn_str_head(s, (size_t)slash), text, sizeof text))
        return qn_fail(e, QN_E_CONFIG, "\"%s\" is not an address block", QN_Q(s));
    if (inet_pton(AF_INET, text, c.addr + 12) == 1) {
        memcpy(c.addr, mapped, 12);
        max = 32;
        shift = 96;
    } else if (inet_pton(AF_INET6, text, c.addr) != 1) {
        return qn_fail(e, QN_E_CONFIG, "\"%s\" is not an address block like 10.0.0.0/8 or fd00::/8", QN_Q(s));
    }
    bits = max;
    if (slash >= 0 && qn_num_u64(qn_str_from(s, (size_t)slash + 1), 0, max, &bits, e) < 0)
        return qn_fail(e, QN_E_CONFIG, "\"%s\": the prefix length is not between 0 and %u", QN_Q(s), max);
    c.bits = (unsigned)bits + shift;
    for (unsigned i = c.bits; i < 128; i++) {
        if (c.addr[i / 8] & (0x80u >> i % 8))
            return qn_fail(e, QN_E_CONFIG, "\"%s\": bits behind the prefix are set", QN_Q(s));
    }
    *out = c;
    return 0;
}
