"""The admin API as a security team uses it: approvals, held tags, overrides, the audit log, searches."""
import hashlib
import json
import tempfile
import time

import pytest

import make_image
from conftest import request, wait_for


class Tag:
    """A tag of the upstream whose image can change."""

    def __init__(self, upstream, work, name):
        self.upstream, self.name, self.directory = upstream, name, tempfile.mkdtemp(dir=work)

    def push(self, text, packages=()):
        status = "".join(f"Package: {n}\nStatus: install ok installed\nVersion: {v}\nArchitecture: amd64\n"
                         f"Maintainer: x\nDescription: x\n\n" for n, v in packages)
        files = {"app": (f"#!/bin/sh\necho {text}\n", 0o755), "bin/sh": ("not a shell\n", 0o755),
                 "usr/bin/su": ("not su\n", 0o4755), "usr/share/man/man1/x.1": "manual\n",
                 "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n"}
        if packages:
            files["var/lib/dpkg/status"] = status
            files["etc/os-release"] = "ID=debian\nVERSION_ID=12\n"
            for n, _ in packages:
                files[f"var/lib/dpkg/info/{n}.list"] = f"/.\n/usr\n/usr/lib\n/usr/lib/{n}.data\n"
                files[f"usr/lib/{n}.data"] = "data\n"
        descriptor = make_image.write_image(self.directory, "", [make_image.file_layer(files)], {"Cmd": ["/app"]})
        self.upstream.push(self.directory, descriptor, self.name + ":v1")
        return descriptor["digest"]


@pytest.fixture
def tag(upstream, work, request):
    return Tag(upstream, work, "admin/" + request.node.name.replace("_", "-"))


MANUAL = [{"name": "careful", "match": ["up.test/admin/**"], "approval": "manual"}]


def pull(q, tag, reference="v1", **kwargs):
    return q.manifest("up.test/" + tag.name, reference, **kwargs)


def waiting(q):
    return q.api("/images?state=awaiting-approval").json()["images"]


def test_approval_from_the_first_pull_to_a_rejection(fresh, tag):
    q = fresh(policies=MANUAL)
    source = tag.push("one")
    r = pull(q, tag)
    assert r.status == 403 and r.headers["quench-denied"] == "not-approved", r.body
    assert b"quench ctl approve sha256:" in r.body
    [first] = waiting(q)
    assert first["ref"] == f"up.test/{tag.name}:v1" and first["source"] == source
    assert q.api(f"/resolve?ref=up.test/{tag.name}:v1").json()["state"] == "awaiting-approval"
    one = first["digest"]
    # by digest it is not to be had either, nor what it holds
    assert pull(q, tag, one).headers["quench-denied"] == "not-approved"
    sealed = pull(q, tag, port=q.mirror)
    assert sealed.status == 200 and sealed.headers["quench-denied"] == "not-approved"

    r = q.api(f"/images/{one}/approve", "POST", {"comment": "looked at"})
    assert r.status == 200, r.body
    assert [(a["state"], a["who"], a["comment"]) for a in r.json()["approvals"]] == [("approved", "admin", "looked at")]
    r = pull(q, tag)
    assert r.status == 200 and r.headers["docker-content-digest"] == one
    layer = r.json()["layers"][0]["digest"]
    config = r.json()["config"]["digest"]
    for blob in (layer, config):
        assert q.get(f"/v2/up.test/{tag.name}/blobs/{blob}").status == 200
    assert not waiting(q)

    # a newer image waits while the approved one is served
    tag.push("two")
    r = pull(q, tag)
    assert r.status == 200 and r.headers["docker-content-digest"] == one and "previous" in r.headers["warning"]
    [second] = wait_for("the newer image in the list", lambda: waiting(q))
    two = second["digest"]
    assert two != one and pull(q, tag).headers["docker-content-digest"] == one
    assert q.api(f"/images/{two}/approve", "POST").status == 200
    assert pull(q, tag).headers["docker-content-digest"] == two

    # what is rejected is gone at once: tag, manifest, blobs; the one approved before is back
    r = q.api(f"/images/{two}/reject", "POST", {"comment": "no"})
    assert r.json()["approvals"][0]["state"] == "rejected"
    r = pull(q, tag)
    assert r.headers["docker-content-digest"] == one and "rejected" in r.headers["warning"]
    assert pull(q, tag, two).headers["quench-denied"] == "rejected"
    q.api(f"/images/{one}/reject", "POST")
    assert pull(q, tag).headers["quench-denied"] == "rejected"
    assert pull(q, tag, one).status == 403
    assert q.get(f"/v2/up.test/{tag.name}/blobs/{layer}").status == 404
    assert q.get(f"/v2/up.test/{tag.name}/blobs/{config}").status == 404
    assert [e["action"] for e in q.api("/audit").json()["entries"]] == ["reject", "reject", "approve", "approve"]


def test_an_approved_digest_survives_restarts_and_engines(fresh, tag, work, upstream):
    q = fresh(policies=MANUAL)
    tag.push("one")
    assert pull(q, tag).status == 403
    one = waiting(q)[0]["digest"]
    q.api(f"/images/{one}/approve", "POST")
    assert pull(q, tag).headers["docker-content-digest"] == one
    q.stop()
    q.config["policies"][0]["profile"] = "safe"  # another policy digest: another derivation
    with open(q.config_path, "w") as f:
        json.dump(q.config, f)
    q.start()
    r = pull(q, tag)
    assert r.headers["docker-content-digest"] == one and "previous" in r.headers["warning"]
    [newer] = wait_for("the new derivation in the list", lambda: waiting(q))
    assert pull(q, tag).headers["docker-content-digest"] == one
    q.api(f"/images/{newer['digest']}/approve", "POST")
    assert pull(q, tag).headers["docker-content-digest"] == newer["digest"]


def test_freeze_rollback_thaw(fresh, tag):
    q = fresh()
    ref = f"up.test/{tag.name}:v1"
    digests = []
    for text in ("one", "two", "three"):
        tag.push(text)
        moved = wait_for("the tag's move", lambda: (d := pull(q, tag).headers["docker-content-digest"]) not in digests
                         and d)
        digests.append(moved)
    one, two, three = digests
    history = q.api(f"/tags?ref={ref}&limit=2").json()
    assert [h["served"] for h in history["tags"]] == [three, two] and "hold" not in history
    rest = q.api(f"/tags?ref={ref}&limit=2&after={history['after']}").json()
    assert [h["served"] for h in rest["tags"]] == [one] and "after" not in rest

    r = q.api("/tags/rollback", "POST", {"ref": ref, "comment": "three is broken"})
    assert r.status == 200 and r.json()["served"] == two, r.body
    r = pull(q, tag)
    assert r.headers["docker-content-digest"] == two and "held" in r.headers["warning"]
    assert q.api("/tags/rollback", "POST", {"ref": ref, "digest": one}).json()["served"] == one
    assert pull(q, tag).headers["docker-content-digest"] == one
    assert q.api(f"/resolve?ref={ref}").json()["hold"]["who"] == "admin"
    tag.push("four")
    assert pull(q, tag).headers["docker-content-digest"] == one
    assert q.api("/tags/thaw", "POST", {"ref": ref}).json() == {"ref": ref, "held": False}
    four = wait_for("the newest image", lambda: (d := pull(q, tag).headers["docker-content-digest"]) not in digests
                    and d)
    assert q.api("/tags/thaw", "POST", {"ref": ref}).status == 409
    assert q.api("/tags/freeze", "POST", {"ref": ref}).json()["served"] == four
    tag.push("five")
    assert pull(q, tag).headers["docker-content-digest"] == four
    assert q.api("/tags/rollback", "POST", {"ref": ref, "digest": "sha256:" + "0" * 64}).status == 404
    assert q.api(f"/images/{four}", "DELETE").status == 409  # held


def test_overrides_end(fresh, tag):
    q = fresh()
    source = tag.push("one")
    hardened = pull(q, tag).headers["docker-content-digest"]
    assert hardened != source
    r = q.api("/overrides", "POST", {"match": f"up.test/{tag.name}", "mode": "off", "expires": "3s",
                                     "reason": "incident 7"})
    assert r.status == 201, r.body
    assert pull(q, tag).headers["docker-content-digest"] == source
    assert [o["reason"] for o in q.api("/overrides").json()["overrides"]] == ["incident 7"]
    answer = q.api("/policies/explain", "POST", {"ref": f"up.test/{tag.name}:v1"}).json()
    assert answer["mode"] == "off" and answer["overrides"][0]["who"] == "admin"
    wait_for("the override's end", lambda: pull(q, tag).headers["docker-content-digest"] == hardened)
    assert q.api("/overrides").json()["overrides"] == []
    assert len(q.api("/overrides?all=true").json()["overrides"]) == 1
    # rules, ended by hand
    made = q.api("/overrides", "POST", {"match": "up.test/admin/**", "rules": {"setuid": "off"}, "expires": "4h",
                                        "reason": "needs su"}).json()
    other = wait_for("another result", lambda: (d := pull(q, tag).headers["docker-content-digest"]) != hardened and d)
    assert other != source
    assert q.api("/policies/explain", "POST", {"ref": f"up.test/{tag.name}:v1"}).json()["rules"]["setuid"] == "off"
    assert q.api(f"/overrides?id={made['id']}", "DELETE").status == 200
    assert q.api(f"/overrides?id={made['id']}", "DELETE").status == 404
    assert pull(q, tag).headers["docker-content-digest"] == hardened
    for wrong, refused in (({"mode": "off", "expires": "-1h"}, 400), ({"mode": "off", "expires": "soon"}, 400),
                           ({"expires": "1h"}, 400), ({"rules": {"nonsense": "on"}, "expires": "1h"}, 400),
                           ({"mode": "on", "expires": "1h"}, 400), ({"mode": "off", "expires": "900d"}, 409),
                           ({"mode": "off", "expires": "2020-01-01T00:00:00Z"}, 409)):
        r = q.api("/overrides", "POST", {"match": "**", "reason": "x", **wrong})
        assert r.status == refused, (wrong, r.body)


def test_audit_log_is_a_chain(fresh, tag):
    q = fresh()
    tag.push("one")
    pull(q, tag)
    for action in ("freeze", "thaw", "freeze"):
        q.api(f"/tags/{action}", "POST", {"ref": f"up.test/{tag.name}:v1", "comment": "é"})
    entries = q.api("/audit?order=oldest").json()["entries"]
    assert [e["action"] for e in entries] == ["freeze", "thaw", "freeze"]
    previous = b""
    for e in entries:
        h = hashlib.sha256()
        at = str(int(time.mktime(time.strptime(e["at"], "%Y-%m-%dT%H:%M:%SZ")) - time.timezone))
        for field in (previous, e["id"].encode(), at.encode(), e["who"].encode(), e["action"].encode(),
                      e["subject"].encode(), json.dumps(e["detail"], separators=(",", ":"),
                                                        ensure_ascii=False).encode(), e["request"].encode()):
            h.update(len(field).to_bytes(8, "big") + field)
        assert e["hash"] == "sha256:" + h.hexdigest()
        if previous:
            assert e["previous"] == "sha256:" + previous.hex()
        previous = h.digest()
    assert [e["action"] for e in q.api("/audit?action=thaw").json()["entries"]] == ["thaw"]
    second = q.api("/audit?limit=1&order=oldest&after=1").json()["entries"][0]
    assert second["id"] == "2" and second["previous"] == entries[0]["hash"]


def test_packages_and_who_pulled(fresh, tag):
    q = fresh(audit={"pulls": "manifests"}, policies=[{"name": "mild", "match": ["**"], "profile": "safe"}])
    tag.push("one", packages=[("libfoo", "1.2-3"), ("libfoo-extra", "9")])
    digest = pull(q, tag).headers["docker-content-digest"]
    wait_for("the pull's record", lambda: q.api("/audit?kind=pulls").json()["entries"])
    [entry] = q.api("/audit?kind=pulls").json()["entries"]
    assert entry["digest"] == digest and entry["repository"] == f"up.test/{tag.name}" and entry["reference"] == "v1"
    for purl in ("pkg:deb/debian/libfoo", "pkg:deb/debian/libfoo@1.2-3"):
        [p] = q.api(f"/packages?purl={purl}").json()["packages"]
        assert p["digest"] == digest and p["tags"] == [f"up.test/{tag.name}:v1"] and p["state"] == "kept"
        assert p["pulled_by"] == ["127.0.0.1"]
    assert q.api("/packages?purl=pkg:deb/debian/libfoo@1.2").json()["packages"] == []
    assert q.api("/packages?purl=pkg:deb/debian/lib").json()["packages"] == []


def test_diff_and_explain(fresh, tag):
    q = fresh(policies=[{"name": "strictly", "match": ["nothing/here"], "rules": {"docs": "off"}}])
    source = tag.push("one")
    one = pull(q, tag).headers["docker-content-digest"]
    changes = q.api(f"/images/{one}/diff").json()
    by_path = {c["path"]: c for c in changes["changes"]}
    assert by_path["/usr/share/man/man1/x.1"]["rule"] == "docs" and by_path["/usr/share/man/man1/x.1"]["because"]
    page = q.api(f"/images/{one}/diff?limit=1").json()
    assert len(page["changes"]) == 1 and page["after"] == page["changes"][0]["id"]
    assert {c["rule"] for c in q.api(f"/images/{one}/diff?rule=docs").json()["changes"]} == {"docs"}
    below = [c["path"] for c in q.api(f"/images/{one}/diff?path=/usr/share/man").json()["changes"]]
    assert below and all((p + "/").startswith("/usr/share/man/") for p in below)
    full = q.api(f"/images/{one}/diff?against={source}").json()
    assert not full["equal"] and "/usr/share/man/man1/x.1" in {f["path"] for f in full["files"]}
    tag.push("two")
    two = wait_for("the next", lambda: (d := pull(q, tag).headers["docker-content-digest"]) != one and d)
    between = q.api(f"/images/{two}/diff?against={one}").json()
    assert [f["path"] for f in between["files"]] == ["/app"], between
    policy = q.api(f"/images/{one}/diff?policy=strictly").json()
    assert {c["policy"] for c in policy["changes"]} and not policy["equal"]
    answer = q.api(f"/images/{one}/explain?path=/app").json()["answer"]
    assert answer["state"] in ("kept", "changed") and "entrypoint" in json.dumps(answer).lower() or answer["reason"]
    assert q.api(f"/images/{one}/explain?path=/nowhere").status == 404


def test_reports_as_json_sarif_and_page(fresh, tag):
    q = fresh()
    tag.push("one")
    digest = pull(q, tag).headers["docker-content-digest"]
    auth = {"Authorization": "Bearer " + q.token()}
    path = f"/api/v1/images/{digest}/report"
    assert request(q.admin, path, headers=auth).json()["schema"] == "quench.report.v1"
    sarif = request(q.admin, path, headers={**auth, "Accept": "application/sarif+json"})
    assert sarif.json()["version"] == "2.1.0" and sarif.headers["content-type"] == "application/sarif+json"
    page = request(q.admin, path, headers={**auth, "Accept": "text/html,*/*"})
    text = page.body.decode()
    assert page.headers["content-type"].startswith("text/html") and "<script" not in text
    assert digest in text and "/usr/share/man/man1/x.1" in text and "http" not in text


def test_pin_and_purge(fresh, tag):
    q = fresh()
    tag.push("one")
    digest = pull(q, tag).headers["docker-content-digest"]
    assert q.api(f"/images/{digest}/pin", "POST", {"comment": "release"}).json() == {"digest": digest, "pinned": True}
    assert q.api(f"/images/{digest}").json()["pinned"]
    assert q.api(f"/images/{digest}", "DELETE").status == 409
    assert q.api(f"/images/{digest}/pin", "POST", {"pinned": False}).json()["pinned"] is False
    assert q.api(f"/images/{digest}", "DELETE").json()["derivations"] == 1
    assert q.api(f"/images/{digest}", "DELETE").status == 404
    assert pull(q, tag).headers["docker-content-digest"] == digest  # made again, the same


def test_jobs_are_followed_and_storage_is_kept(fresh, tag):
    q = fresh()
    tag.push("one")
    r = q.api("/images", "POST", {"ref": f"up.test/{tag.name}:v1", "platforms": ["linux/amd64"]})
    assert r.status == 202, r.body
    auth = {"Authorization": "Bearer " + q.token(), "Accept": "text/event-stream"}
    events = request(q.admin, r.json()["href"], headers=auth)
    assert events.headers["content-type"] == "text/event-stream"
    states = [json.loads(e.split("data: ", 1)[1])["state"] for e in events.body.decode().split("\n\n")
              if e.startswith("event: job")]
    assert states[-1] == "done"
    assert [j["state"] for j in q.api(f"/jobs?ref=up.test/{tag.name}:v1").json()["jobs"]] == ["done"]
    for kind in ("gc", "scrub"):
        started = q.api(f"/{kind}", "POST")
        assert started.status == 202
        done = wait_for(kind, lambda: (j := q.api(f"/jobs/{started.json()['job']}").json())["state"] == "done" and j)
        assert done["kind"] == kind and "blobs" in done["message"]
    assert q.api("/images", "POST", {"ref": f"up.test/{tag.name}:v1", "platforms": ["windows/amd64"]}).status == 403


def test_what_is_wrong_is_said(quench):
    for path, method, body, status in (
            ("/images?limit=0", "GET", None, 400), ("/images?limit=x", "GET", None, 400),
            ("/images?nonsense=1", "GET", None, 400), ("/images?state=nonsense", "GET", None, 400),
            ("/resolve", "GET", None, 400), ("/images", "POST", None, 400), ("/images", "POST", {}, 400),
            ("/images", "POST", {"ref": "up.test/x", "more": 1}, 400), ("/images", "POST", {"ref": 7}, 400),
            ("/images/sha256:xyz", "GET", None, 400), ("/images/sha256:" + "0" * 64, "GET", None, 404),
            ("/jobs/none", "GET", None, 404), ("/nothing", "GET", None, 404), ("/images", "PUT", None, 405),
            ("/snippets/windows", "GET", None, 404), ("/tags?ref=up.test/x@sha256:" + "0" * 64, "GET", None, 400)):
        r = quench.api(path, method, body)
        assert r.status == status, (path, r.status, r.body)
        assert r.headers["content-type"] == "application/problem+json" and r.json()["status"] == status


@pytest.mark.parametrize("client", ["docker", "containerd", "podman", "buildkit", "k3s", "kubernetes"])
def test_snippets(fresh, client, quench):
    text = quench.api(f"/snippets/{client}").body.decode()
    assert "quench.example.org" in text


def test_snippets_name_this_site(fresh):
    q = fresh(public_url="https://registry.bank.test", mirror_url="https://mirror.bank.test:8443")
    podman = q.api("/snippets/podman").body.decode()
    assert 'location = "registry.bank.test/docker.io"' in podman and "insecure" not in podman.replace("# ", "")
    assert 'server = "https://mirror.bank.test:8443"' in q.api("/snippets/containerd").body.decode()
    assert json.loads(q.api("/snippets/docker").body) == {"registry-mirrors": ["https://mirror.bank.test:8443"]}


def test_roles(fresh, upstream):
    tokens = [{"name": n, "role": r, "token": n * 8} for n, r in (("reader", "read"), ("boss", "approve"),
                                                                 ("root", "operate"))]
    q = fresh(admin={"tokens": tokens})
    document = request(q.admin, "/api/v1/openapi.json", headers={"Authorization": "Bearer " + "reader" * 8}).json()
    rank = {"read": 0, "approve": 1, "operate": 2}
    tried = 0
    for path, item in document["paths"].items():
        for method, operation in item.items():
            where = path.replace("{digest}", "sha256:" + "0" * 64).replace("{id}", "x").replace("{client}", "docker")
            for who, role in ((t["name"], t["role"]) for t in tokens):
                r = request(q.admin, where, method.upper(), {"Authorization": f"Bearer {who * 8}"})
                refused = rank[role] < rank[operation["x-role"]]
                assert (r.status == 403) == refused, (method, path, who, r.status, r.body)
                tried += 1
            assert request(q.admin, where, method.upper()).status == 401
            assert request(q.admin, where, method.upper(), {"Authorization": "Bearer wrong"}).status == 401
    assert tried > 90
