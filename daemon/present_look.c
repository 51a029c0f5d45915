/* Answers of the commands that only look, for people: explain, verify, diff. */
#include "present.h"

#include "base/mem.h"
#include "base/path.h"
#include "harden/sarif.h"

#include <stdio.h>
#include <stdlib.h>

#define COLLAPSE_FROM 12

static const char *text(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static int64_t figure(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

static enum qn_colour state_colour(const char *state)
{
    if (strcmp(state, "removed") == 0)
        return QN_RED;
    return strcmp(state, "kept") == 0 ? QN_GREEN : QN_YELLOW;
}

/* --- explain ------------------------------------------------------------------------------------------------------ */

static void sentence(const json_t *o, const char *name)
{
    qn_present_coloured(state_colour(text(o, "state")), text(o, "state"), 0);
    fputs(": ", stdout);
    qn_present_safe(name);
    if (*text(o, "rule"))
        printf(" by rule %s", text(o, "rule"));
    if (*text(o, "because")) {
        fputs(*text(o, "rule") ? ": " : " because ", stdout);
        qn_present_safe(text(o, "because"));
    }
    putchar('\n');
}

static void explain_path(const json_t *o)
{
    json_t *row;
    size_t i;

    sentence(o, text(o, "path"));
    printf("  %s", text(o, "type"));
    if (*text(o, "link")) {
        fputs(" to ", stdout);
        qn_present_safe(text(o, "link"));
    }
    if (*text(o, "package")) {
        fputs(" of package ", stdout);
        qn_present_safe(text(o, "package"));
    }
    if (json_object_get(o, "layer"))
        printf(", from layer %lld", (long long)figure(o, "layer"));
    putchar('\n');
    if (json_object_get(o, "below_kept"))
        printf("  below it %lld stay, %lld go\n", (long long)figure(o, "below_kept"),
               (long long)figure(o, "below_removed"));
    if (*text(o, "reason") && strcmp(text(o, "reason"), text(o, "because")) != 0) {
        fputs("  reached: ", stdout);
        qn_present_safe(text(o, "reason"));
        putchar('\n');
    }
    json_array_foreach (json_object_get(o, "changes"), i, row) {
        printf("  %s %s", text(row, "rule"), text(row, "action"));
        if (*text(row, "from") || *text(row, "to"))
            printf(" %s -> %s", text(row, "from"), text(row, "to"));
        fputs(json_is_true(json_object_get(row, "backed_off")) ? " (backed off): "
              : json_is_true(json_object_get(row, "reported")) ? " (reported only): "
                                                               : ": ",
              stdout);
        qn_present_safe(text(row, "because"));
        putchar('\n');
    }
}

static void explain_package(const json_t *o)
{
    json_t *row;
    size_t i;

    sentence(o, text(o, "package"));
    printf("  %s\n  %lld files, %lld of them removed\n", text(o, "purl"), (long long)figure(o, "files"),
           (long long)figure(o, "removed"));
    json_array_foreach (json_object_get(o, "paths"), i, row) {
        fputs("  ", stdout);
        sentence(row, text(row, "path"));
    }
}

void qn_present_explanation(const struct qn_oneshot_image *image, bool with_platform)
{
    if (with_platform)
        printf("%s  ", image->platform);
    if (strcmp(text(image->answer, "kind"), "package") == 0)
        explain_package(image->answer);
    else
        explain_path(image->answer);
}

/* --- verify ------------------------------------------------------------------------------------------------------- */

void qn_present_verification(const struct qn_oneshot_image *image, const char *src)
{
    json_t *row;
    size_t i;

    printf("%s  %s\n  %s\n", image->platform, src, text(json_object_get(image->report, "source"), "digest"));
    json_array_foreach (json_object_get(image->answer, "verification"), i, row) {
        bool ok = json_is_true(json_object_get(row, "ok"));
        fputs("  ", stdout);
        qn_present_coloured(ok ? QN_GREEN : QN_RED, ok ? "ok    " : "FAILED", 0);
        printf("  %-13s ", text(row, "check"));
        qn_present_safe(text(row, "detail"));
        putchar('\n');
    }
}

json_t *qn_present_sarif_checks(const json_t *list, const char *src)
{
    size_t n = json_array_size(list), i, k;
    json_t **reports = qn_xcalloc(n, sizeof(json_t *)), *one, *row;

    json_array_foreach (list, i, one) {
        json_t *findings = json_array();
        reports[i] = json_object();
        qn_json_set(reports[i], "platform", json_incref(json_object_get(one, "platform")));
        qn_json_set(reports[i], "source", json_incref(json_object_get(one, "source")));
        qn_json_set(reports[i], "findings", findings);
        json_array_foreach (json_object_get(one, "verification"), k, row) {
            json_t *f = json_object();
            qn_auto_free char *check = qn_xasprintf("verify-%s", text(row, "check"));
            qn_json_set_c(f, "check", check);
            qn_json_set_c(f, "level", "fatal");
            qn_json_set_c(f, "where", "image");
            qn_json_set_c(f, "detail", text(row, "detail"));
            qn_json_set_bool(f, "fixed", json_is_true(json_object_get(row, "ok")));
            qn_json_push(findings, f);
        }
    }
    json_t *j = qn_sarif_make((const json_t *const *)reports, n, src, false);
    for (i = 0; i < n; i++)
        json_decref(reports[i]);
    free(reports);
    return j;
}

/* --- diff --------------------------------------------------------------------------------------------------------- */

static void sign(const char *change)
{
    bool added = strcmp(change, "added") == 0, removed = strcmp(change, "removed") == 0;
    qn_present_coloured(added ? QN_GREEN : removed ? QN_RED : QN_YELLOW, added ? "+ " : removed ? "- " : "~ ", 0);
}

/* How many rows from `i` on are of one change below the directory that the first names best. */
static size_t run_of(const json_t *files, size_t i, struct qn_str *dir)
{
    size_t n = json_array_size(files), best = 1;
    const char *change = text(json_array_get(files, i), "change");
    struct qn_str path = qn_str_c(text(json_array_get(files, i), "path"));

    if (strcmp(change, "changed") == 0)
        return 1;
    for (struct qn_str d = qn_path_dir(path); d.n > 1 && qn_str_chr(qn_str_from(d, 1), '/') >= 0; d = qn_path_dir(d)) {
        size_t k = i;
        while (k < n && strcmp(text(json_array_get(files, k), "change"), change) == 0 &&
               qn_path_under(qn_str_c(text(json_array_get(files, k), "path")), d))
            k++;
        if (k - i > best) {
            best = k - i;
            *dir = d;
        }
    }
    return best;
}

static void diff_row(const json_t *row)
{
    json_t *what;
    size_t i;

    sign(text(row, "change"));
    qn_present_safe(text(row, "path"));
    if (json_array_size(json_object_get(row, "what")) > 0) {
        fputs("  (", stdout);
        json_array_foreach (json_object_get(row, "what"), i, what) {
            printf("%s%s", i ? ", " : "", json_string_value(what));
        }
        putchar(')');
    }
    if (*text(row, "from")) {
        fputs("  ", stdout);
        qn_present_safe(text(row, "from"));
        fputs(" => ", stdout);
        qn_present_safe(text(row, "to"));
    }
    putchar('\n');
}

static void diff_files(const json_t *files)
{
    for (size_t i = 0; i < json_array_size(files);) {
        struct qn_str dir = QN_STR("");
        size_t run = run_of(files, i, &dir);
        if (run < COLLAPSE_FROM) {
            diff_row(json_array_get(files, i++));
            continue;
        }
        qn_auto_free char *shown = qn_xasprintf("%.*s/** (%zu)", QN_FMT(dir), run);
        sign(text(json_array_get(files, i), "change"));
        qn_present_safe(shown);
        putchar('\n');
        i += run;
    }
}

static void diff_table(const json_t *list, const char *key)
{
    json_t *row;
    size_t i;

    json_array_foreach (list, i, row) {
        const char *change = *text(row, "change") ? text(row, "change") : "changed";
        fputs("  ", stdout);
        sign(change);
        printf("%-28s ", text(row, key));
        qn_present_safe(text(row, "from"));
        if (strcmp(change, "changed") == 0)
            fputs(" => ", stdout);
        qn_present_safe(text(row, "to"));
        putchar('\n');
    }
}

void qn_present_diff(const json_t *diff, bool with_platform)
{
    const json_t *c = json_object_get(diff, "counts");
    const json_t *packages = json_object_get(diff, "packages"), *config = json_object_get(diff, "config");

    if (with_platform)
        printf("%s\n", text(diff, "platform"));
    if (json_is_true(json_object_get(diff, "equal"))) {
        puts("equal");
        return;
    }
    printf("files     %lld added, %lld removed, %lld changed\n", (long long)figure(c, "added"),
           (long long)figure(c, "removed"), (long long)figure(c, "changed"));
    printf("packages  %lld added, %lld removed, %lld changed\n", (long long)figure(c, "packages_added"),
           (long long)figure(c, "packages_removed"), (long long)figure(c, "packages_changed"));
    if (json_array_size(packages) > 0)
        puts("\npackages");
    diff_table(packages, "package");
    if (json_array_size(config) > 0)
        puts("\nconfiguration");
    diff_table(config, "key");
    if (json_array_size(json_object_get(diff, "files")) > 0)
        puts("\nfiles");
    diff_files(json_object_get(diff, "files"));
    if (json_is_true(json_object_get(diff, "truncated")))
        puts("... and more");
}
