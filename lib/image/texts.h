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

#endif
