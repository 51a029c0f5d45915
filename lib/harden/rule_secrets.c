/* Keys, tokens, passwords: removed where the profile says so and nothing names them, reported otherwise. What an upper
 * layer hides goes always: nobody sees it, and everybody can download it. Values are never printed. */
#include "edits.h"
#include "secrets_gone.h"

#include "image/secrets.h"

static int files(struct qn_plan *p, struct qn_err *e)
{
    const struct qn_tree *t = &p->img->tree;

    for (uint32_t i = 1; i < t->count; i++) {
        const struct qn_node *n = &t->node[i];
        qn_auto_buf struct qn_buf what = {.max = 1024};
        /* The names of one file share its data: it is reported once. */
        if (n->type != QN_FILE || !n->data || !n->data->secrets || p->fate[i].removed)
            continue;
        if (qn_secrets_print(n->data->secrets, &what, e) < 0)
            return -1;
        const char *stays = qn_secret_stays(p->img, p->opt, i);
        if (!stays && qn_plan_remove(p, i, "a secret: everybody who pulls the image has it", e) < 0)
            return -1;
        bool owned = n->package != QN_NO_PACKAGE;
        if (qn_plan_finding(p, "CIS-4.10", owned ? QN_INFO : QN_WARN, p->fate[i].removed != 0, n->path, e, "%s%s%s",
                            what.p ? what.p : "secret", stays ? ": " : "", stays ? stays : "") < 0)
            return -1;
    }
    return 0;
}

static int hidden(struct qn_plan *p, struct qn_err *e)
{
    const struct qn_tree *t = &p->img->tree;

    for (size_t l = 0; l < t->layer_count; l++)
        for (size_t i = 0; i < t->layer[l].count; i++) {
            const struct qn_entry *n = &t->layer[l].entry[i];
            qn_auto_buf struct qn_buf what = {.max = 1024};
            if (!qn_secret_hidden(p->img, l, n))
                continue;
            if (qn_secrets_print(qn_layer_data(&t->layer[l], n)->secrets, &what, e) < 0 ||
                qn_plan_remove_hidden(p, n->path, "a secret in a lower layer: it can be downloaded", e) < 0 ||
                qn_plan_finding(p, "CIS-4.10", QN_WARN, true, n->path, e, "%s in layer %zu, hidden by an upper one",
                                what.p, l) < 0)
                return -1;
        }
    return 0;
}

static int variables(struct qn_plan *p, struct qn_err *e)
{
    const struct qn_words *env = &p->img->config.env;

    for (size_t i = 0; i < env->n; i++) {
        struct qn_str rest = env->v[i], name = qn_str_head(rest, (size_t)QN_MAX(qn_str_chr(rest, '='), 0));
        qn_auto_buf struct qn_buf what = {.max = 1024};
        struct qn_secret s;
        if (!qn_secret_next(&rest, &s))
            continue;
        if (qn_secrets_print(QN_SECRET_BIT(s.kind), &what, e) < 0 ||
            qn_plan_finding(p, "CIS-DI-0010", QN_FATAL, false, QN_STR("config.Env"), e, "%s in variable \"%s\"", what.p,
                            QN_Q(name)) < 0)
            return -1;
    }
    return 0;
}

/* The text without the secrets in it; their number. */
static int without(struct qn_str text, struct qn_buf *out, unsigned *found, struct qn_err *e)
{
    struct qn_str rest = text;
    struct qn_secret s;

    *found = 0;
    for (struct qn_str from = rest; qn_secret_next(&rest, &s); from = rest) {
        if (qn_buf_put(out, from.p, (size_t)(s.value.p - from.p), e) < 0 || qn_buf_c(out, "***", e) < 0)
            return -1;
        ++*found;
    }
    return qn_buf_str(out, rest, e);
}

/* What Dockerfiles leave in the history of an image runs nowhere: in strict the secrets in it are struck out. */
static int history(struct qn_plan *p, struct qn_err *e)
{
    json_t *list = json_object_get(p->config, "history"), *item;
    size_t i;

    json_array_foreach (list, i, item) {
        json_t *by = json_object_get(item, "created_by");
        qn_auto_buf struct qn_buf b = {.max = 16u << 20};
        char key[64];
        unsigned found;
        if (!json_is_string(by))
            continue;
        if (without(qn_str_n(json_string_value(by), json_string_length(by)), &b, &found, e) < 0)
            return -1;
        if (found == 0)
            continue;
        snprintf(key, sizeof key, "history[%zu].created_by", i);
        int apply = 0;
        if (p->opt->profile == QN_STRICT)
            apply = qn_plan_config(p, key, QN_STR(""), QN_STR("***"), "a secret in the image's history", e);
        if (apply < 0 || qn_plan_finding(p, "CIS-DI-0010", QN_FATAL, apply > 0, QN_STR("config.history"), e,
                                         "%u secrets in the history's entry %zu", found, i) < 0)
            return -1;
        if (apply)
            json_object_set_new(item, "created_by", qn_json_string(qn_buf_view(&b)));
    }
    return 0;
}

int qn_rule_secrets(const struct qn_image *img, const struct qn_options *opt, struct qn_plan *plan, struct qn_err *e)
{
    (void)img;
    (void)opt;
    if (files(plan, e) < 0 || hidden(plan, e) < 0 || variables(plan, e) < 0)
        return -1;
    return history(plan, e);
}
