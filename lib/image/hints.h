/* What the texts in an executable hint at: files that it opens, libraries that it loads by name, programs that it
 * starts. Texts are not references, so that a hint keeps what it names and never removes anything. */
#ifndef QN_IMAGE_HINTS_H
#define QN_IMAGE_HINTS_H

#include "layer.h"

#include "formats/elf.h"

/* Fills hint, hint_count and hints_cut of `out`, whose `imports` are set; Go's programs that start others get theirs
 * here. Which texts count:
 *  - absolute paths in the directories that packages install to, wherever they stand in a text;
 *  - file names "*.so" and "*.so.N", and the sonames of .note.dlopen (UAPI "ELF dlopen() metadata");
 *  - of importers of system() and popen(): the words with which the command lines in a text start;
 *  - of programs that start others: texts that look like a program's name. */
int qn_hints_read(const struct qn_elf *f, struct qn_elf_facts *out, struct qn_arena *arena,
                  struct qn_err *e) QN_MUST_CHECK;

/* Whether a program's name starts sentences as often as commands. */
bool qn_hints_sentence(struct qn_str word);

#endif
