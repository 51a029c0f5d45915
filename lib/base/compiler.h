/* Attributes and ownership macros that every room uses. */
#ifndef QN_BASE_COMPILER_H
#define QN_BASE_COMPILER_H

#define QN_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define QN_MUST_CHECK        __attribute__((warn_unused_result))
#define QN_NORETURN          __attribute__((noreturn))
#define QN_UNUSED            __attribute__((unused))
#define QN_CLEANUP(fn)       __attribute__((cleanup(fn)))

#define QN_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define QN_MIN(a, b)    ((a) < (b) ? (a) : (b))
#define QN_MAX(a, b)    ((a) > (b) ? (a) : (b))

/* Gives ownership away: yields the pointer and leaves NULL behind. */
#define qn_steal(p)                                                                                                    \
    __extension__({                                                                                                    \
        __typeof__(p) *qn_steal_at_ = &(p);                                                                            \
        __typeof__(p) qn_steal_value_ = *qn_steal_at_;                                                                 \
        *qn_steal_at_ = NULL;                                                                                          \
        qn_steal_value_;                                                                                               \
    })

/* Gives a file descriptor away: yields the number and leaves -1 behind. */
#define qn_steal_fd(fd)                                                                                                \
    __extension__({                                                                                                    \
        int *qn_steal_at_ = &(fd);                                                                                     \
        int qn_steal_value_ = *qn_steal_at_;                                                                           \
        *qn_steal_at_ = -1;                                                                                            \
        qn_steal_value_;                                                                                               \
    })

#endif
