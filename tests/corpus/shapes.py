"""Images in which programs are called from where no shell script says so: from an application's code, its settings,
variables of the configuration, chains of small programs; and images put together in other ways than Debian's."""
import os
import subprocess
import tempfile

import make_image
import probes
import small
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

GO = """package main

import (
	"fmt"
	"os"
	"os/exec"
)

func run(name string, args ...string) string {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		fmt.Println(name, err, string(out))
		os.Exit(1)
	}
	return string(out)
}

func main() {
	dir, _ := os.MkdirTemp("", "repository")
	os.Setenv("HOME", dir)
	run("git", "init", "-q", dir)
	run("git", "-C", dir, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "first")
	fmt.Print("git ", run("git", "-C", dir, "log", "--format=%s"))
	run("tar", "-c", "-f", dir+"/x.tar", "-C", "/", "etc/hostname")
	fmt.Print("tar ", run("tar", "-t", "-f", dir+"/x.tar"))
	run("/bin/sh", "-c", "true")
	fmt.Println("done")
}
"""
WRAPPER = """#!/usr/bin/env node
'use strict';
const {execFileSync} = require('child_process');
console.log('bin', require('../../lib/part')(), execFileSync('base64', {input: 'x'}).toString().trim());
"""
S6_RUN = """#!/usr/bin/execlineb -P
fdmove -c 2 1
python3 -m http.server 8080 --directory /www
"""


def go():
    """A static program of Go that starts others."""
    with tempfile.TemporaryDirectory() as work:
        with open(os.path.join(work, "main.go"), "w") as f:
            f.write(GO)
        subprocess.run(["go", "build", "-trimpath", "-ldflags=-s -w", "-o", work + "/app", work + "/main.go"],
                       check=True, cwd=work, env=dict(os.environ, CGO_ENABLED="0", GO111MODULE="off", GOFLAGS=""))
        with open(work + "/app", "rb") as f:
            return make_image.file_layer({"usr/local/bin/app": (f.read(), 0o755)})


def busybox():
    """One program under many names and no database, as busybox's own image is."""
    files = {"bin/busybox": (small.busybox(), 0o755), "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
             "etc/group": "root:x:0:\n", "tmp": (None, 0o1777), "www/index.html": "served by busybox\n"}
    for name in small.APPLETS:
        files["bin/" + name] = "@busybox"
    return make_image.file_layer(files)


IMAGES = [
    Image("calls", {"Cmd": ["python3", "/app/main.py"], "Env": [PATH], "WorkingDir": "/app"},
          probes.says("list 21", "line 42", "found libmagic.so.1", "magic True True", "web 5", "clock 78", "done"),
          packages=["python3", "jq", "bc", "xxd", "libmagic1"], ends=True,
          layers=[{"app/main.py": CALLS, "app/Procfile": "web: jq -n 5\nclock: printf x | xxd -p\n"}]),
    Image("contenv", {"Entrypoint": ["/opt/job/bin/job"], "Cmd": ["x y"], "Env": [PATH, "FILTER=jq -n"]},
          probes.says("hello 3", "variable 9"), packages=["jq"], ends=True,
          layers=[{"usr/local/bin/contenv": (CONTENV, 0o755), "opt/job/bin/job": (JOB, 0o755),
                   "opt/job/lib/part": ("#!/bin/sh\necho variable $($FILTER 9)\n", 0o755)}]),
    Image("go", {"Cmd": ["app"], "Env": [PATH]}, probes.says("git first", "tar etc/hostname", "done"),
          packages=["git"], ends=True, layers=[go]),
    Image("busybox", {"Cmd": ["httpd", "-f", "-p", "8080", "-h", "/www"], "Env": [PATH]},
          probes.page(8080, "served by busybox"), base="", layers=[busybox]),
    Image("node-bin", {"Cmd": ["say"], "Env": ["PATH=/app/node_modules/.bin:" + PATH[5:]], "WorkingDir": "/app"},
          probes.says("bin part eA=="), packages=["nodejs"], ends=True,
          layers=[{"app/node_modules/say/cli.js": (WRAPPER, 0o755), "app/node_modules/.bin/say": "@../say/cli.js",
                   "app/lib/part.js": "module.exports = () => 'part';\n",
                   "app/package.json": '{"name": "app", "version": "1.0.0"}\n',
                   "app/node_modules/say/package.json": '{"name": "say", "version": "1.0.0"}\n'}]),
    Image("s6", {"Entrypoint": ["/init"], "Env": [PATH]}, probes.page(8080, "served under s6"),
          packages=["s6", "execline", "python3-minimal", "python3"],
          layers=[{"init": ("#!/bin/sh\nexec s6-svscan /etc/services.d\n", 0o755),
                   "etc/services.d/www/run": (S6_RUN, 0o755), "www/index.html": "served under s6\n"}]),
]
