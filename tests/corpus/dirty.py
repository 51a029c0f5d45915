"""The image that has everything that an image should not have, and still works."""
import base64
import hashlib

import probes
from image import Image
from servers import PATH


def secret(name, length=40):
    """A text that looks like a credential, made from its name."""
    text = base64.b64encode(hashlib.sha512(name.encode()).digest()).decode()
    return text.replace("+", "x").replace("/", "y")[:length]


def key(name, kind="RSA PRIVATE KEY"):
    body = "\n".join(secret(f"{name} {n}", 64) for n in range(12))
    return f"-----BEGIN {kind}-----\n{body}\n-----END {kind}-----\n"


AWS = "AKIA" + secret("aws", 16).upper()
GITHUB = "ghp_" + secret("github", 36)
HIDDEN = secret("hidden", 40)
SECRETS = [secret("rsa key 3", 64), secret("deleted key 3", 64), secret("host key 3", 64), HIDDEN, GITHUB,
           secret("history", 24), secret("git credentials", 24)]
APP = """import http.server, os
STORE = "/srv/notes"
class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, status, body=b""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_POST(self):
        with open(os.path.join(STORE, os.path.basename(self.path)), "wb") as f:
            f.write(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer(204)
    def do_GET(self):
        if self.path == "/notes-about":
            return self.answer(200)
        try:
            with open(os.path.join(STORE, os.path.basename(self.path)), "rb") as f:
                self.answer(200, f.read())
        except OSError:
            self.answer(404)
http.server.ThreadingHTTPServer(("0.0.0.0", 8000), Handler).serve_forever()
"""
HOOK = r"""
useradd -m -s /bin/bash alice
useradd -m -s /bin/bash bob
printf 'toor::0:0:second root:/root:/bin/bash\n' >> /etc/passwd
printf 'toor::19000:0:99999:7:::\n' >> /etc/shadow
sed -i 's/^bob:[^:]*:/bob::/' /etc/shadow
cp -p /etc/shadow /etc/shadow.bak
cp /bin/bash /usr/local/bin/rootbash && chmod 4755 /usr/local/bin/rootbash
cp /usr/bin/find /usr/local/bin/groupfind
chgrp shadow /usr/local/bin/groupfind && chmod 2755 /usr/local/bin/groupfind
ln /usr/local/bin/rootbash /usr/local/bin/rootbash-again
mkdir -p /opt/shared/drop && chmod 777 /opt/shared /opt/shared/drop
echo data > /opt/shared/anyone.conf && chmod 666 /opt/shared/anyone.conf
chmod 666 /etc/hosts.allow 2>/dev/null || { echo > /etc/hosts.allow; chmod 666 /etc/hosts.allow; }
setcap cap_net_raw,cap_net_admin+ep /usr/local/bin/groupfind 2>/dev/null || true
mkfifo /run/left-over
printf '* * * * * root /usr/local/bin/collect\n' > /etc/cron.d/collect
printf '#!/bin/sh\necho collected\n' > /usr/local/bin/collect && chmod 755 /usr/local/bin/collect
mkdir -p /var/spool/cron/crontabs && printf '@daily /usr/local/bin/collect\n' > /var/spool/cron/crontabs/alice
"""

IMAGES = [
    Image("dirty", {"Cmd": ["python3", "/app/app.py"], "WorkingDir": "/app", "ExposedPorts": {"8000/tcp": {}},
                    "Env": [PATH + ":.:/opt/shared", f"AWS_ACCESS_KEY_ID={AWS}"]},
          probes.notes(8000), tmpfs=["/srv/notes"], secrets=SECRETS,
          packages=["python3", "openssh-server", "cron", "git", "netcat-openbsd", "curl", "wget", "gcc", "gdb", "sudo",
                    "python3-pip", "libcap2-bin", "vim-tiny", "telnet"],
          hook=HOOK,
          layers=[{"root/.ssh/id_rsa": (key("rsa key"), 0o600), "app/deploy.key": key("deleted key", "PRIVATE KEY"),
                   "app/.env": f"TOKEN={GITHUB}\nHIDDEN={HIDDEN}\n",
                   "root/.bash_history": f"mysql -psecret{secret('history', 24)}\n",
                   "etc/ssh/ssh_host_rsa_key": (key("host key", "OPENSSH PRIVATE KEY"), 0o600),
                   "app/.git/config": "[core]\n\tbare = false\n",
                   "root/.git-credentials": f"https://me:{secret('git credentials', 24)}@git.example.org\n",
                   "app/Dockerfile": "FROM scratch\n", "var/log/build.log": "built\n", "var/tmp/left.tmp": "left\n"},
                  {"app/app.py": APP, "app/.wh.deploy.key": "", "app/.wh..env": "", "srv/notes": (None, 0o777)}]),
]
