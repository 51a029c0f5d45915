"""Pushed images that are hardened, held, approved; and whose bytes are whose."""
import json
import os

import pytest

import make_image
from conftest import Quench, wait_for
from pushing import EVERYBODY, INDEX, LOCAL, OCI, Client, code, image_layers, sha


@pytest.fixture(scope="module")
def daemon(work, upstream, images):
    q = Quench(os.path.join(work, "push-hardening"), upstream.port, local=LOCAL, auth=EVERYBODY)
    yield q
    assert q.stop() == 0, q.log()[-3000:]


@pytest.fixture(scope="module")
def small(work):
    """Layout with small images for two platforms and an index of them."""
    directory = os.path.join(work, "push-layout")
    amd64 = make_image.write_image(directory, "amd64", image_layers("amd64"), {"Cmd": ["/app"]})
    arm64 = make_image.write_image(directory, "arm64", image_layers("arm64"), {"Cmd": ["/app"]}, architecture="arm64")
    newer = make_image.write_image(directory, "newer", image_layers("newer"), {"Cmd": ["/app"]})
    third = make_image.write_image(directory, "third", image_layers("third"), {"Cmd": ["/app"]})
    index = make_image.write_index(directory, "index", [amd64, arm64])
    return {"layout": directory, "amd64": amd64, "arm64": arm64, "newer": newer, "third": third,
            "index": index}


def test_a_pushed_tag_resolves_to_the_hardened_image(daemon, small):
    c = Client(daemon.registry, "hard/app")
    pushed = c.push_layout(small["layout"], small["amd64"], "v1").headers["docker-content-digest"]
    assert pushed == small["amd64"]["digest"]
    got = c.get("v1")
    assert got.status == 200, got.body
    hardened = got.headers["docker-content-digest"]
    assert hardened != pushed and got.headers["quench-source-digest"] == pushed
    assert got.headers["quench-policy"].startswith("default@sha256:")
    assert got.json()["annotations"]["org.opencontainers.image.base.digest"] == pushed
    assert c.get("v1", "HEAD").headers["docker-content-digest"] == hardened
    # By digest both are there, and are what they say.
    assert sha(c.get(pushed).body) == pushed and sha(c.get(hardened).body) == hardened
    for blob in got.json()["layers"] + [got.json()["config"]]:
        assert sha(c.get_blob(blob["digest"]).body) == blob["digest"]
    reports = c.call("GET", f"/referrers/{hardened}").json()["manifests"]
    assert [m["artifactType"] for m in reports] == ["application/vnd.quench.report.v1+json"]
    state = daemon.api("/resolve?ref=hard/app:v1").json()
    assert state["state"] == "hardened" and hardened in json.dumps(state)
    # A tag can be hardened ahead of its first pull, and a repository that does not harden serves what it has.
    assert daemon.api("/images", "POST", {"ref": "hard/app:v1"}).status == 202
    plain = Client(daemon.registry, "apps/plain")
    plain.push_layout(small["layout"], small["amd64"], "v1")
    assert daemon.api("/images", "POST", {"ref": "apps/plain:v1"}).status in (200, 202)
    assert plain.get("v1").headers["docker-content-digest"] == pushed
    assert daemon.api("/resolve?ref=apps/plain:v1").json()["state"] == "original"
    # The tag moves: what is served is never the image before.
    c.push_layout(small["layout"], small["newer"], "v1")
    assert c.get("v1").headers["quench-source-digest"] == small["newer"]["digest"]
    # Deleting what the tag serves deletes the tag.
    assert c.call("DELETE", "/manifests/" + c.get("v1").headers["docker-content-digest"]).status == 202
    assert c.get("v1").status == 404 and c.get(hardened).status == 200


def test_a_pushed_index_is_hardened(fresh, small):
    q = fresh(local=LOCAL, auth=EVERYBODY, platforms=["linux/amd64", "linux/arm64"])
    c = Client(q.registry, "hard/app")
    c.push_layout(small["layout"], small["index"], "v1")
    got = c.get("v1")
    assert got.status == 200 and got.headers["content-type"] == INDEX, got.body
    children = got.json()["manifests"]
    assert [m["platform"]["architecture"] for m in children] == ["amd64", "arm64"]
    for m in children:
        assert m["digest"] not in (small["amd64"]["digest"], small["arm64"]["digest"])
        assert sha(c.get(m["digest"]).body) == m["digest"]
    assert c.get(small["index"]["digest"]).json()["manifests"][0]["digest"] == small["amd64"]["digest"]


def test_what_policy_refuses_says_why(fresh, small):
    q = fresh(local=LOCAL, auth=EVERYBODY, policies=[{"name": "plain", "match": ["hard/plain/**"], "mode": "off"}])
    c = Client(q.registry, "hard/app")
    c.push_layout(small["layout"], small["arm64"], "v1")
    r = c.get("v1")
    assert r.status == 403 and code(r) == "DENIED" and r.headers["quench-denied"] == "platform", r.body
    assert "linux/arm64" in r.json()["errors"][0]["message"]
    assert c.get(small["arm64"]["digest"]).status == 200
    # Artifacts, and what a policy leaves alone, are served as they came.
    thing = json.dumps(c.artifact(b"sbom")).encode()
    c.put("sbom", thing)
    assert c.get("sbom").body == thing
    plain = Client(q.registry, "hard/plain/app")
    plain.push_layout(small["layout"], small["amd64"], "v1")
    assert plain.get("v1").headers["docker-content-digest"] == small["amd64"]["digest"]


def test_a_pushed_image_waits_for_its_approval(fresh, small):
    q = fresh(local=LOCAL, auth=EVERYBODY, policies=[{"name": "asked", "match": ["hard/**"], "approval": "manual"}])
    c = Client(q.registry, "hard/app")
    pushed = c.push_layout(small["layout"], small["amd64"], "v1").headers["docker-content-digest"]
    r = c.get("v1")
    assert r.status == 403 and r.headers["quench-denied"] == "not-approved", r.body
    hardened = q.api("/resolve?ref=hard/app:v1").json()["hardened"]
    assert c.get(hardened).status == 403 and c.get(pushed).status == 200
    assert q.api(f"/images/{hardened}/approve", "POST", {"comment": "looked at"}).status == 200
    assert c.get("v1").headers["docker-content-digest"] == hardened and c.get(hardened).status == 200


def test_bytes_of_others_stay_theirs(fresh, small, upstream):
    """Whoever knows the digest of a private image gets nothing of it: not through a sparse repository, a hardened one,
    or an upstream."""
    q = fresh(local=LOCAL + [{"name": "trap", "sparse": True, "harden_on_push": True}], auth=EVERYBODY,
              policies=[{"name": "plain", "match": ["up.test/plain/**"], "mode": "off"}])
    owner = Client(q.registry, "hard/private")
    owner.push_layout(small["layout"], small["amd64"], "v1")
    hardened = owner.get("v1").headers["docker-content-digest"]
    with open(os.path.join(small["layout"], "blobs", *small["amd64"]["digest"].split(":")), "rb") as f:
        manifest = f.read()
    document = json.loads(manifest)
    secrets = [document["config"]["digest"], document["layers"][0]["digest"]]
    thief = Client(q.registry, "trap/app")
    assert thief.put("v1", manifest, OCI).status == 201
    r = thief.get("v1")
    assert r.status in (403, 404) and r.headers["quench-denied"] == "not-found", (r.status, r.body)
    assert thief.get(hardened).status == 404
    for digest in secrets + [d["digest"] for d in owner.get(hardened).json()["layers"]]:
        assert thief.get_blob(digest).status == 404
    for repository in ("up.test/plain/x", "up.test/library/nginx"):
        up = Client(q.registry, repository)
        for digest in (small["amd64"]["digest"], hardened):
            assert up.get(digest).status in (403, 404)
            assert up.get(digest).headers.get("quench-denied") == "not-found"
        for digest in secrets:
            assert up.get_blob(digest).status == 404


@pytest.mark.parametrize("name", ["apps", "hard"])
def test_a_held_tag_stays_where_it_is(daemon, small, name):
    c, ref = Client(daemon.registry, f"{name}/held"), f"{name}/held:v1"
    served = []
    for image in ("amd64", "newer"):
        c.push_layout(small["layout"], small[image], "v1")
        served.append(c.get("v1").headers["docker-content-digest"])
    assert served[0] != served[1]
    assert daemon.api("/tags/rollback", "POST", {"ref": ref, "comment": "the newer one is broken"}).status == 200
    r = c.get("v1")
    assert r.headers["docker-content-digest"] == served[0] and "held" in r.headers["warning"]
    # A push is taken, and waits; what the tag is held at cannot be deleted.
    assert "held" in c.push_layout(small["layout"], small["third"], "v1").headers["warning"]
    assert c.get("v1").headers["docker-content-digest"] == served[0]
    for reference in ("v1", served[0]):
        r = c.call("DELETE", f"/manifests/{reference}")
        assert r.status == 403 and code(r) == "DENIED" and "thaw" in r.json()["errors"][0]["message"]
    assert daemon.api("/tags/thaw", "POST", {"ref": ref}).status == 200
    third = c.get("v1").headers["docker-content-digest"]
    assert third not in served
    history = wait_for("the history", lambda: [h["served"] for h in daemon.api(f"/tags?ref={ref}").json()["tags"]
                                               if h["served"] == third and not h.get("to")])
    assert history == [third]
    assert c.call("DELETE", "/manifests/v1").status == 202 and c.get("v1").status == 404
