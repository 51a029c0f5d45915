/* The line-oriented files of the dpkg database. */
#include "dpkg.h"

static struct qn_str take_line(struct qn_str *rest)
{
    ptrdiff_t end = qn_str_chr(*rest, '\n');
    struct qn_str line = end < 0 ? *rest : qn_str_head(*rest, (size_t)end + 1);
    *rest = qn_str_from(*rest, line.n);
    return line;
}

static struct qn_str chomp(struct qn_str line)
{
    if (line.n && line.p[line.n - 1] == '\n')
        line.n--;
    return line;
}

/* Without the leading "/"; "/." is the root. */
static struct qn_str relative(struct qn_str path)
{
    while (path.n && path.p[0] == '/')
        path = qn_str_from(path, 1);
    return qn_str_eq_c(path, ".") ? QN_STR("") : path;
}

static bool list_line(struct qn_str line, struct qn_str *path)
{
    line = chomp(line);
    if (line.n == 0 || line.p[0] != '/')
        return false;
    *path = relative(line);
    return true;
}

static bool md5_line(struct qn_str line, struct qn_str *hash, struct qn_str *path)
{
    line = chomp(line);
    if (line.n < 35 || line.p[32] != ' ' || (line.p[33] != ' ' && line.p[33] != '*'))
        return false;
    *hash = qn_str_head(line, 32);
    *path = relative(qn_str_from(line, 34));
    return true;
}

/* info/NAME.conffiles has "[FLAG] PATH" with paths that may hold blanks; the field has " PATH HASH [obsolete]". */
static bool conffile_line(struct qn_str line, struct qn_str *path)
{
    bool field = line.n && line.p[0] == ' ';
    struct qn_str s = qn_str_trim(line);

    if (qn_str_starts(s, QN_STR("remove-on-upgrade ")))
        s = qn_str_trim(qn_str_from(s, 18));
    if (s.n == 0 || s.p[0] != '/')
        return false;
    if (field) {
        static const char *const marks[] = {" obsolete", " remove-on-upgrade"};
        for (size_t i = 0; i < QN_ARRAY_LEN(marks); i++)
            if (qn_str_ends(s, qn_str_c(marks[i])))
                s = qn_str_trim(qn_str_head(s, s.n - strlen(marks[i])));
        ptrdiff_t blank = qn_str_rchr(s, ' ');
        s = blank < 0 ? s : qn_str_trim(qn_str_head(s, (size_t)blank));
    }
    *path = relative(s);
    return true;
}

bool qn_dpkg_list_next(struct qn_str *rest, struct qn_str *path)
{
    while (rest->n)
        if (list_line(take_line(rest), path))
            return true;
    return false;
}

bool qn_dpkg_md5_next(struct qn_str *rest, struct qn_str *hash, struct qn_str *path)
{
    while (rest->n)
        if (md5_line(take_line(rest), hash, path))
            return true;
    return false;
}

bool qn_dpkg_conffile_next(struct qn_str *rest, struct qn_str *path)
{
    while (rest->n)
        if (conffile_line(take_line(rest), path))
            return true;
    return false;
}

bool qn_dpkg_diversion_next(struct qn_str *rest, struct qn_dpkg_diversion *out)
{
    struct qn_str start = *rest;
    struct qn_str from = take_line(rest), to = take_line(rest), package = take_line(rest);

    if (package.n == 0)
        return false;
    out->raw = qn_str_head(start, from.n + to.n + package.n);
    out->from = relative(chomp(from));
    out->to = relative(chomp(to));
    out->package = chomp(package);
    return true;
}

static bool statoverride_line(struct qn_str line, struct qn_dpkg_statoverride *out)
{
    struct qn_str rest = chomp(line);

    out->raw = line;
    if (!qn_str_word(&rest, &out->user) || !qn_str_word(&rest, &out->group) || !qn_str_word(&rest, &out->mode))
        return false;
    rest = qn_str_trim(rest);
    out->path = relative(rest);
    return rest.n > 0 && rest.p[0] == '/';
}

bool qn_dpkg_statoverride_next(struct qn_str *rest, struct qn_dpkg_statoverride *out)
{
    while (rest->n)
        if (statoverride_line(take_line(rest), out))
            return true;
    return false;
}

static bool path_of(enum qn_dpkg_file file, struct qn_str line, struct qn_str *path)
{
    struct qn_dpkg_statoverride s;
    struct qn_str hash;

    switch (file) {
    case QN_DPKG_LIST:
        return list_line(line, path);
    case QN_DPKG_MD5SUMS:
        return md5_line(line, &hash, path);
    case QN_DPKG_CONFFILES:
        return conffile_line(line, path);
    case QN_DPKG_STATOVERRIDE:
        if (!statoverride_line(line, &s))
            return false;
        *path = s.path;
        return true;
    default:
        return false;
    }
}

int qn_dpkg_filter_paths(enum qn_dpkg_file file, struct qn_str text, bool (*keep)(void *ctx, struct qn_str path),
                         void *ctx, struct qn_buf *out, struct qn_err *e)
{
    struct qn_str path;

    while (text.n) {
        struct qn_str line = take_line(&text);
        if ((!path_of(file, line, &path) || keep(ctx, path)) && qn_buf_str(out, line, e) < 0)
            return -1;
    }
    return 0;
}

int qn_dpkg_filter_diversions(struct qn_str text, bool (*keep)(void *ctx, const struct qn_dpkg_diversion *d), void *ctx,
                              struct qn_buf *out, struct qn_err *e)
{
    struct qn_dpkg_diversion d;

    while (qn_dpkg_diversion_next(&text, &d))
        if (keep(ctx, &d) && qn_buf_str(out, d.raw, e) < 0)
            return -1;
    return 0;
}
