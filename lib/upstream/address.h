/* Which network addresses may be contacted: public ones, and what the configuration lists.
 * Sources: IANA special-purpose address registries (RFC 6890), RFC 6052 (NAT64), RFC 4291 (mapped). */
#ifndef QN_UPSTREAM_ADDRESS_H
#define QN_UPSTREAM_ADDRESS_H

#include "base/err.h"
#include "base/str.h"

#include <stdint.h>
#include <sys/socket.h>

/* A block of addresses; IPv4 is held as ::ffff:a.b.c.d with bits + 96. */
struct qn_cidr {
    uint8_t addr[16];
    unsigned bits;
};
/* "10.0.0.0/8", "fd00::/8", or an address alone; CONFIG otherwise, also when host bits are set. */
int qn_cidr_parse(struct qn_str s, struct qn_cidr *out, struct qn_err *e) QN_MUST_CHECK;
/* Whether a socket address may be contacted: a public unicast address, or inside one of `allow`. Addresses that carry
 * an IPv4 address inside (mapped, NAT64, 6to4) are judged by that as well. */
bool qn_address_allowed(const struct sockaddr *sa, socklen_t len, const struct qn_cidr *allow, size_t n);
/* Whether a socket address is inside one of `list`; an IPv4 address may come as a mapped one. */
bool qn_address_listed(const struct sockaddr *sa, socklen_t len, const struct qn_cidr *list, size_t n);
/* The same as qn_address_allowed() for a numeric address as text; false when it is none. */
bool qn_address_text_allowed(const char *text, const struct qn_cidr *allow, size_t n);

#endif
