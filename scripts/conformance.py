#!/usr/bin/env python3
"""make conformance: the OCI distribution specification's own tests, everything enabled, against a real `quench serve`.

Builds the newest github.com/opencontainers/distribution-spec/conformance that the Go module proxy gives (Go 1.24 or
newer), runs it in a repository with sparse: true, for anybody and behind a login, where all of it must pass, and in one
with the default, where only manifests that name missing content may be refused. Exit status 77: the tests cannot be had
here."""
import collections
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as xml

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
QUENCH = os.environ.get("QUENCH", os.path.join(ROOT, "build", "release", "quench"))
MODULE = "github.com/opencontainers/distribution-spec/conformance"
GO = (1, 24)
APIS = ("PULL PUSH BLOBS_ATOMIC BLOBS_DELETE BLOBS_DIGEST_HEADER BLOBS_MOUNT_ANONYMOUS BLOBS_UPLOAD_CANCEL "
        "MANIFESTS_ATOMIC MANIFESTS_DELETE MANIFESTS_DIGEST_HEADER MANIFESTS_TAG_PARAM TAGS_ATOMIC TAGS_DELETE "
        "TAGS_LIST REFERRER").split()
DATA = ("IMAGE INDEX INDEX_LIST SPARSE ARTIFACT SUBJECT SUBJECT_MISSING ARTIFACT_LIST SUBJECT_LIST DATA_FIELD "
        "NONDISTRIBUTABLE CUSTOM_FIELDS NO_LAYERS EMPTY_BLOB SHA512").split()


def unavailable(why):
    print(f"conformance: not run: {why}")
    sys.exit(77)


def build():
    """The newest version, built once."""
    try:
        text = subprocess.run(["go", "version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        unavailable("there is no go")
    have = tuple(int(n) for n in re.search(r"go(\d+)\.(\d+)", text).groups())
    # From 1.21 on, go fetches a newer toolchain by itself where GOTOOLCHAIN lets it.
    if have < (1, 21) or (have < GO and os.environ.get("GOTOOLCHAIN") == "local"):
        unavailable(f"go {have[0]}.{have[1]} is older than {GO[0]}.{GO[1]}")
    r = subprocess.run(["go", "list", "-m", "-f", "{{.Version}}", MODULE + "@latest"], capture_output=True, text=True)
    if r.returncode:
        unavailable(r.stderr.strip().splitlines()[-1] if r.stderr.strip() else "the module cannot be had")
    version = r.stdout.strip()
    directory = os.path.join(ROOT, "build", "conformance", version)
    binary = os.path.join(directory, "conformance")
    if not os.path.exists(binary):
        r = subprocess.run(["go", "install", f"{MODULE}@{version}"], env={**os.environ, "GOBIN": directory},
                           capture_output=True, text=True)
        if r.returncode:
            unavailable(r.stderr.strip())
    return version, binary


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


# "secret", only ever in a directory that goes with the run
HTPASSWD = "ci:$2b$06$.j7HFGyi5mfuo469BqVkMusG.mtwHmsQs34maEQF1gGnBPubfcMs2\n"


def serve(directory, login):
    os.makedirs(directory)
    port = free_port()
    config, users = os.path.join(directory, "quench.yaml"), os.path.join(directory, "htpasswd")
    with open(users, "w") as f:
        f.write(HTPASSWD)
    who = f'htpasswd: {users}, rules: [{{who: [ci]' if login else 'rules: [{who: ["*"]'
    with open(config, "w") as f:
        f.write(f"""
listen: {{registry: ["127.0.0.1:{port}"], mirror: [], admin: []}}
storage: {{root: {directory}/root}}
local: [{{name: sparse, sparse: true}}, {{name: dense}}]
auth: {{{who}, actions: [pull, push, delete]}}]}}
""")
    log = open(os.path.join(directory, "log"), "wb")
    process = subprocess.Popen([QUENCH, "serve", "-c", config], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    for _ in range(200):
        try:
            c = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            c.request("GET", "/v2/")
            if c.getresponse().status in (200, 401):
                return process, port
        except OSError:
            time.sleep(0.1)
    process.kill()
    sys.exit(f"conformance: quench does not answer; its log is {directory}/log")


def run(binary, directory, port, name, login):
    """Every test's status by its name."""
    results = os.path.join(directory, name)
    os.makedirs(results)
    env = {**os.environ, "OCI_RESULTS_DIR": results, "OCI_VERSION": "dev", "OCI_REGISTRY": f"127.0.0.1:{port}",
           "OCI_TLS": "disabled", "OCI_REPO1": f"{name}/one", "OCI_REPO2": f"{name}/two", "OCI_LOG": "error"}
    if login:
        env.update({"OCI_USERNAME": "ci", "OCI_PASSWORD": "secret"})
    env.update({f"OCI_API_{a}": "true" for a in APIS})
    env.update({f"OCI_DATA_{d}": "true" for d in DATA})
    for name_of in ("OCI_FILTER_TEST", "OCI_CONFIGURATION"):
        env.pop(name_of, None)
    with open(os.path.join(results, "output"), "wb") as out:
        subprocess.run([binary], env=env, cwd=results, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
    tests = [(t.get("name"), t.get("status")) for t in xml.parse(os.path.join(results, "junit.xml")).iter("testcase")]
    with open(os.path.join(results, "output"), errors="replace") as f:
        totals = dict(re.findall(r"^  (Disabled|Skip|Pass|FAIL|Error|Total)\.+: +(\d+)$", f.read(), re.M))
    return tests, {k: int(v) for k, v in totals.items()}


def check(binary, directory, name, login):
    """One run against a server of its own; False when something is not as it should be."""
    process, port = serve(directory, login)
    try:
        tests, totals = run(binary, directory, port, name, login)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    status = collections.Counter(s for _, s in tests)
    wrong = [n for n, s in tests if s != "passed" and not (name == "dense" and "/sparse/" in n)]
    print(f"sparse: {'true ' if name == 'sparse' else 'false'} {'login' if login else 'no login':8}  " +
          ", ".join(f"{totals.get(k, 0)} {k.lower()}" for k in ("Total", "Pass", "FAIL", "Error", "Skip", "Disabled")) +
          f"; single tests: {status['passed']} of {len(tests)} passed")
    for n in wrong:
        print(f"  not passed: {n}")
    return bool(tests) and not wrong and totals.get("Disabled", 1) == 0 and totals.get("Skip", 1) == 0


def main():
    version, binary = build()
    print(f"{MODULE} {version}")
    with tempfile.TemporaryDirectory(prefix="quench-conformance-") as directory:
        good = [check(binary, os.path.join(directory, f"{n}"), name, login)
                for n, (name, login) in enumerate((("sparse", False), ("sparse", True), ("dense", False)))]
    print("conformance: " + ("passed; of sparse: false only manifests that name missing content were refused, as they "
                             "should be" if all(good) else "FAILED"))
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
