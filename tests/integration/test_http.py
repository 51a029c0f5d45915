"""Malformed and smuggled HTTP, slow and idle clients, against the daemon itself."""
import re
import socket
import time

import pytest

from conftest import answers, wait_for


def talk(port, data, seconds=3):
    """Sends raw bytes; gives everything that comes back until the connection closes or nothing more comes."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as s:
        s.sendall(data)
        out = b""
        try:
            while True:
                part = s.recv(65536)
                if not part:
                    return out, True
                out += part
        except TimeoutError:
            return out, False
        except OSError:
            return out, True


def statuses(data):
    return [int(x) for x in re.findall(rb"HTTP/1\.[01] (\d{3})", data)]


SMUGGLED = b"GET /v2/smuggled/manifests/x HTTP/1.1\r\nHost: a\r\n\r\n"
CASES = {
    "two lengths": b"GET /v2/ HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 0\r\n\r\n" + SMUGGLED,
    "lengths in a list": b"GET /v2/ HTTP/1.1\r\nHost: a\r\nContent-Length: 0, 5\r\n\r\n" + SMUGGLED,
    "length and chunked": (b"GET /v2/ HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
                           b"0\r\n\r\n" + SMUGGLED),
    "two encodings": (b"GET /v2/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
                      b"Transfer-Encoding: identity\r\n\r\n0\r\n\r\n" + SMUGGLED),
    "odd encoding": b"GET /v2/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n" + SMUGGLED,
    "blank before the colon": b"GET /v2/ HTTP/1.1\r\nHost: a\r\nContent-Length : 50\r\n\r\n" + SMUGGLED,
    "two hosts": b"GET /v2/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" + SMUGGLED,
    "no host": b"GET /v2/ HTTP/1.1\r\n\r\n",
    "negative length": b"GET /v2/ HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n" + SMUGGLED,
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64 + b"\r\n\r\n",
    "no method": b"/v2/ HTTP/1.1\r\nHost: a\r\n\r\n",
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_ambiguous_requests_are_refused(quench, name):
    data, closed = talk(quench.registry, CASES[name])
    assert b"smuggled" not in data
    assert all(s >= 400 for s in statuses(data)), data[:300]
    assert len(statuses(data)) <= 2 and closed
    assert answers(quench.registry)


TARGETS = ["/v2/%2e%2e/etc/passwd", "/v2/a/../../x/manifests/y", "/v2//manifests/x", "/v2/a%2fb/manifests/x",
           "/v2/a/manifests/x%00", "/v2/A/manifests/x", "/v2/a/manifests/..", "/v2/a/blobs/sha256:../../x",
           "/v2/a/blobs/sha256:" + "G" * 64, "/v2/" + "a" * 300 + "/manifests/x"]


@pytest.mark.parametrize("target", TARGETS)
def test_odd_targets_are_refused(quench, target):
    data, _ = talk(quench.registry, f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
    assert statuses(data)[0] in (400, 404), data[:200]
    assert b"root:" not in data


def test_large_headers_are_bounded(quench):
    data, closed = talk(quench.registry, b"GET /v2/ HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 200000 + b"\r\n\r\n")
    assert closed and all(s >= 400 for s in statuses(data))
    assert answers(quench.registry)


def test_pipelined_requests_are_answered_in_order(quench):
    data, _ = talk(quench.registry, b"GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n" * 3 +
                   b"GET /v2/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert statuses(data) == [200] * 4


def test_slow_headers_are_cut(quench):
    """One byte a second is not enough: the connection ends while others are served."""
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", quench.registry)) as s:
        s.sendall(b"GET /v2/ HTTP/1.1\r\nHost: a\r\nX-Slow: ")
        s.settimeout(0.2)
        closed = False
        while time.monotonic() - started < 20 and not closed:
            try:
                s.sendall(b"a")
                closed = s.recv(4096) == b""
            except TimeoutError:
                pass
            except OSError:
                closed = True
            time.sleep(0.5)
    assert closed and time.monotonic() - started < 18
    assert answers(quench.registry)


def test_two_thousand_idle_connections(fresh):
    q = fresh(limits={"per_client": 3000, "connections": 4096})
    before = q.memory_kib()
    idle = []
    try:
        for _ in range(2000):
            idle.append(socket.create_connection(("127.0.0.1", q.registry)))
        for _ in range(20):
            assert q.get("/v2/").status == 200
        assert q.memory_kib() - before < 2000 * 8 + 10 * 1024
    finally:
        for s in idle:
            s.close()


def test_one_client_cannot_take_every_connection(fresh):
    q = fresh(limits={"per_client": 20})
    sockets = [socket.create_connection(("127.0.0.1", q.registry)) for _ in range(40)]
    time.sleep(1)
    closed = 0
    for s in sockets:
        s.settimeout(0.05)
        try:
            closed += s.recv(1) == b""
        except TimeoutError:
            pass
        except OSError:
            closed += 1
    for s in sockets:
        s.close()
    assert closed >= 20


@pytest.mark.parametrize("proxies,client", [([], "127.0.0.1"), (["10.0.0.0/8"], "127.0.0.1"),
                                            (["127.0.0.0/8", "10.0.0.0/8"], "198.51.100.7")])
def test_forwarded_addresses_of_trusted_proxies_only(fresh, proxies, client):
    """The log names the address that the nearest trusted proxy saw, never what the client made up."""
    q = fresh(listen={"trusted_proxies": proxies})
    q.get("/v2/asked", headers={"X-Forwarded-For": "192.0.2.1, 198.51.100.7, 10.1.2.3"})
    line = wait_for("the log line", lambda: next((s for s in q.log().splitlines() if "/v2/asked" in s), None))
    assert re.search(r'"?peer"?[=:] ?"?([0-9.]+)', line)[1] == client, line


def test_push_is_refused(quench):
    for method, path, port, want in (
            ("POST", "/v2/up.test/a/blobs/uploads/", quench.registry, 403),
            ("PUT", "/v2/up.test/a/manifests/x", quench.registry, 403),
            ("DELETE", "/v2/up.test/a/manifests/x", quench.registry, 403),
            ("POST", "/v2/a/blobs/uploads/", quench.mirror, 405)):
        from conftest import request
        r = request(port, path, method, {"Content-Type": "application/json"}, "{}")
        assert r.status == want, (method, path, r.status, r.body)
        assert r.json()["errors"][0]["code"] in ("DENIED", "UNSUPPORTED")
