"""Who may do what on the registry listener: users, tokens, rules, with real clients and by hand."""
import base64
import ctypes
import ctypes.util
import hashlib
import hmac
import json
import os
import subprocess
import time
import urllib.parse

import pytest
import yaml

import engines
import make_image
from conftest import QUENCH, Quench, request, small_layers
from pushing import LOCAL, OCI, Client, sha

USERS = {"ci": "ci secret", "reader": "reads", "élan": "ünïcode: with colon", "nobody": "no rule names him"}


def bcrypt(password, cost=6):
    library = ctypes.CDLL(ctypes.util.find_library("crypt"))
    library.crypt_gensalt.restype = library.crypt.restype = ctypes.c_char_p
    salt = library.crypt_gensalt(b"$2b$", ctypes.c_ulong(cost), os.urandom(16), 16)
    return library.crypt(password.encode(), salt).decode()


def write_users(path, users=None, cost=6):
    with open(path + ".new", "w") as f:
        f.write("# users\n\n" + "".join(f"{n}:{bcrypt(p, cost)}\n" for n, p in (users or USERS).items()))
    os.rename(path + ".new", path)


RULES = [{"who": ["*"], "repositories": ["up.test/**", "apps/public/*"], "actions": ["pull"]},
         {"who": ["ci", "élan"], "repositories": ["apps/**"], "actions": ["pull", "push"]},
         {"who": ["ci"], "repositories": ["apps/scratch/*"], "actions": ["delete"]},
         {"who": ["reader"], "repositories": ["apps/private/*"], "actions": ["pull"]}]


@pytest.fixture(scope="module")
def q(work, upstream, images):
    os.makedirs(os.path.join(work, "auth"), exist_ok=True)
    path = os.path.join(work, "auth", "htpasswd")
    write_users(path)
    q = Quench(os.path.join(work, "auth"), upstream.port, local=LOCAL, auth={"htpasswd": path, "rules": RULES})
    q.htpasswd = path
    yield q
    assert q.stop() == 0, q.log()[-3000:]


def basic(user, password=None):
    password = USERS[user] if password is None else password
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def token(q, *scopes, headers=None):
    query = "&".join(["service=quench"] + ["scope=" + urllib.parse.quote(s, safe="") for s in scopes])
    r = request(q.registry, "/token?" + query, headers=headers or {})
    assert r.status == 200, r.body
    assert r.json()["token"] == r.json()["access_token"] and r.json()["expires_in"] > 60
    return r.json()["token"]


def bearer(value):
    return {"Authorization": "Bearer " + value}


def status(q, path, method="GET", headers=None, body=None):
    return request(q.registry, path, method, headers or {}, body).status


def test_a_stranger_is_asked_and_anybody_may_pull(q):
    r = request(q.registry, "/v2/")
    assert r.status == 401 and r.json()["errors"][0]["code"] == "UNAUTHORIZED"
    assert r.headers["www-authenticate"] == f'Bearer realm="http://127.0.0.1:{q.registry}/token",service="quench"'
    anonymous = bearer(token(q, "repository:up.test/library/index:pull"))
    assert status(q, "/v2/", headers=anonymous) == 200
    assert status(q, "/v2/up.test/library/index/manifests/v1", headers=anonymous) == 200
    assert status(q, "/v2/up.test/library/index/manifests/v1") == 200
    r = request(q.registry, "/v2/apps/private/x/manifests/v1", "PUT", {"Content-Type": OCI}, b"{}")
    assert r.status == 401 and 'scope="repository:apps/private/x:pull,push"' in r.headers["www-authenticate"]
    # whether something is there is not told: not of repositories, not of names
    answers = {status(q, f"/v2/{name}/manifests/v1") for name in ("apps/private/x", "apps/none/y", "nowhere/x")}
    assert answers == {401}
    assert request(q.mirror, "/v2/").status == 200  # the mirror never asks


def test_rules(q):
    Client(q.registry, "apps/private/x")
    want = {("apps/private/x", "ci"): "pp", ("apps/private/x", "reader"): "p-", ("apps/private/x", "nobody"): "--",
            ("apps/public/x", "nobody"): "p-", ("apps/public/x", "élan"): "pp", ("apps/scratch/x", "reader"): "--"}
    for (name, user), may in want.items():
        pull = status(q, f"/v2/{name}/tags/list", headers=basic(user))
        push = status(q, f"/v2/{name}/blobs/uploads/", "POST", basic(user))
        assert (pull != 403, push == 202) == (may[0] == "p", may[1] == "p"), (name, user, pull, push)
        t = bearer(token(q, f"repository:{name}:pull,push", headers=basic(user)))
        pull, push = status(q, f"/v2/{name}/tags/list", headers=t), status(q, f"/v2/{name}/blobs/uploads/", "POST", t)
        assert (pull not in (401, 403), push == 202) == (may[0] == "p", may[1] == "p"), (name, user, pull, push)
    assert status(q, "/v2/apps/scratch/x/manifests/v1", "DELETE", basic("ci")) == 404
    assert status(q, "/v2/apps/private/x/manifests/v1", "DELETE", basic("ci")) == 403


def test_a_first_request_with_a_body(fresh, work):
    path = os.path.join(work, "htpasswd-first")
    write_users(path)
    q = fresh(local=[{"name": "apps", "sparse": True}], auth={"htpasswd": path, "rules": RULES})
    document = json.dumps({"schemaVersion": 2, "mediaType": OCI,
                           "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": sha(b"{}"),
                                      "size": 2}, "layers": []}).encode()
    r = request(q.registry, "/v2/apps/a/manifests/v1", "PUT", {"Content-Type": OCI, **basic("ci", "wrong")}, document)
    assert r.status == 401
    r = request(q.registry, "/v2/apps/a/manifests/v1", "PUT", {"Content-Type": OCI, **basic("ci")}, document)
    assert r.status == 201, r.body
    assert status(q, "/v2/apps/a/manifests/v1") == 401


def test_wrong_logins(q):
    for headers in (basic("ci", "wrong"), basic("ci", ""), basic("", ""), basic("unknown", "ci secret"),
                    basic("ci" * 100, "x"), basic("ci", "x" * 3000), {"Authorization": "Basic !!"},
                    {"Authorization": "Basic"}, {"Authorization": "Digest x"}, {"Authorization": "Bearer"},
                    {"Authorization": "Bearer x"}, {"Authorization": "Bearer a.b.c"}):
        assert status(q, "/v2/", headers=headers) == 401, headers
        assert status(q, "/v2/up.test/library/index/manifests/v1", headers=headers) == 401, headers
    r = request(q.registry, "/token?service=quench", headers=basic("ci", "wrong"))
    assert r.status == 401 and r.headers["www-authenticate"].startswith("Basic")
    for user in USERS:
        assert status(q, "/v2/", headers=basic(user)) == 200, user


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def test_tokens_are_checked(q):
    name = "apps/private/x"
    path = f"/v2/{name}/tags/list"
    good = token(q, f"repository:{name}:pull", headers=basic("reader"))
    assert status(q, path, headers=bearer(good)) == 404  # there is nothing, but he may look
    header, claims, signature = good.split(".")
    document = json.loads(base64.urlsafe_b64decode(claims + "=="))
    assert document["sub"] == "reader" and document["exp"] - document["iat"] <= 300

    def forged(head, body, mac=signature):
        return ".".join((encode(json.dumps(head).encode()), encode(json.dumps(body).encode()), mac))
    none = forged({"alg": "none", "typ": "JWT"}, document, "")
    wide = {**document, "access": [{"type": "repository", "name": name, "actions": ["pull", "push"]}]}
    key = hmac.new(b"", f"{header}.{encode(json.dumps(wide).encode())}".encode(), hashlib.sha256).digest()
    for bad in (none, forged({"alg": "HS256", "typ": "JWT"}, wide), forged({"alg": "RS256", "typ": "JWT"}, document),
                f"{header}.{encode(json.dumps(wide).encode())}.{encode(key)}", f"{header}.{claims}.",
                f"{header}.{claims}", good[:-1] + ("A" if good[-1] != "A" else "B"), good + ".x", header, "..",
                "a" * 9000):
        r = request(q.registry, path, headers=bearer(bad))
        # an over-long header is refused before anybody looks at it
        assert r.status in (401, 431), (bad[:60], r.status)
        assert r.status == 431 or 'error="invalid_token"' in r.headers["www-authenticate"]
    # for another repository, for another action
    other = bearer(token(q, "repository:apps/private/other:pull", headers=basic("reader")))
    r = request(q.registry, path, headers=other)
    assert r.status == 401 and 'error="insufficient_scope"' in r.headers["www-authenticate"]
    assert status(q, f"/v2/{name}/blobs/uploads/", "POST", bearer(good)) == 401
    # what the rules do not give is not in the token, whatever was asked for
    greedy = token(q, f"repository:{name}:pull,push,delete,*", "repository:apps/a:*", "registry:catalog:*",
                   "nonsense", "repository::", headers=basic("reader"))
    access = json.loads(base64.urlsafe_b64decode(greedy.split(".")[1] + "=="))["access"]
    assert {a["name"]: a["actions"] for a in access} == {name: ["pull"], "apps/a": []}


def test_a_token_is_of_one_daemon(q, fresh, work):
    path = os.path.join(work, "htpasswd-other")
    write_users(path)
    other = fresh(local=LOCAL, auth={"htpasswd": path, "rules": RULES})
    t = bearer(token(other, "repository:up.test/library/index:pull", headers=basic("ci")))
    assert status(other, "/v2/", headers=t) == 200 and status(q, "/v2/", headers=t) == 401
    other.stop()
    other.start()
    assert status(other, "/v2/", headers=t) == 200  # a restart forgets nobody


def test_oauth2_form(q):
    form = urllib.parse.urlencode({"grant_type": "password", "username": "élan", "password": USERS["élan"],
                                   "service": "quench", "client_id": "test",
                                   "scope": "repository:apps/private/x:pull,push repository:apps/b:pull"})
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    r = request(q.registry, "/token", "POST", headers, form)
    assert r.status == 200, r.body
    assert status(q, "/v2/apps/private/x/blobs/uploads/", "POST", bearer(r.json()["access_token"])) == 202
    assert request(q.registry, "/token", "POST", headers, form.replace("%3A+with", "%3A+without")).status == 401
    for body in ("grant_type=refresh_token&refresh_token=x", "", "grant_type=password&username=%zz&password=x", "%00"):
        assert request(q.registry, "/token", "POST", headers, body).status == 405, body


def test_changed_passwords_hold_at_once(fresh, work):
    path = os.path.join(work, "htpasswd-changing")
    write_users(path, {"a": "old", "b": "b"})
    q = fresh(local=LOCAL, auth={"htpasswd": path, "rules": RULES})
    assert status(q, "/v2/", headers=basic("a", "old")) == 200 and status(q, "/v2/", headers=basic("b", "b")) == 200
    time.sleep(0.02)  # another time of change
    write_users(path, {"a": "new"})
    assert status(q, "/v2/", headers=basic("a", "new")) == 200  # a check that reads the file
    assert status(q, "/v2/", headers=basic("a", "old")) == 401
    assert status(q, "/v2/", headers=basic("b", "b")) == 401


def test_the_catalog_shows_what_may_be_read(q):
    for name in ("apps/private/listed", "apps/public/listed"):
        assert status(q, f"/v2/{name}/blobs/uploads/?digest={sha(b'x')}", "POST",
                      {**basic("ci"), "Content-Type": "application/octet-stream"}, b"x") == 201
    def names(headers):
        return request(q.registry, "/v2/_catalog", headers=headers).json().get("repositories")
    assert "apps/private/listed" in names(basic("reader"))
    everybody = names(bearer(token(q)))
    assert "apps/public/listed" in everybody and "apps/private/listed" not in everybody
    assert status(q, "/v2/_catalog") == 401


def test_what_cannot_be_configured(work, upstream, tmp_path):
    def config(**more):
        path = tmp_path / "quench.yaml"
        path.write_text(yaml.safe_dump({"storage": {"root": str(tmp_path / "root")},
                                        "listen": {"registry": ["127.0.0.1:0"], "mirror": [], "admin": []}, **more}))
        return subprocess.run([QUENCH, "serve", "-c", str(path)], capture_output=True, text=True, timeout=60)
    (tmp_path / "md5").write_text("user:$apr1$x$y\n")
    r = config(auth={"htpasswd": str(tmp_path / "md5")})
    assert r.returncode == 2 and "md5:1: not NAME:HASH with a bcrypt hash" in r.stderr, r.stderr
    r = config(auth={"htpasswd": "/nowhere"})
    assert r.returncode == 2 and "/nowhere" in r.stderr
    up = {"name": "a.test", "url": "http://127.0.0.1:1", "credentials": {"username": "u", "password": "p"}}
    r = config(upstreams=[up])
    assert r.returncode == 2 and "anonymous_read" in r.stderr
    r = config(upstreams=[up], auth={"rules": [{"who": ["*"], "repositories": ["a.*/x"]}]})
    assert r.returncode == 2 and "anonymous_read" in r.stderr


def test_credentials_are_not_open_on_the_mirror(fresh, work):
    path = os.path.join(work, "htpasswd-mirror")
    write_users(path)
    q = fresh(upstream={"credentials": {"username": "u", "password": "p"}},
              auth={"htpasswd": path, "rules": [{"who": ["ci"], "repositories": ["**"], "actions": ["pull"]}]})
    r = q.manifest("library/index", "v1", port=q.mirror)
    assert r.headers["quench-denied"] == "not-allowed"
    assert status(q, "/v2/up.test/library/index/manifests/v1", headers={**basic("ci"), "Accept": "*/*"}) == 200
    assert q.manifest("library/index", "v1", port=q.mirror).headers["quench-denied"] == "not-allowed"


# --- real clients ----------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def docker(work):
    d = engines.Docker(os.path.join(work, "docker-auth"))
    yield d
    d.stop()


@pytest.fixture(scope="module")
def archive(work):
    directory = os.path.join(work, "auth-layout")
    make_image.write_image(directory, "v1", small_layers("auth"), {"Cmd": ["/app"]})
    return directory


def test_docker_pulls_without_and_pushes_with_a_login(q, docker, archive):
    host = f"127.0.0.1:{q.registry}"
    docker.run("pull", f"{host}/up.test/library/static:v1")
    docker.run("tag", f"{host}/up.test/library/static:v1", f"{host}/apps/private/static:v1")
    with pytest.raises(Exception):
        docker.run("push", f"{host}/apps/private/static:v1")
    docker.run("login", "-u", "ci", "-p", USERS["ci"], host)
    docker.run("push", f"{host}/apps/private/static:v1")
    docker.run("logout", host)
    docker.run("rmi", f"{host}/apps/private/static:v1")
    with pytest.raises(Exception):
        docker.run("pull", f"{host}/apps/private/static:v1")
    with pytest.raises(Exception):
        docker.run("login", "-u", "ci", "-p", "wrong", host)


def test_skopeo_and_crane_log_in(q, archive, tmp_path):
    host = f"127.0.0.1:{q.registry}"
    copy = ["skopeo", "copy", "-q", "--dest-tls-verify=false", f"oci:{archive}:v1",
            f"docker://{host}/apps/private/s:v1"]
    assert subprocess.run(copy, capture_output=True).returncode != 0
    subprocess.run(copy + ["--dest-creds", f"ci:{USERS['ci']}"], check=True)
    subprocess.run(["skopeo", "inspect", "--tls-verify=false", "--creds", f"reader:{USERS['reader']}",
                    f"docker://{host}/apps/private/s:v1"], check=True, capture_output=True)
    if not engines.crane():
        pytest.skip("no crane here")
    environment = {**os.environ, "DOCKER_CONFIG": str(tmp_path)}
    subprocess.run([engines.crane(), "auth", "login", host, "-u", "ci", "-p", USERS["ci"]], check=True, env=environment)
    subprocess.run([engines.crane(), "copy", "--insecure", f"{host}/apps/private/s:v1", f"{host}/apps/scratch/s:v2"],
                   check=True, env=environment, capture_output=True)
    subprocess.run([engines.crane(), "delete", "--insecure", f"{host}/apps/scratch/s:v2"], check=True, env=environment,
                   capture_output=True)


def test_harden_pushes_with_credentials(q, archive, tmp_path):
    host = f"127.0.0.1:{q.registry}"
    argv = [QUENCH, "harden", "--quiet", "--dst-plain-http", f"oci:{archive}:v1", f"docker://{host}/apps/private/h:v1"]
    environment = {**os.environ, "DOCKER_CONFIG": str(tmp_path)}
    r = subprocess.run(argv, env=environment, capture_output=True, text=True)
    assert r.returncode == 1 and host in r.stderr, (r.returncode, r.stderr)
    auth = base64.b64encode(f"ci:{USERS['ci']}".encode()).decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))
    subprocess.run(argv, env=environment, check=True)
    assert status(q, "/v2/apps/private/h/manifests/v1", headers={**basic("reader"), "Accept": "*/*"}) == 200
    helper = tmp_path / "docker-credential-test"
    helper.write_text("#!/bin/sh\nread host\n"
                      f'echo \'{{"ServerURL":"{host}","Username":"ci","Secret":"{USERS["ci"]}"}}\'\n')
    helper.chmod(0o755)
    (tmp_path / "config.json").write_text(json.dumps({"credHelpers": {host: "test"}}))
    environment["PATH"] = f"{tmp_path}:{environment['PATH']}"
    subprocess.run(argv[:-1] + [f"docker://{host}/apps/private/h:v2"], env=environment, check=True)
    assert status(q, "/v2/apps/private/h/manifests/v2", headers={**basic("reader"), "Accept": "*/*"}) == 200
