#!/usr/bin/env python3
"""Benchmarks as ratios against peers in the same interleaved run: Debian's docker-registry and distribution 3 as
proxies of the same upstream, nginx as a file server. CPU seconds are those of the server's processes, workers included.

Usage: run.py [SECTION ...], sections: engine lists login cold many warm blob push memory
harden. Everything listens on loopback.
BENCH_ROUNDS says how often each is measured."""
import http.client
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(os.path.dirname(HERE), "integration"), os.path.join(HERE, "..", "..", "scripts")]
import admin_times  # noqa: E402
import conftest  # noqa: E402
import engine_times  # noqa: E402
import make_image  # noqa: E402
from conftest import MANIFEST_TYPES, Process, Quench, Registry, answers, free_port, request, wait_for  # noqa: E402

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
TICK = os.sysconf("SC_CLK_TCK")


def family(pid):
    """A process and its descendants."""
    parent = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as f:
                    parent[int(entry)] = int(f.read().rsplit(")", 1)[1].split()[1])
            except OSError:
                pass
    found = [pid]
    for p in found:
        found += [child for child, above in parent.items() if above == p]
    return found


def cpu(pid):
    """Seconds of a process, its living descendants and those that it waited for."""
    total = 0
    for p in family(pid):
        try:
            with open(f"/proc/{p}/stat") as f:
                fields = f.read().rsplit(")", 1)[1].split()
        except OSError:
            continue
        total += sum(int(x) for x in fields[11:15])
    return total / TICK


def anonymous_kib(pid):
    total = 0
    for p in family(pid):
        try:
            with open(f"/proc/{p}/status") as f:
                total += sum(int(line.split()[1]) for line in f if line.startswith("RssAnon"))
        except OSError:
            pass
    return total


def rss_kib(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


class Proxy(Process):
    """A registry of the distribution family in proxy mode."""

    def __init__(self, binary, directory, upstream_port):
        self.port = free_port()
        os.makedirs(directory, exist_ok=True)
        config = os.path.join(directory, "config.yml")
        with open(config, "w") as f:
            json.dump({"version": 0.1, "log": {"accesslog": {"disabled": True}, "level": "error"},
                       "storage": {"filesystem": {"rootdirectory": directory + "/data"}},
                       "http": {"addr": f"127.0.0.1:{self.port}"},
                       "proxy": {"remoteurl": f"http://127.0.0.1:{upstream_port}"}}, f)
        super().__init__([binary, "serve", config], directory + "/log")
        wait_for("the proxy's start", lambda: answers(self.port))


class Nginx(Process):
    def __init__(self, directory, root):
        self.port = free_port()
        os.makedirs(directory, exist_ok=True)
        config = os.path.join(directory, "nginx.conf")
        with open(config, "w") as f:
            f.write(f"""user root; worker_processes 2; daemon off; pid {directory}/pid; error_log {directory}/error.log;
events {{ worker_connections 4096; }}
http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; open_file_cache max=1000;
 default_type application/octet-stream; client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
 fastcgi_temp_path {directory}/f; uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
 server {{ listen 127.0.0.1:{self.port}; root {root}; }} }}
""")
        nginx = shutil.which("nginx") or "/usr/sbin/nginx"
        super().__init__([nginx, "-c", config, "-p", directory], directory + "/log")
        wait_for("nginx' start", lambda: answers(self.port, "/nothing"))


class Drain(threading.Thread):
    """Reads a blob and throws it away in the kernel; notes when the first byte came."""

    def __init__(self, port, path):
        super().__init__()
        self.port, self.path, self.first, self.size, self.error = port, path, None, 0, None

    def run(self):
        started = time.monotonic()
        try:
            with socket.create_connection(("127.0.0.1", self.port)) as s:
                s.sendall(f"GET {self.path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
                head = b""
                while b"\r\n\r\n" not in head:
                    head += s.recv(4096)
                self.first = time.monotonic() - started
                self.size = len(head.split(b"\r\n\r\n", 1)[1])
                buffer = bytearray(1 << 20)
                while True:
                    n = s.recv_into(buffer, 0, socket.MSG_TRUNC)
                    if n == 0:
                        return
                    self.size += n
        except OSError as e:
            self.error = e


def drain(port, path, clients):
    threads = [Drain(port, path) for _ in range(clients)]
    started = time.monotonic()
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return time.monotonic() - started, threads


def distribution3():
    directory = os.path.join(os.environ.get("TMPDIR", "/tmp"), "quench-tools")
    binary = os.path.join(directory, "registry")
    if not os.path.exists(binary):
        subprocess.run(["go", "install", "github.com/distribution/distribution/v3/cmd/registry@v3.0.0"],
                       env=dict(os.environ, GOBIN=directory), capture_output=True)
    return binary if os.path.exists(binary) else None


PLAIN = {"policies": [{"name": "plain", "match": ["**"], "mode": "off"}], "log": {"level": "warn"},
         "limits": {"per_client": 4096, "connections": 8192}, "upstream": {"tag_ttl": "1h"}}


class Bench:
    def __init__(self):
        self.work = tempfile.mkdtemp(prefix="quench-bench-")
        self.layout = os.path.join(self.work, "layout")
        layers = make_image.debian_layers(["python3"])
        config = {"Cmd": ["python3"]}
        self.image = make_image.write_image(self.layout, "python", layers, config)
        random = make_image.file_layer({"data": os.urandom(105 << 20)})
        self.random = make_image.write_image(self.layout, "random", [random], {"Cmd": ["/x"]})
        big = make_image.file_layer({f"opt/data/{i}": os.urandom(64 << 10) + bytes(192 << 10) for i in range(1200)})
        self.big = make_image.write_image(self.layout, "big", layers + [big], config)
        self.upstream = Registry(os.path.join(self.work, "upstream"))
        for descriptor, name in ((self.image, "bench/python:v1"), (self.random, "bench/random:v1"),
                                 (self.big, "bench/big:v1")):
            self.upstream.push(self.layout, descriptor, name)
        self.blob = max(json.loads(conftest.blob_bytes(self.layout, self.random["digest"]))["layers"],
                        key=lambda x: x["size"])
        self.n = 0

    def directory(self):
        self.n += 1
        return os.path.join(self.work, f"run{self.n}")

    def start(self, kind):
        """A server with an empty store; gives it, its port, and the prefix of repository names."""
        if kind in ("quench", "quench hardening"):
            config = dict(PLAIN)
            if kind == "quench hardening":
                config = {k: v for k, v in PLAIN.items() if k != "policies"}
            q = Quench(self.directory(), self.upstream.port, **json.loads(json.dumps(config)))
            return q, q.registry, "up.test/bench"
        binary = "docker-registry" if kind == "docker-registry 2.8" else distribution3()
        p = Proxy(binary, self.directory(), self.upstream.port)
        return p, p.port, "bench"

    def kinds(self):
        kinds = ["quench", "docker-registry 2.8"]
        return kinds + ["distribution 3"] if distribution3() else kinds

    # --- sections ---------------------------------------------------------------------------------------------------
    def cold(self):
        print("cold pull of a whole image (skopeo), empty store each time")
        walls, used = {}, {}
        for _ in range(ROUNDS):
            for kind in self.kinds() + ["quench hardening"]:
                server, port, prefix = self.start(kind)
                before, started = cpu(server.process.pid), time.monotonic()
                out = os.path.join(self.work, "pulled")
                subprocess.run(["skopeo", "copy", "-q", "--src-tls-verify=false",
                                f"docker://127.0.0.1:{port}/{prefix}/python:v1", f"dir:{out}"], check=True)
                walls.setdefault(kind, []).append(time.monotonic() - started)
                time.sleep(1)
                used.setdefault(kind, []).append(cpu(server.process.pid) - before)
                server.stop()
                shutil.rmtree(out)
        self.table(used, walls, "distribution 3")

    def many(self):
        print("one cold blob of 105 MB, N clients at once")
        path = f"/blobs/{self.blob['digest']}"
        for clients in (1, 8, 64, 500):
            used, walls, first, fetches = {}, {}, {}, {}
            kinds = self.kinds() if clients <= 64 else ["quench"]
            for _ in range(max(1, ROUNDS // 2)):
                for kind in kinds:
                    server, port, prefix = self.start(kind)
                    request(port, f"/v2/{prefix}/random/manifests/v1", headers={"Accept": MANIFEST_TYPES})
                    seen = self.upstream.count("GET", self.blob["digest"])
                    before = cpu(server.process.pid)
                    wall, threads = drain(port, f"/v2/{prefix}/random{path}", clients)
                    time.sleep(0.5)
                    used.setdefault(kind, []).append(cpu(server.process.pid) - before)
                    walls.setdefault(kind, []).append(wall)
                    complete = [t for t in threads if t.size == self.blob["size"]]
                    first.setdefault(kind, []).append(max([t.first for t in complete] or [0]))
                    fetches.setdefault(kind, []).append(self.upstream.count("GET", self.blob["digest"]) - seen)
                    if len(complete) != clients:
                        print(f"  {kind}: only {len(complete)} of {clients} clients got all of it")
                    server.stop()
            for kind in kinds:
                print(f"  N={clients:<4} {kind:20} CPU {statistics.median(used[kind]):6.2f} s   wall "
                      f"{statistics.median(walls[kind]):6.2f} s   last first byte "
                      f"{1000 * statistics.median(first[kind]):7.1f} ms   upstream fetches "
                      f"{statistics.median(fetches[kind]):.0f}")

    def warm(self):
        print("warm manifest by tag, 64 connections (wrk)")
        server, port, prefix = self.start("quench")
        path = f"/v2/{prefix}/python/manifests/v1"
        body = request(port, path, headers={"Accept": MANIFEST_TYPES}).body
        root = os.path.join(self.work, "www")
        os.makedirs(root, exist_ok=True)
        with open(os.path.join(root, "manifest"), "wb") as f:
            f.write(body)
        nginx = Nginx(self.directory(), root)
        per = {}
        for _ in range(ROUNDS):
            for kind, process, url in (("quench", server, f"http://127.0.0.1:{port}{path}"),
                                       ("nginx open_file_cache", nginx, f"http://127.0.0.1:{nginx.port}/manifest")):
                before = cpu(process.process.pid)
                r = subprocess.run(["wrk", "-t1", "-c64", "-d3s", "-H", "Accept: " + MANIFEST_TYPES.split(",")[0], url],
                                   capture_output=True, text=True, check=True)
                count = int(next(line.split()[0] for line in r.stdout.splitlines() if "requests in" in line))
                per.setdefault(kind, []).append((cpu(process.process.pid) - before) / count * 1e6)
        ours, theirs = statistics.median(per["quench"]), statistics.median(per["nginx open_file_cache"])
        print(f"  CPU per request: quench {ours:.1f} us, nginx {theirs:.1f} us: {ours / theirs:.2f}x")
        server.stop()
        nginx.stop()

    def blob_section(self):
        print("warm blob of 300 MB")
        server, port, prefix = self.start("quench")
        layer = make_image.file_layer({"data": os.urandom(300_000_000)})
        image = make_image.write_image(self.layout, "large", [layer], {"Cmd": ["/x"]})
        self.upstream.push(self.layout, image, "bench/large:v1")
        blob = max(json.loads(conftest.blob_bytes(self.layout, image["digest"]))["layers"], key=lambda x: x["size"])
        request(port, f"/v2/{prefix}/large/manifests/v1", headers={"Accept": MANIFEST_TYPES})
        path = f"/v2/{prefix}/large/blobs/{blob['digest']}"
        drain(port, path, 1)
        root = os.path.join(self.work, "www")
        os.makedirs(root, exist_ok=True)
        with open(os.path.join(root, "blob"), "wb") as f:
            f.write(conftest.blob_bytes(self.layout, blob["digest"]))
        nginx = Nginx(self.directory(), root)
        drain(nginx.port, "/blob", 1)
        for clients in (1, 16):
            per = {}
            for _ in range(ROUNDS):
                for kind, process, p, url in (("quench", server, port, path), ("nginx", nginx, nginx.port, "/blob")):
                    before, size = cpu(process.process.pid), 0
                    for _ in range(8 if clients == 1 else 1):
                        size += sum(t.size for t in drain(p, url, clients)[1])
                    per.setdefault(kind, []).append((cpu(process.process.pid) - before) / size * 1e9)
            ours, theirs = statistics.median(per["quench"]), statistics.median(per["nginx"])
            print(f"  {clients:2} connections, CPU s/GB: quench {ours:.3f}, nginx sendfile {theirs:.3f}: "
                  f"{ours / theirs:.2f}x")
        server.stop()
        nginx.stop()

    def push(self):
        print("pushes of blobs of 300 MB, in one PUT and in one PATCH without a length")
        with open(os.path.join(self.work, "content"), "wb") as f:
            f.write(os.urandom(300_000_000))
        digest = "sha256:" + subprocess.run(["sha256sum", f.name], capture_output=True, text=True,
                                            check=True).stdout.split()[0]
        rules = [{"who": ["*"], "actions": ["pull", "push", "delete"]}]
        servers = {"quench": Quench(self.directory(), self.upstream.port, local=[{"name": "bench"}],
                                    auth={"rules": rules}, log={"level": "warn"})}
        for kind, binary in (("docker-registry 2.8", "docker-registry"), ("distribution 3", distribution3())):
            if binary:
                servers[kind] = Registry(self.directory(), binary)
        used, walls = {}, {}
        for number in range(ROUNDS):
            for kind, server in servers.items():
                port = getattr(server, "registry", None) or server.port
                repository = f"bench/r{number}"
                for method in ("PUT", "PATCH"):
                    location = request(port, f"/v2/{repository}{method.lower()}/blobs/uploads/", "POST")
                    location = location.headers["location"].split(f":{port}", 1)[-1]
                    mark = "&" if "?" in location else "?"
                    before, started = cpu(server.process.pid), time.monotonic()
                    if method == "PATCH":
                        out = self.send(port, "PATCH", location, f.name, "-H", "Transfer-Encoding: chunked")
                        location = out.split("ocation: ")[1].split()[0].split(f":{port}", 1)[-1]
                        mark = "&" if "?" in location else "?"
                        request(port, f"{location}{mark}digest={digest}", "PUT")
                    else:
                        self.send(port, "PUT", f"{location}{mark}digest={digest}", f.name)
                    assert request(port, f"/v2/{repository}{method.lower()}/blobs/{digest}", "HEAD").status == 200
                    walls.setdefault((kind, method), []).append(time.monotonic() - started)
                    used.setdefault((kind, method), []).append((cpu(server.process.pid) - before) / 0.3)
        for kind, method in used:
            ours, peer = (statistics.median(used[k, method]) for k in (kind, "docker-registry 2.8"))
            wall = statistics.median(walls[kind, method])
            print(f"  {method:6} {kind:20} CPU {ours:5.2f} s/GB, wall {wall:5.2f} s   "
                  f"CPU {ours / peer:.2f}x docker-registry 2.8")
        for server in servers.values():
            server.stop()

    @staticmethod
    def send(port, method, path, file, *options):
        return subprocess.run(["curl", "-sS", "-i", "-X", method, "-H", "Expect:", "-H",
                               "Content-Type: application/octet-stream", *options, "-T", file,
                               f"http://127.0.0.1:{port}{path}"], capture_output=True, text=True, check=True).stdout

    def memory(self):
        print("memory while serving")
        server, port, prefix = self.start("quench")
        request(port, f"/v2/{prefix}/random/manifests/v1", headers={"Accept": MANIFEST_TYPES})
        path = f"/v2/{prefix}/random/blobs/{self.blob['digest']}"
        drain(port, path, 1)
        idle = rss_kib(server.process.pid)
        drain(port, path, 64)
        streams = rss_kib(server.process.pid)
        sockets = []
        for _ in range(2000):
            s = socket.create_connection(("127.0.0.1", port))
            s.sendall(b"GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n")
            s.recv(4096)
            sockets.append(s)
        full = rss_kib(server.process.pid)
        print(f"  RSS: {idle / 1024:.1f} MB after one blob, {streams / 1024:.1f} MB after 64 streams, "
              f"{full / 1024:.1f} MB with 2000 connections ({(full - streams) / 2000:.1f} KB each)")
        for s in sockets:
            s.close()
        server.stop()

    def harden(self):
        print("hardening an image of 500 MB (uncompressed)")
        server, port, prefix = self.start("quench hardening")
        peak, stop = [0], threading.Event()

        def watch():
            while not stop.is_set():
                peak[0] = max(peak[0], anonymous_kib(server.process.pid))
                time.sleep(0.02)
        t = threading.Thread(target=watch)
        t.start()
        before, started = cpu(server.process.pid), time.monotonic()
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
        status = 503
        while status == 503:
            c.request("GET", f"/v2/{prefix}/big/manifests/v1", headers={"Accept": MANIFEST_TYPES})
            r = c.getresponse()
            r.read()
            status = r.status
        wall = time.monotonic() - started
        stop.set()
        t.join()
        print(f"  status {status}, {wall:.1f} s, CPU {cpu(server.process.pid) - before:.1f} s, anonymous memory of "
              f"daemon and workers at most {peak[0] / 1024:.1f} MB")
        server.stop()

    @staticmethod
    def table(used, walls, peer):
        base = statistics.median(used[peer]) if peer in used else None
        for kind in used:
            u, w = statistics.median(used[kind]), statistics.median(walls[kind])
            ratio = f"   CPU {u / base:.2f}x {peer}" if base else ""
            print(f"  {kind:20} CPU {u:6.2f} s   wall {w:6.2f} s{ratio}")


def main():
    sections = {"cold": Bench.cold, "many": Bench.many, "warm": Bench.warm, "blob": Bench.blob_section,
                "push": Bench.push, "memory": Bench.memory, "harden": Bench.harden}
    alone = {"engine": engine_times.run, "lists": admin_times.lists, "login": admin_times.login}  # need no upstream
    wanted = sys.argv[1:] or list(alone) + list(sections)
    for name in [w for w in wanted if w in alone]:
        alone[name](ROUNDS)
        wanted.remove(name)
    if not wanted:
        return
    bench = Bench()
    try:
        for name in wanted:
            sections[name](bench)
            sys.stdout.flush()
    finally:
        bench.upstream.stop()
        shutil.rmtree(bench.work, ignore_errors=True)


if __name__ == "__main__":
    main()
