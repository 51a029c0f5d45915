#include "access.h"

bool qn_exchange_guarded(const struct qn_exchange *x, const struct qn_http_request *r)
{
    return x->server->settings->auth && !qn_is_mirror(r);
}

bool qn_exchange_could(const struct qn_exchange *x, const struct qn_http_request *r, struct qn_str repository,
                       enum qn_action action)
{
    if (qn_is_mirror(r))
        return action == QN_PULL;
    return qn_settings_may(x->server->settings, QN_STR(""), repository, action);
}

bool qn_exchange_may(struct qn_exchange *x, struct qn_http_request *r, enum qn_action action)
{
    if (qn_exchange_could(x, r, qn_str_c(x->route.name), action))
        return true;
    if (qn_is_mirror(r))
        qn_respond_error(r, QN_E_METHOD, "a mirror is read-only");
    else if (!x->server->settings->auth)
        qn_respond_error(r, QN_E_DENIED, "nobody may push or delete here: the configuration has no auth");
    else
        qn_respond_error(r, QN_E_DENIED, "no rule of auth.rules allows that");
    return false;
}

bool qn_exchange_may_list(struct qn_exchange *x, struct qn_http_request *r)
{
    (void)x;
    (void)r;
    return true;
}
