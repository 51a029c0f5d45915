/* Programs and libraries that the texts of an application name: Python's subprocess.run(["jq", ...]), "web: gunicorn x"
 * of a Procfile, "command=..." of a supervisor's settings. A scan does not know which programs there are: every word at
 * a place where a program's name can stand is noted, and what the words mean is decided when the image is known. */
#ifndef QN_IMAGE_TEXTS_H
#define QN_IMAGE_TEXTS_H

#include "layer.h"

enum qn_text_kind {
    QN_TEXT_NONE = 0,
    QN_TEXT_CODE,    /* names stand in quotes */
    QN_TEXT_SETTINGS /* values of "key = value", "key: value", "- item", and what stands in quotes */
};

/* How a path's content is to be read: by its suffix, and whether it starts like a script of something that is no shell.
 * The libraries of interpreters and what distributions share are nothing that an application says: NONE. */
enum qn_text_kind qn_text_kind(struct qn_str path, bool script);

/* Fills `out`. `dependency`-like places (node_modules, site-packages) name programs too, but what they say about shells
 * does not count: see shell lines in texts.c. */
int qn_text_read(struct qn_str path, enum qn_text_kind kind, struct qn_str text, struct qn_arena *arena,
                 struct qn_text_facts *out, struct qn_err *e) QN_MUST_CHECK;

/* Whether a path is what an application uses, rather than its own. */
bool qn_text_dependency(struct qn_str path);

/* The same for texts that come one by one (packed.h). Set the flags; free `at` with free(). */
struct qn_text_names {
    struct qn_hint *at;
    size_t count, cap;
    bool cut;
    bool own;                /* the application's own words, not those of something that it uses */
    bool libraries;          /* the text loads libraries by name */
    struct qn_arena *copies; /* what is noted is copied here; NULL: texts outlive it */
};
/* A text that a program holds; `alone` tells whether one word by itself may be a command. */
void qn_text_names_string(struct qn_text_names *t, struct qn_str text, bool alone);
/* Code: what stands in quotes. */
void qn_text_names_code(struct qn_text_names *t, struct qn_str text);
/* Sorts what was noted, drops repetitions and copies it to `arena`. */
int qn_text_names_done(struct qn_text_names *t, struct qn_arena *arena, struct qn_text_facts *out,
                       struct qn_err *e) QN_MUST_CHECK;

#endif
