"""Small clients of the servers in the corpus: enough to write something, read it back and see that it is the same.
They connect to 127.0.0.1 of the network namespace in which they are called."""
import base64
import hashlib
import hmac
import json
import os
import socket
import struct
import urllib.error
import urllib.request

TIMEOUT = 10


class Refused(Exception):
    """The server answered, and the answer is an error."""


def connect(port):
    s = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)
    return s, s.makefile("rb")


def take(stream, n):
    data = stream.read(n)
    if len(data) != n:
        raise ConnectionError("the server closed the connection")
    return data


def http(port, path="/", method="GET", body=None, headers=None, user=None):
    """(status, text) of a request; errors of the server are statuses as well."""
    headers = dict(headers or {})
    if user:
        headers["Authorization"] = "Basic " + base64.b64encode(user.encode()).decode()
    if isinstance(body, (dict, list)):
        body, headers["Content-Type"] = json.dumps(body), "application/json"
    data = body.encode() if isinstance(body, str) else body
    r = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, headers, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(r, timeout=TIMEOUT) as answer:
            return answer.status, answer.read().decode(errors="replace")
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode(errors="replace")


def ask(port, line, until=b"\n"):
    """Sends a line, reads up to a mark."""
    s, f = connect(port)
    with s, f:
        s.sendall(line)
        data = b""
        while until not in data:
            more = f.readline()
            if not more:
                raise ConnectionError("the server closed the connection")
            data += more
        return data


class Redis:
    """RESP version 2."""

    def __init__(self, port):
        self.socket, self.stream = connect(port)

    def __call__(self, *words):
        words = [w.encode() if isinstance(w, str) else w for w in words]
        self.socket.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
        return self.answer()

    def answer(self):
        line = self.stream.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the server closed the connection")
        kind, rest = line[:1], line[1:-2].decode()
        if kind == b"-":
            raise Refused(rest)
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == "-1" else take(self.stream, int(rest) + 2)[:-2].decode()
        if kind == b"*":
            return [self.answer() for _ in range(int(rest))]
        return rest


class Postgres:
    """The frontend protocol 3.0 with simple queries; trust, MD5 and SCRAM-SHA-256."""

    def __init__(self, port, user="postgres", password="", database="postgres"):
        self.socket, self.stream = connect(port)
        body = struct.pack("!i", 196608)
        for key, value in (("user", user), ("database", database)):
            body += key.encode() + b"\0" + value.encode() + b"\0"
        self.socket.sendall(struct.pack("!i", len(body) + 5) + body + b"\0")
        while True:
            kind, data = self.message()
            if kind == b"R":
                self.authenticate(data, user, password)
            elif kind == b"Z":
                return

    def message(self):
        kind = take(self.stream, 1)
        data = take(self.stream, struct.unpack("!i", take(self.stream, 4))[0] - 4)
        if kind == b"E":
            fields = [f for f in data.split(b"\0") if f[:1] == b"M"]
            raise Refused(fields[0][1:].decode() if fields else "error")
        return kind, data

    def send(self, kind, data):
        self.socket.sendall(kind + struct.pack("!i", len(data) + 4) + data)

    def authenticate(self, data, user, password):
        method = struct.unpack("!i", data[:4])[0]
        if method == 0 or method == 12:
            return
        if method == 5:
            inner = hashlib.md5((password + user).encode()).hexdigest()
            self.send(b"p", b"md5" + hashlib.md5(inner.encode() + data[4:8]).hexdigest().encode() + b"\0")
        elif method == 10:
            self.nonce = base64.b64encode(os.urandom(18)).decode()
            self.first = f"n=,r={self.nonce}"
            first = ("n,," + self.first).encode()
            self.send(b"p", b"SCRAM-SHA-256\0" + struct.pack("!i", len(first)) + first)
        elif method == 11:
            self.send(b"p", self.scram(data[4:].decode(), password))
        else:
            raise Refused(f"authentication method {method}")

    def scram(self, server, password):
        parts = dict(p.split("=", 1) for p in server.split(","))
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(parts["s"]), int(parts["i"]))
        final = "c=biws,r=" + parts["r"]
        key = hmac.digest(salted, b"Client Key", "sha256")
        auth = ",".join((self.first, server, final)).encode()
        signature = hmac.digest(hashlib.sha256(key).digest(), auth, "sha256")
        proof = bytes(a ^ b for a, b in zip(key, signature))
        return (final + ",p=" + base64.b64encode(proof).decode()).encode()

    def __call__(self, query):
        """Rows of text."""
        self.send(b"Q", query.encode() + b"\0")
        rows, problem = [], None
        while True:
            try:
                kind, data = self.message()
            except Refused as e:
                problem = e
                continue
            if kind == b"D":
                rows.append(self.row(data))
            elif kind == b"Z":
                if problem:
                    raise problem
                return rows

    @staticmethod
    def row(data):
        count, at, out = struct.unpack("!h", data[:2])[0], 2, []
        for _ in range(count):
            n = struct.unpack("!i", data[at:at + 4])[0]
            at += 4
            out.append(None if n < 0 else data[at:at + n].decode())
            at += max(n, 0)
        return out


class MySQL:
    """The client protocol 4.1 with mysql_native_password and text results."""

    def __init__(self, port, user, password):
        self.socket, self.stream = connect(port)
        hello = self.packet()
        at = hello.index(b"\0", 1) + 1
        salt = hello[at + 4:at + 12] + hello[at + 31:at + 43]
        once = hashlib.sha1(password.encode()).digest()
        mask = hashlib.sha1(salt + hashlib.sha1(once).digest()).digest()
        token = bytes(a ^ b for a, b in zip(once, mask)) if password else b""
        flags = 0x0200 | 0x8000 | 0x80000  # protocol 4.1, secure connection, authentication plug-ins
        self.send(struct.pack("<IIB23x", flags, 1 << 24, 33) + user.encode() + b"\0" + bytes([len(token)]) + token +
                  b"mysql_native_password\0", 1)
        self.check(self.packet())

    def packet(self):
        head = take(self.stream, 4)
        return take(self.stream, head[0] | head[1] << 8 | head[2] << 16)

    def send(self, data, number=0):
        self.socket.sendall(struct.pack("<I", len(data))[:3] + bytes([number]) + data)

    @staticmethod
    def check(data):
        if data[:1] == b"\xff":
            raise Refused(data[9:].decode(errors="replace"))
        return data

    def __call__(self, query):
        self.send(b"\3" + query.encode())
        first = self.check(self.packet())
        if first[0] == 0:
            return []
        for _ in range(first[0] + 1):  # the columns and their end
            self.packet()
        rows = []
        while True:
            data = self.check(self.packet())
            if data[:1] == b"\xfe" and len(data) < 9:
                return rows
            at, row = 0, []
            while at < len(data):
                n = data[at]
                row.append(None if n == 251 else data[at + 1:at + 1 + n].decode())
                at += 1 + (0 if n == 251 else n)
            rows.append(row)
