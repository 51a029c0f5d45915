"""Servers and images that the integration tests share. Everything listens on loopback, lives in temporary directories
and is stopped by its process id."""
import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import pytest
import yaml

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
QUENCH = os.environ.get("QUENCH", os.path.join(ROOT, "build", "release", "quench"))
sys.path.insert(0, os.path.join(ROOT, "scripts"))
import make_image  # noqa: E402

MANIFEST_TYPES = ("application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, "
                  "application/vnd.docker.distribution.manifest.v2+json, "
                  "application/vnd.docker.distribution.manifest.list.v2+json, */*")


def free_port():
    with contextlib.closing(socket.socket()) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(what, check, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = check()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what} did not happen within {seconds} s")


def answers(port, path="/v2/"):
    try:
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        c.request("GET", path)
        return c.getresponse().status < 500
    except OSError:
        return False


class Process:
    """A server started for a test; stopped by its id."""

    def __init__(self, argv, log, **kwargs):
        self.log_path = log
        with open(log, "ab") as out:
            self.process = subprocess.Popen(argv, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                            **kwargs)

    def stop(self, sig=signal.SIGTERM, seconds=40):
        if self.process.poll() is None:
            self.process.send_signal(sig)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()


def blob_bytes(layout, digest):
    with open(os.path.join(layout, "blobs", "sha256", digest.split(":")[1]), "rb") as f:
        return f.read()


class Registry(Process):
    """Debian's docker-registry, the ordinary upstream."""

    def __init__(self, directory, binary="docker-registry"):
        self.port = free_port()
        os.makedirs(directory, exist_ok=True)
        config = os.path.join(directory, "registry.yml")
        with open(config, "w") as f:
            yaml.safe_dump({"version": 0.1, "storage": {"filesystem": {"rootdirectory": directory + "/data"},
                                                        "delete": {"enabled": True}},
                            "http": {"addr": f"127.0.0.1:{self.port}"}, "log": {"level": "info"}}, f)
        super().__init__([binary, "serve", config], directory + "/log")
        wait_for("the upstream registry's start", lambda: answers(self.port))

    def push(self, layout, descriptor, name):
        """Uploads a manifest of an OCI layout and everything below it, whatever its family."""
        repository, tag = name.rsplit(":", 1)
        self.push_manifest(layout, descriptor, repository, tag)

    def push_manifest(self, layout, descriptor, repository, reference):
        data = blob_bytes(layout, descriptor["digest"])
        document = json.loads(data)
        for child in document.get("manifests", []):
            self.push_manifest(layout, child, repository, child["digest"])
        for blob in document.get("layers", []) + [document["config"]] if "config" in document else []:
            self.push_blob(repository, blob["digest"], blob_bytes(layout, blob["digest"]))
        self.put_manifest(repository, reference, descriptor["mediaType"], data)

    def put_manifest(self, repository, reference, media_type, data):
        r = request(self.port, f"/v2/{repository}/manifests/{reference}", "PUT", {"Content-Type": media_type}, data)
        assert r.status == 201, r.body

    def push_blob(self, repository, digest, data):
        if request(self.port, f"/v2/{repository}/blobs/{digest}", "HEAD").status == 200:
            return
        location = request(self.port, f"/v2/{repository}/blobs/uploads/", "POST").headers["location"]
        location = location.split(f":{self.port}", 1)[-1]
        r = request(self.port, f"{location}&digest={digest}", "PUT",
                    {"Content-Type": "application/octet-stream"}, data)
        assert r.status == 201, r.body

    def count(self, method, part):
        """Requests of the access log whose line holds `part`."""
        return sum(1 for line in self.log().splitlines() if f'"{method} ' in line and part in line)


class Response:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)


def request(port, path, method="GET", headers=None, body=None, timeout=120):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        try:
            c.request(method, path, body=body, headers=headers or {})
        except (BrokenPipeError, ConnectionResetError):
            if c.sock is None:
                raise  # never connected; else refused before the whole body was sent: the answer is there
        r = c.getresponse()
        return Response(r.status, {k.lower(): v for k, v in r.getheaders()}, r.read())
    finally:
        c.close()


class Quench(Process):
    """The daemon, in front of one upstream that is known as up.test."""

    def __init__(self, directory, upstream_port, root=None, **config):
        self.directory = directory
        os.makedirs(directory, exist_ok=True)
        self.root = root or os.path.join(directory, "root")
        self.registry, self.mirror, self.admin = free_port(), free_port(), free_port()
        upstream = {"name": "up.test", "url": f"http://127.0.0.1:{upstream_port}", "library_prefix": True,
                    "allow_addresses": ["127.0.0.0/8"], "tag_ttl": "0s"}
        upstream.update(config.pop("upstream", {}))
        self.config = {"listen": {"registry": [f"127.0.0.1:{self.registry}"], "mirror": [f"127.0.0.1:{self.mirror}"],
                                  "admin": [f"127.0.0.1:{self.admin}"], **config.pop("listen", {})},
                       "storage": {"root": self.root, **config.pop("storage", {})}, "upstreams": [upstream],
                       "default_upstream": "up.test"}
        self.config.update(config)
        self.config_path = os.path.join(directory, "quench.yaml")
        with open(self.config_path, "w") as f:
            yaml.safe_dump(self.config, f)
        self.start()

    def start(self):
        Process.__init__(self, [QUENCH, "serve", "-c", self.config_path], os.path.join(self.directory, "log"))
        wait_for("the daemon's start", lambda: answers(self.registry) or self.process.poll() is not None)
        assert self.process.poll() is None, self.log()

    def get(self, path, **kwargs):
        return request(self.registry, path, **kwargs)

    def manifest(self, name, reference, port=None, method="GET", accept=MANIFEST_TYPES, timeout=120, suffix=""):
        return request(port or self.registry, f"/v2/{name}/manifests/{reference}{suffix}", method,
                       {"Accept": accept}, timeout=timeout)

    def token(self):
        with open(os.path.join(self.root, "admin.token")) as f:
            return f.read().strip()

    def api(self, path, method="GET", body=None):
        data = json.dumps(body) if body is not None else None
        headers = {"Authorization": "Bearer " + self.token()}
        if data:
            headers["Content-Type"] = "application/json"
        return request(self.admin, "/api/v1" + path, method, headers, data)

    def metric(self, name):
        text = request(self.admin, "/metrics").body.decode()
        for line in text.splitlines():
            if line.startswith(f"quench_{name} "):
                return int(line.split()[-1])
        raise AssertionError(f"no metric {name}")

    def memory_kib(self):
        """Anonymous memory of the daemon."""
        with open(f"/proc/{self.process.pid}/status") as f:
            return int(next(line for line in f if line.startswith("RssAnon")).split()[1])


@pytest.fixture(scope="session")
def work():
    directory = tempfile.mkdtemp(prefix="quench-test-")
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def upstream(work):
    registry = Registry(os.path.join(work, "upstream"))
    yield registry
    registry.stop()


@pytest.fixture(scope="session")
def layout(work):
    """Real Debian images and one static binary, as one OCI layout."""
    directory = os.path.join(work, "layout")
    make_image.nginx(directory, "nginx")
    make_image.nginx(directory, "nginx-script", script=True)
    make_image.nginx(directory, "nginx-docker", docker=True)
    make_image.python(directory, "python")
    make_image.redis(directory, "redis")
    make_image.static(directory, "static", build_static(work))
    amd64 = make_image.write_image(directory, "", small_layers("amd64"), {"Cmd": ["/app"]})
    arm64 = make_image.write_image(directory, "", small_layers("arm64"), {"Cmd": ["/app"]}, architecture="arm64")
    make_image.write_index(directory, "index", [amd64, arm64])
    return directory


def small_layers(name):
    """A small image with something to harden: a setuid file and a manual page."""
    return [make_image.file_layer({"app": (f"#!/bin/sh\necho {name}\n", 0o755), "bin/sh": ("not a shell\n", 0o755),
                                   "usr/bin/su": ("not su\n", 0o4755), "usr/share/man/man1/x.1": "manual\n",
                                   "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n"})]


STATIC_SERVER = r"""
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
int main(void)
{
    int one = 1, s = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(8081)};
    static const char answer[] = "HTTP/1.0 200 OK\r\nContent-Length: 18\r\n\r\nhello from static\n";
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(s, (struct sockaddr *)&a, sizeof a) < 0 || listen(s, 8) < 0)
        return 1;
    for (;;) {
        char buf[4096];
        int c = accept(s, NULL, NULL);
        if (read(c, buf, sizeof buf) > 0 && write(c, answer, sizeof answer - 1) > 0)
            shutdown(c, SHUT_WR);
        close(c);
    }
}
"""


def build_static(work):
    source, binary = os.path.join(work, "server.c"), os.path.join(work, "server")
    if not os.path.exists(binary):
        with open(source, "w") as f:
            f.write(STATIC_SERVER)
        subprocess.run(["gcc", "-O1", "-static", "-o", binary, source], check=True)
    return binary


IMAGES = {"nginx": "library/nginx:1.27", "nginx-script": "library/nginx-script:v1",
          "nginx-docker": "library/nginx-docker:v1", "python": "library/python:v1", "redis": "library/redis:v1",
          "static": "library/static:v1", "index": "library/index:v1"}


@pytest.fixture(scope="session")
def images(layout, upstream):
    """Pushes the images; gives the layout's manifests by tag."""
    with open(os.path.join(layout, "index.json")) as f:
        found = {m["annotations"]["org.opencontainers.image.ref.name"]: m for m in json.load(f)["manifests"]}
    for tag, name in IMAGES.items():
        upstream.push(layout, found[tag], name)
    return found


@pytest.fixture(scope="session")
def quench(work, upstream, images):
    """One daemon for the tests that only pull."""
    q = Quench(os.path.join(work, "quench"), upstream.port, platforms=["linux/amd64", "linux/arm64"],
               policies=[{"name": "plain", "match": ["up.test/plain/**"], "mode": "off"},
                         {"name": "audited", "match": ["up.test/audited/**"], "mode": "audit"}])
    yield q
    assert q.stop() == 0, q.log()[-3000:]


@pytest.fixture
def fresh(work, upstream, images, request):
    """Starts daemons with stores of their own; stopped after the test."""
    made = []

    def start(**config):
        directory = tempfile.mkdtemp(prefix="fresh-", dir=work)
        q = Quench(directory, config.pop("upstream_port", upstream.port), **config)
        made.append(q)
        return q
    yield start
    for q in made:
        q.stop()
        shutil.rmtree(q.directory, ignore_errors=True)
