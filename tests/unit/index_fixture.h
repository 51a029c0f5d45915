/* An index in a directory of its own, for every test of a suite. */
#ifndef TESTS_UNIT_INDEX_FIXTURE_H
#define TESTS_UNIT_INDEX_FIXTURE_H

#include "unit.h"

#include "base/fd.h"
#include "store/index.h"

#include <stdio.h>
#include <stdlib.h>

static char root[64], path[96];
static struct qn_index *ix;
static struct qn_err e;

static void setup(void)
{
    snprintf(root, sizeof root, "/tmp/quench-test.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
    snprintf(path, sizeof path, "%s/quench.db", root);
    qn_ok(qn_index_open(path, &ix, &e), e);
}

static void teardown(void)
{
    qn_index_close(ix);
    ix = NULL;
    qn_dir_remove(root);
}

static struct qn_digest dig(const char *s)
{
    return qn_digest_of(qn_str_c(s));
}

#endif
