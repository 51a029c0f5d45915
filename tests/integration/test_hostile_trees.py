"""Images whose trees, databases and programs were made to hurt: a good result or one clear line, memory within bounds,
nothing left behind, and a daemon that goes on."""
import inspect
import json
import os
import subprocess
import sys

import pytest

import hostile
import hostile_trees
from cli_fixtures import Cli, cli  # noqa: F401
from conftest import QUENCH, Quench, wait_for
import make_image

# What it says when it refuses; the others harden. Layer and entry are named where there is one.
REFUSED = {
    "hard_link_to_itself": ["hard link", "does not stand before it"],
    "hard_link_to_nothing": ["hard link", "srv/nothing"],
    "name_escapes": ["layer 0 sha256:", 'entry 5: "usr/../../etc/passwd"', "climbs out"],
    "too_many_entries": ["layer 0 sha256:", "500000"],
    "huge_xattr": ["layer 0 sha256:", "entry 5", "extension header of 67108"],
    "whiteouts": ["layer 0 sha256:", '"srv/0/.wh."', "whiteout of nothing"],
    "size_beyond_the_end": ["layer 0 sha256:", '"srv/x"', "stops in the middle"],
    "bomb": ["layer 0 sha256:", "more than 200 for one"],
    "bad_databases": ["/var/lib/dpkg/status", "line 1"],
    "endless_line": ['package "a"', "65536 dependencies"],
}
HARDENED = ["symlink_loops", "symlink_escapes", "deep", "tiny_entries", "hard_links",
            "many_xattrs", "bad_elf", "big_database", "huge_script", "calling_scripts",
            "same_names"]
MEMORY = 512 << 10  # KiB; half of what limits.worker_memory allows
# Runs a command and writes the largest memory of any process below it to a file: a process of its own, because what
# the test itself holds would count.
MEASURE = ("import os, resource, subprocess, sys; r = subprocess.run(sys.argv[2:]).returncode; "
           "open(sys.argv[1], 'w').write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)); sys.exit(r)")


def image(directory, name):
    """An OCI layout with one image of one hostile layer."""
    layer = hostile_trees.Layer()
    getattr(hostile_trees, name)(layer)
    packed, diff_id = layer.close()
    make_image.start_layout(directory)
    digest, size = make_image.put_blob(directory, packed)
    about, length = make_image.put_blob(directory, json.dumps({
        "architecture": "amd64", "os": "linux", "config": {"Cmd": ["/bin/app"]},
        "rootfs": {"type": "layers", "diff_ids": [diff_id]}}).encode())
    manifest, n = make_image.put_blob(directory, json.dumps({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": about, "size": length},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest, "size": size}]
    }).encode())
    descriptor = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": manifest, "size": n}
    make_image.add_to_index(directory, descriptor, "v1")
    return descriptor


def harden(cli, name, *options):
    image(cli.path("in"), name)
    r = subprocess.run([sys.executable, "-c", MEASURE, cli.path("memory"), QUENCH, "harden", "--quiet", "--report",
                        cli.path("report.json"), *options, "oci:in:v1", "oci:out:v1"], cwd=cli.directory,
                       env=cli.environment(), capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert os.listdir(cli.tmp) == [], "something was left in TMPDIR"
    with open(cli.path("memory")) as f:
        assert int(f.read()) < MEMORY
    return r


def test_every_layer_is_tried():
    made = [n for n, f in inspect.getmembers(hostile_trees, inspect.isfunction) if list(inspect.signature(f).parameters)
            == ["t"] and n != "base"]
    assert sorted(made) == sorted(list(REFUSED) + HARDENED)


@pytest.mark.parametrize("name", HARDENED)
def test_hardened(cli, name):  # noqa: F811
    r = harden(cli, name, "--profile", "strict", "--allow-back-off")
    assert r.returncode == 0, r.stderr
    with open(cli.path("report.json")) as f:
        report = json.load(f)[0]
    assert report["after"]["setuid"] == 0 and all(v["ok"] for v in report["verification"])


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refused(cli, name):  # noqa: F811
    r = harden(cli, name)
    assert r.returncode == 1 and not os.path.exists(cli.path("out", "index.json")), r.stderr
    (line,) = r.stderr.splitlines()
    assert line.startswith("quench: ") and len(line) < 1000 and line.isprintable()
    for word in REFUSED[name]:
        assert word in line, line


def test_a_daemon_goes_on(tmp_path):
    """Refusals are remembered and told; the next image is served; no work stays behind."""
    up = hostile.Upstream()
    layout = str(tmp_path / "layout")
    for name in ("bad_databases", "symlink_loops", "size_beyond_the_end"):
        d = image(layout, name)
        for blob in os.listdir(os.path.join(layout, "blobs/sha256")):
            with open(os.path.join(layout, "blobs/sha256", blob), "rb") as f:
                up.put_blob(f.read())
        up.put_manifest(name, up.blobs[d["digest"]])
    q = Quench(str(tmp_path / "q"), up.port)
    try:
        for name, status in (("bad_databases", 403), ("size_beyond_the_end", 403), ("symlink_loops", 200)):
            wait_for(name, lambda: q.manifest("up.test/library/x", name).status != 503, 120)
            r = q.manifest("up.test/library/x", name)
            assert r.status == status, r.body
            if status == 403:
                assert r.headers["quench-denied"] == "malformed"
        assert os.listdir(os.path.join(q.root, "tmp")) == []
    finally:
        assert q.stop() == 0
        up.stop()


assert Cli
