"""Builds the images of the corpus: Debian's minbase as the layer that they share, what their packages add, and the
application's layers. Package layers are kept in the image cache (scripts/make_image.py) and made once."""
import hashlib
import json
import os
import subprocess
import tempfile
import threading

import make_image

LOCK = threading.Lock()


def with_hook(packages, hook):
    """What packages, and then a shell script inside the root, add to minbase: a tar."""
    key = hashlib.sha256(json.dumps([sorted(packages), hook]).encode()).hexdigest()[:12]
    out = os.path.join(make_image.cache_dir(), f"corpus-{key}.diff.tar")
    if os.path.exists(out):
        return out
    part = f"{out}.{os.getpid()}"
    command = ["mmdebstrap", "--variant=minbase", "--quiet"]
    if packages:
        command.append("--include=" + ",".join(packages))
    with tempfile.TemporaryDirectory(prefix="quench-corpus-") as work:
        if hook:
            script = os.path.join(work, "hook")
            with open(script, "w") as f:
                f.write("#!/bin/sh\nexport PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
                        f"exec chroot \"$1\" /bin/sh -e <<'END_OF_HOOK'\n{hook}\nEND_OF_HOOK\n")
            os.chmod(script, 0o755)
            command.append(f"--customize-hook={script}")
        full = os.path.join(work, "full.tar")
        subprocess.run(command + [make_image.SUITE, full], check=True, stdout=subprocess.DEVNULL,
                       env=dict(os.environ, SOURCE_DATE_EPOCH=str(make_image.EPOCH)))
        make_image.difference(base(), full, part)
    os.replace(part, out)
    return out


def base():
    with LOCK:
        return make_image.root_tar([])


def layers(image):
    """The layers of an image of the table, lowest first: paths of tars or bytes."""
    out = []
    if image.base == "minbase":
        out.append(base())
    if image.packages or image.hook:
        out.append(with_hook(image.packages, image.hook))
    for layer in image.layers:
        out.append(make_image.file_layer(layer) if isinstance(layer, dict) else layer())
    return out


def build(image, layout):
    """Writes the image into an OCI layout; gives its descriptor."""
    made = layers(image)
    with LOCK:
        return make_image.write_image(layout, image.name, made, image.config, docker=image.docker)
