#!/usr/bin/env python3
"""Shows that hardening breaks no image: builds the images of the table, pulls each through the daemon under every
profile, starts original and result in docker in its usual way and locked down, tries what the image is for, and looks
at what is left. Prints a table; writes build/corpus.json.

    python3 tests/corpus/run.py [--image NAME]... [--profile safe|standard|strict]... [--quick] [--jobs N]

Exit status 0 when every image works under every profile wherever its original does, and every check holds."""
import argparse
import concurrent.futures
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
for part in (HERE, os.path.join(ROOT, "tests", "integration"), os.path.join(ROOT, "scripts")):
    if part not in sys.path:
        sys.path.insert(0, part)
import box  # noqa: E402
import build  # noqa: E402
import checks  # noqa: E402
import conftest  # noqa: E402
import engines  # noqa: E402
import image as rows  # noqa: E402
import table  # noqa: E402

PROFILES = ["safe", "standard", "strict"]
COLUMNS = ["files", "bytes", "packages", "elf", "executables", "setuid", "shells"]
# Five images of one base, for the bytes that they share.
FIVE = ["redis", "nginx", "flask", "memcached", "haproxy"]


class Corpus:
    """An upstream registry, a daemon with a policy for each profile, and a private dockerd."""

    def __init__(self, work):
        self.work, self.layout, self.lock = work, os.path.join(work, "images"), threading.Lock()
        self.upstream = conftest.Registry(os.path.join(work, "upstream"))
        policies = [{"name": p, "match": [f"up.test/corpus/image:*-{p}"], "profile": p} for p in PROFILES]
        self.quench = conftest.Quench(os.path.join(work, "quench"), self.upstream.port, policies=policies)
        self.docker = engines.Docker(os.path.join(work, "docker"))

    def close(self):
        for server in (self.docker, self.quench, self.upstream):
            server.stop()

    def push(self, image):
        """Gives the sizes of its layers by digest."""
        descriptor = build.build(image, self.layout)
        with self.lock:
            for profile in PROFILES:
                self.upstream.push(self.layout, descriptor, f"corpus/image:{image.name}-{profile}")
        with open(os.path.join(self.layout, "blobs", *descriptor["digest"].split(":"))) as f:
            return {layer["digest"]: layer["size"] for layer in json.load(f)["layers"]}

    def pull(self, name):
        r = self.docker.run("pull", "-q", name, check=False)
        if r.returncode != 0:
            raise AssertionError(f"docker pull {name}: {r.stderr.strip()}")
        return name

    def harden(self, tag):
        """Asks for the tag until the daemon is done with it: (digest, report)."""
        end = time.monotonic() + 900
        while True:
            r = self.quench.manifest("up.test/corpus/image", tag)
            if r.status != 503 or time.monotonic() > end:
                break
            time.sleep(0.5)
        if r.status != 200:
            raise AssertionError(f"{tag}: {r.status} {r.body[:400].decode(errors='replace')}")
        digest = r.headers["docker-content-digest"]
        return digest, self.quench.api(f"/images/{digest}/report").json()


class Trial:
    """One image: its original and its results."""

    def __init__(self, corpus, image, quick=False):
        self.corpus, self.image, self.problems, self.quick = corpus, image, [], quick
        self.work = os.path.join(corpus.work, "trial-" + image.name)
        self.can, self.rows, self.reports, self.blobs = {}, {}, {}, {}
        self.complaints = []

    def user_of(self, name):
        return self.corpus.docker.inspect(name)["Config"]["User"] or "root"

    def try_ways(self, name, label, ways):
        """Runs the image in each of the ways: way -> (problem or "", exit status)."""
        out, uid = {}, self.user_of(name).split(":")[0]
        uid = uid if uid.isdigit() else ""
        for way in ways:
            if any(way in rows.IMPLIES.get(done, ()) and out[done][0] == "" for done in out):
                continue
            options = self.image.options + self.image.ways(uid)[way]
            out[way] = box.attempt(self.corpus.docker, name, options, self.image, f"{self.image.name}-{label}-{way}",
                                   10 if self.quick else 30)
            if label in PROFILES and out[way][0]:
                break  # one failure is enough to look into
        return out

    def original(self):
        name = self.corpus.pull(f"127.0.0.1:{self.corpus.upstream.port}/corpus/image:{self.image.name}-safe")
        ways = ["default", "locked"] if self.quick else self.image.ways()
        self.can = self.try_ways(name, "original", ways)
        if self.can["default"][0]:
            self.problems.append("original: " + self.can["default"][0])
        self.user = self.user_of(name)
        root = os.path.join(self.work, "original")
        checks.export(self.corpus.docker, name, root)
        self.complaints = checks.database_lines(root)
        self.reference = name
        shutil.rmtree(root)

    def required(self):
        """The ways in which the result must work."""
        return [way for way, (problem, _) in self.can.items() if not problem]

    def result(self, profile):
        tag, problems = f"{self.image.name}-{profile}", []
        digest, report = self.corpus.harden(tag)
        name = self.corpus.pull(f"127.0.0.1:{self.corpus.quench.registry}/up.test/corpus/image:{tag}")
        for way, (problem, status) in self.try_ways(name, profile, self.required()).items():
            if problem:
                problems.append(f"{way}: {problem}")
            elif status != self.can[way][1] and not self.either(name, profile, way, status):
                problems.append(f"{way}: ends with status {status} when it is stopped, not {self.can[way][1]}")
        works = not problems
        problems += self.checks(profile, tag, name, report)
        self.reports[profile] = report
        self.rows[profile] = dict(report["after"], user=self.user_of(name), works=works,
                                  findings=sum(not f["fixed"] for f in report["findings"]),
                                  achieved=report["policy"]["achieved"])
        if "original" not in self.rows:
            self.rows["original"] = dict(report["before"], user=self.user, findings=len(report["findings"]),
                                         works=not self.can["default"][0])
        self.corpus.docker.run("rmi", "-f", name, check=False)
        self.problems += [f"{profile}: {p}" for p in problems]

    def either(self, name, profile, way, status):
        """Whether how it ended was chance: the original ends that way too, or the result, tried again, as that did."""
        again = self.try_ways(self.reference, "again", [way])[way]
        if again == ("", status):
            return True
        return self.try_ways(name, profile + "-again", [way])[way] == self.can[way]

    def checks(self, profile, tag, name, report):
        out = os.path.join(self.work, "layout")
        subprocess.run(["skopeo", "copy", "-q", "--src-tls-verify=false",
                        f"docker://127.0.0.1:{self.corpus.quench.registry}/up.test/corpus/image:{tag}",
                        f"oci:{out}:{tag}"], check=True, capture_output=True)
        result = checks.Result(out, tag)
        self.blobs[profile] = {layer["digest"]: layer["size"] for layer in result.manifest["layers"]}
        problems = [f"verifier: {v['check']}: {v['detail']}" for v in report["verification"] if not v["ok"]]
        problems += checks.forbidden(result, report, profile, self.image.secrets)
        if not self.image.docker:
            problems += checks.again(result, tag, profile, self.work)
        root = os.path.join(self.work, profile)
        checks.export(self.corpus.docker, name, root)
        problems += [line for line in checks.unexpected(checks.database_lines(root), report)
                     if line not in self.complaints]
        if not self.quick:
            problems += checks.scanner(root, report, self.corpus.work)
        shutil.rmtree(root)
        shutil.rmtree(out)
        return problems

    def run(self, profiles, say):
        began = time.monotonic()
        os.makedirs(self.work)
        try:
            self.blobs["original"] = self.corpus.push(self.image)
            self.original()
            say(f"{self.image.name}: original works: {' '.join(self.required()) or 'not at all'}")
            for profile in profiles:
                try:
                    self.result(profile)
                except AssertionError as e:
                    self.problems.append(f"{profile}: {e}")
            self.corpus.docker.run("rmi", "-f", self.reference, check=False)
        except Exception:  # of one image: the others go on
            self.problems.append(traceback.format_exc())
        shutil.rmtree(self.work, ignore_errors=True)
        say(f"{self.image.name}: {'ok' if not self.problems else 'PROBLEMS'} ({time.monotonic() - began:.0f} s)")
        for problem in self.problems:
            say(f"    {problem}")
        return self


def lines(trials, profiles):
    """The table as text."""
    head = ["image", "as"] + COLUMNS + ["user", "findings", "works"]
    out = [head]
    for t in trials:
        for kind in ["original"] + profiles:
            row = t.rows.get(kind)
            if not row:
                out.append([t.image.name, kind] + ["-"] * (len(COLUMNS) + 2) + ["no"])
                continue
            cells = [f"{row[c] / 1048576:.1f} MiB" if c == "bytes" else str(row[c]) for c in COLUMNS]
            kind += f" ({row['achieved']})" if row.get("achieved", kind) != kind else ""
            cells += [row["user"], str(row["findings"]), "yes" if row["works"] else "NO"]
            out.append([t.image.name, kind] + cells)
    widths = [max(len(r[i]) for r in out) for i in range(len(head))]
    return ["  ".join(c.ljust(w) if i in (0, 1, 9) else c.rjust(w) for i, (c, w) in enumerate(zip(r, widths))).rstrip()
            for r in out]


def sharing(trials, profiles):
    """What five images on one base share, before and after: lines of text."""
    five = [t for t in trials if t.image.name in FIVE]
    out = []
    for profile in profiles:
        have = [t.blobs[profile] for t in five if profile in t.blobs]
        if len(have) < 2:
            continue
        once = {d: n for blobs in have for d, n in blobs.items()}
        total, stored = sum(sum(b.values()) for b in have), sum(once.values())
        shared = sum(once[d] for d in once if sum(d in b for b in have) == len(have))
        out.append(f"{profile}: {len(have)} images on one base: {total >> 20} MiB to pull, {stored >> 20} MiB stored, "
                   f"{shared >> 20} MiB in layers that all of them share")
    return out


def medians(trials, profiles):
    """How much of the images the profiles remove, half of the images more and half less: lines of text."""
    out = []
    for profile in profiles:
        rows = [(t.rows["original"], t.rows[profile]) for t in trials if profile in t.rows and "original" in t.rows]
        cells = []
        for column in ("executables", "packages", "bytes", "files"):
            gone = [100 * (1 - after[column] / before[column]) for before, after in rows if before[column]]
            if gone:
                cells.append(f"{statistics.median(gone):.0f} % of {column}")
        if cells:
            out.append(f"{profile}: median of {len(rows)} images: removes " + ", ".join(cells))
    return out


def run(names=None, profiles=None, quick=False, jobs=2, say=print, work=None):
    profiles = profiles or PROFILES
    work = work or tempfile.mkdtemp(prefix="quench-corpus-")
    corpus = Corpus(work)
    pool = concurrent.futures.ThreadPoolExecutor(jobs)
    try:
        made = [pool.submit(Trial(corpus, i, quick).run, profiles, say) for i in table.select(names, quick)]
        return [f.result() for f in made]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        corpus.close()
        shutil.rmtree(work, ignore_errors=True)


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("--image", action="append")
    p.add_argument("--profile", action="append", choices=PROFILES)
    p.add_argument("--quick", action="store_true")
    p.add_argument("--jobs", type=int, default=2)
    p.add_argument("--json", default=os.path.join(ROOT, "build", "corpus.json"))
    a = p.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    trials = run(a.image, a.profile, a.quick, a.jobs, lambda text: print(text, flush=True))
    profiles = a.profile or PROFILES
    print("\n" + "\n".join(lines(trials, profiles) + medians(trials, profiles)
                            + sharing(trials, ["original"] + profiles)))
    os.makedirs(os.path.dirname(a.json), exist_ok=True)
    with open(a.json, "w") as f:
        json.dump([{"image": t.image.name, "rows": t.rows, "problems": t.problems,
                    "original": {w: s[0] or "works" for w, s in t.can.items()}} for t in trials], f, indent=1)
    bad = [t.image.name for t in trials if t.problems]
    print(f"\ncorpus: {len(trials) - len(bad)} images fine, {len(bad)} with problems", *bad)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
