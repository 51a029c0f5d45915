"""kill -9 in the middle of pushes, again and again: what was acknowledged is there, whole, and what was deleted is not;
no file has a name that it should not have. QUENCH_KILLS says how often (make crash: 300)."""
import hashlib
import http.client
import json
import os
import random
import signal
import threading
import time

from pushing import EVERYBODY, LOCAL, OCI, Client, sha

KILLS = int(os.environ.get("QUENCH_KILLS", "24"))
PUSHERS = 4
SHARED = [bytes([n]) * 50000 for n in range(3)]  # pushed by everybody, at the same time


class Pusher(threading.Thread):
    """Pushes until the daemon is gone; remembers what was acknowledged."""

    def __init__(self, port, number, seed):
        super().__init__()
        self.client = Client(port, f"apps/crash-{number % 2}")
        self.number, self.random = number, random.Random(seed)
        self.blobs, self.tags, self.deleted, self.uploads = {}, {}, set(), {}

    def blob(self, data):
        r = self.client.finish(self.client.start(), sha(data), data)
        if r.status == 201:
            self.blobs[sha(data)] = data
        return r.status == 201

    def manifest(self, n):
        config, layer = b"{}", self.random.randbytes(self.random.randrange(1, 100000))
        if not self.blob(config) or not self.blob(layer):
            return
        document = json.dumps({
            "schemaVersion": 2, "mediaType": OCI, "artifactType": "application/vnd.test",
            "config": {"mediaType": "application/vnd.test", "digest": sha(config), "size": len(config)},
            "layers": [{"mediaType": "application/vnd.test", "digest": sha(layer), "size": len(layer)}]}).encode()
        tag = f"t{self.number}-{n % 5}"
        self.deleted.discard(tag)
        self.tags.pop(tag, None)  # until it is answered, the old or the new one may be there
        if self.client.put(tag, document).status == 201:
            self.tags[tag] = document
        if n % 7 == 0 and self.tags.pop(tag, None):
            if self.client.call("DELETE", f"/manifests/{tag}").status == 202:
                self.deleted.add(tag)

    def half(self):
        data = self.random.randbytes(self.random.randrange(2, 60000))
        location = self.client.start()
        cut = self.random.randrange(1, len(data))
        if self.client.patch(location, data[:cut], 0).status == 202:
            self.uploads[location] = (data, cut)

    def run(self):
        try:
            for n in range(100000):
                self.blob(self.random.choice(SHARED))
                self.manifest(n)
                self.half()
        except (OSError, http.client.HTTPException):
            pass  # killed


def check(q, pusher):
    c = pusher.client
    for digest, data in pusher.blobs.items():
        r = c.get_blob(digest)
        assert r.status == 200 and r.body == data, (digest, r.status)
    for tag, document in pusher.tags.items():
        r = c.get(tag)
        assert r.status == 200 and r.body == document, (tag, r.status)
    for tag in pusher.deleted:
        assert c.get(tag).status == 404, tag
    for location, (data, cut) in list(pusher.uploads.items())[-2:]:
        r = c.call("GET", location)
        assert r.status == 204 and r.headers["range"] == f"0-{cut - 1}", (r.status, r.headers)
        assert c.finish(location, sha(data), data[cut:]).status == 201
    for location in list(pusher.uploads)[:-2]:
        assert c.call("DELETE", location).status == 204


def check_files(root):
    """Every blob has the content that its name says. Gives how many there are."""
    count = 0
    for directory, _, names in os.walk(os.path.join(root, "blobs", "sha256")):
        for name in names:
            with open(os.path.join(directory, name), "rb") as f:
                assert hashlib.sha256(f.read()).hexdigest() == name
            count += 1
    return count


def test_a_death_loses_nothing_that_was_acknowledged(fresh):
    q = fresh(local=LOCAL, auth=EVERYBODY)
    clock, acknowledged = random.Random(7), 0
    for kill in range(KILLS):
        pushers = [Pusher(q.registry, n, f"{kill}/{n}") for n in range(PUSHERS)]
        for p in pushers:
            p.start()
        time.sleep(clock.uniform(0.02, 0.4))
        q.process.send_signal(signal.SIGKILL)
        q.process.wait()
        for p in pushers:
            p.join()
        q.start()
        for p in pushers:
            check(q, p)
            acknowledged += len(p.blobs) + len(p.tags)
    assert check_files(q.root) > 0 and acknowledged > KILLS
    print(f"{KILLS} deaths, {acknowledged} acknowledged blobs and tags")
