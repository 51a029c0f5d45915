#include "progress.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define EVERY_MS 100

void qn_progress_init(struct qn_progress *p, bool quiet)
{
    *p = (struct qn_progress){.on = !quiet && isatty(STDERR_FILENO)};
    pthread_mutex_init(&p->lock, NULL);
}

static void clear(struct qn_progress *p)
{
    if (p->drawn)
        fputs("\r\033[K", stderr);
    p->drawn = false;
}

void qn_progress_fini(struct qn_progress *p)
{
    clear(p);
    pthread_mutex_destroy(&p->lock);
}

void qn_progress_image(struct qn_progress *p, const char *what, unsigned layers)
{
    pthread_mutex_lock(&p->lock);
    snprintf(p->what, sizeof p->what, "%s", what);
    p->layers = layers;
    p->complete = 0;
    p->last = 0;
    pthread_mutex_unlock(&p->lock);
}

void qn_progress_layer(struct qn_progress *p)
{
    pthread_mutex_lock(&p->lock);
    p->complete++;
    pthread_mutex_unlock(&p->lock);
}

static double mib(uint64_t bytes)
{
    return (double)bytes / (1 << 20);
}

static void draw(struct qn_progress *p, const char *stage, uint64_t done, uint64_t total)
{
    struct winsize size;
    char line[512];
    size_t columns = 79;
    int n = snprintf(line, sizeof line, "%s  %-7s", p->what, stage);

    if (total > 0 && n > 0 && (size_t)n < sizeof line)
        n += snprintf(line + n, sizeof line - (size_t)n, " %3u %%  %.1f of %.1f MiB",
                      (unsigned)(100.0 * (double)done / (double)total), mib(done), mib(total));
    if (strcmp(stage, "fetch") == 0 && p->layers > 0 && n > 0 && (size_t)n < sizeof line)
        snprintf(line + n, sizeof line - (size_t)n, "  %u of %u layers", p->complete, p->layers);
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1)
        columns = (size_t)size.ws_col - 1u;
    fprintf(stderr, "\r\033[K%.*s", (int)QN_MIN(columns, sizeof line), line);
    fflush(stderr);
    p->drawn = true;
}

void qn_progress_show(struct qn_progress *p, const char *stage, uint64_t done, uint64_t total)
{
    if (!p->on)
        return;
    pthread_mutex_lock(&p->lock);
    int64_t now = qn_time_mono_ms();
    if (now - p->last >= EVERY_MS || total == 0) {
        p->last = now;
        draw(p, stage, done, total);
    }
    pthread_mutex_unlock(&p->lock);
}
