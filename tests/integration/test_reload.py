"""SIGHUP: settings, users and certificates change while connections go on."""
import http.client
import os
import signal
import socket
import ssl
import subprocess
import threading

import pytest
import yaml

from conftest import request, wait_for
from test_admin import Tag
from test_auth import basic, status, write_users


@pytest.fixture
def tag(upstream, work, request):
    return Tag(upstream, work, "admin/reload-" + request.node.name.replace("_", "-"))


def reconfigure(q, **changes):
    q.config.update(changes)
    with open(q.config_path, "w") as f:
        yaml.safe_dump(q.config, f)
    before = q.log().count("configuration ")
    q.process.send_signal(signal.SIGHUP)
    wait_for("the reload", lambda: q.log().count("configuration ") > before)


def test_policies_and_tokens_change(fresh, tag):
    q = fresh()
    source = tag.push("one")
    name = "up.test/" + tag.name
    hardened = q.manifest(name, "v1").headers["docker-content-digest"]
    assert hardened != source
    keep = http.client.HTTPConnection("127.0.0.1", q.registry)
    keep.request("GET", "/v2/")
    keep.getresponse().read()
    connection = keep.sock
    reconfigure(q, policies=[{"name": "plain", "match": ["up.test/**"], "mode": "off"}])
    assert q.manifest(name, "v1").headers["docker-content-digest"] == source
    keep.request("GET", "/v2/")
    assert keep.getresponse().status == 200 and keep.sock is connection
    reconfigure(q, policies=[], admin={"tokens": [{"name": "new", "role": "read", "token": "n" * 20}]})
    assert q.manifest(name, "v1").headers["docker-content-digest"] == hardened
    assert request(q.admin, "/api/v1/policies", headers={"Authorization": "Bearer " + "n" * 20}).status == 200
    assert q.api("/policies").status == 401
    # what is wrong is said, and nothing changes
    reconfigure(q, policies=[{"name": "broken", "profile": "nonsense"}])
    assert "the old one stays" in q.log() and q.manifest(name, "v1").headers["docker-content-digest"] == hardened
    q.config["storage"]["max_size"] = "5GiB"
    reconfigure(q, policies=[])
    assert "storage.max_size" in q.log()


def test_upstreams_and_users_change(fresh, work, upstream, tag):
    path = os.path.join(work, "htpasswd-reload")
    write_users(path, {"a": "a"})
    q = fresh()
    tag.push("one")
    assert request(q.registry, "/v2/").status == 200
    reconfigure(q, auth={"htpasswd": path, "rules": [{"who": ["a"]}]},
                upstreams=[{**q.config["upstreams"][0], "name": "other.test"}], default_upstream="other.test")
    assert status(q, "/v2/") == 401 and status(q, "/v2/", headers=basic("a", "a")) == 200
    assert status(q, f"/v2/other.test/{tag.name}/manifests/v1", headers=basic("a", "a")) == 200
    assert status(q, f"/v2/up.test/{tag.name}/manifests/v1", headers=basic("a", "a")) == 404
    q.config.pop("auth")
    reconfigure(q)
    assert status(q, "/v2/") == 200


def test_reloads_under_load(fresh, tag):
    q = fresh()
    tag.push("one")
    stop, wrong = threading.Event(), []

    def pull():
        while not stop.is_set():
            r = q.manifest("up.test/" + tag.name, "v1")
            if r.status != 200:
                wrong.append(r.body)
    threads = [threading.Thread(target=pull) for _ in range(4)]
    for t in threads:
        t.start()
    for i in range(12):
        profile = ("safe", "standard", "strict")[i % 3]
        reconfigure(q, policies=[{"name": f"p{i % 3}", "match": ["**"], "profile": profile}])
    stop.set()
    for t in threads:
        t.join()
    assert not wrong, wrong[:3]
    assert q.stop() == 0


def certificate(directory, name):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-days", "2", "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1",
                    "-keyout", directory / "new.key", "-out", directory / "new.crt"], check=True, capture_output=True)
    os.rename(directory / "new.key", directory / "key.pem")
    os.rename(directory / "new.crt", directory / "cert.pem")


def tls(port):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port)))


def shown(connection):
    der = connection.getpeercert(binary_form=True)
    return subprocess.run(["openssl", "x509", "-inform", "DER", "-noout", "-subject"], input=der, check=True,
                          capture_output=True).stdout.decode()


def ask(connection):
    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    got = b""
    while not got.endswith(b"ok\n"):
        piece = connection.recv(65536)
        assert piece, got
        got += piece
    return got


def test_certificates_change(work, upstream, tmp_path, images):
    from conftest import QUENCH, Process, free_port
    certificate(tmp_path, "first")
    port = free_port()
    config = {"storage": {"root": str(tmp_path / "root")},
              "listen": {"registry": [f"127.0.0.1:{port}"], "mirror": [], "admin": [],
                         "tls": {"cert": str(tmp_path / "cert.pem"), "key": str(tmp_path / "key.pem")}}}
    path = tmp_path / "quench.yaml"
    path.write_text(yaml.safe_dump(config))
    p = Process([QUENCH, "serve", "-c", str(path)], str(tmp_path / "log"))

    def reload():
        before = p.log().count("configuration ")
        p.process.send_signal(signal.SIGHUP)
        wait_for("the reload", lambda: p.log().count("configuration ") > before)
    try:
        wait_for("the start", lambda: "ready" in p.log())
        old = tls(port)
        assert "first" in shown(old) and b"200 OK" in ask(old)
        certificate(tmp_path, "second")
        reload()
        with tls(port) as new:
            assert "second" in shown(new) and b"200 OK" in ask(new)
        assert b"200 OK" in ask(old)  # the old connection goes on
        (tmp_path / "cert.pem").write_text("nonsense")
        reload()
        assert "the old one stays" in p.log()
        with tls(port) as new:
            assert "second" in shown(new) and b"200 OK" in ask(new)
        assert b"200 OK" in ask(old)
        old.close()
    finally:
        assert p.stop() == 0, p.log()
