"""The admin API over a large index, and what a wrong login costs. Times are medians of requests that take turns."""
import base64
import hashlib
import os
import shutil
import sqlite3
import statistics
import tempfile
import time

from conftest import Quench, request
from test_auth import write_users

IMAGES, CHANGES, PACKAGES, TAGS = 10_000, 100, 40, 1_000


def digest(*what):
    return hashlib.sha256(repr(what).encode()).digest()


def fill(path):
    """Results of 1,000 tags, each with its changes and packages; jobs, approvals, decisions and pulls likewise."""
    db = sqlite3.connect(path)
    now = int(time.time())
    db.execute("INSERT INTO repo (id, name, local) VALUES (1, 'up.test/acme/app', 0)")
    for i in range(IMAGES):
        tag, old = f"v{i % TAGS}", i < IMAGES - TAGS
        ref = f"up.test/acme/app:{tag}"
        db.execute("INSERT INTO derivation (id, source, platform, policy, engine, patch, state, hardened, media_type,"
                   " size, report, reason, message, policy_name, reference, attempts, deaths, retry_at, created, made,"
                   " last_served) VALUES (?, ?, 'image', ?, 'e', x'', 3, ?, 'm', 1, ?, '', '', 'default', ?, 1, 0, 0,"
                   " ?, ?, ?)",
                   (i + 1, digest("s", i), digest("p"), digest("h", i), digest("r", i), ref, now, now, now))
        db.execute("INSERT INTO served (repo, tag, policy, platforms, source, served, media_type, since, until)"
                   " VALUES (1, ?, ?, 'linux/amd64', ?, ?, 'm', ?, ?)",
                   (tag, digest("p"), digest("s", i), digest("h", i), now - IMAGES + i, now if old else 0))
        db.execute("INSERT INTO job VALUES (?, 'harden', ?, ?, 3, 'commit', 0, 0, 1, 1, 1, '', '', 1)",
                   (f"{i:012x}-0000", ref, i + 1))
        db.execute("INSERT INTO approval (repo, tag, source, digest, media_type, size, policy, state, who, comment,"
                   " created, decided, turn) VALUES (1, ?, ?, ?, 'm', 1, 'p', ?, 'ops', '', ?, ?, ?)",
                   (tag, digest("s", i), digest("h", i), 1 + i % 3, now, now, i))
        db.execute("INSERT INTO audit (at, who, action, subject, detail, request, hash) VALUES (?, 'ops', 'approve',"
                   " ?, '{}', '', ?)", (now, ref, digest("a", i)))
        db.execute("INSERT INTO pulled (at, repo, reference, digest, who, peer) VALUES (?, 1, ?, ?, 'ci', '10.0.0.1')",
                   (now, tag, digest("h", i)))
        db.executemany("INSERT INTO change VALUES (?, ?, 'docs', 'remove', ?, 'pkg', '', '', 'a manual page')",
                       [(i + 1, n, f"/usr/share/doc/p{n}/file") for n in range(1, CHANGES + 1)])
        db.executemany("INSERT INTO package VALUES (?, ?, 'kept')",
                       [(f"pkg:deb/debian/p{n}@{i % 50}", i + 1) for n in range(PACKAGES)])
    db.commit()
    db.close()


def paths():
    image = "sha256:" + digest("h", IMAGES // 2).hex()
    tag = "up.test/acme/app:v7"
    return ["/images", f"/images?after={IMAGES // 2}", "/images?state=hardened&limit=1000", f"/images?ref={tag}",
            "/images?state=awaiting-approval", f"/images/{image}/diff", f"/images/{image}/diff?after=50&rule=docs",
            f"/images/{image}/diff?path=/usr/share/doc/p7", f"/images/{image}", "/jobs",
            f"/jobs?after={IMAGES // 2:012x}-0000", f"/jobs?ref={tag}", f"/tags?ref={tag}",
            "/packages?purl=pkg:deb/debian/p7", "/packages?purl=pkg:deb/debian/p7@7",
            "/packages?purl=pkg:deb/debian/none", "/audit", "/audit?order=oldest&after=5000", "/audit?who=ops",
            f"/audit?subject={tag}&action=approve",
            "/audit?kind=pulls", "/overrides", f"/resolve?ref={tag}", "/policies", "/upstreams"]


def lists(rounds):
    work = tempfile.mkdtemp(prefix="quench-bench-")
    q = Quench(os.path.join(work, "q"), 1, audit={"pulls": "manifests"})
    try:
        q.stop()
        fill(os.path.join(q.root, "quench.db"))
        q.start()
        print(f"admin API with {IMAGES} images, {IMAGES * CHANGES} change rows, {IMAGES * PACKAGES} package rows")
        times = {p: [] for p in paths()}
        for _ in range(rounds):
            for p, list_ in times.items():
                begun = time.monotonic()
                r = q.api(p)
                list_.append(time.monotonic() - begun)
                assert r.status == 200, (p, r.status, r.body[:300])
        base = []
        for _ in range(10 * rounds):
            begun = time.monotonic()
            request(q.admin, "/healthz")
            base.append(time.monotonic() - begun)
        print(f"  {'/healthz':60} {1000 * statistics.median(base):7.1f} ms")
        hashes = "sha256:" + digest("h", IMAGES // 2).hex()
        for p, list_ in times.items():
            print(f"  {p.replace(hashes, 'DIGEST')[:60]:60} {1000 * statistics.median(list_):7.1f} ms, "
                  f"at most {1000 * max(list_):7.1f}")
    finally:
        q.stop()
        shutil.rmtree(work, ignore_errors=True)


def login(rounds):
    """A name that does not exist costs what a wrong password costs, so that times do not tell names."""
    work = tempfile.mkdtemp(prefix="quench-bench-")
    users = os.path.join(work, "htpasswd")
    write_users(users, {"real": "right"}, cost=10)
    q = Quench(os.path.join(work, "q"), 1, auth={"htpasswd": users, "rules": [{"who": ["real"]}]})
    try:
        times = {"real": [], "unreal": []}
        for i in range(10 * rounds):
            for name, list_ in times.items():
                secret = base64.b64encode(f"{name}:wrong {i}".encode()).decode()
                begun = time.monotonic()
                assert request(q.registry, "/v2/", headers={"Authorization": "Basic " + secret}).status == 401
                list_.append(time.monotonic() - begun)
        real, unreal = (statistics.median(times[n]) for n in ("real", "unreal"))
        print(f"a wrong login (bcrypt, cost 10): name known {1000 * real:.1f} ms, unknown {1000 * unreal:.1f} ms, "
              f"ratio {unreal / real:.2f}")
    finally:
        q.stop()
        shutil.rmtree(work, ignore_errors=True)
