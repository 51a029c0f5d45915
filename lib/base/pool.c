#include "pool.h"
#include "mem.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

struct task {
    struct task *next;
    void (*run)(void *arg);
    void *arg;
};

struct qn_pool {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct task *head, **tail;
    size_t queued, max_queued;
    bool stopping;
    unsigned count;
    pthread_t thread[];
};

static struct task *take(struct qn_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    while (!pool->head && !pool->stopping)
        pthread_cond_wait(&pool->wake, &pool->lock);
    struct task *t = pool->head;
    if (t) {
        pool->head = t->next;
        if (!pool->head)
            pool->tail = &pool->head;
        pool->queued--;
    }
    pthread_mutex_unlock(&pool->lock);
    return t;
}

static void *work(void *arg)
{
    struct qn_pool *pool = arg;

    for (struct task *t; (t = take(pool));) {
        t->run(t->arg);
        free(t);
    }
    return NULL;
}

int qn_pool_new(const char *name, unsigned threads, size_t max_queued, struct qn_pool **out, struct qn_err *e)
{
    struct qn_pool *pool = qn_xcalloc(1, sizeof *pool + threads * sizeof(pthread_t));
    sigset_t all, old;

    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pool->tail = &pool->head;
    pool->max_queued = max_queued;
    /* Signals are the main thread's business. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    for (; pool->count < threads; pool->count++) {
        int r = pthread_create(&pool->thread[pool->count], NULL, work, pool);
        if (r != 0) {
            pthread_sigmask(SIG_SETMASK, &old, NULL);
            qn_pool_free(pool);
            return qn_err_set(e, QN_E_NOMEM, r, __FILE__, __LINE__, "starting thread %s", name);
        }
        pthread_setname_np(pool->thread[pool->count], name);
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    *out = pool;
    return 0;
}

int qn_pool_add(struct qn_pool *pool, void (*run)(void *arg), void *arg, struct qn_err *e)
{
    struct task *t = qn_new(struct task);
    int r = 0;

    *t = (struct task){NULL, run, arg};
    pthread_mutex_lock(&pool->lock);
    if (pool->stopping || pool->queued >= pool->max_queued) {
        free(t);
        r = qn_fail(e, QN_E_BUSY, "more than %zu tasks queued", pool->max_queued);
    } else {
        *pool->tail = t;
        pool->tail = &t->next;
        pool->queued++;
        pthread_cond_signal(&pool->wake);
    }
    pthread_mutex_unlock(&pool->lock);
    return r;
}

void qn_pool_free(struct qn_pool *pool)
{
    if (!pool)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->count; i++)
        pthread_join(pool->thread[i], NULL);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}
