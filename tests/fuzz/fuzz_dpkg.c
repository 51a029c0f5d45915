/* dpkg status files and what lies in info/. */
#include "formats/dpkg.h"
#include "base/buf.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool all(void *ctx, const struct qn_dpkg_stanza *s)
{
    (void)ctx;
    return s->package.n > 0;
}

static bool every_path(void *ctx, struct qn_str path)
{
    (void)ctx;
    return path.n < 1u << 20;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qn_str text = qn_str_n(data, size);
    struct qn_err e;
    struct qn_str rest = text, group, path, hash, name;
    struct qn_dpkg_diversion dv;
    struct qn_dpkg_statoverride so;
    struct qn_dpkg_stanza s;
    struct qn_dpkg_dep d;
    qn_auto_buf struct qn_buf b = {0};

    qn_buf_init(&b, size + 1);
    if (qn_dpkg_filter(text, all, NULL, &b, &e) == 0 && !qn_str_eq(qn_buf_view(&b), text))
        abort();
    while (qn_dpkg_next(&rest, &s, &e) > 0) {
        (void)qn_dpkg_is_installed(&s);
        qn_dpkg_source(&s, &name, &hash);
        while (qn_dpkg_dep_group(&s.depends, &group))
            while (qn_dpkg_dep_next(&group, &d))
                if (d.name.n == 0)
                    abort();
        while (qn_dpkg_conffile_next(&s.conffiles, &path))
            continue;
    }
    for (int f = QN_DPKG_LIST; f <= QN_DPKG_STATOVERRIDE; f++) {
        qn_buf_clear(&b);
        if (qn_dpkg_filter_paths((enum qn_dpkg_file)f, text, every_path, NULL, &b, &e) < 0 ||
            !qn_str_eq(qn_buf_view(&b), text))
            abort();
    }
    for (rest = text; qn_dpkg_list_next(&rest, &path);)
        continue;
    for (rest = text; qn_dpkg_md5_next(&rest, &hash, &path);)
        continue;
    for (rest = text; qn_dpkg_diversion_next(&rest, &dv);)
        continue;
    for (rest = text; qn_dpkg_statoverride_next(&rest, &so);)
        continue;
    return 0;
}
