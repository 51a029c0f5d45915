"""Small images and runs of the command line that test_cli.py is made of."""
import gzip
import hashlib
import json
import os
import subprocess

import pytest

from conftest import QUENCH  # finds make_image as well
import make_image

SYSTEM = {"etc/passwd": "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/srv:/bin/sh\n", "etc/group": "root:x:0:\n",
          "bin/app": ("program", 0o755), "usr/bin/su": ("program", 0o4755), "usr/share/doc/thing/readme": "words " * 40,
          "usr/share/doc/thing/copyright": "mine", "var/cache/apt/pkgcache.bin": "cache", "srv": None}
DATA = {"usr/share/words/data": "this layer has nothing to harden"}
CONFIG = {"Cmd": ["/bin/app"], "Env": ["PATH=/bin:/usr/bin", "DB_PASSWORD=hunter2"], "ExposedPorts": {"8080/tcp": {}},
          "WorkingDir": "/srv"}


class Cli:
    """Runs quench in a directory of its own with a TMPDIR of its own, which must be empty afterwards."""

    def __init__(self, directory):
        self.directory, self.tmp = str(directory), str(directory / "tmp")
        os.mkdir(self.tmp)

    def environment(self, **more):
        return dict({k: v for k, v in os.environ.items() if k not in ("DOCKER_CONFIG", "REGISTRY_AUTH_FILE")},
                    TMPDIR=self.tmp, HOME=self.directory, **more)

    def __call__(self, *args, **env):
        r = subprocess.run([QUENCH, *args], cwd=self.directory, env=self.environment(**env), capture_output=True,
                           text=True, stdin=subprocess.DEVNULL, timeout=120)
        assert os.listdir(self.tmp) == [], "something was left in TMPDIR"
        return r

    def ok(self, *args, **env):
        r = self(*args, **env)
        assert r.returncode == 0, r.stderr
        return r

    def fails(self, status, *args, says=()):
        """One line that begins with quench: and says what; a usage error shows the usage as well."""
        r = self(*args)
        assert r.returncode == status, (r.returncode, r.stderr)
        lines = r.stderr.splitlines()
        assert len(lines) == 1 or (status == 2 and len(lines) == 2 and lines[1].startswith("usage: ")), r.stderr
        assert lines[0].startswith("quench: "), r.stderr
        for word in says:
            assert word in lines[0], r.stderr
        return r

    def path(self, *parts):
        return os.path.join(self.directory, *parts)


@pytest.fixture
def cli(tmp_path):
    return Cli(tmp_path)


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """A layout with the tags that most tests need."""
    layout = str(tmp_path_factory.mktemp("images") / "layout")
    system, data = make_image.file_layer(SYSTEM), make_image.file_layer(DATA)
    make_image.write_image(layout, "v1", [data, system], CONFIG)
    make_image.write_image(layout, "docker", [data, system], CONFIG, docker=True)
    make_image.write_image(layout, "named", [system], {"Cmd": ["/bin/app"], "User": "app"})
    amd = make_image.write_image(layout, None, [data, system], CONFIG)
    arm = make_image.write_image(layout, None, [system, data], CONFIG, architecture="arm64", variant="v8")
    make_image.write_index(layout, "two", [amd, arm])
    make_image.write_index(layout, "nested", [make_image.write_index(layout, None, [amd])])
    docker = [make_image.write_image(layout, None, [system], CONFIG, docker=True),
              make_image.write_image(layout, None, [data, system], CONFIG, architecture="arm64", docker=True)]
    make_image.write_index(layout, "list", docker, docker=True)
    return layout


def load(path):
    with open(path) as f:
        return json.load(f)


def blob(layout, digest):
    with open(os.path.join(layout, "blobs", "sha256", digest.split(":")[1]), "rb") as f:
        data = f.read()
    assert "sha256:" + hashlib.sha256(data).hexdigest() == digest
    return data


def descriptor(layout, tag):
    found = [m for m in load(os.path.join(layout, "index.json"))["manifests"]
             if m.get("annotations", {}).get("org.opencontainers.image.ref.name") == tag]
    assert len(found) == 1, (tag, found)
    return found[0]


def document(layout, tag):
    return json.loads(blob(layout, descriptor(layout, tag)["digest"]))


def content(directory):
    """Every file below a directory, by relative name."""
    found = {}
    for at, _, names in os.walk(directory):
        for name in names:
            with open(os.path.join(at, name), "rb") as f:
                found[os.path.relpath(os.path.join(at, name), directory)] = f.read()
    return found


def raw_image(layout, tag, packed, plain=b"", config=None, text=None):
    """An image whose layer blob is `packed`, whatever that is. `text` changes the manifest's text."""
    make_image.start_layout(layout)
    layer, size = make_image.put_blob(layout, packed)
    document = config or {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/bin/app"]}, "rootfs": {
        "type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(plain).hexdigest()]}}
    about, length = make_image.put_blob(layout, json.dumps(document).encode())
    manifest = json.dumps({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": about, "size": length},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": layer, "size": size}]})
    if text:
        manifest = text(manifest)
    digest, length = make_image.put_blob(layout, manifest.encode())
    make_image.add_to_index(layout, {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest,
                                     "size": length}, tag)
    return layer


def packed(plain):
    return gzip.compress(plain, mtime=0)
