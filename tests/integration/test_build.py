"""Base images that people build FROM (use: build): the path build/UPSTREAM/REPO through the daemon, and docker build
on what it serves: apt with maintainer scripts, pip, accounts, alternatives, libraries. Packages are made here."""
import io
import json
import os
import shutil
import subprocess
import tarfile
import zipfile

import pytest

import engines
from conftest import Quench, wait_for
import make_image

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
OFF = ["package-managers", "language-managers", "network-tools", "services", "build-tools", "privilege-tools",
       "unused-packages", "unused-files", "shells", "user"]
DEBRIS = {"srv/.git/config": "[core]\n", "root/.git-credentials": "https://me:secret@example.org\n",
          "etc/ssh/ssh_host_rsa_key": "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
          "usr/local/bin/tool": ("#!/bin/sh\nid -u\n", 0o4755),
          "var/lib/apt/lists/example.org_Packages": "Package: x",
          "var/cache/apt/archives/x_1_all.deb": "!<arch>\n", "tmp": (None, 0o1777), "tmp/left-behind": "x",
          "var/log/app.log": "line\n", "root/.cache/pip/x": "cache", "usr/share/man/man1/own.1": "manual\n",
          "srv/shared": ("data\n", 0o666)}


def write(path, text, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w" if isinstance(text, str) else "wb") as f:
        f.write(text)
    os.chmod(path, mode)


POSTINST = """#!/bin/sh
set -e
. /usr/share/debconf/confmodule
db_get quench-service/answer
echo "$RET" > /etc/quench-service/answer
if [ "$1" = configure ]; then
    adduser --system --group --no-create-home --home /var/lib/quench-service quench-service
    install -d -o quench-service -g quench-service -m 0750 /var/lib/quench-service
    update-alternatives --install /usr/bin/quench-tool quench-tool /usr/bin/quench-service 10 \\
        --slave /usr/share/man/man1/quench-tool.1 quench-tool.1 /usr/share/man/man1/quench-service.1
fi
"""
CONFIG = """#!/bin/sh
set -e
. /usr/share/debconf/confmodule
db_input high quench-service/answer || true
db_go
"""
TEMPLATES = "Template: quench-service/answer\nType: string\nDefault: 42\nDescription: a question\n"
FIELDS = "Architecture: amd64\nMaintainer: Nobody <nobody@example.org>\nSection: misc\nPriority: optional\n"


def deb(work, out, name, fields, files):
    root = os.path.join(work, name)
    write(os.path.join(root, "DEBIAN/control"),
          f"Package: {name}\nVersion: 1.0\n{FIELDS}{fields}Description: made for a test\n")
    for path, value in files.items():
        text, mode = value if isinstance(value, tuple) else (value, 0o644)
        write(os.path.join(root, path), text, mode)
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Zgzip", "-b", root, f"{out}/{name}_1.0_amd64.deb"], check=True,
                   stdout=subprocess.DEVNULL)


def repository(work, out):
    """Two packages, one of which needs the other, and the index that apt reads."""
    os.makedirs(out)
    source = os.path.join(work, "lib.c")
    write(source, "int quench_answer(void) { return 42; }\n")
    library = os.path.join(work, "libquench1.so.1")
    subprocess.run(["gcc", "-shared", "-fPIC", "-Wl,-soname,libquench1.so.1", "-o", library, source], check=True)
    with open(library, "rb") as f:
        deb(work, out, "libquench1", "", {"usr/lib/x86_64-linux-gnu/libquench1.so.1": f.read(),
                                          "DEBIAN/triggers": "activate-noawait ldconfig\n"})
    deb(work, out, "quench-service", "Depends: libquench1, adduser, debconf\n", {
        "usr/bin/quench-service": ("#!/bin/sh\necho served\n", 0o755),
        "usr/share/man/man1/quench-service.1": "manual\n", "etc/quench-service/conf": "a=b\n",
        "DEBIAN/conffiles": "/etc/quench-service/conf\n",
        "DEBIAN/postinst": (POSTINST, 0o755), "DEBIAN/config": (CONFIG, 0o755), "DEBIAN/templates": TEMPLATES})
    index = ""
    for name in sorted(os.listdir(out)):
        path = os.path.join(out, name)
        fields = subprocess.run(["dpkg-deb", "-f", path], capture_output=True, text=True, check=True).stdout
        digest = subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True).stdout.split()[0]
        index += f"{fields}Filename: ./{name}\nSize: {os.path.getsize(path)}\nSHA256: {digest}\n\n"
    write(os.path.join(out, "Packages"), index)


def wheels(out):
    """A wheel, and a source distribution that needs setuptools."""
    os.makedirs(out)
    with zipfile.ZipFile(os.path.join(out, "quenchwheel-1.0-py3-none-any.whl"), "w") as z:
        info = "quenchwheel-1.0.dist-info/"
        z.writestr("quenchwheel.py", "answer = 42\n")
        z.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: quenchwheel\nVersion: 1.0\n")
        z.writestr(info + "WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        z.writestr(info + "RECORD", f"quenchwheel.py,,\n{info}METADATA,,\n{info}WHEEL,,\n{info}RECORD,,\n")
    files = {"setup.py": "from setuptools import setup\nsetup(name='quenchsource', version='1.0', "
                         "py_modules=['quenchsource'])\n", "quenchsource.py": "answer = 43\n",
             "PKG-INFO": "Metadata-Version: 1.0\nName: quenchsource\nVersion: 1.0\n"}
    with tarfile.open(os.path.join(out, "quenchsource-1.0.tar.gz"), "w:gz") as t:
        for name, text in files.items():
            m = tarfile.TarInfo("quenchsource-1.0/" + name)
            m.size = len(text)
            t.addfile(m, io.BytesIO(text.encode()))


DOCKERFILE = """FROM {base}
COPY repository /srv/repository
COPY wheels /srv/wheels
COPY steps /srv/steps
RUN sh -eux /srv/steps
COPY --chown=app:app app.py /app/app.py
USER app
WORKDIR /app
RUN id -un > /tmp/who && touch /var/tmp/x
CMD ["python3", "/app/app.py"]
"""
STEPS = """
export DEBIAN_FRONTEND=noninteractive
rm -f /etc/apt/sources.list.d/*
echo 'deb [trusted=yes] copy:/srv/repository ./' > /etc/apt/sources.list
apt-get update
apt-get install -y --no-install-recommends quench-service
apt-get check
test -z "$(dpkg --audit)"
test -z "$(dpkg -V)"
ldconfig -p | grep libquench1
pip install --break-system-packages --no-index --no-build-isolation --find-links /srv/wheels quenchwheel quenchsource
useradd -m -s /bin/bash builder
groupadd -r team
usermod -aG team builder
adduser --system --group app
echo builder:word | chpasswd
su builder -c 'id -un' | grep -x builder
getent passwd quench-service
update-alternatives --display quench-tool
quench-tool | grep -x served
test -f /onbuild-ran
apt-get purge -y quench-service
test -z "$(dpkg --audit)"
apt-get install -y quench-service
apt-get clean
rm -rf /var/lib/apt/lists/*
"""
APP = """import getpass, os, quenchsource, quenchwheel, subprocess
print(getpass.getuser(), quenchwheel.answer, quenchsource.answer, open("/etc/quench-service/answer").read().strip(),
      subprocess.run(["quench-tool"], capture_output=True, text=True).stdout.strip(), open("/tmp/who").read().strip())
"""


@pytest.fixture(scope="module")
def daemon(work, upstream, layout):
    """A Debian base with pip, with debris and ONBUILD, and an index, behind a daemon of its own."""
    config = {"Cmd": ["bash"], "Env": [PATH], "OnBuild": ["RUN touch /onbuild-ran"]}
    base = make_image.write_image(layout, "base", make_image.debian_layers(["python3-pip"]) +
                                  [make_image.file_layer(DEBRIS)], config, docker=True)
    upstream.push(layout, base, "library/base:v1")
    with open(os.path.join(layout, "index.json")) as f:
        (index,) = [m for m in json.load(f)["manifests"]
                    if m["annotations"]["org.opencontainers.image.ref.name"] == "index"]
    upstream.push(layout, index, "library/pair:v1")
    upstream.push(layout, index, "secret/pair:v1")
    upstream.push(layout, index, "bases/pair:v1")
    q = Quench(os.path.join(work, "quench-build"), upstream.port, platforms=["linux/amd64", "linux/arm64"],
               upstream={"allow": ["library/*", "bases/*"]},
               policies=[{"name": "bases", "match": ["up.test/bases/**"], "use": "build"}])
    yield q
    assert q.stop() == 0, q.log()[-3000:]


@pytest.fixture(scope="module")
def built(work, daemon):
    """docker build on the hardened base; the private dockerd and the reference of the base."""
    directory = os.path.join(work, "docker-build")
    docker = engines.Docker(directory)
    context = os.path.join(directory, "context")
    os.makedirs(context)
    repository(os.path.join(directory, "debs"), os.path.join(context, "repository"))
    wheels(os.path.join(context, "wheels"))
    base = f"127.0.0.1:{daemon.registry}/build/up.test/library/base:v1"
    write(os.path.join(context, "Dockerfile"), DOCKERFILE.format(base=base))
    write(os.path.join(context, "app.py"), APP)
    write(os.path.join(context, "steps"), STEPS)
    r = subprocess.run(["docker", "-H", docker.host, "build", "--network", "none", "-t", "app", context],
                       capture_output=True, text=True, env=dict(os.environ, DOCKER_BUILDKIT="0"))
    yield docker, base, r
    docker.stop()
    shutil.rmtree(directory, ignore_errors=True)


def report_of(daemon, name):
    """The result of a tag and its report; on a slow machine the first pull is told to come again."""
    wait_for("hardening of " + name, lambda: daemon.manifest(name, "v1").status != 503, 120)
    r = daemon.manifest(name, "v1")
    assert r.status == 200, r.body
    digest = r.headers["docker-content-digest"]
    return digest, daemon.api(f"/images/{digest}/report").json()


def test_docker_build_on_the_hardened_base(built):
    docker, _, r = built
    assert r.returncode == 0, r.stdout[-3000:] + r.stderr[-2000:]
    r = docker.run("run", "--rm", "--network", "none", "app", check=False)
    assert r.stdout.split() == ["app", "42", "43", "42", "served", "app"], r.stdout + r.stderr


def test_the_base_is_hardened_all_the_same(built, daemon):
    docker, base, _ = built
    _, report = report_of(daemon, "build/up.test/library/base")
    assert report["policy"]["use"] == "build" and report["policy"]["achieved"] == "standard"
    states = {r["rule"]: r["state"] for r in report["rules"]}
    assert all(states[name] == "off" for name in OFF), states
    assert all(states[name] == "applied" for name in ("docs", "caches", "debris", "secrets", "setuid", "permissions"))
    assert all(v["ok"] for v in report["verification"])
    assert report["after"]["setuid"] == 0 and report["after"]["packages"] == report["before"]["packages"]
    assert next(c for c in report["controls"] if c["id"] == "4.1")["status"] == "fail"
    script = "find / -xdev -perm /6000 -type f; cd /; ls " + " ".join(
        p for p in DEBRIS if p not in ("usr/local/bin/tool", "srv/shared", "tmp")) + " 2>/dev/null; stat -c %a " \
        "/srv/shared /tmp /usr/local/bin/tool; cut -d: -f2 /etc/shadow | sort -u"
    r = docker.run("run", "--rm", "--network", "none", base, "sh", "-c", script, check=False)
    assert r.stdout.split() == ["664", "1777", "755", "*"], r.stdout + r.stderr
    assert docker.inspect(base)["Config"]["OnBuild"] == ["RUN touch /onbuild-ran"]


def test_one_image_two_derivations(daemon):
    """The same tag under both paths: two results, each reachable through its own repository only."""
    built, build_report = report_of(daemon, "build/up.test/library/base")
    run, run_report = report_of(daemon, "up.test/library/base")
    assert built != run and build_report["source"] == run_report["source"]
    assert build_report["policy"]["digest"] != run_report["policy"]["digest"]
    assert run_report["policy"]["use"] == "run" and run_report["after"]["packages"] < run_report["before"]["packages"]
    for name, other in (("build/up.test/library/base", run), ("up.test/library/base", built)):
        r = daemon.manifest(name, other)
        assert r.status in (403, 404), (name, r.status)
        own = daemon.manifest(name, "v1").json()
        theirs = daemon.manifest(name[6:] if name.startswith("build/") else "build/" + name, "v1").json()
        foreign = {x["digest"] for x in theirs["layers"]} - {x["digest"] for x in own["layers"]}
        assert foreign
        for layer in own["layers"]:
            assert daemon.get(f"/v2/{name}/blobs/{layer['digest']}", method="HEAD").status == 200
        for digest in foreign | {theirs["config"]["digest"]}:
            assert daemon.get(f"/v2/{name}/blobs/{digest}").status == 404
        assert daemon.manifest(name, daemon.manifest(name, "v1").headers["docker-content-digest"]).status == 200


def test_digest_of_upstream_names_the_result_of_its_path(daemon):
    digest, report = report_of(daemon, "build/up.test/library/base")
    r = daemon.manifest("build/up.test/library/base", report["source"]["digest"])
    assert r.status == 403 and r.headers["quench-denied"] == "digest-pin" and digest in r.body.decode()


def test_index_and_mirror(daemon):
    run, built = daemon.manifest("up.test/library/pair", "v1"), daemon.manifest("build/up.test/library/pair", "v1")
    assert run.status == built.status == 200
    children = [[m["digest"] for m in r.json()["manifests"]] for r in (run, built)]
    assert len(children[1]) == 2 and not set(children[0]) & set(children[1])
    assert [daemon.api(f"/images/{d}/report").json()["policy"]["use"] for d in children[1]] == ["build", "build"]
    for port, name, suffix in ((daemon.mirror, "build/library/pair", "?ns=up.test"),
                               (daemon.mirror, "build/up.test/library/pair", ""),
                               (daemon.mirror, "build/up.test/pair", "?ns=up.test")):
        r = daemon.manifest(name, "v1", port=port, suffix=suffix)
        assert r.status == 200 and r.body == built.body, (name, suffix)
    assert daemon.get("/v2/build/up.test/library/pair/tags/list").json() == {
        "name": "build/up.test/library/pair", "tags": ["v1"]}


def test_denials(daemon):
    for name, reason, status in (("build/up.test/library/missing", "not-found", 404),
                                 ("build/up.test/secret/pair", "not-allowed", 403),
                                 ("build/nowhere.test/library/pair", "unknown-upstream", 404)):
        r = daemon.manifest(name, "v1")
        assert r.status == status and r.headers["quench-denied"] == reason, (name, r.status, r.headers)
    for name, reason in (("build/library/missing", "not-found"), ("build/secret/pair", "not-allowed")):
        r = daemon.manifest(name, "v1", port=daemon.mirror, suffix="?ns=up.test")
        assert r.status == 200 and r.headers["quench-denied"] == reason, (name, r.status, r.headers)


def test_admin_api_knows_the_path(daemon):
    digest, _ = report_of(daemon, "build/up.test/library/base")
    r = daemon.api("/resolve?ref=build/up.test/library/base:v1").json()
    assert r["state"] == "hardened" and r["hardened"] == digest
    assert daemon.api("/images", "POST", {"ref": "build/up.test/library/pair:v1"}).status == 202


def test_by_policy(daemon):
    """use: build of a policy makes the plain path one for builds. Results say which policy made them, so that two of
    the same words and different names share none, whoever comes first."""
    other = daemon.manifest("build/up.test/library/pair", "v1").json()["manifests"][0]["digest"]
    plain = daemon.manifest("up.test/bases/pair", "v1").json()["manifests"][0]["digest"]
    report = daemon.api(f"/images/{plain}/report").json()
    assert report["policy"]["use"] == "build" and report["policy"]["name"] == "bases" and plain != other
    assert daemon.manifest("build/up.test/bases/pair", "v1").json()["manifests"][0]["digest"] == plain
