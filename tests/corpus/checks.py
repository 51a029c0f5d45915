"""What must be true of every result besides that it works: nothing forbidden in any layer, true databases, hardening
again changes nothing. Each check gives a list of problems."""
import json
import os
import re
import subprocess
import tarfile
import urllib.parse

import conftest
import engines

KEY = re.compile(rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----\s+[A-Za-z0-9+/=:,\-\s]{64}")
# Keys that programs carry as text to recognize keys, and samples of packages, are no keys of anybody.
SAMPLES = re.compile(r"(^|/)(test|tests|testing|testdata|examples?|demos?|doc)/")


class Result:
    """A hardened image as an OCI layout on disk."""

    def __init__(self, layout, tag):
        self.layout = layout
        with open(os.path.join(layout, "index.json")) as f:
            found = [m for m in json.load(f)["manifests"]
                     if m.get("annotations", {}).get("org.opencontainers.image.ref.name") == tag]
        self.digest = found[0]["digest"]
        self.manifest = json.loads(self.blob(self.digest))
        self.config = json.loads(self.blob(self.manifest["config"]["digest"]))

    def path(self, digest):
        return os.path.join(self.layout, "blobs", "sha256", digest.split(":")[1])

    def blob(self, digest):
        with open(self.path(digest), "rb") as f:
            return f.read()

    def layers(self):
        return [self.path(layer["digest"]) for layer in self.manifest["layers"]]


def reached(report):
    """Paths whose bits the report says stay, because something needs them."""
    text = json.dumps(report["findings"]) + json.dumps(report["kept"])
    return lambda path: f"/{path}" in text


def forbidden(result, report, profile, secrets=()):
    """Setuid, setgid, capabilities, world-writable files, keys, secrets in any layer."""
    problems, allowed = [], reached(report)
    for number, path in enumerate(result.layers()):
        with tarfile.open(path) as t:
            for m in t:
                name, where = m.name.lstrip("./"), f"layer {number}: {m.name}"
                if not m.isreg():
                    if m.isdir() and m.mode & 0o1002 == 0o002 and profile != "safe" and not allowed(name):
                        problems.append(f"{where}: world-writable directory without sticky bit")
                    continue
                if m.mode & 0o6000 and not allowed(name):
                    problems.append(f"{where}: mode {m.mode:o}")
                if m.mode & 0o002:
                    problems.append(f"{where}: world-writable")
                if "SCHILY.xattr.security.capability" in m.pax_headers and profile != "safe" and not allowed(name):
                    problems.append(f"{where}: file capabilities")
                data = t.extractfile(m).read() if m.size < 8 << 20 else b""
                # Libraries carry keys for their self-tests.
                if (profile == "strict" and KEY.search(data) and not SAMPLES.search(name)
                        and not data.startswith(b"\x7fELF")):
                    problems.append(f"{where}: private key")
                if profile == "strict":
                    problems += [f"{where}: secret {s[:6]}..." for s in secrets if s.encode() in data]
                if name in ("etc/shadow", "etc/passwd"):
                    problems += accounts(where, data.decode(errors="replace"))
    if profile == "strict":
        problems += [f"configuration: secret {s[:6]}..." for s in secrets if s in json.dumps(result.config)]
    return problems


def accounts(where, text):
    rows = [line.split(":") for line in text.splitlines() if line]
    if where.endswith("shadow"):
        return [f"{where}: {r[0]} has an empty password" for r in rows if len(r) > 1 and r[1] == ""]
    out = [f"{where}: {r[0]} is a second root" for r in rows if len(r) > 3 and r[2] == "0" and r[0] != "root"]
    return out + [f"{where}: {r[0]} has an empty password" for r in rows if len(r) > 1 and r[1] == ""]


def export(docker, image, directory):
    """The merged file system, as docker sees it."""
    os.makedirs(directory, exist_ok=True)
    name = "export" + directory.replace("/", "-")
    r = docker.run("create", "--name", name, image, "unused", check=False)
    if r.returncode != 0:
        raise AssertionError(r.stderr)
    tar = directory + ".tar"
    docker.run("export", "-o", tar, name)
    docker.run("rm", "-f", "-v", name)
    subprocess.run(["tar", "-x", "-C", directory, "-f", tar], check=True, stderr=subprocess.DEVNULL)
    os.remove(tar)


def output(*argv):
    r = subprocess.run(argv, capture_output=True, text=True)
    return (r.stdout + r.stderr).splitlines()


def database_lines(root):
    """What the package managers' own verification complains about."""
    lines = []
    if os.path.exists(root + "/var/lib/dpkg/status"):
        lines += ["dpkg --audit: " + line for line in output("dpkg", f"--root={root}", "--audit")]
        lines += ["dpkg -V: " + line for line in output("dpkg", f"--root={root}", "-V")]
    for place in ("/var/lib/rpm", "/usr/lib/sysimage/rpm"):
        if not os.path.isdir(root + place) or os.path.islink(root + place):
            continue
        where = [f"--root={root}", f"--dbpath={place}"]
        lines += ["rpm -Va: " + line for line in output("rpm", *where, "-Va", "--nodeps")]
        lines += ["rpmdb: " + line for line in output("rpmdb", *where, "--verifydb")]
        if not output("rpm", *where, "-qa"):
            lines.append("rpm -qa: no packages")
    return lines


def told(report):
    """Which paths the report says were changed or removed: databases that are signed say what was installed."""
    paths = [c["path"] for r in report["rules"] for c in r["changes"]]
    globs = [re.escape(re.sub(r" \(\d+\)$", "", p)).replace(r"\*\*", ".*") for p in paths if p.endswith(")")]
    exact = set(paths)
    return lambda path: path in exact or any(re.fullmatch(g, path) for g in globs)


def unexpected(lines, report):
    """Without the lines of rpm -Va about files that the report names: headers of packages cannot be edited."""
    known = told(report)
    return [line for line in lines if not (line.startswith("rpm -Va: ") and known(line.split()[-1]))]


def purls(components):
    """Without qualifiers and epochs, which this trivy writes as a qualifier."""
    return sorted(re.sub(r"@\d+:", "@", urllib.parse.unquote(p.split("?")[0])) for p in components)


def scanner(root, report, work):
    """A scanner's package list is the report's."""
    trivy = engines.trivy()
    if not trivy or not report["packages"]:
        return []
    r = subprocess.run([trivy, "rootfs", "--offline-scan", "--skip-files", "**/*.jar", "--format", "cyclonedx",
                        "--cache-dir", work + "/trivy", root], capture_output=True, text=True)
    if r.returncode != 0:
        return ["trivy: " + r.stderr[-300:]]
    kinds = {p["purl"].split("/")[0] for p in report["packages"]}
    seen = purls(c["purl"] for c in json.loads(r.stdout).get("components", [])
                 if c.get("purl", "").split("/")[0] in kinds)
    told = purls(p["purl"] for p in report["packages"] if p["state"] != "removed")
    if seen == told:
        return []
    return [f"trivy sees {sorted(set(seen) - set(told))[:5]} more, {sorted(set(told) - set(seen))[:5]} less"]


def again(result, tag, profile, work):
    """Hardening the result gives the result."""
    out = os.path.join(work, "again")
    r = subprocess.run([conftest.QUENCH, "harden", "--quiet", "--allow-back-off", "--profile", profile,
                        f"oci:{result.layout}:{tag}", f"oci:{out}:{tag}"], capture_output=True, text=True)
    if r.returncode != 0:
        return ["hardening again: " + r.stderr[-300:]]
    digest = Result(out, tag).digest
    return [] if digest == result.digest else [f"hardening again gives {digest}, not {result.digest}"]
