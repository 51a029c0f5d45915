#!/usr/bin/env python3
"""Builds real Debian images as OCI layouts, without a container engine: a root file system made by mmdebstrap as the
base layer, the difference to a second one with more packages as the next layer, and a layer of files on top.

As a module: debian_layers(), file_layer(), write_image(), write_index(). As a program: make_image.py KIND DIR
(KIND is one of KINDS), used by the demo."""
import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile

SUITE = "bookworm"
CREATED = "2024-01-01T00:00:00Z"
EPOCH = 1704067200


def cache_dir():
    return os.environ.get("QUENCH_IMAGE_CACHE", os.path.join(os.environ.get("TMPDIR", "/tmp"), "quench-images"))


def root_tar(packages):
    """A root file system of Debian's minbase and some packages as a tar; made once."""
    name = "-".join(["minbase"] + sorted(packages)) + ".tar"
    path = os.path.join(cache_dir(), name)
    if os.path.exists(path):
        return path
    os.makedirs(cache_dir(), exist_ok=True)
    command = ["mmdebstrap", "--variant=minbase", "--quiet"]
    if packages:
        command.append("--include=" + ",".join(packages))
    part = f"{path}.{os.getpid()}.part.tar"
    env = dict(os.environ, SOURCE_DATE_EPOCH=str(EPOCH))
    subprocess.run(command + [SUITE, part], check=True, env=env, stdout=subprocess.DEVNULL)
    os.replace(part, path)
    return path


def entry_key(tar, member):
    """What must be equal for an entry to be the same in two archives."""
    digest = ""
    if member.isreg():
        digest = hashlib.sha256(tar.extractfile(member).read()).hexdigest()
    return (member.type, member.mode, member.uid, member.gid, member.linkname, digest)


def difference(base, full, out):
    """Writes what `full` has and `base` has not, as the layer that a build would make; whiteouts for what went."""
    with tarfile.open(base) as a:
        old = {m.name: entry_key(a, m) for m in a}
    with tarfile.open(full) as b, tarfile.open(out, "w", format=tarfile.PAX_FORMAT) as o:
        names, links = set(), {}
        for m in b:
            names.add(m.name)
            if m.islnk():
                links[m.name] = m.linkname
        taken = set()
        for m in b:
            if old.get(m.name) == entry_key(b, m) and not m.isdir():
                continue
            if m.isdir() and old.get(m.name) == entry_key(b, m):
                continue
            if m.islnk() and m.linkname not in taken:
                # Its data lies in the layer below: a layer carries a copy.
                target = b.getmember(m.linkname)
                copy = b.getmember(m.linkname)
                copy = tarfile.TarInfo(m.name)
                copy.mode, copy.uid, copy.gid, copy.mtime, copy.size = (target.mode, target.uid, target.gid,
                                                                        target.mtime, target.size)
                o.addfile(copy, b.extractfile(target))
                taken.add(m.name)
                continue
            o.addfile(m, b.extractfile(m) if m.isreg() else None)
            taken.add(m.name)
        for name in sorted(set(old) - names):
            head, tail = os.path.split(name)
            if tail and not any(name.startswith(gone + "/") for gone in set(old) - names):
                o.addfile(tarfile.TarInfo(os.path.join(head, ".wh." + tail)))
    return out


def debian_layers(packages, base=()):
    """Paths of one or two tars: minbase (+ base packages), and what the packages add."""
    lower = root_tar(list(base))
    if not packages:
        return [lower]
    full = root_tar(list(base) + list(packages))
    out = full[:-4] + ".diff.tar"
    if not os.path.exists(out):
        part = f"{out}.{os.getpid()}"
        difference(lower, full, part)
        os.replace(part, out)
    return [lower, out]


def file_layer(files):
    """A tar in memory: {path: content or (content, mode[, uid]) or None for a directory}; "@TARGET" is a link."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as t:
        made = set()
        for path, value in files.items():
            parent = ""
            for part in path.split("/")[:-1]:
                parent = f"{parent}/{part}" if parent else part
                if parent not in made and parent not in files:
                    d = tarfile.TarInfo(parent)
                    d.type, d.mode, d.mtime = tarfile.DIRTYPE, 0o755, EPOCH
                    t.addfile(d)
                made.add(parent)
            mode, uid, content = 0o644, 0, value
            if isinstance(value, tuple):
                content, mode = value[0], value[1]
                uid = value[2] if len(value) > 2 else 0
            m = tarfile.TarInfo(path)
            m.mtime, m.mode, m.uid = EPOCH, mode, uid
            if content is None:
                m.type, m.mode = tarfile.DIRTYPE, mode if isinstance(value, tuple) else 0o755
                t.addfile(m)
            elif isinstance(content, str) and content.startswith("@"):
                m.type, m.linkname, m.mode = tarfile.SYMTYPE, content[1:], 0o777
                t.addfile(m)
            else:
                data = content.encode() if isinstance(content, str) else content
                m.size = len(data)
                t.addfile(m, io.BytesIO(data))
    return buffer.getvalue()


def put_blob(layout, data):
    digest = hashlib.sha256(data).hexdigest()
    path = os.path.join(layout, "blobs", "sha256", digest)
    if not os.path.exists(path):
        with open(path + ".part", "wb") as f:
            f.write(data)
        os.replace(path + ".part", path)
    return "sha256:" + digest, len(data)


def start_layout(layout):
    os.makedirs(os.path.join(layout, "blobs", "sha256"), exist_ok=True)
    marker = os.path.join(layout, "oci-layout")
    if not os.path.exists(marker):
        with open(marker, "w") as f:
            f.write('{"imageLayoutVersion":"1.0.0"}')
    index = os.path.join(layout, "index.json")
    if not os.path.exists(index):
        with open(index, "w") as f:
            json.dump({"schemaVersion": 2, "manifests": []}, f)


def add_to_index(layout, descriptor, tag):
    path = os.path.join(layout, "index.json")
    with open(path) as f:
        index = json.load(f)
    if tag:
        descriptor = dict(descriptor, annotations={"org.opencontainers.image.ref.name": tag})
        index["manifests"] = [m for m in index["manifests"]
                              if m.get("annotations", {}).get("org.opencontainers.image.ref.name") != tag]
        index["manifests"].append(descriptor)
    with open(path, "w") as f:
        json.dump(index, f)


def compress(tar_bytes, level=6):
    """gzip through the gzip program where it is there (four times as fast as Python's), deterministic."""
    if shutil.which("gzip"):
        return subprocess.run(["gzip", "-n", f"-{level}"], input=tar_bytes, capture_output=True, check=True).stdout
    return gzip.compress(tar_bytes, level, mtime=0)


def layer_blob(source):
    """(tar bytes digest, gzip bytes) of a path or of bytes; compressed files are kept beside their tars."""
    if isinstance(source, bytes):
        return "sha256:" + hashlib.sha256(source).hexdigest(), compress(source)
    packed = source + ".gz"
    with open(source, "rb") as f:
        data = f.read()
    if not os.path.exists(packed):
        with open(packed + ".part", "wb") as f:
            f.write(compress(data))
        os.replace(packed + ".part", packed)
    with open(packed, "rb") as f:
        return "sha256:" + hashlib.sha256(data).hexdigest(), f.read()


def write_image(layout, tag, layers, config, architecture="amd64", docker=False, variant=None):
    """Writes an image; `layers` are tar paths or tar bytes, `config` the config.config object. Gives its descriptor."""
    start_layout(layout)
    family = "docker" if docker else "oci"
    types = {"oci": ("application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.config.v1+json",
                     "application/vnd.oci.image.layer.v1.tar+gzip"),
             "docker": ("application/vnd.docker.distribution.manifest.v2+json",
                        "application/vnd.docker.container.image.v1+json",
                        "application/vnd.docker.image.rootfs.diff.tar.gzip")}[family]
    descriptors, diff_ids, history = [], [], []
    for number, layer in enumerate(layers):
        diff_id, packed = layer_blob(layer)
        digest, size = put_blob(layout, packed)
        descriptors.append({"mediaType": types[2], "digest": digest, "size": size})
        diff_ids.append(diff_id)
        history.append({"created": CREATED, "created_by": f"layer {number}"})
    history.append({"created": CREATED, "created_by": "CMD", "empty_layer": True})
    document = {"created": CREATED, "architecture": architecture, "os": "linux", "config": config,
                "rootfs": {"type": "layers", "diff_ids": diff_ids}, "history": history}
    if variant:
        document["variant"] = variant
    digest, size = put_blob(layout, json.dumps(document).encode())
    manifest = {"schemaVersion": 2, "mediaType": types[0],
                "config": {"mediaType": types[1], "digest": digest, "size": size}, "layers": descriptors}
    digest, size = put_blob(layout, json.dumps(manifest).encode())
    descriptor = {"mediaType": types[0], "digest": digest, "size": size,
                  "platform": {"os": "linux", "architecture": architecture}}
    if variant:
        descriptor["platform"]["variant"] = variant
    add_to_index(layout, descriptor, tag)
    return descriptor


def write_index(layout, tag, descriptors, docker=False):
    start_layout(layout)
    kind = ("application/vnd.docker.distribution.manifest.list.v2+json" if docker
            else "application/vnd.oci.image.index.v1+json")
    data = json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": descriptors}).encode()
    digest, size = put_blob(layout, data)
    descriptor = {"mediaType": kind, "digest": digest, "size": size}
    add_to_index(layout, descriptor, tag)
    return descriptor


NGINX_SITE = """server {
    listen 8080 default_server;
    root /usr/share/nginx/html;
    location / { try_files $uri $uri/ =404; }
}
"""
ENTRYPOINT = """#!/bin/sh
# Prints what it is about to do, then does it.
set -e
if [ "${1#-}" != "$1" ]; then
    set -- nginx "$@"
fi
echo "starting $1"
exec "$@"
"""
APP = """import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello from python\\n")
http.server.HTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
"""
REDIS_ENTRYPOINT = """#!/bin/sh
set -e
if [ "$1" = redis-server ] && [ "$(id -u)" = 0 ]; then
    find . \\! -user redis -exec chown redis '{}' +
    exec gosu redis "$0" "$@"
fi
exec "$@"
"""


def nginx(layout, tag, docker=False, script=False):
    files = {"etc/nginx/sites-enabled/default": NGINX_SITE, "usr/share/nginx/html/index.html": "hello from nginx\n",
             "var/log/nginx/access.log": "@/dev/stdout", "var/log/nginx/error.log": "@/dev/stderr"}
    config = {"Cmd": ["nginx", "-g", "daemon off;"], "ExposedPorts": {"8080/tcp": {}},
              "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], "StopSignal": "SIGQUIT"}
    if script:
        files["docker-entrypoint.sh"] = (ENTRYPOINT, 0o755)
        config["Entrypoint"] = ["/docker-entrypoint.sh"]
    return write_image(layout, tag, debian_layers(["nginx-light", "curl"]) + [file_layer(files)], config, docker=docker)


def python(layout, tag):
    return write_image(layout, tag, debian_layers(["python3"]) + [file_layer({"app/app.py": APP})],
                       {"Cmd": ["python3", "/app/app.py"], "WorkingDir": "/app"})


def redis(layout, tag):
    files = {"usr/local/bin/docker-entrypoint.sh": (REDIS_ENTRYPOINT, 0o755), "data": (None, 0o755)}
    return write_image(layout, tag, debian_layers(["redis-server", "gosu"]) + [file_layer(files)],
                       {"Entrypoint": ["docker-entrypoint.sh"], "Cmd": ["redis-server", "--protected-mode", "no"],
                        "WorkingDir": "/data", "Volumes": {"/data": {}}})


def static(layout, tag, binary):
    with open(binary, "rb") as f:
        return write_image(layout, tag, [file_layer({"server": (f.read(), 0o755)})], {"Entrypoint": ["/server"]})


KINDS = {"nginx": nginx, "python": python, "redis": redis}

if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[1] not in KINDS:
        sys.exit(f"usage: make_image.py {'|'.join(KINDS)} LAYOUT TAG")
    KINDS[sys.argv[1]](sys.argv[2], sys.argv[3])
