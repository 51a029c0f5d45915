"""Pushing, step by step: uploads in every form, cut and resumed; manifests, tags, referrers; who sees what."""
import concurrent.futures
import json
import os
import signal
import socket

import pytest

from conftest import Quench, request, wait_for
from test_auth import basic, bearer, token, write_users
from pushing import EVERYBODY, INDEX, LOCAL, OCI, OCTETS, Client, code, sha


@pytest.fixture(scope="module")
def daemon(work, upstream, images):
    q = Quench(os.path.join(work, "push"), upstream.port, local=LOCAL, auth=EVERYBODY)
    yield q
    assert q.stop() == 0, q.log()[-3000:]


@pytest.fixture
def apps(daemon, request):
    """A repository of its own for every test."""
    return Client(daemon.registry, "apps/" + request.node.name.replace("[", "-").replace("]", "").lower())


def sibling(client, name):
    return Client(client.port, name)


# --- who may ---------------------------------------------------------------------------------------------------------

def test_nobody_pushes_without_auth(fresh):
    q = fresh(local=LOCAL)
    c = Client(q.registry, "apps/x")
    for r in (c.call("POST", "/blobs/uploads/"), c.call("PUT", "/manifests/v1", {"Content-Type": OCI}, b"{}"),
              c.call("DELETE", "/manifests/v1"), c.call("DELETE", "/blobs/" + sha(b"x"))):
        assert r.status == 403 and code(r) == "DENIED", (r.status, r.body)
    assert c.get("v1").status == 404 and c.call("GET", "/tags/list").status == 404


def test_rules_say_who_may_what(fresh):
    q = fresh(local=LOCAL, auth={"rules": [{"who": ["*"], "repositories": ["apps/open/*"], "actions": ["pull", "push"]},
                                           {"who": ["*"], "repositories": ["apps/box/*"], "actions": ["push"]}]})
    open_, box = Client(q.registry, "apps/open/x"), Client(q.registry, "apps/box/x")
    data = b"secret of the box"
    digest = box.blob(data)
    assert box.get_blob(digest).status == 403
    assert open_.blob(b"public") and open_.call("DELETE", "/blobs/" + sha(b"public")).status == 403
    assert Client(q.registry, "apps/other").call("POST", "/blobs/uploads/").status == 403
    # A mount shows only what the caller may read already; otherwise an upload begins, as if there were nothing.
    for query in (f"?mount={digest}&from=apps/box/x", f"?mount={digest}"):
        assert open_.call("POST", "/blobs/uploads/" + query).status == 202
    assert open_.get_blob(digest).status == 404
    listed = request(q.registry, "/v2/_catalog").json()["repositories"]
    assert "apps/open/x" in listed and "apps/box/x" not in listed


def test_a_token_mounts_only_what_it_is_for(fresh, work):
    users = os.path.join(work, "htpasswd-mounts")
    write_users(users)
    q = fresh(local=LOCAL, auth={"htpasswd": users, "rules": [{"who": ["ci"], "actions": ["pull", "push"]}]})
    headers, data = basic("ci"), b"mounted"
    assert request(q.registry, "/v2/", headers=headers).status == 200
    r = request(q.registry, f"/v2/apps/a/blobs/uploads/?digest={sha(data)}", "POST", {**OCTETS, **headers}, data)
    assert r.status == 201, r.body
    for scopes, status in ((["apps/b:pull,push"], 401), (["apps/b:pull,push", "apps/a:pull"], 201), (None, 201)):
        who = bearer(token(q, *("repository:" + s for s in scopes), headers=headers)) if scopes else headers
        for query in (f"?mount={sha(data)}&from=apps/a", f"?mount={sha(data)}"):
            r = request(q.registry, "/v2/apps/b/blobs/uploads/" + query, "POST", who)
            assert r.status == status, (scopes, r.body)
            if status == 401:  # says for what a token would have to be
                assert 'scope="repository:apps/b:pull,push repository:apps/a:pull"' in r.headers["www-authenticate"]


def test_upstreams_and_mirrors_are_read_only(daemon):
    up = Client(daemon.registry, "up.test/library/x")
    for r in (up.call("POST", "/blobs/uploads/"), up.call("DELETE", "/manifests/v1"),
              up.call("PUT", "/manifests/v1", {"Content-Type": OCI}, b"{}")):
        assert r.status == 405 and code(r) == "UNSUPPORTED", (r.status, r.body)
    r = Client(daemon.mirror, "apps/x").call("POST", "/blobs/uploads/")
    assert r.status == 405 and code(r) == "UNSUPPORTED"
    assert code(Client(daemon.registry, "apps").call("POST", "/blobs/uploads/")) == "NAME_INVALID"
    assert code(Client(daemon.registry, "nowhere/x").call("POST", "/blobs/uploads/")) == "NAME_UNKNOWN"


# --- blobs -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("size", [0, 1, 70000, 3 << 20])
def test_blobs_in_every_form(apps, algorithm, size):
    forms = ("put", "post", "stream", "chunks")
    for form in forms:
        data = bytes([form[0].encode()[0]]) * size
        digest = sha(data, algorithm)
        if form == "post":
            r = apps.call("POST", f"/blobs/uploads/?digest={digest}", OCTETS, data)
        elif form == "put":
            r = apps.finish(apps.start(), digest, data)
        elif form == "stream":
            location = apps.start(f"?digest-algorithm={algorithm}")
            assert apps.patch(location, iter([data[:size // 2], data[size // 2:]] if size else [])).status == 202
            r = apps.finish(location, digest)
        else:
            location, half = apps.start(), size // 2
            if half:
                r = apps.patch(location, data[:half], 0)
                assert r.status == 202 and r.headers["range"] == f"0-{half - 1}"
            r = apps.finish(location, digest, data[half:])
        assert r.status == 201, (form, r.status, r.body)
        assert r.headers["docker-content-digest"] == digest
        got = apps.call("GET", r.headers["location"])
        assert got.status == 200 and got.body == data, form
        head = apps.get_blob(digest, "HEAD")
        assert head.status == 200 and head.headers["content-length"] == str(size)


def test_pieces_have_their_place(apps):
    location = apps.start()
    assert apps.patch(location, b"hello ", 0).status == 202
    for first in (0, 5, 7, 1 << 60):
        r = apps.patch(location, b"world", first)
        assert r.status == 416 and r.headers["range"] == "0-5" and r.headers["location"] == location
        assert code(r) == "BLOB_UPLOAD_INVALID"
    r = apps.call("PUT", f"{location}?digest={sha(b'hello world')}", {**OCTETS, "Content-Range": "0-4"}, b"world")
    assert r.status == 416
    r = apps.call("GET", location)
    assert r.status == 204 and r.headers["range"] == "0-5" and r.headers["location"] == location
    for wrong in ("6", "a-b", "10-6", "-4"):
        r = apps.call("PATCH", location, {**OCTETS, "Content-Range": wrong}, b"world")
        assert r.status == 400 and code(r) == "BLOB_UPLOAD_INVALID", wrong
    assert apps.call("PATCH", location, {**OCTETS, "Content-Range": "6-9"}, b"world").status == 400
    assert apps.patch(location, b"world", 6).status == 202
    assert apps.finish(location, sha(b"hello world")).status == 201
    assert code(apps.call("GET", location)) == "BLOB_UPLOAD_UNKNOWN"


def test_what_is_wrong_with_an_upload(apps):
    unknown = "/blobs/uploads/00000000-0000-4000-8000-000000000000"
    for method, path in (("GET", unknown), ("PATCH", unknown), ("DELETE", unknown),
                         ("PUT", f"{unknown}?digest={sha(b'x')}")):
        r = apps.call(method, path, OCTETS, b"x" if method in ("PATCH", "PUT") else None)
        assert r.status == 404 and code(r) == "BLOB_UPLOAD_UNKNOWN", (method, r.body)
    location = apps.start()
    other = sibling(apps, apps.repository + "-other")
    stolen = location.replace(apps.repository, other.repository)
    assert code(other.patch(stolen, b"x", 0)) == "BLOB_UPLOAD_UNKNOWN"
    for digest in ("sha256:short", "md5:d41d8cd98f00b204e9800998ecf8427e", ""):
        r = apps.finish(location, digest, b"x")
        assert r.status == 400 and code(r) == "DIGEST_INVALID", digest
    assert code(apps.call("PUT", location, OCTETS, b"x")) == "DIGEST_INVALID"
    assert code(apps.call("POST", "/blobs/uploads/?digest-algorithm=md5")) == "DIGEST_INVALID"
    r = apps.finish(location, sha(b"good"), b"evil")
    assert r.status == 400 and code(r) == "DIGEST_INVALID"
    assert apps.get_blob(sha(b"good")).status == 404 and apps.get_blob(sha(b"evil")).status == 404
    location = apps.start()
    assert apps.call("DELETE", location).status == 204
    assert code(apps.call("GET", location)) == "BLOB_UPLOAD_UNKNOWN"


def test_mounts(apps):
    data = b"mounted"
    digest = apps.blob(data)
    target = sibling(apps, apps.repository + "-target")
    r = target.call("POST", f"/blobs/uploads/?mount={digest}&from={apps.repository}")
    assert r.status == 201 and r.headers["location"] == f"/v2/{target.repository}/blobs/{digest}"
    assert target.get_blob(digest).body == data
    anonymous = sibling(apps, apps.repository + "-anonymous")
    assert anonymous.call("POST", f"/blobs/uploads/?mount={digest}").status == 201
    for query in (f"?mount={sha(b'nothing')}&from={apps.repository}", f"?mount={digest}&from=apps/never", "?mount=x",
                  f"?mount={digest}&from=../x"):
        r = sibling(apps, apps.repository + "-none").call("POST", "/blobs/uploads/" + query)
        assert r.status == 202 and "/blobs/uploads/" in r.headers["location"], query
    # Deleting takes it from one repository alone.
    assert target.call("DELETE", f"/blobs/{digest}").status == 202
    assert target.get_blob(digest).status == 404 and apps.get_blob(digest).status == 200
    r = target.call("DELETE", f"/blobs/{digest}")
    assert r.status == 404 and code(r) == "BLOB_UNKNOWN"


def raw_patch(client, location, data, promised):
    """A PATCH whose body is not finished: the open socket."""
    s = socket.create_connection(("127.0.0.1", client.port))
    s.sendall(f"PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: {promised}\r\n"
              f"Content-Type: application/octet-stream\r\n\r\n".encode() + data)
    return s


def offset(client, location):
    r = client.call("GET", location)
    return int(r.headers["range"].split("-")[1]) + 1 if r.status == 204 else None


def test_a_cut_upload_goes_on_where_it_ended(apps):
    data = os.urandom(1 << 20)
    location = apps.start()
    s = raw_patch(apps, location, data[:300000], len(data))
    wait_for("the bytes", lambda: offset(apps, location) == 300000)
    s.close()
    assert apps.patch(location, data[300000:], 300000).status == 202
    assert apps.finish(location, sha(data)).status == 201
    assert apps.get_blob(sha(data)).body == data


def test_the_latest_writer_wins(apps):
    data = os.urandom(200000)
    location = apps.start()
    s = raw_patch(apps, location, data[:100000], len(data))
    wait_for("the bytes", lambda: offset(apps, location) == 100000)
    # The first connection is still open, as a dead one is for a while.
    r = apps.patch(location, b"anywhere")
    assert r.status == 409, r.status
    assert apps.finish(location, sha(data)).status == 409
    assert apps.patch(location, data[100000:150000], 100000).status == 202
    s.sendall(data[100000:])
    assert b" 409 " in s.recv(65536).split(b"\r\n")[0]
    s.close()
    assert apps.finish(location, sha(data), data[150000:]).status == 201
    assert apps.get_blob(sha(data)).body == data


def test_uploads_survive_a_death(fresh):
    q = fresh(local=LOCAL, auth=EVERYBODY)
    c = Client(q.registry, "apps/x")
    data = os.urandom(3 << 20)
    location = c.start()
    assert c.patch(location, data[:1 << 20], 0).status == 202
    q.process.send_signal(signal.SIGKILL)
    q.process.wait()
    q.start()
    assert offset(c, location) == 1 << 20
    assert c.patch(location, data[1 << 20:], 1 << 20).status == 202
    assert c.finish(location, sha(data)).status == 201
    assert c.get_blob(sha(data)).body == data
    assert os.listdir(os.path.join(q.root, "uploads")) == []


def test_many_push_one_blob(apps):
    data = os.urandom(2 << 20)

    def push(n):
        c = sibling(apps, f"{apps.repository}-{n % 3}")
        return c.finish(c.start(), sha(data), data).status
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        assert list(pool.map(push, range(36))) == [201] * 36
    for n in range(3):
        assert sibling(apps, f"{apps.repository}-{n}").get_blob(sha(data)).body == data


def test_a_full_storage_refuses(fresh):
    q = fresh(local=LOCAL, auth=EVERYBODY, storage={"max_size": "1MiB"})
    c = Client(q.registry, "apps/x")
    r = c.finish(c.start(), sha(b"x" * (2 << 20)), b"x" * (2 << 20))
    assert r.status == 503 and r.headers["quench-denied"] == "storage-full" and "retry-after" in r.headers
    small = b"y" * 1000
    assert c.blob(small) and c.get_blob(sha(small)).body == small


def test_sizes_have_limits(fresh):
    q = fresh(local=LOCAL, auth=EVERYBODY, limits={"image_size": "1MiB", "manifest_size": "64KiB"})
    c = Client(q.registry, "apps/x")
    big = b"x" * ((1 << 20) + 1)
    r = c.finish(c.start(), sha(big), big)
    assert r.status == 413 and code(r) == "SIZE_INVALID"
    location = c.start()
    assert c.patch(location, big[:1 << 19], 0).status == 202
    assert c.patch(location, iter([big[:1 << 19], b"xx"])).status == 413
    r = c.put("v1", {"schemaVersion": 2, "mediaType": OCI, "annotations": {"a": "x" * 70000}})
    assert r.status == 413


# --- manifests -------------------------------------------------------------------------------------------------------

def test_manifests_by_tag_and_digest(apps):
    document = json.dumps(apps.artifact(), indent=3).encode() + b"\n"
    r = apps.put("v1", document)
    digest = sha(document)
    assert r.status == 201 and r.headers["docker-content-digest"] == digest and "oci-subject" not in r.headers
    assert r.headers["location"] == f"/v2/{apps.repository}/manifests/{digest}"
    for reference in ("v1", digest):
        got = apps.get(reference)
        assert got.status == 200 and got.body == document and got.headers["content-type"] == OCI
        assert got.headers["docker-content-digest"] == digest and got.headers["etag"] == f'"{digest}"'
        assert apps.get(reference, **{"If-None-Match": f'"{digest}"'}).status == 304
        head = apps.get(reference, "HEAD")
        assert head.status == 200 and head.headers["content-length"] == str(len(document)) and not head.body
    r = apps.put(f"{digest}?tag=one&tag=two&tag=one&tag=three", document)
    assert r.status == 201 and r.headers["oci-tag"] == "one, two, three"
    assert apps.call("GET", "/tags/list").json() == {"name": apps.repository, "tags": ["one", "three", "two", "v1"]}
    wide = sha(document, "sha512")
    assert apps.put(f"{wide}?tag=wide", document).headers["docker-content-digest"] == wide
    assert apps.get("wide").headers["docker-content-digest"] == wide


def test_what_is_wrong_with_a_manifest(apps):
    good = apps.artifact()
    for reference, document, media_type, status, word in (
            ("v1", b"{", OCI, 400, "MANIFEST_INVALID"), ("v1", b"[]", OCI, 400, "MANIFEST_INVALID"),
            ("v1", {**good, "mediaType": INDEX}, OCI, 400, "MANIFEST_INVALID"),
            ("v1", good, INDEX, 400, "MANIFEST_INVALID"),
            ("v1", {**good, "config": {"digest": "sha256:1", "size": 2}}, OCI, 400, "MANIFEST_INVALID"),
            ("v1", {**good, "manifests": []}, OCI, 400, "MANIFEST_INVALID"),
            ("v1", {"schemaVersion": 1, "fsLayers": []}, "application/vnd.docker.distribution.manifest.v1+json", 415,
             "UNSUPPORTED"),
            (sha(b"other"), good, OCI, 400, "DIGEST_INVALID"), ("sha256:nonsense", good, OCI, 400, "DIGEST_INVALID"),
            (".hidden", good, OCI, 400, "NAME_INVALID"), ("x" * 129, good, OCI, 400, "NAME_INVALID"),
            (sha(json.dumps(good).encode()) + "?tag=a/b", good, OCI, 400, "NAME_INVALID")):
        r = apps.put(reference, document, media_type)
        assert (r.status, code(r)) == (status, word), (reference, document, r.status, r.body)
    for reference in ("nothing", sha(b"nothing")):
        r = apps.get(reference)
        assert r.status == 404 and code(r) == "MANIFEST_UNKNOWN"
        assert reference in r.json()["errors"][0]["detail"].values()


def test_missing_parts(apps, daemon):
    missing = {"mediaType": "application/octet-stream", "digest": sha(b"not here"), "size": 8}
    child = {"mediaType": OCI, "digest": sha(b"nor this"), "size": 9}
    foreign = {**missing, "mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"}
    broken = apps.artifact()
    broken["layers"] += [missing, foreign]
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [child]}
    for document, wanted in ((broken, missing), (index, child)):
        r = apps.put("v1", document)
        assert r.status == 400 and code(r) == "MANIFEST_BLOB_UNKNOWN"
        assert [e["detail"]["digest"] for e in r.json()["errors"]] == [wanted["digest"]]
        assert apps.get("v1").status == 404
    # What another repository has is not here either.
    other = sibling(apps, apps.repository + "-other")
    other.blob(b"not here")
    assert code(apps.put("v1", broken)) == "MANIFEST_BLOB_UNKNOWN"
    broken["layers"].remove(missing)
    assert apps.put("v1", broken).status == 201
    # A sparse repository takes it, and shows what it does not have to nobody.
    sparse = sibling(apps, "sparse/" + apps.repository.split("/")[1])
    document = sparse.artifact()
    document["layers"].append(missing)
    assert sparse.put("v1", document).status == 201 and sparse.put("v2", index).status == 201
    assert sparse.get_blob(missing["digest"]).status == 404 and other.get_blob(missing["digest"]).status == 200
    assert sparse.get(child["digest"]).status == 404


def test_conditions(apps):
    first, second = json.dumps(apps.artifact(b"1")).encode(), json.dumps(apps.artifact(b"2")).encode()
    none, match = "If-None-Match", "If-Match"
    assert apps.put("v1", first, headers={match: "*"}).status == 412
    assert apps.put("v1", first, headers={none: "*"}).status == 201
    assert apps.put("v1", second, headers={none: "*"}).status == 412
    assert apps.put("v1", second, headers={match: f'"{sha(second)}"'}).status == 412
    assert apps.get("v1").body == first
    assert apps.put("v1", second, headers={match: f'"{sha(b"x")}", "{sha(first)}"'}).status == 201
    assert apps.get("v1").body == second
    assert apps.call("DELETE", "/manifests/v1", {match: f'"{sha(first)}"'}).status == 412
    assert apps.call("DELETE", "/manifests/v1", {match: f'"{sha(second)}"'}).status == 202
    assert apps.get("v1").status == 404


def test_deleting(apps):
    document = json.dumps(apps.artifact()).encode()
    digest = sha(document)
    apps.put("keep", document)
    for tag in ("a", "b"):
        apps.put(tag, document)
    assert apps.call("DELETE", "/manifests/a").status == 202
    r = apps.call("DELETE", "/manifests/a")
    assert r.status == 404 and code(r) == "MANIFEST_UNKNOWN"
    assert apps.get("a").status == 404 and apps.get(digest).status == 200
    other = sibling(apps, apps.repository + "-other")
    assert other.call("DELETE", f"/manifests/{digest}").status == 404
    # With a manifest go the tags that point at it.
    assert apps.call("DELETE", f"/manifests/{digest}").status == 202
    for reference in ("b", "keep", digest):
        assert apps.get(reference).status == 404
    assert apps.call("GET", "/tags/list").json()["tags"] == []
    assert apps.call("DELETE", f"/manifests/{digest}").status == 404
    assert apps.put("again", document).status == 201 and apps.get(digest).body == document


def pages(client, path, key):
    seen, links = [], 0
    while path:
        r = client.call("GET", path)
        assert r.status == 200, r.body
        seen.append(r.json()[key])
        path = r.headers["link"].split(">")[0][1:] if "link" in r.headers else None
        links += 1
        assert links < 100
    return seen


def test_lists_have_pages(apps):
    document = apps.artifact()
    tags = sorted(f"t{n}" for n in range(7))
    for tag in tags:
        apps.put(tag, document)
    assert pages(apps, "/tags/list?n=3", "tags") == [tags[:3], tags[3:6], tags[6:]]
    assert pages(apps, "/tags/list?n=7", "tags") == [tags]
    assert apps.call("GET", "/tags/list?last=t4").json()["tags"] == tags[5:]
    r = apps.call("GET", "/tags/list?n=0")
    assert r.json()["tags"] == [] and "link" not in r.headers
    assert apps.call("GET", "/tags/list?n=x").status == 400
    r = sibling(apps, "apps/never-pushed").call("GET", "/tags/list")
    assert r.status == 404 and code(r) == "NAME_UNKNOWN"
    for n in range(5):
        sibling(apps, f"apps/zz-{n}").blob(b"x")
    names = [n for page in pages(apps, "/v2/_catalog?n=2", "repositories") for n in page]
    assert [n for n in names if "/zz-" in n] == [f"apps/zz-{n}" for n in range(5)] and names == sorted(names)


def test_referrers(apps):
    subject = json.dumps(apps.artifact(b"subject")).encode()
    about = {"mediaType": OCI, "digest": sha(subject), "size": len(subject)}
    made = {}
    for n, (kind, annotations) in enumerate((("application/vnd.a", {"k": "ü"}), ("application/vnd.a", None),
                                             ("application/vnd.b+json", {}))):
        document = apps.artifact(str(n).encode(), kind, subject=about)
        if annotations is not None:
            document["annotations"] = annotations
        r = apps.put(f"r{n}", document)  # before their subject is there
        assert r.status == 201 and r.headers["oci-subject"] == about["digest"]
        made[r.headers["docker-content-digest"]] = (kind, annotations)
    typeless = apps.artifact(b"x", subject=about)
    del typeless["artifactType"]
    typeless["config"]["mediaType"] = "application/vnd.config"
    made[apps.put("r3", typeless).headers["docker-content-digest"]] = ("application/vnd.config", None)
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [], "subject": about}
    made[apps.put("r4", index).headers["docker-content-digest"]] = (None, None)
    apps.put("v1", subject)
    r = apps.call("GET", f"/referrers/{about['digest']}")
    assert r.headers["content-type"] == INDEX and "oci-filters-applied" not in r.headers
    found = {m["digest"]: (m.get("artifactType"), m.get("annotations")) for m in r.json()["manifests"]}
    assert found == made
    r = apps.call("GET", f"/referrers/{about['digest']}?artifactType=application/vnd.b%2Bjson")
    assert r.headers["oci-filters-applied"] == "artifactType"
    assert [m["artifactType"] for m in r.json()["manifests"]] == ["application/vnd.b+json"]
    gone = next(iter(made))
    assert apps.call("DELETE", f"/manifests/{gone}").status == 202
    left = apps.call("GET", f"/referrers/{about['digest']}").json()["manifests"]
    assert {m["digest"] for m in left} == set(made) - {gone}
    assert sibling(apps, "apps/elsewhere").call("GET", f"/referrers/{about['digest']}").json()["manifests"] == []
    assert apps.call("GET", "/referrers/sha256:x").status == 400


def test_many_referrers_have_pages(apps):
    about = {"mediaType": OCI, "digest": sha(b"subject"), "size": 7}
    document = apps.artifact(subject=about)
    for n in range(1005):
        assert apps.put(f"t{n}", {**document, "annotations": {"n": str(n)}}).status == 201
    query = f"/referrers/{about['digest']}?artifactType=application/vnd.test.thing"
    found = [m["digest"] for page in pages(apps, query, "manifests") for m in page]
    assert len(found) == len(set(found)) == 1005


def test_collection_keeps_what_people_pushed(daemon, apps):
    loose = apps.blob(b"pushed, and no manifest yet")
    document = json.dumps(apps.artifact()).encode()
    apps.put("v1", document)
    started = daemon.api("/gc", "POST")
    assert started.status == 202
    wait_for("the collection", lambda: daemon.api(f"/jobs/{started.json()['job']}").json()["state"] == "done")
    assert apps.get_blob(loose).status == 200 and apps.get("v1").body == document
