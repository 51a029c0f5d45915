"""quench ctl, as people and scripts use it."""
import json
import os
import sqlite3
import subprocess

import pytest

from conftest import QUENCH, request, wait_for
from test_admin import MANUAL, Tag


def ctl(q, *argv, status=0, url=True, **kwargs):
    where = ["--url", f"http://127.0.0.1:{q.admin}"] if url else []
    environment = {**os.environ, **kwargs.pop("environment", {})}
    environment.setdefault("QUENCH_TOKEN", q.token())
    r = subprocess.run([QUENCH, "ctl", *where, *argv], capture_output=True, text=True, env=environment, timeout=120)
    assert r.returncode == status, (argv, r.returncode, r.stdout, r.stderr)
    return r


@pytest.fixture
def tag(upstream, work, request):
    return Tag(upstream, work, "admin/ctl-" + request.node.name.replace("_", "-"))


def test_from_harden_to_approval(fresh, tag):
    q = fresh(policies=MANUAL)
    tag.push("one")
    ref = f"up.test/{tag.name}:v1"
    r = ctl(q, "wait", ref, status=3)
    assert f"{ref}: awaiting-approval" in r.stderr
    listed = ctl(q, "images", "--state", "awaiting-approval")
    digest = json.loads(ctl(q, "images", "--state=awaiting-approval", "--json").stdout)["images"][0]["digest"]
    lines = listed.stdout.splitlines()
    assert lines[0].split() == ["DIGEST", "STATE", "PLATFORM", "MADE", "REF"] and digest in lines[1] and ref in lines[1]
    r = ctl(q, "approve", digest, "--comment", "fine by me")
    assert "approved" in r.stdout and "fine by me" in r.stdout
    assert digest in ctl(q, "wait", ref, "--quiet").stdout
    assert "hardened" in ctl(q, "resolve", ref).stdout
    assert "docs" in ctl(q, "report", digest).stdout
    assert ctl(q, "report", digest, "--format", "html").stdout.startswith("<!DOCTYPE html>")
    assert json.loads(ctl(q, "report", digest, "--format", "sarif").stdout)["version"] == "2.1.0"
    assert "/usr/share/man/man1/x.1" in ctl(q, "diff", digest).stdout
    assert "it is in the command" in ctl(q, "explain", digest, "/app").stdout
    assert "2 entries" in ctl(q, "audit", "verify").stdout or "1 entries" in ctl(q, "audit", "verify").stdout
    ctl(q, "pin", digest)
    assert "pinned:" in ctl(q, "unpin", digest).stdout
    ctl(q, "reject", digest)
    ctl(q, "wait", ref, status=3)
    for words in (("jobs",), ("tags", ref), ("overrides",), ("policies",), ("policy", ref), ("upstreams",), ("audit",),
                  ("packages", "pkg:deb/debian/none"), ("snippet", "podman"), ("images", "show", digest)):
        assert ctl(q, *words).stdout
        if words[0] != "snippet":
            json.loads(ctl(q, *words, "--json").stdout)


def test_waiting_for_what_cannot_be(fresh, upstream):
    q = fresh()
    r = ctl(q, "wait", "up.test/admin/nowhere:v1", "--timeout", "20", status=1)
    assert "up.test/admin/nowhere:v1" in r.stderr
    upstream.put_manifest("admin/broken", "v1", "application/vnd.oci.image.manifest.v1+json", json.dumps(
        {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
         "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **blob(upstream, b"not json")},
         "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", **blob(upstream, b"not a tar")}]}).encode())
    r = ctl(q, "wait", "up.test/admin/broken:v1", status=3)
    assert "denied" in r.stderr and "config" in r.stderr
    [job] = json.loads(ctl(q, "jobs", "--ref", "up.test/admin/broken:v1", "--json").stdout)["jobs"]
    assert ctl(q, "wait", job["id"], status=3)
    ctl(q, "jobs", "retry", job["id"])
    ctl(q, "wait", "up.test/admin/broken:v1", status=3)
    # an artifact is passed on as it is
    upstream.put_manifest("admin/broken", "v2", "application/vnd.oci.image.manifest.v1+json", json.dumps(
        {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": [],
         "config": {"mediaType": "application/x", **blob(upstream, b"x")}}).encode())
    assert "original" in ctl(q, "wait", "up.test/admin/broken:v2").stdout


def blob(upstream, data):
    import hashlib
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    upstream.push_blob("admin/broken", digest, data)
    return {"digest": digest, "size": len(data)}


def test_tags_and_overrides(fresh, tag):
    q = fresh()
    ref = f"up.test/{tag.name}:v1"
    tag.push("one")
    ctl(q, "harden", ref)
    ctl(q, "wait", ref)
    first = q.manifest("up.test/" + tag.name, "v1").headers["docker-content-digest"]
    tag.push("two")
    name = "up.test/" + tag.name
    wait_for("the tag's move", lambda: q.manifest(name, "v1").headers["docker-content-digest"] != first)
    assert first in ctl(q, "rollback", ref, "--comment", "back").stdout
    assert "held:" in ctl(q, "thaw", ref).stdout
    ctl(q, "thaw", ref, status=1)
    ctl(q, "overrides", "add", f"up.test/{tag.name}", "--set", "docs=off", "--expires", "1h", "--reason", "manuals")
    [row] = json.loads(ctl(q, "overrides", "--json").stdout)["overrides"]
    assert row["rules"] == {"docs": "off"}
    ctl(q, "overrides", "end", str(row["id"]))
    assert "2 entries" not in ctl(q, "audit", "verify").stdout
    # a log that was changed is found out
    q.stop()
    with sqlite3.connect(os.path.join(q.root, "quench.db")) as index:
        index.execute("UPDATE audit SET who = 'nobody' WHERE id = 2")
    q.start()
    assert "entry 2" in ctl(q, "audit", "verify", status=1).stderr


def test_ways_in(fresh, tag, tmp_path):
    q = fresh()
    token = tmp_path / "token"
    token.write_text(q.token() + "\n")
    ctl(q, "policies", "--token-file", str(token), environment={"QUENCH_TOKEN": ""})
    assert "token is needed" in ctl(q, "policies", environment={"QUENCH_TOKEN": ""}, status=1).stderr
    ctl(q, "policies", url=False, environment={"QUENCH_URL": f"http://127.0.0.1:{q.admin}"})
    assert "127.0.0.1:1" in ctl(q, "--url", "http://127.0.0.1:1", "policies", url=False, status=1).stderr
    for wrong in (["nonsense"], ["approve"], ["approve", "a", "b"], ["images", "--nonsense"], ["images", "--state"],
                  ["report", "sha256:" + "0" * 64, "--format", "pdf"], []):
        ctl(q, *wrong, status=2)
    assert "approve" in ctl(q, "--help").stdout and "--comment TEXT" in ctl(q, "approve", "--help").stdout
    assert "no report" in ctl(q, "report", "sha256:" + "0" * 64, status=1).stderr


def test_the_local_socket(work, upstream, tmp_path):
    import yaml
    from conftest import Process, answers, free_port
    port, path = free_port(), tmp_path / "quench.yaml"
    path.write_text(yaml.safe_dump({"storage": {"root": str(tmp_path / "root")},
                                    "listen": {"registry": [f"127.0.0.1:{port}"], "mirror": []}}))
    with_log = str(tmp_path / "log")
    p = Process([QUENCH, "serve", "-c", str(path)], with_log)
    try:
        wait_for("the start", lambda: answers(port))
        r = subprocess.run([QUENCH, "ctl", "-c", str(path), "policies"], capture_output=True, text=True)
        assert r.returncode == 0 and "default" in r.stdout, r.stderr
        assert request(port, "/healthz").status == 200
    finally:
        p.stop()
