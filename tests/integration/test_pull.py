"""Real clients pull hardened images, and what they pull works."""
import json
import os
import re
import subprocess
import urllib.parse
import urllib.request

import pytest

import engines
from conftest import IMAGES, MANIFEST_TYPES, wait_for


def http_get(port, path="/"):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as r:
        return r.read().decode()


def reachable(port):
    try:
        http_get(port)
        return True
    except OSError:
        return False


@pytest.fixture(scope="module")
def docker(work):
    d = engines.Docker(os.path.join(work, "docker"))
    yield d
    d.stop()


@pytest.fixture(scope="module")
def containerd(work, quench):
    c = engines.Containerd(os.path.join(work, "containerd"), f"http://127.0.0.1:{quench.mirror}")
    yield c
    c.stop()


def hardened_digest(quench, name, reference):
    r = quench.manifest(f"up.test/{name}", reference)
    assert r.status == 200, r.body
    return r.headers["docker-content-digest"]


def test_docker_by_name_runs_as_somebody_else(docker, quench):
    image = f"127.0.0.1:{quench.registry}/up.test/{IMAGES['nginx']}"
    docker.run("pull", image)
    assert docker.inspect(image)["Config"]["User"] == "33:33"
    container = docker.start(image)
    try:
        wait_for("nginx's answer", lambda: reachable(8080))
        assert "hello from nginx" in http_get(8080)
        users = docker.run("top", container, "-eo", "uid,pid,args").stdout
        assert "root" not in users and all(line.split()[0] == "33" for line in users.splitlines()[1:]), users
        files = docker.files(container)
        assert not {"/usr/bin/apt", "/usr/bin/dpkg", "/usr/bin/curl", "/usr/share/man"} & set(files)
        assert not [p for p, member in files.items() if member.isfile() and member.mode & 0o6000]
    finally:
        docker.remove(container)


def test_docker_shell_script_entrypoint(docker, quench):
    image = f"127.0.0.1:{quench.registry}/up.test/{IMAGES['nginx-script']}"
    docker.run("pull", image)
    container = docker.start(image)
    try:
        wait_for("nginx's answer", lambda: reachable(8080))
        assert "starting nginx" in docker.run("logs", container).stdout
    finally:
        docker.remove(container)


def test_docker_python(docker, quench):
    image = f"127.0.0.1:{quench.registry}/up.test/{IMAGES['python']}"
    docker.run("pull", image)
    container = docker.start(image)
    try:
        wait_for("the application's answer", lambda: reachable(8080))
        assert "hello from python" in http_get(8080)
    finally:
        docker.remove(container)


def test_docker_redis_writes_and_saves(docker, quench):
    image = f"127.0.0.1:{quench.registry}/up.test/{IMAGES['redis']}"
    docker.run("pull", image)
    container = docker.start(image)
    try:
        wait_for("redis' answer",
                 lambda: "PONG" in docker.run("exec", container, "redis-cli", "ping", check=False).stdout)
        assert "OK" in docker.run("exec", container, "redis-cli", "set", "key", "value").stdout
        assert "OK" in docker.run("exec", container, "redis-cli", "save").stdout
        assert "dump.rdb" in docker.run("exec", container, "ls", "/data").stdout
    finally:
        docker.remove(container)


def test_docker_static_binary_on_an_empty_base(docker, quench):
    image = f"127.0.0.1:{quench.registry}/up.test/{IMAGES['static']}"
    docker.run("pull", image)
    container = docker.start(image)
    try:
        wait_for("the server's answer", lambda: reachable(8081))
        assert "hello from static" in http_get(8081)
    finally:
        docker.remove(container)


def test_docker_by_digest_and_docker_family(docker, quench):
    name = IMAGES["nginx-docker"].split(":")[0]
    r = quench.manifest(f"up.test/{name}", "v1")
    assert r.headers["content-type"] == "application/vnd.docker.distribution.manifest.v2+json"
    assert "annotations" not in r.json()
    digest = r.headers["docker-content-digest"]
    docker.run("pull", f"127.0.0.1:{quench.registry}/up.test/{name}@{digest}")


def test_docker_registry_mirror(work, quench):
    """docker asks its mirror for Docker Hub's names; the mirror's default upstream answers."""
    d = engines.Docker(os.path.join(work, "docker-mirror"), mirror=f"http://127.0.0.1:{quench.mirror}")
    try:
        d.run("pull", "python:v1")
        digests = d.inspect("python:v1")["RepoDigests"]
        assert hardened_digest(quench, "library/python", "v1") in digests[0]
    finally:
        d.stop()


def test_containerd_mirror_by_tag_and_digest(containerd, quench):
    r = containerd.pull("up.test/" + IMAGES["nginx"])
    assert r.returncode == 0, r.stdout + r.stderr
    digest = hardened_digest(quench, "library/nginx", "1.27")
    assert containerd.digest("up.test/" + IMAGES["nginx"]) == digest
    r = containerd.pull(f"up.test/library/nginx@{digest}")
    assert r.returncode == 0, r.stdout + r.stderr


def test_containerd_cold_pull_defers_the_digest(fresh, work):
    """A cold HEAD is answered at once without digest and length; the GET that follows gets the hardened manifest."""
    q = fresh()
    head = q.manifest("library/nginx", "1.27", port=q.mirror, method="HEAD", suffix="?ns=up.test", timeout=10)
    assert head.status == 200 and head.headers["content-type"] == "application/vnd.oci.image.manifest.v1+json"
    assert "docker-content-digest" not in head.headers and "content-length" not in head.headers
    c = engines.Containerd(os.path.join(work, "containerd-cold"), f"http://127.0.0.1:{q.mirror}")
    try:
        r = c.pull("up.test/" + IMAGES["nginx"])
        assert r.returncode == 0, r.stdout + r.stderr
        assert c.digest("up.test/" + IMAGES["nginx"]) == hardened_digest(q, "library/nginx", "1.27")
    finally:
        c.stop()


def test_containerd_does_not_fall_back_when_denied(containerd, quench, images):
    upstream_digest = images["nginx"]["digest"]
    for name, reason in (("up.test/library/missing:v1", "not-found"), ("nowhere.test/library/x:v1", "unknown-upstream"),
                         (f"up.test/library/nginx@{upstream_digest}", None)):
        r = containerd.pull(name)
        assert r.returncode != 0, name
        if reason:
            assert reason in r.stdout + r.stderr, r.stderr


def test_containerd_index_of_two_platforms(containerd, quench):
    for platform in ("linux/amd64", "linux/arm64"):
        r = containerd.pull("up.test/" + IMAGES["index"], "--platform", platform)
        assert r.returncode == 0, r.stdout + r.stderr
    index = quench.manifest("up.test/library/index", "v1").json()
    assert [m["platform"]["architecture"] for m in index["manifests"]] == ["amd64", "arm64"]
    for m in index["manifests"]:
        child = quench.manifest("up.test/library/index", m["digest"]).json()
        config = json.loads(quench.get(f"/v2/up.test/library/index/blobs/{child['config']['digest']}").body)
        assert config["architecture"] == m["platform"]["architecture"]


def test_index_for_a_client_that_cannot_read_one(quench):
    r = quench.manifest("up.test/library/index", "v1", accept="application/vnd.oci.image.manifest.v1+json")
    assert r.headers["content-type"] == "application/vnd.oci.image.manifest.v1+json"


def test_skopeo_copies_everything(quench, tmp_path):
    for tag in ("nginx", "index"):
        r = subprocess.run(["skopeo", "copy", "-q", "--all", "--src-tls-verify=false",
                            f"docker://127.0.0.1:{quench.registry}/up.test/{IMAGES[tag]}", f"oci:{tmp_path}/{tag}:x"],
                           capture_output=True, text=True)
        assert r.returncode == 0, r.stderr
    labels = engines.skopeo_inspect(f"127.0.0.1:{quench.registry}/up.test/{IMAGES['nginx']}")["Labels"]
    assert labels["io.quench.policy"].startswith("default@sha256:")


def test_podman(quench):
    r = engines.podman("pull", "-q", "--tls-verify=false",
                       f"127.0.0.1:{quench.registry}/up.test/{IMAGES['static']}")
    assert r.returncode == 0, r.stderr


def test_crane(quench):
    crane = engines.crane()
    if not crane:
        pytest.skip("crane cannot be built here")
    image = f"127.0.0.1:{quench.registry}/up.test/{IMAGES['nginx']}"
    digest = subprocess.run([crane, "digest", "--insecure", image], capture_output=True, text=True, check=True)
    assert digest.stdout.strip() == hardened_digest(quench, "library/nginx", "1.27")
    r = subprocess.run([crane, "validate", "--insecure", "--remote", image], capture_output=True, text=True)
    assert r.returncode == 0, r.stdout + r.stderr


def test_same_input_same_bytes_on_a_fresh_store(fresh, quench, images, layout):
    """Another daemon, another store: the same manifest, byte for byte; untouched layers keep their digests."""
    a = quench.manifest("up.test/library/redis", "v1")
    b = fresh(platforms=["linux/amd64", "linux/arm64"]).manifest("up.test/library/redis", "v1")
    assert a.body == b.body
    with open(os.path.join(layout, "blobs/sha256", images["redis"]["digest"][7:])) as f:
        source = [layer["digest"] for layer in json.load(f)["layers"]]
    hardened = [layer["digest"] for layer in a.json()["layers"]]
    assert source[2] == hardened[2] and source[0] != hardened[0]


def purls(components):
    """Without qualifiers and epochs, which this trivy writes as a qualifier."""
    return sorted(re.sub(r"@\d+:", "@", urllib.parse.unquote(p.split("?")[0])) for p in components)


def test_a_scanner_sees_what_the_report_says(quench, work, tmp_path):
    trivy = engines.trivy()
    if not trivy:
        pytest.skip("trivy cannot be installed here")
    for tag in ("nginx", "python", "redis"):
        name, reference = IMAGES[tag].rsplit(":", 1)
        digest = hardened_digest(quench, name, reference)
        report = quench.api(f"/images/{digest}/report").json()
        stays = purls(p["purl"] for p in report["packages"] if p["state"] != "removed")
        out = str(tmp_path / tag)
        subprocess.run(["skopeo", "copy", "-q", "--src-tls-verify=false",
                        f"docker://127.0.0.1:{quench.registry}/up.test/{IMAGES[tag]}", f"oci:{out}:x"], check=True)
        root = str(tmp_path / (tag + "-root"))
        subprocess.run(["umoci", "unpack", "--rootless", "--image", f"{out}:x", root], check=True, capture_output=True)
        r = subprocess.run([trivy, "rootfs", "--offline-scan", "--format", "cyclonedx", "--cache-dir",
                            str(tmp_path / "cache"), root + "/rootfs"], capture_output=True, text=True)
        assert r.returncode == 0, r.stderr[-1000:]
        seen = purls(c["purl"] for c in json.loads(r.stdout)["components"] if c.get("purl", "").startswith("pkg:deb/"))
        assert seen == stays
        audit = subprocess.run(["dpkg", "--root", root + "/rootfs", "--audit"], capture_output=True, text=True)
        assert audit.returncode == 0 and audit.stdout == "", audit.stdout


def test_report_is_a_referrer(quench):
    digest = hardened_digest(quench, "library/nginx", "1.27")
    r = quench.get(f"/v2/up.test/library/nginx/referrers/{digest}?artifactType=application/vnd.quench.report.v1%2Bjson")
    assert r.status == 200 and r.headers["oci-filters-applied"] == "artifactType"
    (referrer,) = r.json()["manifests"]
    manifest = quench.manifest("up.test/library/nginx", referrer["digest"]).json()
    assert manifest["subject"]["digest"] == digest
    report = quench.get(f"/v2/up.test/library/nginx/blobs/{manifest['layers'][0]['digest']}").json()
    assert report["schema"] == "quench.report.v1" and report["hardened"]["digest"] == digest
    assert report == quench.api(f"/images/{digest}/report").json()
    assert all(v["ok"] for v in report["verification"]) and report["after"]["setuid"] == 0


def test_digest_of_upstream_is_refused_and_named(quench, images):
    upstream_digest = images["nginx"]["digest"]
    hardened = hardened_digest(quench, "library/nginx", "1.27")
    r = quench.manifest("up.test/library/nginx", upstream_digest)
    assert r.status == 403 and r.headers["quench-denied"] == "digest-pin" and hardened in r.body.decode()
    sealed = quench.manifest("library/nginx", upstream_digest, port=quench.mirror, suffix="?ns=up.test")
    assert sealed.status == 200 and sealed.headers["docker-content-digest"] != upstream_digest
    assert sealed.headers["quench-denied"] == "digest-pin"


def test_blobs_only_through_a_repository_that_links_them(quench):
    layer = quench.manifest("up.test/library/nginx", "1.27").json()["layers"][0]["digest"]
    assert quench.get(f"/v2/up.test/library/nginx/blobs/{layer}", method="HEAD").status == 200
    other = quench.get(f"/v2/up.test/library/static/blobs/{layer}")
    absent = quench.get("/v2/up.test/library/static/blobs/sha256:" + "0" * 64)
    assert other.status == absent.status == 404 and other.body == absent.body


def test_ranges_and_conditions(quench):
    layer = quench.manifest("up.test/library/nginx", "1.27").json()["layers"][0]
    path = f"/v2/up.test/library/nginx/blobs/{layer['digest']}"
    whole = quench.get(path)
    assert len(whole.body) == layer["size"] == int(whole.headers["content-length"])
    assert "content-encoding" not in whole.headers and "immutable" in whole.headers["cache-control"]
    part = quench.get(path, headers={"Range": "bytes=100-199"})
    assert part.status == 206 and part.body == whole.body[100:200]
    assert part.headers["content-range"] == f"bytes 100-199/{layer['size']}"
    assert quench.get(path, headers={"Range": "bytes=-10"}).body == whole.body[-10:]
    assert quench.get(path, headers={"Range": f"bytes={layer['size']}-"}).status == 416
    assert quench.get(path, headers={"If-None-Match": whole.headers["etag"]}).status == 304
    head = quench.get(path, method="HEAD")
    assert head.body == b"" and head.headers["content-length"] == whole.headers["content-length"]
    tag = quench.manifest("up.test/library/nginx", "1.27")
    again = quench.get("/v2/up.test/library/nginx/manifests/1.27",
                       headers={"Accept": MANIFEST_TYPES, "If-None-Match": tag.headers["etag"]})
    assert again.status == 304


def test_tags_list(quench):
    r = quench.get("/v2/up.test/library/nginx/tags/list?n=1")
    assert r.json() == {"name": "up.test/library/nginx", "tags": ["1.27"]}


def test_admin_api(quench):
    assert quench.api("/images").status == 200
    from conftest import request
    assert request(quench.admin, "/api/v1/images").status == 401
    assert request(quench.admin, "/api/v1/images", headers={"Authorization": "Bearer wrong"}).status == 401
    r = quench.api("/resolve?ref=up.test/library/nginx:1.27").json()
    assert r["state"] == "hardened" and r["hardened"] == hardened_digest(quench, "library/nginx", "1.27")
    assert quench.api("/resolve?ref=up.test/library/never-seen:x").json()["state"] == "unknown"
    jobs = quench.api("/jobs?limit=2").json()
    assert len(jobs["jobs"]) == 2 and jobs["jobs"][0]["state"] == "done"
    assert quench.api(f"/jobs/{jobs['jobs'][0]['id']}").json()["kind"] == "harden"
    assert quench.api("/nothing").status == 404
    made = quench.api("/images", "POST", {"ref": "up.test/library/static:v1"})
    assert made.status == 202
    assert request(quench.admin, "/readyz").json()["status"] == "ready"
    assert request(quench.admin, "/healthz").status == 200
    assert quench.metric("jobs_done_total") > 0
