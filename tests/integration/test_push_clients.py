"""Real clients push to local repositories, and pull again what they pushed."""
import json
import os
import shutil
import subprocess

import pytest

import engines
from conftest import QUENCH, Quench, wait_for
from pushing import EVERYBODY, LOCAL, Client, image_layers
import make_image


@pytest.fixture(scope="module")
def daemon(work, upstream, images):
    q = Quench(os.path.join(work, "push-clients"), upstream.port, local=LOCAL, auth=EVERYBODY,
               platforms=["linux/amd64", "linux/arm64"])
    yield q
    assert q.stop() == 0, q.log()[-3000:]


@pytest.fixture(scope="module")
def docker(work):
    d = engines.Docker(os.path.join(work, "docker-push"))
    yield d
    d.stop()


@pytest.fixture(scope="module")
def source(work):
    """A small image and an index as an OCI layout."""
    directory = os.path.join(work, "push-source")
    amd64 = make_image.write_image(directory, "small", image_layers("amd64"), {"Cmd": ["/app"]})
    arm64 = make_image.write_image(directory, "", image_layers("arm64"), {"Cmd": ["/app"]}, architecture="arm64")
    make_image.write_index(directory, "index", [amd64, arm64])
    return directory


def run(*argv, **kwargs):
    r = subprocess.run(argv, capture_output=True, text=True, timeout=300, **kwargs)
    assert r.returncode == 0, (argv, r.stdout, r.stderr)
    return r.stdout


def copy(source, destination, *options):
    return run("skopeo", "copy", "-q", "--src-tls-verify=false", "--dest-tls-verify=false", *options, source,
               destination)


def tool(name):
    found = getattr(engines, name)()
    if not found:
        pytest.skip(f"{name} cannot be built here")
    return found


@pytest.fixture(scope="module")
def nginx(daemon, layout):
    """The reference of an nginx image that skopeo pushed to a repository that hardens."""
    name = f"127.0.0.1:{daemon.registry}/hard/nginx:1"
    copy(f"oci:{layout}:nginx", "docker://" + name)
    return name


def test_docker_pushes_and_pulls(daemon, docker, source):
    name = f"127.0.0.1:{daemon.registry}/apps/docker:1"
    copy(f"oci:{source}:small", f"docker-archive:{source}/small.tar:{name}")
    docker.run("load", "-i", f"{source}/small.tar")
    out = docker.run("push", name).stdout
    digest = Client(daemon.registry, "apps/docker").get("1").headers["docker-content-digest"]
    assert digest in out
    # A second push finds everything there; another repository mounts it.
    assert "Layer already exists" in docker.run("push", name).stdout
    other = name.replace("apps/docker", "apps/docker-copy")
    docker.run("tag", name, other)
    assert "Mounted from" in docker.run("push", other).stdout
    docker.run("rmi", name, other)
    docker.run("pull", name)
    docker.run("pull", f"127.0.0.1:{daemon.registry}/apps/docker@{digest}")


def test_docker_runs_the_hardened_image_of_what_was_pushed(docker, nginx):
    wait_for("the hardened image", lambda: docker.run("pull", nginx, check=False).returncode == 0, 120)
    assert docker.inspect(nginx)["Config"]["User"] == "33:33"
    container = docker.start(nginx)
    try:
        files = docker.files(container)
        assert "/usr/sbin/nginx" in files and not {"/usr/bin/apt", "/usr/bin/dpkg"} & set(files)
    finally:
        docker.remove(container)


def test_podman_and_buildah(daemon, source, tmp_path):
    name = f"127.0.0.1:{daemon.registry}/apps/podman:1"
    r = engines.podman("pull", "-q", f"oci:{source}:small")
    assert r.returncode == 0, r.stderr
    image = r.stdout.strip()
    r = engines.podman("push", "-q", "--tls-verify=false", "--digestfile", str(tmp_path / "digest"), image, name)
    assert r.returncode == 0, r.stderr
    assert Client(daemon.registry, "apps/podman").get("1").headers["docker-content-digest"] == \
        (tmp_path / "digest").read_text().strip()
    r = engines.podman("pull", "-q", "--tls-verify=false", name)
    assert r.returncode == 0, r.stderr
    if not shutil.which("buildah"):
        pytest.skip("buildah is not here")
    store = ["--root", str(tmp_path / "b"), "--runroot", str(tmp_path / "br"), "--storage-driver", "vfs"]
    made = run("buildah", *store, "from", "scratch").strip()
    run("buildah", *store, "config", "--cmd", "/x", made)
    (tmp_path / "x").write_text("#!/bin/sh\n")
    run("buildah", *store, "copy", made, str(tmp_path / "x"), "/x")
    run("buildah", *store, "commit", "-q", made, "mine")
    name = f"docker://127.0.0.1:{daemon.registry}/apps/buildah:1"
    run("buildah", *store, "push", "-q", "--tls-verify=false", "mine", name)
    run("buildah", *store, "pull", "-q", "--tls-verify=false", name)


def test_skopeo_copies_an_index_there_and_back(daemon, source, tmp_path):
    name = f"docker://127.0.0.1:{daemon.registry}/apps/skopeo:1"
    copy(f"oci:{source}:index", name, "--all", "--preserve-digests")
    copy(name, f"oci:{tmp_path}/back:x", "--all", "--preserve-digests")
    with open(os.path.join(source, "index.json")) as a, open(tmp_path / "back" / "index.json") as b:
        digests = [[m["digest"] for m in json.load(f)["manifests"]] for f in (a, b)]
    assert digests[1][0] in digests[0]
    assert json.loads(run("skopeo", "list-tags", "--tls-verify=false", name[:-2]))["Tags"] == ["1"]
    run("skopeo", "delete", "--tls-verify=false", name)
    assert Client(daemon.registry, "apps/skopeo").get("1").status == 404


def test_containerd(daemon, source, work, tmp_path):
    name = f"127.0.0.1:{daemon.registry}/apps/containerd"
    copy(f"oci:{source}:small", f"docker://{name}:1")
    c = engines.Containerd(os.path.join(work, "containerd-push"), f"http://127.0.0.1:{daemon.mirror}")
    try:
        for args in (("pull", f"{name}:1"), ("tag", f"{name}:1", f"{name}-copy:1"), ("push", f"{name}-copy:1")):
            r = c.ctr("images", args[0], *([] if args[0] == "tag" else ["--plain-http"]), *args[1:], check=False)
            assert r.returncode == 0, (args, r.stdout + r.stderr)
    finally:
        c.stop()
    digests = [Client(daemon.registry, r).get("1").headers["docker-content-digest"]
               for r in ("apps/containerd", "apps/containerd-copy")]
    assert digests[0] == digests[1]


def test_crane(daemon, source):
    crane = tool("crane")
    name = f"127.0.0.1:{daemon.registry}/apps/crane"
    run(crane, "push", source, f"{name}:1", "--insecure", "--index")
    digest = run(crane, "digest", f"{name}:1", "--insecure").strip()
    run(crane, "tag", f"{name}:1", "2", "--insecure")
    run(crane, "validate", "--remote", f"{name}:2", "--insecure")
    assert run(crane, "ls", name, "--insecure").split() == ["1", "2"]
    assert f"{daemon.registry}" in name and "apps/crane" in run(crane, "catalog", name.split("/")[0], "--insecure")
    run(crane, "copy", f"{name}:1", f"127.0.0.1:{daemon.registry}/apps/crane-copy:1", "--insecure")
    run(crane, "delete", f"{name}@{digest}", "--insecure")
    assert run(crane, "ls", name, "--insecure").split() == []


def test_quench_harden_writes_here(daemon, source):
    name = f"127.0.0.1:{daemon.registry}/apps/hardened:1"
    run(QUENCH, "harden", "--quiet", "--allow-back-off", "--dst-plain-http", f"oci:{source}:small", "docker://" + name)
    assert Client(daemon.registry, "apps/hardened").get("1").json()["annotations"]["io.quench.policy"]


def test_oras(daemon, tmp_path):
    oras = tool("oras")
    name = f"127.0.0.1:{daemon.registry}/apps/oras"
    (tmp_path / "a.txt").write_text("some text\n")
    (tmp_path / "sbom.json").write_text("{}\n")
    run(oras, "push", "--plain-http", f"{name}:1", "a.txt:text/plain", cwd=tmp_path)
    run(oras, "attach", "--plain-http", "--artifact-type", "application/vnd.test.sbom", f"{name}:1",
        "sbom.json:application/json", cwd=tmp_path)
    found = json.loads(run(oras, "discover", "--plain-http", "--format", "json", f"{name}:1"))
    (referrer,) = found.get("referrers") or found["manifests"]
    assert referrer["artifactType"] == "application/vnd.test.sbom"
    out = tmp_path / "out"
    out.mkdir()
    run(oras, "pull", "--plain-http", f"{name}:1", "-o", str(out))
    assert (out / "a.txt").read_text() == "some text\n"
    run(oras, "copy", "-r", "--from-plain-http", "--to-plain-http", f"{name}:1",
        f"127.0.0.1:{daemon.registry}/apps/oras-copy:1")
    assert run(oras, "repo", "tags", "--plain-http", name).split() == ["1"]
    run(oras, "manifest", "delete", "-f", "--plain-http", f"{name}@{referrer['digest']}")
    run(oras, "blob", "delete", "-f", "--plain-http", f"{name}@{referrer_blob(daemon, 'apps/oras')}")


def referrer_blob(daemon, repository):
    """The blob of the artifact under tag 1."""
    return Client(daemon.registry, repository).get("1").json()["layers"][0]["digest"]


def test_cosign_attaches(daemon, source, tmp_path):
    """Signatures as cosign keeps them: under the tag sha256-HEX.sig."""
    cosign = tool("cosign")
    name = f"127.0.0.1:{daemon.registry}/apps/cosign:1"
    copy(f"oci:{source}:small", "docker://" + name)
    digest = Client(daemon.registry, "apps/cosign").get("1").headers["docker-content-digest"]
    (tmp_path / "payload").write_text(json.dumps({"critical": {"image": {"docker-manifest-digest": digest}}}))
    (tmp_path / "signature").write_text("c2lnbmF0dXJl")
    run(cosign, "attach", "signature", "--allow-http-registry", "--allow-insecure-registry", "--payload",
        str(tmp_path / "payload"), "--signature", str(tmp_path / "signature"), name)
    assert digest.replace(":", "-") + ".sig" in run(cosign, "triangulate", "--allow-http-registry", name)
    got = Client(daemon.registry, "apps/cosign").get(digest.replace(":", "-") + ".sig")
    assert got.status == 200 and "simplesigning" in got.json()["layers"][0]["mediaType"]
