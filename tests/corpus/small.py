"""Images without Debian below them: a static program, distroless, Alpine's database format."""
import base64
import gzip
import hashlib
import os
import subprocess
import tempfile

import conftest
import make_image
import probes
from image import Image
from servers import PATH


def static():
    """A static program that serves, on nothing."""
    with tempfile.TemporaryDirectory() as work:
        with open(conftest.build_static(work), "rb") as f:
            return make_image.file_layer({"server": (f.read(), 0o755)})


def busybox():
    with open("/bin/busybox", "rb") as f:
        return f.read()


APPLETS = ["sh", "ash", "cat", "echo", "ls", "mkdir", "rm", "cp", "mv", "chmod", "chown", "httpd",
           "wget", "nc", "vi", "su",
           "passwd", "mount", "umount", "ping", "grep", "sed", "awk", "find", "id", "env", "head", "tail", "basename",
           "test", "[", "printf", "sleep", "kill", "ps", "tar", "gzip", "date", "stat", "dirname", "adduser"]


def sha1(data):
    return "Q1" + base64.b64encode(hashlib.sha1(data).digest()).decode()


ALPINE_FILES = {"etc/os-release": 'ID=alpine\nVERSION_ID=3.18.4\n'
                'PRETTY_NAME="Alpine Linux v3.18"\nNAME="Alpine Linux"\n',
                "etc/alpine-release": "3.18.4\n",
                "etc/passwd": "root:x:0:0:root:/root:/bin/ash\nbin:x:1:1:bin:/bin:/sbin/nologin\n"
                "daemon:x:2:2:daemon:/sbin:/sbin/nologin\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n",
                "etc/group": "root:x:0:root\nbin:x:1:\ndaemon:x:2:\nnobody:x:65534:\n",
                "etc/shadow": ("root:::0:::::\nbin:!::0:::::\ndaemon:!::0:::::\nnobody:!::0:::::\n", 0o640),
                "etc/profile": "export PATH=/usr/sbin:/usr/bin:/sbin:/bin\n"}


def stanza(name, version, files, about, more=""):
    """A package of apk's installed database."""
    lines = [f"C:{sha1(name.encode())}=", f"P:{name}", f"V:{version}", "A:x86_64", "S:1000", "I:2000", f"T:{about}",
             "U:https://example.org/", "L:GPL-2.0-only", f"o:{name}", "m:Somebody <somebody@example.org>",
             "t:1696000000", "c:0123456789abcdef"]
    lines += [line for line in more.splitlines() if line]
    for directory in sorted({os.path.dirname(f) for f in files}):
        lines.append(f"F:{directory}")
        for f in sorted(f for f in files if os.path.dirname(f) == directory):
            data = files[f][0] if isinstance(files[f], tuple) else files[f]
            data = data if isinstance(data, bytes) else data.encode()
            mode = files[f][1] if isinstance(files[f], tuple) else 0o644
            lines += [f"R:{os.path.basename(f)}"] + ([f"a:0:0:{mode:o}"] if mode != 0o644 else []) + [f"Z:{sha1(data)}"]
    return "\n".join(lines) + "\n\n"


def alpine():
    """busybox with its applets, apk-tools, a base: as Alpine's own image has them."""
    packages = {
        ("alpine-baselayout", "3.4.3-r1", "Alpine base dir structure", ""): ALPINE_FILES,
        ("busybox", "1.36.1-r2", "Size optimized toolbox", "p:cmd:busybox=1.36.1-r2 /bin/sh\n"):
            {"bin/busybox": (busybox(), 0o755), "etc/securetty": "tty1\n"},
        ("apk-tools", "2.14.0-r2", "Alpine Package Keeper", "D:busybox\n"):
            {"sbin/apk": (busybox(), 0o755)},
        ("ssl_client", "1.36.1-r2", "helper of busybox wget", "D:busybox\n"):
            {"usr/bin/ssl_client": (busybox(), 0o4755)}}
    files = {"lib/apk/db/installed": "".join(stanza(*key[:2], value, *key[2:]) for key, value in packages.items()),
             "etc/apk/world": "alpine-baselayout\napk-tools\nbusybox\n", "lib/apk/db/triggers": "",
             "etc/apk/repositories": "https://example.org/alpine/v3.18/main\n",
             "lib/apk/db/scripts.tar": gzip.compress(b"\0" * 1024, mtime=0), "tmp": (None, 0o1777),
             "root": (None, 0o700),
             "var/cache/apk/APKINDEX.tar.gz": "cache", "srv": None, "dev": None, "proc": None, "sys": None, "run": None}
    for part in packages.values():
        files.update(part)
    for applet in APPLETS:
        files[("usr/bin/" if applet in ("wget", "nc", "passwd", "head", "tail", "[") else "bin/")
              + applet] = "@/bin/busybox"
    return make_image.file_layer(files)


NOTES = """#!/bin/sh
file="/srv/notes/$(basename "$PATH_INFO")"
if [ "$REQUEST_METHOD" = POST ]; then
    head -c "$CONTENT_LENGTH" > "$file"
    printf 'Status: 200\\r\\n\\r\\n'
elif [ -f "$file" ]; then
    printf 'Status: 200\\r\\nContent-Type: text/plain\\r\\n\\r\\n'
    cat "$file"
else
    printf 'Status: 404\\r\\n\\r\\n'
fi
"""
ABOUT = ("#!/bin/sh\nprintf 'Status: 200\\r\\n\\r\\n'\n"
         "echo a | sed s/a/b/ | grep -q b && id -u && printf 'x y' | awk '{print $2}'\n")


def distroless():
    """An interpreter with its packages as distroless images list them: one file a package below status.d."""
    with tempfile.TemporaryDirectory() as work:
        full = make_image.root_tar(["python3"])
        root = os.path.join(work, "root")
        os.mkdir(root)
        subprocess.run(["tar", "-x", "-C", root, "-f", full, "--exclude=./dev/*"], check=True)
        keep = ["libc6", "libgcc-s1", "gcc-12-base", "zlib1g", "libexpat1",
                "python3.11-minimal", "libpython3.11-minimal",
                "libpython3.11-stdlib", "python3.11", "libssl3", "libffi8", "libbz2-1.0", "liblzma5", "libsqlite3-0",
                "libuuid1", "media-types", "base-files", "netbase", "tzdata", "ca-certificates",
                "libncursesw6", "libtinfo6",
                "libreadline8", "libdb5.3", "libnsl2", "libtirpc3", "libcrypt1", "readline-common"]
        status = open(root + "/var/lib/dpkg/status").read().strip().split("\n\n")
        rows = {s.split("\n")[0].split(": ")[1]: s for s in status}
        names = [n for n in keep if n in rows]
        files, listing = ["./etc/passwd", "./etc/group"], os.path.join(work, "list")
        os.makedirs(root + "/var/lib/dpkg/status.d")
        for name in names:
            info = next(p for p in (f"{root}/var/lib/dpkg/info/{name}", f"{root}/var/lib/dpkg/info/{name}:amd64")
                        if os.path.exists(p + ".list"))
            with open(info + ".list") as f:
                paths = [line.strip() for line in f]
            for p in paths:
                # Where the directory really is: dpkg's lists say /lib for what is in /usr/lib.
                at = os.path.join(os.path.realpath(root + os.path.dirname(p)), os.path.basename(p))
                if p != "/." and os.path.lexists(at) and (os.path.islink(at) or not os.path.isdir(at)):
                    files.append("." + at[len(root):])
            with open(f"{root}/var/lib/dpkg/status.d/{name}", "w") as f:
                f.write(rows[name].replace("Status: install ok installed\n", "") + "\n")
            if os.path.exists(info + ".md5sums"):
                os.rename(info + ".md5sums", f"{root}/var/lib/dpkg/status.d/{name}.md5sums")
        for link in ("bin", "lib", "lib64", "sbin"):
            if os.path.islink(f"{root}/{link}"):
                files.append("./" + link)
        with open(listing, "w") as f:
            f.write("\n".join(dict.fromkeys(files + ["./var/lib/dpkg/status.d"])) + "\n")
        with open(root + "/etc/passwd", "w") as f:
            f.write("root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n")
        with open(root + "/etc/group", "w") as f:
            f.write("root:x:0:\nnonroot:x:65532:\n")
        out = os.path.join(work, "out.tar")
        subprocess.run(["tar", "-c", "-C", root, "-f", out, "--sort=name",
                       "--mtime=2024-01-01", "-T", listing], check=True)
        with open(out, "rb") as f:
            return f.read()


def hello(box):
    import clients
    probes.expect("the answer", box.until(lambda: clients.http(8081)), (200, "hello from static\n"))


def dirty_app():
    import dirty
    return make_image.file_layer({"app/app.py": dirty.APP, "srv/notes": (None, 0o755)})


IMAGES = [
    Image("static", {"Entrypoint": ["/server"]}, hello, base="", layers=[static], docker=True, quick=True),
    Image("alpine", {"Cmd": ["httpd", "-f", "-p", "8080", "-h", "/www"], "Env": [PATH]},
          probes.notes(8080, "/cgi-bin/notes"), base="", quick=True, tmpfs=["/srv/notes"],
          layers=[alpine, {"www/cgi-bin/notes": (NOTES, 0o755), "www/cgi-bin/notes-about": (ABOUT, 0o755),
                           "srv/notes": (None, 0o755)}]),
    Image("distroless", {"Entrypoint": ["/usr/bin/python3.11"], "Cmd": ["/app/app.py"], "WorkingDir": "/app",
                         "Env": [PATH, "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"]},
          probes.notes(8000), base="", layers=[distroless, dirty_app], tmpfs=["/srv/notes"]),
]
