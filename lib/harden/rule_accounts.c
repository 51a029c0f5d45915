/* Accounts: passwords that would let somebody in, second roots, login shells that nothing logs in with. */
#include "accounts_unused.h"
#include "edits.h"

#include "formats/passwd.h"

/* What lets somebody in by a password, or starts the shell of an account. */
static const char *const login_tools[] = {"su",      "runuser", "sshd",    "dropbear",  "login",  "sudo", "doas",
                                          "sulogin", "vsftpd",  "proftpd", "pure-ftpd", "newgrp", "sg",   NULL};

struct files {
    struct qn_rows passwd, shadow;
    uint32_t passwd_node, shadow_node;
    bool has_passwd, has_shadow;
};

static int load_one(struct qn_plan *p, const char *path, enum qn_rows_kind kind, struct qn_rows *rows, uint32_t *node,
                    bool *has, struct qn_err *e)
{
    struct qn_str text;

    *has = qn_plan_path_text(p, qn_str_c(path), node, &text);
    if (*has && qn_rows_parse(kind, text, rows, e) < 0)
        return qn_err_wrap(e, "/%s", path);
    return 0;
}

static void files_fini(struct files *f)
{
    qn_rows_fini(&f->passwd);
    qn_rows_fini(&f->shadow);
}

static int save_one(struct qn_plan *p, const struct qn_rows *rows, uint32_t node, const char *because, struct qn_err *e)
{
    qn_auto_buf struct qn_buf b = {0};

    qn_buf_init(&b, 32u << 20);
    if (!rows->changed)
        return 0;
    if (qn_rows_print(rows, &b, e) < 0)
        return -1;
    return qn_plan_edit(p, node, qn_buf_view(&b), because, e);
}

static bool locked(struct qn_str password)
{
    return password.n > 0 && (password.p[0] == '*' || password.p[0] == '!');
}

/* A password field: empty lets anybody in, a hash lets somebody in. */
static int lock(struct qn_plan *p, struct qn_rows *rows, struct qn_row *row, unsigned field, bool keep_hash,
                struct qn_str file, struct qn_err *e)
{
    if (row->dropped || row->fields <= field)
        return 0;
    struct qn_str password = row->field[field];
    bool empty = password.n == 0;
    if (locked(password) || qn_str_eq(password, QN_STR("x")))
        return 0;
    if (!empty && keep_hash)
        return qn_plan_finding(p, "NIST-IA-5", QN_WARN, false, file, e,
                               "password of \"%s\" stays: the image runs a login service", QN_Q(row->field[0]));
    if (qn_rows_set(rows, row, field, QN_STR("*"), e) < 0)
        return -1;
    return qn_plan_finding(p, empty ? "DKL-LI-0001" : "NIST-IA-5", empty ? QN_FATAL : QN_WARN, true, file, e,
                           "%s password of \"%s\"", empty ? "empty" : "usable", QN_Q(row->field[0]));
}

static int lock_all(struct qn_plan *p, struct files *f, bool keep_hash, struct qn_err *e)
{
    for (size_t i = 0; f->has_passwd && i < f->passwd.n; i++)
        if (f->passwd.row[i].fields &&
            lock(p, &f->passwd, &f->passwd.row[i], QN_PW_PASSWORD, keep_hash, QN_STR("etc/passwd"), e) < 0)
            return -1;
    for (size_t i = 0; f->has_shadow && i < f->shadow.n; i++)
        if (f->shadow.row[i].fields &&
            lock(p, &f->shadow, &f->shadow.row[i], QN_SP_PASSWORD, keep_hash, QN_STR("etc/shadow"), e) < 0)
            return -1;
    return 0;
}

static bool is_run_user(const struct qn_image *img, const struct qn_row *row)
{
    struct qn_str user = img->config.user;
    ptrdiff_t colon = qn_str_chr(user, ':');
    uint32_t uid;

    if (colon >= 0)
        user = qn_str_head(user, (size_t)colon);
    if (user.n && qn_str_eq(user, row->field[QN_PW_NAME]))
        return true;
    return !img->runs_as_root && qn_row_number(row, QN_PW_UID, &uid) && uid == img->run_uid;
}

/* The row that uid 0 is called by: "root", or where there is none the first. */
static const struct qn_row *the_root(const struct qn_rows *rows)
{
    const struct qn_row *root = qn_rows_find(rows, QN_STR("root"));
    uint32_t uid;

    return root && qn_row_number(root, QN_PW_UID, &uid) && uid == 0 ? root : qn_rows_find_id(rows, 0);
}

/* Rows with uid 0 beside it. */
static int second_roots(struct qn_plan *p, struct files *f, struct qn_err *e)
{
    const struct qn_row *first = f->has_passwd ? the_root(&f->passwd) : NULL;

    for (size_t i = 0; f->has_passwd && i < f->passwd.n; i++) {
        struct qn_row *row = &f->passwd.row[i];
        uint32_t uid;
        if (row->dropped || row == first || !qn_row_number(row, QN_PW_UID, &uid) || uid != 0)
            continue;
        bool root = qn_str_eq(row->field[QN_PW_NAME], QN_STR("root"));
        if (is_run_user(p->img, row) && !root)
            continue;
        if (qn_plan_finding(p, "NIST-AC-2", QN_FATAL, true, QN_STR("etc/passwd"), e,
                            "second account with uid 0: \"%s\"", QN_Q(row->field[QN_PW_NAME])) < 0)
            return -1;
        struct qn_row *shadow = f->has_shadow && !root ? qn_rows_find(&f->shadow, row->field[QN_PW_NAME]) : NULL;
        if (shadow)
            qn_rows_drop(&f->shadow, shadow);
        qn_rows_drop(&f->passwd, row);
    }
    return 0;
}

static bool is_login_shell(struct qn_str shell)
{
    static const char *const none[] = {"nologin", "false", "sync", "shutdown", "halt", "true"};
    struct qn_str base = qn_path_base(shell);

    for (size_t i = 0; i < QN_ARRAY_LEN(none); i++)
        if (qn_str_eq_c(base, none[i]))
            return false;
    return true; /* an empty field means /bin/sh */
}

static int no_login(struct qn_plan *p, struct files *f, struct qn_err *e)
{
    static const char *const where[] = {"usr/sbin/nologin", "sbin/nologin", "bin/false", "usr/bin/false"};
    char shell[64] = "/sbin/nologin";

    for (size_t i = 0; i < QN_ARRAY_LEN(where); i++)
        if (qn_tree_resolve(&p->img->tree, qn_str_c(where[i]), true) != QN_NO_NODE) {
            snprintf(shell, sizeof shell, "/%s", where[i]);
            break;
        }
    for (size_t i = 0; f->has_passwd && i < f->passwd.n; i++) {
        struct qn_row *row = &f->passwd.row[i];
        if (row->dropped || row->fields <= QN_PW_SHELL || qn_str_eq(row->field[QN_PW_NAME], QN_STR("root")) ||
            is_run_user(p->img, row) || !is_login_shell(row->field[QN_PW_SHELL]))
            continue;
        if (qn_rows_set(&f->passwd, row, QN_PW_SHELL, qn_str_c(shell), e) < 0)
            return -1;
    }
    return 0;
}

static int backups(struct qn_plan *p, struct qn_err *e)
{
    static const char *const names[] = {"etc/passwd-",  "etc/group-",  "etc/shadow-",
                                        "etc/gshadow-", "etc/subuid-", "etc/subgid-"};
    for (size_t i = 0; i < QN_ARRAY_LEN(names); i++)
        if (qn_rule_remove_path(p, names[i], "backup of an account file", NULL, e) < 0)
            return -1;
    return 0;
}

int qn_rule_accounts(const struct qn_image *img, const struct qn_options *opt, struct qn_plan *plan, struct qn_err *e)
{
    __attribute__((cleanup(files_fini))) struct files f = {0};
    bool login = qn_rule_any_reached(img, login_tools) && !img->utility;

    if (load_one(plan, "etc/passwd", QN_ROWS_PASSWD, &f.passwd, &f.passwd_node, &f.has_passwd, e) < 0 ||
        load_one(plan, "etc/shadow", QN_ROWS_SHADOW, &f.shadow, &f.shadow_node, &f.has_shadow, e) < 0)
        return -1;
    if (lock_all(plan, &f, login, e) < 0 || second_roots(plan, &f, e) < 0 || backups(plan, e) < 0)
        return -1;
    if (opt->profile != QN_SAFE && opt->use == QN_USE_RUN && !login && no_login(plan, &f, e) < 0)
        return -1;
    if (opt->profile == QN_STRICT && opt->use == QN_USE_RUN &&
        qn_accounts_drop_unused(plan, f.has_passwd ? &f.passwd : NULL, f.has_shadow ? &f.shadow : NULL, e) < 0)
        return -1;
    if (f.has_passwd &&
        save_one(plan, &f.passwd, f.passwd_node, "accounts locked, second roots and login shells gone", e) < 0)
        return -1;
    if (f.has_shadow && save_one(plan, &f.shadow, f.shadow_node, "passwords locked", e) < 0)
        return -1;
    return 0;
}
