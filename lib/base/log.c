#include "log.h"
#include "buf.h"
#include "clock.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static enum qn_log_level log_level = QN_LOG_INFO;
static enum qn_log_format log_format = QN_LOG_TEXT;
static bool log_systemd;
static _Thread_local char request_id[64];

void qn_log_setup(enum qn_log_level level, enum qn_log_format format)
{
    log_level = level;
    log_format = format;
    log_systemd = getenv("JOURNAL_STREAM") != NULL;
}

bool qn_log_enabled(enum qn_log_level level)
{
    return level <= log_level;
}

void qn_log_request(const char *id)
{
    snprintf(request_id, sizeof request_id, "%s", id ? id : "");
}

const char *qn_log_request_get(void)
{
    return request_id;
}

static const char *level_name(enum qn_log_level level)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    return names[level];
}

/* A value as a JSON string; anything that could confuse a terminal or a parser is escaped. */
static int put_json(struct qn_buf *b, const char *value, struct qn_err *e)
{
    if (qn_buf_c(b, "\"", e) < 0)
        return -1;
    for (struct qn_str s = qn_str_c(value); s.n; s = qn_str_from(s, 1)) {
        unsigned char c = (unsigned char)s.p[0];
        int r;
        if (c == '"' || c == '\\')
            r = qn_buf_printf(b, e, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            r = qn_buf_printf(b, e, "\\u%04x", c);
        else
            r = qn_buf_put(b, s.p, 1, e);
        if (r < 0)
            return -1;
    }
    return qn_buf_c(b, "\"", e);
}

static bool bare(const char *value)
{
    for (const char *p = value; *p; p++)
        if ((unsigned char)*p <= ' ' || *p == '"' || *p == '\\' || *p == '=' || (unsigned char)*p >= 0x7f)
            return false;
    return *value != '\0';
}

static int put_pair(struct qn_buf *b, const char *key, const char *value, struct qn_err *e)
{
    if (!value)
        return 0;
    if (log_format == QN_LOG_JSON)
        return qn_buf_printf(b, e, ",\"%s\":", key) < 0 ? -1 : put_json(b, value, e);
    if (qn_buf_printf(b, e, " %s=", key) < 0)
        return -1;
    return bare(value) ? qn_buf_c(b, value, e) : put_json(b, value, e);
}

static int put_head(struct qn_buf *b, enum qn_log_level level, const char *event, struct qn_err *e)
{
    static const int priority[] = {3, 4, 6, 7};
    char now[QN_TIME_TEXT];

    qn_time_format_ms(qn_time_now_ms(), now);
    if (log_systemd && qn_buf_printf(b, e, "<%d>", priority[level]) < 0)
        return -1;
    if (log_format == QN_LOG_JSON) {
        if (qn_buf_printf(b, e, "{\"time\":\"%s\",\"level\":\"%s\",\"event\":", now, level_name(level)) < 0)
            return -1;
        if (put_json(b, event, e) < 0)
            return -1;
    } else if (qn_buf_printf(b, e, "%s %-5s %s", now, level_name(level), event) < 0) {
        return -1;
    }
    return request_id[0] ? put_pair(b, "request", request_id, e) : 0;
}

static int put_err(struct qn_buf *b, const struct qn_err *err, struct qn_err *e)
{
    char where[128];

    if (!err)
        return 0;
    snprintf(where, sizeof where, "%s:%d", err->file ? err->file : "?", err->line);
    if (put_pair(b, "code", qn_code_info(err->code)->name, e) < 0 || put_pair(b, "error", err->msg, e) < 0)
        return -1;
    return put_pair(b, "at", where, e);
}

static void emit(enum qn_log_level level, const char *event, const struct qn_err *err, va_list ap)
{
    struct qn_err e;
    qn_auto_buf struct qn_buf b = {0};

    qn_buf_init(&b, 64 * 1024);
    if (put_head(&b, level, event, &e) < 0)
        return;
    for (const char *key; (key = va_arg(ap, const char *));)
        if (put_pair(&b, key, va_arg(ap, const char *), &e) < 0)
            break;
    if (put_err(&b, err, &e) < 0 || qn_buf_c(&b, log_format == QN_LOG_JSON ? "}\n" : "\n", &e) < 0)
        return;
    /* One write per line, so that lines of several threads and processes do not mix. */
    if (write(STDERR_FILENO, b.p, b.n) < 0)
        return;
}

void qn_log(enum qn_log_level level, const char *event, ...)
{
    va_list ap;

    if (!qn_log_enabled(level))
        return;
    va_start(ap, event);
    emit(level, event, NULL, ap);
    va_end(ap);
}

void qn_log_err(enum qn_log_level level, const char *event, const struct qn_err *err, ...)
{
    va_list ap;

    if (!qn_log_enabled(level))
        return;
    va_start(ap, err);
    emit(level, event, err, ap);
    va_end(ap);
}
