"""Images in which programs are called from where no shell script says so: from an application's code, its settings,
variables of the configuration, chains of small programs."""
import probes
from image import Image
from servers import PATH

CALLS = """import ctypes, ctypes.util, json, subprocess, shutil
TOOL = "jq"
print("list", subprocess.run([TOOL, "-n", "20 + 1"], capture_output=True, text=True).stdout.strip())
print("line", subprocess.check_output("echo '6 * 7' | bc", shell=True, text=True).strip())
print("found", ctypes.util.find_library("magic"))
print("magic", ctypes.CDLL("libmagic.so.1") is not None, shutil.which("xxd") is not None)
for line in open("/app/Procfile"):
    name, command = line.split(": ", 1)
    print(name, subprocess.run(command, shell=True, capture_output=True, text=True).stdout.strip())
print("done")
"""
CONTENV = """#!/bin/sh
export GREETING=hello
exec "$@"
"""
JOB = """#!/usr/local/bin/contenv bash
words=(a b "$1")
echo "${GREETING} ${#words[@]}"
exec $(dirname "$0")/../lib/part
"""

IMAGES = [
    Image("calls", {"Cmd": ["python3", "/app/main.py"], "Env": [PATH], "WorkingDir": "/app"},
          probes.says("list 21", "line 42", "found libmagic.so.1", "magic True True", "web 5", "clock 78", "done"),
          packages=["python3", "jq", "bc", "xxd", "libmagic1"], ends=True,
          layers=[{"app/main.py": CALLS, "app/Procfile": "web: jq -n 5\nclock: printf x | xxd -p\n"}]),
    Image("contenv", {"Entrypoint": ["/opt/job/bin/job"], "Cmd": ["x y"], "Env": [PATH, "FILTER=jq -n"]},
          probes.says("hello 3", "variable 9"), packages=["jq"], ends=True,
          layers=[{"usr/local/bin/contenv": (CONTENV, 0o755), "opt/job/bin/job": (JOB, 0o755),
                   "opt/job/lib/part": ("#!/bin/sh\necho variable $($FILTER 9)\n", 0o755)}]),
]
