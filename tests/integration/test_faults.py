"""Bad input, broken upstreams, impatient clients, full disks, sudden deaths: a clear answer, one line in the log,
nothing half-written, and the daemon serves on."""
import gzip
import http.client
import io
import json
import os
import signal
import subprocess
import tarfile
import threading
import time

import pytest

import hostile
import make_image
from conftest import MANIFEST_TYPES, request, wait_for


@pytest.fixture
def upstream_server():
    u = hostile.Upstream()
    yield u
    u.stop()


@pytest.fixture
def daemon(fresh, upstream_server):
    def start(**config):
        return fresh(upstream_port=upstream_server.port, **config)
    return start


def layer(files=None):
    return make_image.file_layer(files or {"app": ("#!/bin/sh\n", 0o755), "usr/share/man/x": "manual\n"})


def packed(tar):
    return gzip.compress(tar, mtime=0)


def blobs_of(q):
    found = []
    for directory, _, names in os.walk(os.path.join(q.root, "blobs")):
        found += [os.path.join(directory, n) for n in names]
    return found


def assert_refused(q, tag, reason, text, status=403):
    """The registry listener says why, the mirror listener seals, the log has a line, and everything else works."""
    r = q.manifest("up.test/library/bad", tag)
    assert r.status == status, (r.status, r.body)
    assert r.headers["quench-denied"] == reason
    (error,) = r.json()["errors"]
    assert text in error["message"], error
    sealed = q.manifest("library/bad", tag, port=q.mirror)
    assert sealed.status == 200 and sealed.headers["quench-denied"] == reason
    manifest = sealed.json()
    assert manifest["layers"][0]["mediaType"] == f"application/vnd.quench.denied.{reason}"
    config = request(q.mirror, f"/v2/library/bad/blobs/{manifest['config']['digest']}")
    assert config.status == 403 and text in config.body.decode()
    assert text in q.log()
    assert os.listdir(os.path.join(q.root, "tmp")) == []
    assert q.get("/v2/").status == 200


def tar_entry_with(**changes):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as t:
        m = tarfile.TarInfo("app")
        for key, value in changes.items():
            setattr(m, key, value)
        t.addfile(m)
    return buffer.getvalue()


def corrupt_tar():
    tar = bytearray(layer())
    tar[148:156] = b"zzzzzzzz"
    return bytes(tar)


BAD_LAYERS = {
    "truncated-gzip": (lambda: packed(layer())[:-20], "layer 0"),
    "corrupt-tar": (lambda: packed(corrupt_tar()), "layer 0"),
    "not-gzip": (lambda: b"\x1f\x8b\x08\x00garbage garbage garbage", "layer 0"),
    "climbing": (lambda: packed(tar_entry_with(name="../../etc/passwd")), ".."),
    "trailing-garbage": (lambda: packed(layer()) + b"garbage", "layer 0"),
    "wrong-crc": (lambda: packed(layer())[:-8] + b"\0" * 8, "layer 0"),
}


@pytest.mark.parametrize("name", sorted(BAD_LAYERS))
def test_bad_layer(daemon, upstream_server, name):
    make, text = BAD_LAYERS[name]
    upstream_server.put_image(name, [make()])
    assert_refused(daemon(), name, "malformed", text)


def test_gzip_bomb(daemon, upstream_server):
    """Four hundred megabytes of zeros in a few hundred kilobytes end at the ratio, and in bounded memory and time."""
    head = tar_entry_with()[:512]
    m = tarfile.TarInfo("zeros")
    m.size = 400 << 20
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", mtime=0) as g:
        g.write(m.tobuf(tarfile.USTAR_FORMAT))
        for _ in range(400):
            g.write(bytes(1 << 20))
        g.write(bytes(1024))
    assert head
    upstream_server.put_image("bomb", [out.getvalue()])
    q = daemon()
    assert_refused(q, "bomb", "malformed", "layer 0")
    assert q.memory_kib() < 100 * 1024


def test_too_large(daemon, upstream_server):
    upstream_server.put_image("large", [packed(layer({"big": "x" * 200000}))])
    assert_refused(daemon(limits={"image_size": "100KiB"}), "large", "malformed", "layer 0")


def test_too_many_files(daemon, upstream_server):
    upstream_server.put_image("many", [packed(layer({f"f{i}": "" for i in range(300)}))])
    assert_refused(daemon(limits={"layer_entries": 200}), "many", "malformed", "200")


def test_wrong_digest(daemon, upstream_server):
    upstream_server.put_image("wrong", [packed(layer())])
    blob = next(d for d, b in upstream_server.blobs.items() if b[:2] == b"\x1f\x8b")
    upstream_server.wrong.add(blob)
    q = daemon()
    r = q.manifest("up.test/library/bad", "wrong")
    assert r.status == 403 and r.headers["quench-denied"] == "malformed" and "content has sha256:" in r.body.decode()
    assert not [p for p in blobs_of(q) if blob[7:] in p]
    assert os.listdir(os.path.join(q.root, "tmp")) == []


def test_size_that_lies(daemon, upstream_server):
    upstream_server.put_image("size", [packed(layer())], sizes={0: 1 << 50})
    q = daemon()
    r = q.manifest("up.test/library/bad", "size")
    assert r.status in (403, 503, 507), r.body
    assert os.listdir(os.path.join(q.root, "tmp")) == []


BAD_MANIFESTS = {
    "deep": b'{"schemaVersion":2,"x":' + b"[" * 5000 + b"]" * 5000 + b"}",
    "duplicate": b'{"schemaVersion":2,"schemaVersion":2,"config":{},"layers":[]}',
    "both": b'{"schemaVersion":2,"manifests":[],"layers":[],"config":{}}',
    "not-json": b"<html>hello</html>",
    "negative": (b'{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json",'
                 b'"digest":"sha256:'
                 + b"0" * 64 + b'","size":-1},"layers":[]}'),
}


@pytest.mark.parametrize("name", sorted(BAD_MANIFESTS))
def test_bad_manifest(daemon, upstream_server, name):
    upstream_server.put_manifest(name, BAD_MANIFESTS[name])
    q = daemon()
    r = q.manifest("up.test/library/bad", name)
    assert r.status == 403 and r.headers["quench-denied"] == "malformed", r.body
    assert q.manifest("library/bad", name, port=q.mirror).headers["quench-denied"] == "malformed"
    assert q.get("/v2/").status == 200


def test_manifest_too_large(daemon, upstream_server):
    upstream_server.put_manifest("huge", b'{"schemaVersion":2,"x":"' + b"a" * (5 << 20) + b'"}')
    assert daemon().manifest("up.test/library/bad", "huge").status in (403, 413)


def test_unknown_media_types(daemon, upstream_server):
    upstream_server.put_image("layer", [packed(layer())], layer_type="application/x-unheard-of")
    upstream_server.put_manifest("schema1", b'{"schemaVersion":1,"fsLayers":[]}',
                                 "application/vnd.docker.distribution.manifest.v1+json")
    q = daemon()
    for tag in ("schema1",):
        r = q.manifest("up.test/library/bad", tag)
        assert r.status == 403 and r.headers["quench-denied"] == "malformed", r.body
        assert "schema 1" in r.body.decode()


def test_artifacts_pass_through(daemon, upstream_server):
    """Signatures and charts are not images: they are handed on unchanged, their blobs too."""
    upstream_server.put_image("chart", [b"a chart"], layer_type="application/vnd.cncf.helm.chart.content.v1.tar+gzip",
                              artifactType="application/vnd.cncf.helm.chart")
    q = daemon()
    r = q.manifest("up.test/library/bad", "chart")
    assert r.status == 200 and r.body == upstream_server.manifests["chart"]
    blob = r.json()["layers"][0]["digest"]
    assert q.get(f"/v2/up.test/library/bad/blobs/{blob}").body == b"a chart"


def test_cut_connections_resume(daemon, upstream_server):
    data = packed(layer({"app": ("#!/bin/sh\n", 0o755), "data": os.urandom(3 << 20)}))
    upstream_server.put_image("cut", [data])
    upstream_server.cut[hostile.digest(data)] = 2
    q = daemon()
    assert q.manifest("up.test/library/bad", "cut").status == 200
    ranges = [r for _, path, r in upstream_server.log if hostile.digest(data) in path]
    assert ranges[0] is None and len([r for r in ranges if r]) == 2


def test_upstream_down(daemon, upstream_server):
    q = daemon()
    upstream_server.put_image("v1", [packed(layer())])
    assert q.manifest("up.test/library/bad", "v1").status == 200
    upstream_server.stop()
    stale = q.manifest("up.test/library/bad", "v1")
    assert stale.status == 200 and "stale" in stale.headers["warning"]
    r = q.manifest("up.test/library/bad", "never-seen")
    assert r.status == 503 and r.headers["quench-denied"] == "upstream-down" and r.headers["retry-after"]


def test_failures_are_remembered_and_retried(daemon, upstream_server):
    upstream_server.put_image("bad", [packed(layer())[:-20]])
    q = daemon()
    for _ in range(3):
        assert q.manifest("up.test/library/bad", "bad").status == 403
    jobs = q.api("/jobs").json()["jobs"]
    assert len(jobs) == 1 and jobs[0]["state"] == "denied" and jobs[0]["reason"] == "malformed"
    assert q.api(f"/jobs/{jobs[0]['id']}/retry", "POST", {}).status == 202
    time.sleep(0.5)
    assert q.manifest("up.test/library/bad", "bad").status == 403
    assert len(q.api("/jobs").json()["jobs"]) == 2


# --- clients ---------------------------------------------------------------------------------------------------------

def big_image(u, tag="big", size=4 << 20):
    data = packed(layer({"app": ("#!/bin/sh\n", 0o755), "usr/share/man/x": "m", "data": os.urandom(size)}))
    u.put_image(tag, [data])
    return hostile.digest(data)


def test_a_client_that_leaves_does_not_cancel(daemon, upstream_server):
    blob = big_image(upstream_server)
    upstream_server.delay[blob] = 0.02
    q = daemon()
    c = http.client.HTTPConnection("127.0.0.1", q.registry)
    c.request("GET", "/v2/up.test/library/bad/manifests/big", headers={"Accept": MANIFEST_TYPES})
    wait_for("the download's start", lambda: upstream_server.gets(blob) == 1)
    c.sock.close()
    wait_for("the job's end", lambda: q.metric("jobs_done_total") == 1, 40)
    assert q.manifest("up.test/library/bad", "big").status == 200
    assert upstream_server.gets(blob) == 1


def many(count, work):
    results, threads = [None] * count, []

    def one(i):
        try:
            results[i] = work()
        except OSError as e:
            results[i] = e
    for i in range(count):
        threads.append(threading.Thread(target=one, args=(i,)))
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return results


def test_two_hundred_clients_one_download(daemon, upstream_server):
    blob = big_image(upstream_server)
    q = daemon(limits={"per_client": 1000})
    results = many(200, lambda: q.manifest("up.test/library/bad", "big"))
    assert {getattr(r, "status", r) for r in results} == {200}
    assert len({r.body for r in results}) == 1
    assert upstream_server.gets(blob) == 1
    assert len(q.api("/jobs").json()["jobs"]) == 1


def test_mode_off_streams_one_download_to_all(daemon, upstream_server):
    """Plain cache: the first bytes arrive while upstream still sends, and upstream sends once."""
    blob = big_image(upstream_server)
    upstream_server.delay[blob] = 0.03
    q = daemon(policies=[{"name": "plain", "match": ["**"], "mode": "off"}], limits={"per_client": 1000})
    r = q.manifest("up.test/library/bad", "big")
    assert r.status == 200 and r.body == upstream_server.manifests["big"]
    started = time.monotonic()
    first = []

    def read():
        c = http.client.HTTPConnection("127.0.0.1", q.registry, timeout=60)
        c.request("GET", f"/v2/up.test/library/bad/blobs/{blob}")
        response = c.getresponse()
        data = response.read(1)
        first.append(time.monotonic() - started)
        data += response.read()
        return hostile.digest(data)
    assert set(many(50, read)) == {blob}
    whole = time.monotonic() - started
    assert upstream_server.gets(blob) == 1
    assert max(first) < whole / 2, (max(first), whole)
    again = q.get(f"/v2/up.test/library/bad/blobs/{blob}")
    assert hostile.digest(again.body) == blob and upstream_server.gets(blob) == 1


def test_mode_off_never_completes_a_wrong_blob(daemon, upstream_server):
    blob = big_image(upstream_server)
    upstream_server.wrong.add(blob)
    q = daemon(policies=[{"name": "plain", "match": ["**"], "mode": "off"}])
    assert q.manifest("up.test/library/bad", "big").status == 200
    try:
        r = q.get(f"/v2/up.test/library/bad/blobs/{blob}")
        complete = r.status == 200
    except http.client.IncompleteRead:
        complete = False
    assert not complete
    assert not [p for p in blobs_of(q) if blob[7:] in p]


def test_audit_serves_the_original_and_reports(daemon, upstream_server):
    upstream_server.put_image("v1", [packed(layer())])
    q = daemon(policies=[{"name": "look", "match": ["**"], "mode": "audit"}])
    r = q.manifest("up.test/library/bad", "v1")
    assert r.body == upstream_server.manifests["v1"] and "audit" in r.headers["warning"]
    wait_for("the report", lambda: q.metric("jobs_done_total") == 1)
    images = q.api("/images").json()["images"]
    report = q.api(f"/images/{images[0]['digest']}/report").json()
    assert report["source"]["digest"] == r.headers["docker-content-digest"]


def test_previous_is_served_while_a_new_one_is_made(daemon, upstream_server):
    upstream_server.put_image("v1", [packed(layer())])
    q = daemon()
    first = q.manifest("up.test/library/bad", "v1")
    blob = big_image(upstream_server, "v1")
    upstream_server.delay[blob] = 0.02
    second = q.manifest("up.test/library/bad", "v1")
    assert second.body == first.body and "previous" in second.headers["warning"]
    wait_for("the new image", lambda: q.manifest("up.test/library/bad", "v1").body != first.body, 40)
    assert q.manifest("up.test/library/bad", first.headers["docker-content-digest"]).status == 200


# --- storage and death -----------------------------------------------------------------------------------------------

def test_full_disk(daemon, upstream_server, work):
    """A store of 16 MiB: what does not fit is denied, what was there still works."""
    mount = os.path.join(work, "small-disk")
    os.makedirs(mount, exist_ok=True)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", mount], capture_output=True).returncode:
        pytest.skip("cannot mount a tmpfs here")
    try:
        upstream_server.put_image("small", [packed(layer())])
        big_image(upstream_server, size=30 << 20)
        q = daemon(root=os.path.join(mount, "root"))
        assert q.manifest("up.test/library/bad", "small").status == 200
        r = q.manifest("up.test/library/bad", "big")
        assert r.status == 503 and r.headers["quench-denied"] == "storage-full", (r.status, r.body)
        assert q.manifest("up.test/library/bad", "small").status == 200
        assert os.listdir(os.path.join(q.root, "tmp")) == []
        q.stop()
    finally:
        subprocess.run(["umount", mount])


@pytest.mark.parametrize("pause", [0.05, 0.3, 0.8])
def test_kill_during_a_cold_pull(daemon, upstream_server, pause):
    blob = big_image(upstream_server)
    upstream_server.delay[blob] = 0.01
    q = daemon()
    c = http.client.HTTPConnection("127.0.0.1", q.registry)
    c.request("GET", "/v2/up.test/library/bad/manifests/big", headers={"Accept": MANIFEST_TYPES})
    wait_for("the download's start", lambda: upstream_server.gets(blob) >= 1)
    time.sleep(pause)
    q.stop(signal.SIGKILL)
    for path in blobs_of(q):
        with open(path, "rb") as f:
            assert hostile.digest(f.read())[7:] == os.path.basename(path)
    upstream_server.delay.clear()
    q.start()
    assert os.listdir(os.path.join(q.root, "tmp")) == []
    assert q.manifest("up.test/library/bad", "big").status == 200


def test_graceful_stop_during_a_download(daemon, upstream_server):
    """SIGTERM: what is being sent is sent to its end, then the daemon ends with status 0."""
    blob = big_image(upstream_server)
    q = daemon(policies=[{"name": "plain", "match": ["**"], "mode": "off"}])
    assert q.manifest("up.test/library/bad", "big").status == 200
    upstream_server.delay[blob] = 0.02
    c = http.client.HTTPConnection("127.0.0.1", q.registry)
    c.request("GET", f"/v2/up.test/library/bad/blobs/{blob}")
    r = c.getresponse()
    assert r.status == 200
    head = r.read(1000)
    q.process.send_signal(signal.SIGTERM)
    assert hostile.digest(head + r.read()) == blob
    assert q.process.wait(40) == 0


def test_only_one_daemon_a_directory(daemon):
    q = daemon()
    from conftest import QUENCH
    r = subprocess.run([QUENCH, "serve", "-c", q.config_path], capture_output=True, text=True, timeout=20)
    assert r.returncode == 1 and str(q.process.pid) in r.stderr, r.stderr
    assert json.loads(q.api("/images").body)["images"] == []
