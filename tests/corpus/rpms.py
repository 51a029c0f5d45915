"""An image whose packages are RPMs: built and installed here with Debian's rpm, a static busybox is what runs."""
import os
import subprocess
import tempfile

import make_image
import probes
from image import Image
from servers import PATH
from small import ABOUT, APPLETS, NOTES, busybox

EPOCH = str(make_image.EPOCH)
RELEASE = {"etc/os-release": 'NAME="Rocky Linux"\nID="rocky"\nVERSION_ID="9.3"\nPRETTY_NAME="Rocky Linux 9.3"\n',
           "etc/redhat-release": "Rocky Linux release 9.3 (Blue Onyx)\n"}
SETUP = {"etc/passwd": "root:x:0:0:root:/root:/bin/sh\nbin:x:1:1:bin:/bin:/sbin/nologin\n"
                       "nobody:x:65534:65534:Kernel Overflow User:/:/sbin/nologin\n",
         "etc/group": "root:x:0:\nbin:x:1:\nnobody:x:65534:\n",
         "etc/shadow": ("root:*::0:99999:7:::\nbin:*::0:99999:7:::\nnobody:*::0:99999:7:::\n", 0o600),
         "etc/profile": "export PATH=/usr/sbin:/usr/bin\n"}


def packages():
    """Name -> (requirements, files)."""
    tool = {"usr/bin/busybox": (busybox(), 0o755)}
    tool.update({"usr/bin/" + a: "@busybox" for a in APPLETS})
    return {
        "rocky-release": ([], RELEASE),
        "setup": (["rocky-release"], SETUP),
        "filesystem": (["setup"], {"bin": "@usr/bin", "sbin": "@usr/sbin", "usr/sbin/.keep": ""}),
        "busybox": (["filesystem"], dict(tool, **{"usr/share/doc/busybox/README": "about\n",
                                                  "usr/share/licenses/busybox/LICENSE": "a licence\n"})),
        "rpm": (["busybox"], {"usr/bin/rpm": (busybox(), 0o755), "usr/lib/rpm/macros": "%x y\n"}),
        "microdnf": (["rpm"], {"usr/bin/microdnf": (busybox(), 0o755), "etc/dnf/dnf.conf": "[main]\ngpgcheck=1\n"}),
        "tcpdump": (["busybox"], {"usr/sbin/tcpdump": (busybox(), 0o4755), "usr/share/man/man8/tcpdump.8": "manual\n"}),
    }


def settle(root):
    """Everything below was changed when packages of that time were built: rpm -V compares."""
    for directory, names, more in os.walk(root):
        for name in names + more + ["."]:
            os.utime(os.path.join(directory, name), (make_image.EPOCH, make_image.EPOCH), follow_symlinks=False)


def put(root, files):
    for path, value in files.items():
        content, mode = value if isinstance(value, tuple) else (value, 0o644)
        full = os.path.join(root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        if isinstance(content, str) and content.startswith("@"):
            os.symlink(content[1:], full)
            continue
        with open(full, "wb") as f:
            f.write(content if isinstance(content, bytes) else content.encode())
        os.chmod(full, mode)


def package(work, name, requires, files):
    """Builds one package; gives its path."""
    stage = os.path.join(work, "stage", name)
    put(stage, files)
    settle(stage)
    spec = os.path.join(work, name + ".spec")
    lines = [f"Name: {name}", "Version: 1.0", "Release: 1", f"Summary: {name}", "License: MIT", "AutoReqProv: no"]
    lines += [f"Requires: {r}" for r in requires] + ["%description", name, "%install", "mkdir -p %{buildroot}",
                                                     f"cp -a {stage}/. %{{buildroot}}/", "%files"]
    for path, value in files.items():
        mode = f"%attr({value[1]:o}, root, root) " if isinstance(value, tuple) else ""
        kind = ("%doc " if "share/doc" in path or "share/man" in path
                else "%license " if "licenses" in path else "%config(noreplace) " if path.startswith("etc/") else "")
        lines.append(f"{mode}{kind}/{path}")
    with open(spec, "w") as f:
        f.write("\n".join(lines) + "\n")
    defines = {"_topdir": work, "_build_id_links": "none", "__os_install_post": "%{nil}", "debug_package": "%{nil}",
               "_buildhost": "build", "use_source_date_epoch_as_buildtime": "1", "_binary_payload": "w1.gzdio",
               "__brp_compress": "%{nil}", "_vendor": "rocky", "vendor": "Rocky Enterprise Software Foundation"}
    argv = ["rpmbuild", "-bb", "--quiet", "--nodeps", "--target", "x86_64"]
    for key, value in defines.items():
        argv += ["--define", f"{key} {value}"]
    r = subprocess.run(argv + [spec], capture_output=True, text=True, env=dict(os.environ, SOURCE_DATE_EPOCH=EPOCH))
    if r.returncode != 0:
        raise AssertionError(f"rpmbuild {name}: {r.stderr[-600:]}")
    return os.path.join(work, "RPMS", "x86_64", f"{name}-1.0-1.x86_64.rpm")


def rpms():
    """A root file system with them and their database, as a layer."""
    with tempfile.TemporaryDirectory(prefix="quench-corpus-") as work:
        made = [package(work, name, *row) for name, row in packages().items()]
        root = os.path.join(work, "root")
        os.makedirs(os.path.join(root, "var/lib/rpm"))
        r = subprocess.run(["rpm", "--root", root, "--dbpath", "/var/lib/rpm", "--force-debian", "--nosignature", "-i"]
                           + made, capture_output=True, text=True)
        if r.returncode != 0:
            raise AssertionError("rpm -i: " + r.stderr[-600:])
        for directory in ("root", "tmp", "proc", "sys", "dev", "run"):
            os.makedirs(os.path.join(root, directory), exist_ok=True)
        os.chmod(os.path.join(root, "tmp"), 0o1777)
        out = os.path.join(work, "out.tar")
        settle(root)
        subprocess.run(["tar", "-c", "-C", root, "-f", out, "--sort=name", "."], check=True)
        with open(out, "rb") as f:
            return f.read()


IMAGES = [
    Image("rpm", {"Cmd": ["httpd", "-f", "-p", "8080", "-h", "/www"], "Env": [PATH]},
          probes.notes(8080, "/cgi-bin/notes"), base="", tmpfs=["/srv/notes"],
          layers=[rpms, {"www/cgi-bin/notes": (NOTES, 0o755), "www/cgi-bin/notes-about": (ABOUT, 0o755),
                         "srv/notes": (None, 0o755)}]),
]
