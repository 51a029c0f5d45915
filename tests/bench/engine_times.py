"""What the engine takes for an image whose layers' facts are known: a process that plans and a process that verifies.
The peer, in the same interleaved run, is what any look into the image costs at least: inflating its layers."""
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(ROOT, part) for part in ("tests/corpus", "tests/integration", "scripts")]
import build  # noqa: E402
import make_image  # noqa: E402
import table  # noqa: E402

# Images of the corpus, smallest first.
IMAGES = ["alpine", "distroless", "redis", "postgres", "dirty"]
PROFILES = ["safe", "standard", "strict"]
PHASES = ["facts", "image", "plan", "keep-set", "pieces", "report", "checks", "stable"]
MODULES, FILES = 1250, 40


def application():
    """A Node application with many modules on top of the distribution's interpreter."""
    node = next(image for image in table.IMAGES if image.name == "node")
    files = {}
    for m in range(MODULES):
        files[f"app/node_modules/module-{m}/package.json"] = json.dumps({"name": f"module-{m}", "version": "1.0.0"})
        for f in range(FILES - 1):
            files[f"app/node_modules/module-{m}/lib/file-{f}.js"] = (
                f"'use strict'\nconst path = require('path')\n"
                f"const next = require('./file-{(f + 1) % (FILES - 1)}.js')\n"
                f"module.exports = function call{f} (name) {{ return path.join('{m}', name, 'part-{f}') }}\n")
    return build.layers(node) + [make_image.file_layer(files)], node.config


def images(layout):
    """Names and manifest digests."""
    out = [(i.name, build.build(i, layout)["digest"]) for name in IMAGES for i in table.IMAGES if i.name == name]
    layers, config = application()
    return out + [("node, 50,000 files", make_image.write_image(layout, "application", layers, config)["digest"])]


def inflate(layout, digest):
    """Seconds that gzip takes for all layers."""
    blob = os.path.join(layout, "blobs", "sha256")
    with open(os.path.join(blob, digest[7:])) as f:
        layers = [os.path.join(blob, layer["digest"][7:]) for layer in json.load(f)["layers"]]
    started = time.monotonic()
    for layer in layers:
        with open(layer, "rb") as f:
            subprocess.run(["gzip", "-dc"], stdin=f, stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - started


def measure(layout, digest, profile, rounds):
    engine = os.path.join(ROOT, "build", "release", "engine")
    done = subprocess.run([engine, layout, digest[7:], profile, str(rounds)], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def row(name, profile, o, peer):
    whole = statistics.median(a + b for a, b in zip(o["plan"], o["verify"]))
    phases = "".join(f"{statistics.median(o['phases'][p]):9.1f}" for p in PHASES)
    print(f"  {name:20}{o['files']:7}{o['packages']:6} {profile:9}{statistics.median(o['plan']):8.0f}"
          f"{statistics.median(o['verify']):8.0f}{whole:8.0f}{statistics.median(o['cpu']):8.0f}{phases}"
          f"{whole / peer / 1000:9.2f}x")
    sys.stdout.flush()


def run(rounds):
    print("engine: plan and verify in milliseconds, starts of processes included, facts of all layers known; "
          "phases inside of them; wall time against gzip -dc of the layers")
    print(f"  {'image':20}{'files':>7}{'pkgs':>6} {'profile':9}{'plan':>8}{'verify':>8}{'both':>8}{'CPU':>8}"
          + "".join(f"{p:>9}" for p in PHASES) + f"{'gzip':>10}")
    with tempfile.TemporaryDirectory(prefix="quench-engine-") as layout:
        for name, digest in images(layout):
            for profile in PROFILES:
                peers, found = [], None
                for _ in range(rounds):
                    peers.append(inflate(layout, digest))
                    o = measure(layout, digest, profile, 3)
                    if not found:
                        found = o
                        continue
                    for key in ("plan", "verify", "cpu"):
                        found[key] += o[key]
                    for phase in PHASES:
                        found["phases"][phase] += o["phases"][phase]
                row(name, profile, found, statistics.median(peers))
