/* Archives made by hand: what is refused and why, what is understood, what is written. */
#include "tar_common.h"

START_TEST(endings)
{
    qn_auto_buf struct qn_buf b = {.max = BIG};
    auto_list struct list l = {0};
    struct qn_err e;

    qn_ok(scan(QN_STR(""), &l, &e), e);
    ck_assert_int_eq(l.summary.ending, QN_TAR_END_NONE);
    payload(&b, "a", '0', QN_STR("x"));
    qn_ok(scan(qn_buf_view(&b), &l, &e), e);
    ck_assert_int_eq(l.summary.ending, QN_TAR_END_NONE);
    ck_assert_uint_eq(l.summary.end_off, 1024);
    qn_ok(qn_buf_zero(&b, 512, &e), e);
    qn_ok(scan(qn_buf_view(&b), &l, &e), e);
    ck_assert_int_eq(l.summary.ending, QN_TAR_END_ONE);
    qn_ok(qn_buf_zero(&b, 512, &e), e);
    qn_ok(scan(qn_buf_view(&b), &l, &e), e);
    ck_assert_int_eq(l.summary.ending, QN_TAR_END_TWO);
    qn_ok(qn_buf_zero(&b, 9000, &e), e);
    qn_ok(scan(qn_buf_view(&b), &l, &e), e);
    ck_assert_uint_eq(l.summary.size, b.n);
    qn_ok(qn_buf_c(&b, "x", &e), e);
    refused(&b, QN_E_MALFORMED, "bytes after the end");
    payload(&b, "a", '0', QN_STR("x"));
    qn_ok(qn_buf_zero(&b, 512, &e), e);
    payload(&b, "b", '0', QN_STR("x"));
    refused(&b, QN_E_MALFORMED, "a single zero block and then more, at offset 1536");
}
END_TEST

START_TEST(every_cut_is_noticed)
{
    qn_auto_buf struct qn_buf b = {.max = BIG};
    struct qn_err e;

    pax(&b, 'x', "path=abc\nSCHILY.xattr.a=b");
    payload(&b, "a", '0', QN_STR("hello"));
    for (size_t i = 1; i < b.n; i++) {
        auto_list struct list l = {0};
        qn_fails(scan(qn_str_head(qn_buf_view(&b), i), &l, &e), e, QN_E_MALFORMED);
        ck_assert_msg(strstr(e.msg, "stops in the middle"), "%s", e.msg);
    }
}
END_TEST

START_TEST(hostile_headers)
{
    qn_auto_buf struct qn_buf b = {.max = BIG};
    struct qn_err e;
    char *h;

    header(&b, "a", '0', "0000000000x", &e);
    refused(&b, QN_E_MALFORMED, "entry 0 \"a\": size field is not octal");
    h = header(&b, "a", '0', "00000000000", &e);
    h[0] = 'b';
    refused(&b, QN_E_MALFORMED, "checksum is wrong");
    h = header(&b, "a", '0', "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", &e);
    refused(&b, QN_E_MALFORMED, "size is negative");
    h = header(&b, "a", '0', "\x80\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01", &e);
    refused(&b, QN_E_MALFORMED, "size field is out of range");
    h = header(&b, "a", '0', "\x80", &e);
    memcpy(h + 124 + 4, "\x7f\xff\xff\xff\xff\xff\xff\xff", 8);
    sum(h);
    refused(&b, QN_E_LIMIT, "file of 9223372036854775807 bytes");
    h = header(&b, "a", '0', "00000000000", &e);
    memcpy(h + 108, "\xff\xff\xff\xff\xff\xff\xff\xfe", 8);
    sum(h);
    refused(&b, QN_E_MALFORMED, "uid -2 is out of range");
    header(&b, "a\x1b", 'V', "00000000000", &e);
    refused(&b, QN_E_UNSUPPORTED, "entry 0 \"a\\x1b\": unknown entry type \"V\"");
    h = header(&b, "a", 'S', "00000000000", &e);
    refused(&b, QN_E_MALFORMED, "sparse entry without GNU magic");
}
END_TEST

START_TEST(hostile_extension_headers)
{
    qn_auto_buf struct qn_buf b = {.max = BIG};
    qn_auto_free char *name = qn_xcalloc(1, 5000);
    struct qn_err e;
    static const char *const bad[] = {
        "",         "x",        "9 a=b\n",   "7 a=b\n",  "6 a=bx", "5 =b\n", "6 ab\n\n", "99999999999 a=b\n",
        "-6 a=b\n", "+6 a=b\n", "6 a=b\n\0", " 6 a=b\n", "4 a\n"};

    for (size_t i = 1; i < QN_ARRAY_LEN(bad); i++) {
        payload(&b, "x", 'x', qn_str_n(bad[i], i == 10 ? 7 : strlen(bad[i])));
        refused(&b, QN_E_MALFORMED, "pax record at byte");
    }
    memset(name, 'n', 4097);
    payload(&b, "L", 'L', qn_str_n(name, 4097));
    payload(&b, "a", '0', QN_STR(""));
    refused(&b, QN_E_MALFORMED, "name of 4097 bytes");
    payload(&b, "L", 'L', QN_STR("a\0b"));
    refused(&b, QN_E_MALFORMED, "NUL inside a long name");
    payload(&b, "x", 'x', QN_STR("11 path=a\0\n"));
    payload(&b, "a", '0', QN_STR(""));
    refused(&b, QN_E_MALFORMED, "NUL in pax record \"path\"");
    header(&b, "x", 'x', "00004000001", &e);
    refused(&b, QN_E_LIMIT, "extension header of 1048577 bytes");
    pax(&b, 'x', "path=abc");
    pax(&b, 'x', "path=abc");
    refused(&b, QN_E_MALFORMED, "two extension headers of type 'x'");
    pax(&b, 'x', "path=abc");
    payload(&b, "L", 'L', QN_STR("abd"));
    payload(&b, "a", '0', QN_STR(""));
    refused(&b, QN_E_MALFORMED, "pax path and GNU long name differ");
    pax(&b, 'x', "path=abc");
    qn_ok(qn_buf_zero(&b, 1024, &e), e);
    refused(&b, QN_E_MALFORMED, "archive ends behind an extension header");
    pax(&b, 'g', "path=abc");
    refused(&b, QN_E_UNSUPPORTED, "global pax record \"path\"");
    pax(&b, 'x', "path=abc");
    pax(&b, 'g', "comment=ab");
    refused(&b, QN_E_MALFORMED, "global header between");
    pax(&b, 'x', "uid=4294967296");
    payload(&b, "a", '0', QN_STR(""));
    refused(&b, QN_E_MALFORMED, "pax uid \"4294967296\"");
    pax(&b, 'x', "size=-1");
    payload(&b, "a", '0', QN_STR(""));
    refused(&b, QN_E_MALFORMED, "pax size \"-1\"");
    pax(&b, 'x', "mtime=1.2x");
    payload(&b, "a", '0', QN_STR(""));
    refused(&b, QN_E_MALFORMED, "mtime \"1.2x\"");
}
END_TEST

START_TEST(hostile_sparse_maps)
{
    qn_auto_buf struct qn_buf b = {.max = BIG};
    static const struct {
        const char *records, *reason;
    } cases[] = {
        {"GNU.sparse.major=2\nGNU.sparse.minor=0", "unknown sparse format"},
        {"GNU.sparse.map=0,5", "segment 0 is not behind"}, /* real size is the data's: 3 */
        {"GNU.sparse.map=0,2", "names 2 bytes of data, the archive has 3"},
        {"GNU.sparse.size=9\nGNU.sparse.map=5,2,5,1", "segment 1 is not behind"},
        {"GNU.sparse.size=9\nGNU.sparse.map=5,2,8", "an offset without a length"},
        {"GNU.sparse.size=9\nGNU.sparse.map=x,2,8", "\"x\" is not a number"},
        {"GNU.sparse.size=9\nGNU.sparse.offset=123", "an offset without a length"},
        {"GNU.sparse.numbytes=123\nGNU.sparse.offset=12", "a length without an offset"},
        {"GNU.sparse.offset=12\nGNU.sparse.offset=12", "two offsets in a row"},
    };

    for (size_t i = 0; i < QN_ARRAY_LEN(cases); i++) {
        pax(&b, 'x', cases[i].records);
        payload(&b, "a", '0', QN_STR("abc"));
        refused(&b, QN_E_MALFORMED + (i == 0), cases[i].reason);
    }
    pax(&b, 'x', "GNU.sparse.major=1\nGNU.sparse.minor=0\nGNU.sparse.size=9");
    payload(&b, "a", '0', QN_STR("abc"));
    refused(&b, QN_E_MALFORMED, "sparse map is longer than the data");
}
END_TEST

START_TEST(what_readers_agree_on)
{
    qn_auto_buf struct qn_buf b = {.max = BIG};
    auto_list struct list l = {0};
    struct qn_err e;
    char *h;

    h = header(&b, "dir/", '\0', "00000000000", &e); /* v7 directory */
    h = header(&b, "d", '5', "00000001000", &e);     /* a directory's size means nothing */
    h = header(&b, "x", '0', "00000000000", &e);
    memcpy(h + 100, "0100755", 7); /* type bits in the mode */
    memcpy(h + 345, "pre/fix", 7);
    sum(h);
    h = header(&b, "old-go", '0', "00000000000", &e);
    memcpy(h + 257, "ustar  ", 8); /* GNU magic and a prefix */
    memcpy(h + 345, "some/where", 10);
    sum(h);
    h = header(&b, "signed\xff", '0', "00000000000", &e);
    int v = 0;
    memset(h + 148, ' ', 8);
    for (unsigned i = 0; i < 512; i++)
        v += (signed char)h[i];
    snprintf(h + 148, 8, "%06o", (unsigned)v);
    pax(&b, 'g', "comment=ab");
    payload(&b, "x", 'x',
            QN_STR("10 path=a\n10 path=b\n21 mtime=-1.50000001\n"
                   "30 SCHILY.xattr.user.a=\0\n=\xff..\n"));
    header(&b, "ignored", '0', "00000000000", &e);
    qn_ok(scan(qn_buf_view(&b), &l, &e), e);
    ck_assert_uint_eq(l.n, 6);
    ck_assert_int_eq(l.item[0].entry.type, QN_TAR_DIR);
    ck_assert_uint_eq(l.item[1].entry.size, 0);
    qn_is(l.item[2].entry.name, "pre/fix/x");
    ck_assert_uint_eq(l.item[2].entry.mode, 0755);
    qn_is(l.item[3].entry.name, "some/where/old-go");
    qn_is(l.item[5].entry.name, "b");
    ck_assert_int_eq(l.item[5].entry.mtime, -2);
    ck_assert_uint_eq(l.item[5].entry.mtime_nsec, 499999990);
    qn_is(l.item[5].entry.pax_global, "14 comment=ab\n");
    struct qn_str value;
    ck_assert(qn_pax_get(l.item[5].entry.pax, QN_STR("SCHILY.xattr.user.a"), &value));
    ck_assert(qn_str_eq(value, QN_STR("\0\n=\xff..")));
    /* The global header lies between the entries and belongs to none. */
    ck_assert_uint_eq(l.item[5].entry.ext_off - l.item[4].entry.end_off, 1024);
    ck_assert_uint_eq(l.item[5].entry.hdr_off - l.item[5].entry.ext_off, 1024);
}
END_TEST

START_TEST(limits_hold)
{
    qn_auto_buf struct qn_buf b = {.max = BIG};
    auto_list struct list l = {0};
    struct qn_limits limits = QN_LIMITS_DEFAULT;
    struct qn_err e;

    for (unsigned i = 0; i < 4; i++)
        payload(&b, "a", '0', QN_STR("abc"));
    limits.layer_entries = 4;
    qn_ok(scan_with(qn_buf_view(&b), 512, &limits, &l, &e), e);
    limits.layer_entries = 3;
    qn_fails(scan_with(qn_buf_view(&b), 512, &limits, &l, &e), e, QN_E_LIMIT);
    limits = QN_LIMITS_DEFAULT;
    limits.image_size = 2;
    qn_fails(scan_with(qn_buf_view(&b), 512, &limits, &l, &e), e, QN_E_LIMIT);
}
END_TEST

/* --- writing --------------------------------------------------------------------------------------------------- */

static void write_one(const struct qn_tar_entry *entry, const struct qn_tar_edit *edit, size_t blocks, struct list *l)
{
    qn_auto_buf struct qn_buf out = {.max = BIG};
    struct qn_err e;

    qn_ok(qn_tar_entry_edit(entry, edit, &out, &e), e);
    ck_assert_uint_eq(out.n, blocks * 512);
    qn_ok(scan(qn_buf_view(&out), l, &e), e);
    ck_assert_uint_eq(l->n, 1);
}

START_TEST(only_what_does_not_fit_becomes_a_record)
{
    static const struct {
        struct qn_tar_entry entry;
        const char *records;
    } cases[] = {
        {{.name = {"etc/passwd", 10}, .mode = 0644, .mtime = 077777777777}, ""},
        {{.name = {"x", 1}, .uid = 07777777}, ""},
        {{.name = {"x", 1}, .uid = 010000000}, "15 uid=2097152\n"},
        {{.name = {"x", 1}, .gid = UINT32_MAX}, "18 gid=4294967295\n"},
        {{.name = {"x", 1}, .mtime = -1}, "12 mtime=-1\n"},
        {{.name = {"x", 1}, .mtime = -2, .mtime_nsec = 500000000}, "14 mtime=-1.5\n"},
        {{.name = {"x", 1}, .mtime = 5, .mtime_nsec = 10}, "20 mtime=5.00000001\n"},
        {{.name = {"x", 1}, .mtime = 0100000000000}, "20 mtime=8589934592\n"},
        {{.name = {"x", 1}, .type = QN_TAR_CHAR, .devmajor = 1, .devminor = 0777777}, ""},
    };

    for (size_t i = 0; i < QN_ARRAY_LEN(cases); i++) {
        auto_list struct list l = {0};
        struct qn_tar_edit nothing = {0};
        struct item want = {.entry = cases[i].entry, .content = qn_digest_of(QN_STR(""))};
        write_one(&cases[i].entry, &nothing, cases[i].records[0] ? 3 : 1, &l);
        same_item(&l.item[0], &want);
        qn_is(l.item[0].entry.pax, cases[i].records);
    }
}
END_TEST

START_TEST(names_of_every_length)
{
    char name[4097];
    struct qn_err e;

    for (size_t n = 1; n <= 4096; n += n < 300 ? 1 : 379)
        for (size_t every = 2; every < 200; every += 49) {
            qn_auto_buf struct qn_buf out = {.max = BIG};
            auto_list struct list l = {0};
            for (size_t i = 0; i < n; i++)
                name[i] = i % every == every - 1 ? '/' : 'n';
            struct qn_tar_entry entry = {.name = {name, n}, .link = {name, n}, .type = QN_TAR_SYMLINK};
            qn_ok(qn_tar_write_header(&entry, &out, &e), e);
            qn_ok(scan(qn_buf_view(&out), &l, &e), e);
            ck_assert(qn_str_eq(l.item[0].entry.name, entry.name));
            ck_assert(qn_str_eq(l.item[0].entry.link, entry.link));
            if (n <= 100)
                ck_assert_uint_eq(out.n, 512);
        }
}
END_TEST

START_TEST(edits)
{
    const struct qn_str drop[] = {QN_STR("SCHILY.xattr.security.capability"), QN_STR("LIBARCHIVE.*")};
    const struct qn_str all[] = {QN_STR("*")};
    struct qn_tar_entry entry = {
        .name = QN_STR("bin/ping"), .mode = 04755, .uid = 1, .mtime = 9, .mtime_nsec = 5, .uname = QN_STR("root")};
    qn_auto_buf struct qn_buf text = {.max = BIG};
    auto_list struct list l = {0};

    records(&text,
            "SCHILY.xattr.security.capability=cap\nLIBARCHIVE.xattr.a=b\nSCHILY.xattr.user.keep=me\npath=old/name");
    entry.pax = qn_buf_view(&text);
    struct qn_tar_edit edit = {.set_mode = true,
                               .mode = 0755,
                               .set_uid = true,
                               .uid = 0,
                               .set_gid = true,
                               .gid = 7,
                               .drop = drop,
                               .drops = QN_ARRAY_LEN(drop)};
    write_one(&entry, &edit, 3, &l);
    qn_is(l.item[0].entry.name, "bin/ping");
    ck_assert_uint_eq(l.item[0].entry.mode, 0755);
    ck_assert_uint_eq(l.item[0].entry.uid, 0);
    ck_assert_uint_eq(l.item[0].entry.gid, 7);
    qn_is(l.item[0].entry.pax, "21 mtime=9.000000005\n29 SCHILY.xattr.user.keep=me\n");
    edit = (struct qn_tar_edit){.set_mtime = true, .mtime = 3, .drop = all, .drops = 1};
    write_one(&entry, &edit, 1, &l);
    ck_assert_int_eq(l.item[0].entry.mtime, 3);
    ck_assert_uint_eq(l.item[0].entry.mtime_nsec, 0);
}
END_TEST

START_TEST(what_cannot_be_written)
{
    qn_auto_buf struct qn_buf out = {.max = BIG};
    struct qn_err e;
    struct qn_tar_entry entry = {.name = QN_STR("")};
    char name[4097];

    qn_fails(qn_tar_write_header(&entry, &out, &e), e, QN_E_MALFORMED);
    entry.name = QN_STR("a\0b");
    qn_fails(qn_tar_write_header(&entry, &out, &e), e, QN_E_MALFORMED);
    memset(name, 'x', sizeof name);
    entry.name = qn_str_n(name, sizeof name);
    qn_fails(qn_tar_write_header(&entry, &out, &e), e, QN_E_MALFORMED);
    entry = (struct qn_tar_entry){.name = QN_STR("x"), .type = QN_TAR_BLOCKDEV, .devmajor = UINT32_MAX};
    qn_fails(qn_tar_write_header(&entry, &out, &e), e, QN_E_UNSUPPORTED);
    ck_assert_uint_eq(out.n, 0);
}
END_TEST

Suite *suite_tar_rules(void)
{
    const TTest *const tests[] = {
        endings,
        every_cut_is_noticed,
        hostile_headers,
        hostile_extension_headers,
        hostile_sparse_maps,
        what_readers_agree_on,
        limits_hold,
        only_what_does_not_fit_becomes_a_record,
        names_of_every_length,
        edits,
        what_cannot_be_written,
    };
    return qn_suite("tar_rules", tests, QN_ARRAY_LEN(tests));
}
