/* Who pulled which manifest (audit.pulls: manifests), written behind the answer. */
#include "server.h"

#include "base/clock.h"
#include "base/log.h"
#include "store/rows_admin.h"

#include <stdlib.h>

static int put_pull(struct qn_tx *tx, void *arg, struct qn_err *e)
{
    return qn_index_pulled_put(tx, arg, e);
}

static void written(void *arg, const struct qn_err *failed)
{
    if (failed)
        qn_log_err(QN_LOG_WARN, "pull not recorded", failed, NULL);
    free(arg);
}

void qn_note_pull(struct qn_exchange *x, struct qn_http_request *r, const struct qn_digest *served)
{
    struct qn_err e;

    if (!x->server->site->settings->log_pulls || qn_http_method(r) != QN_HTTP_GET || !x->route.repo[0])
        return;
    struct qn_row_pulled *row = qn_new(struct qn_row_pulled);
    row->at = qn_time_now();
    row->digest = *served;
    snprintf(row->repo, sizeof row->repo, "%s", x->route.repo);
    snprintf(row->reference, sizeof row->reference, "%.*s", QN_FMT(x->arg[1]));
    snprintf(row->who, sizeof row->who, "%s", x->actor ? x->actor : "");
    snprintf(row->peer, sizeof row->peer, "%s", qn_http_peer(r));
    if (qn_index_post(x->server->site->index, put_pull, row, written, &e) < 0)
        written(row, &e);
}
