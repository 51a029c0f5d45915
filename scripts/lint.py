#!/usr/bin/env python3
"""The rules of the house that a compiler does not check: floors, sizes, tables, banned calls, format."""
import glob
import os
import re
import subprocess
import sys

os.chdir(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ROOMS = ["base", "formats", "store", "upstream", "image", "harden", "worker", "service", "daemon"]
# A room may include itself and these.
BELOW = {
    "base": [], "formats": ["base"], "store": ["base", "formats"], "upstream": ["base", "formats"],
    "image": ["base", "formats"], "harden": ["base", "formats", "image"],
    "worker": ["base", "formats", "image", "harden"],
    "service": ["base", "formats", "store", "upstream", "image", "harden", "worker"],
    "daemon": ["base", "formats", "store", "upstream", "image", "harden", "worker", "service"],
}
MAX_FILE, MAX_FUNCTION, MAX_COLUMNS = 600, 60, 120
BANNED = re.compile(r"\b(strcpy|strcat|sprintf|vsprintf|gets|strtok|strtok_r|atoi|atol|atoll|sscanf|strtol|strtoul|"
                    r"strtoll|strtoull|alloca|system|popen|tmpnam|mktemp|rand)\s*\(")
problems = []


def problem(where, what):
    problems.append(f"{where}: {what}")


def room_of(path):
    parts = path.split("/")
    return parts[1] if parts[0] == "lib" else "daemon" if parts[0] == "daemon" else None


def check_includes(path, lines):
    room = room_of(path)
    for n, line in enumerate(lines, 1):
        m = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        if not m or room is None or "/" not in m.group(1):
            continue
        other = m.group(1).split("/")[0]
        if other in ROOMS and other != room and other not in BELOW[room]:
            problem(f"{path}:{n}", f"room {room} may not include {m.group(1)}")


def check_functions(path, lines):
    start = None
    for n, line in enumerate(lines, 1):
        if line.startswith("{") and start is None:
            start = n
        elif line.startswith("}") and start is not None:
            if lines[start - 2].rstrip().endswith((")", "))")) and n - start + 1 > MAX_FUNCTION:
                problem(f"{path}:{start}", f"function of {n - start + 1} lines, at most {MAX_FUNCTION}")
            start = None


def check_text(path, lines):
    if len(lines) > MAX_FILE:
        problem(path, f"{len(lines)} lines, at most {MAX_FILE}")
    in_comment = False
    for n, line in enumerate(lines, 1):
        if len(line) > (160 if path.endswith(".def") else MAX_COLUMNS):
            problem(f"{path}:{n}", f"{len(line)} columns, at most {MAX_COLUMNS}")
        if re.search(r"\b(TODO|FIXME|XXX)\b", line):
            problem(f"{path}:{n}", "unfinished mark")
        if path.endswith((".c", ".h")):
            code = re.sub(r'"(\\.|[^"\\])*"', '""', line)
            if in_comment:
                if "*/" not in code:
                    continue
                code, in_comment = code.split("*/", 1)[1], False
            code = re.sub(r"/\*.*?\*/", "", code)
            if "/*" in code:
                code, in_comment = code.split("/*", 1)[0], True
            if re.match(r"\s*qn_auto_\w+ (struct \w+ )?\**\w+( \**\w+)?;", code):
                problem(f"{path}:{n}", "a variable with a cleanup starts with a value: an early return cleans it up")
            if BANNED.search(code):
                problem(f"{path}:{n}", f"banned call: {BANNED.search(code).group(1)}")


def check_header(path, lines):
    if not lines or not lines[0].startswith("/*"):
        problem(path, "a header starts with a comment that says what it is for")


def rows(path):
    with open(path) as f:
        text = f.read()
    return re.findall(r"^X\(\s*([a-z0-9_A-Z]+)", text, re.M)


def check_table(table, pattern):
    """Every row has its file, every file its row."""
    if not os.path.exists(table):
        return
    names = rows(table)
    for name in names:
        if not os.path.exists(pattern.replace("*", name)):
            problem(table, f"row {name} has no file {pattern.replace('*', name)}")
    for path in sorted(glob.glob(pattern)):
        prefix, suffix = pattern.split("*")
        name = path[len(prefix):-len(suffix)]
        if name not in names and not name.endswith("_common"):
            problem(path, f"no row in {table}")
    if len(set(names)) != len(names):
        problem(table, "duplicate row")


def check_error_numbers():
    with open("lib/base/errors.def") as f:
        numbers = re.findall(r"^X\(\w+,\s*(\d+)", f.read(), re.M)
    if len(set(numbers)) != len(numbers):
        problem("lib/base/errors.def", "a number is used twice")


def check_top_level():
    allowed = {"Makefile", "daemon", "lib", "conf", "systemd", "tests", "scripts", "README.md", "LICENSE", "build",
               "compile_commands.json"}
    for name in sorted(os.listdir(".")):
        if not name.startswith(".") and name not in allowed:
            problem(name, "does not belong at the top level")


def main():
    sources = sorted(glob.glob("lib/*/*.[ch]") + glob.glob("daemon/*.[ch]") + glob.glob("tests/*/*.[ch]"))
    others = sorted(glob.glob("lib/*/*.def") + glob.glob("daemon/*.def") + glob.glob("tests/**/*.py", recursive=True)
                    + glob.glob("scripts/*"))
    for path in sources + [o for o in others if os.path.isfile(o) and o != "scripts/lint.py"]:
        with open(path, encoding="utf-8") as f:
            lines = f.read().split("\n")[:-1]
        check_text(path, lines)
        if path.endswith((".c", ".h")):
            check_includes(path, lines)
            check_functions(path, lines)
        if path.endswith(".h"):
            check_header(path, lines)
    check_table("lib/harden/rules.def", "lib/harden/rule_*.c")
    check_table("lib/harden/checks.def", "lib/harden/verify_*.c")
    check_table("daemon/commands.def", "daemon/cmd_*.c")
    check_error_numbers()
    check_top_level()
    if subprocess.run(["clang-format", "--version"], capture_output=True).returncode == 0:
        r = subprocess.run(["clang-format", "--dry-run", "-Werror"] + sources, capture_output=True, text=True)
        for line in r.stderr.splitlines():
            if "error:" in line:
                problems.append(line)
    for p in problems:
        print(p)
    print(f"lint: {len(sources) + len(others)} files, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
