"""What the images of the corpus are for, tried out: each probe gets a Box (box.py) with a running container, writes
something where the image can, reads it back, and raises Broken when that is not what was written."""
import json

import clients


class Broken(Exception):
    """The image does not do what it is for."""


def expect(what, seen, wanted):
    if seen != wanted:
        raise Broken(f"{what}: {seen!r}, not {wanted!r}")


def contains(what, text, part):
    if part not in text:
        raise Broken(f"{what}: no {part!r} in {text[-300:]!r}")


def page(port, part, path="/"):
    """A web server answers with a page; and with 404 for one that is not there."""
    def probe(box):
        status, text = box.until(lambda: clients.http(port, path))
        expect("status", status, 200)
        contains("page", text, part)
        expect("status of a page that is not there", clients.http(port, "/not-there/at-all")[0], 404)
    return probe


def notes(port, prefix="/notes"):
    """The applications of the corpus: POST keeps a text in a file, GET gives it back; and what else they use."""
    def probe(box):
        box.until(lambda: clients.http(port, prefix + "/absent"))
        status, _ = clients.http(port, prefix + "/first", "POST", "written by the probe")
        expect("status of the write", status in (200, 201, 204), True)
        status, text = clients.http(port, prefix + "/first")
        expect("what was written", (status, text.strip()), (200, "written by the probe"))
        status, text = clients.http(port, prefix + "-about")
        expect("status of the application's own checks", (status, text[-300:] if status != 200 else ""), (200, ""))
    return probe


def redis(box):
    r = clients.Redis(box.until(lambda: clients.connect(6379)[0].close() or 6379))
    box.until(lambda: r("PING"))
    expect("SET", r("SET", "key", "value"), "OK")
    expect("GET", r("GET", "key"), "value")
    expect("a script", r("EVAL", "return redis.call('GET', KEYS[1]) .. '!'", "1", "key"), "value!")
    before = r("LASTSAVE")
    box.wait(1.1)
    r("BGSAVE")
    box.until(lambda: r("LASTSAVE") > before or "status:err" in r("INFO", "persistence") or None)
    info = dict(line.split(":", 1) for line in r("INFO", "persistence").splitlines() if ":" in line)
    expect("the background save", info["rdb_last_bgsave_status"], "ok")


def postgres(password):
    def started():
        try:
            return clients.Postgres(5432, password=password)
        except clients.Refused as e:
            if "starting up" in str(e) or "shutting down" in str(e):
                return None
            raise

    def probe(box):
        sql = box.until(started, 90)
        sql("CREATE TABLE t (id serial PRIMARY KEY, word text, at timestamptz DEFAULT now())")
        sql("INSERT INTO t (word) VALUES ('written'), ('twice')")
        expect("rows", sql("SELECT word FROM t ORDER BY id"), [["written"], ["twice"]])
        sql("CREATE FUNCTION f(a int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN a + 1; END'")
        expect("a function", sql("SELECT f(1)"), [["2"]])
        expect("text search", sql("SELECT to_tsvector('english', 'running dogs') @@ to_tsquery('dog')"), [["t"]])
        expect("time zones", sql("SELECT timestamptz '2024-07-01 12:00+00' AT TIME ZONE 'Europe/Paris'"),
               [["2024-07-01 14:00:00"]])
        sql("CREATE COLLATION german (provider = icu, locale = 'de')")
        expect("icu", sql("SELECT 'a' < 'B' COLLATE german"), [["t"]])
        sql("CHECKPOINT")
        try:
            clients.Postgres(5432, password="wrong")
            raise Broken("a wrong password was taken")
        except clients.Refused:
            pass
    return probe


def mariadb(password):
    def probe(box):
        sql = box.until(lambda: clients.MySQL(3306, "root", password), 90)
        sql("CREATE DATABASE d")
        sql("CREATE TABLE d.t (id INT PRIMARY KEY AUTO_INCREMENT, word VARCHAR(20)) ENGINE=InnoDB")
        sql("INSERT INTO d.t (word) VALUES ('written'), ('twice')")
        expect("rows", sql("SELECT word FROM d.t ORDER BY id"), [["written"], ["twice"]])
        expect("a function", sql("SELECT UPPER(CONVERT('abc' USING utf8mb4))"), [["ABC"]])
        sql("FLUSH TABLES")
    return probe


def memcached(box):
    box.until(lambda: clients.ask(11211, b"version\r\n"))
    expect("set", clients.ask(11211, b"set key 0 60 5\r\nvalue\r\n"), b"STORED\r\n")
    expect("get", clients.ask(11211, b"get key\r\n", b"END\r\n"), b"VALUE key 0 5\r\nvalue\r\nEND\r\n")


def rabbitmq(box):
    def api(path, method="GET", body=None):
        status, text = clients.http(15672, "/api" + path, method, body, user="guest:guest")
        if status >= 400:
            raise ConnectionError(f"{status} {text}")
        return json.loads(text) if text else None
    box.until(lambda: api("/overview"), 120)
    api("/queues/%2F/q", "PUT", {"durable": True})
    out = api("/exchanges/%2F/amq.default/publish", "POST",
              {"properties": {"delivery_mode": 2}, "routing_key": "q", "payload": "written",
               "payload_encoding": "string"})
    expect("routed", out, {"routed": True})
    got = api("/queues/%2F/q/get", "POST", {"count": 1, "ackmode": "ack_requeue_false", "encoding": "auto"})
    expect("message", [m["payload"] for m in got], ["written"])


def both(*probes):
    def probe(box):
        for p in probes:
            p(box)
    return probe


def healthy(box):
    """The image's own health check says so."""
    box.until(lambda: box.health() == "healthy" or None, 60)


def says(*parts):
    """An image that runs to its end, successfully, and says something."""
    def probe(box):
        status, text = box.finished()
        expect("exit status", (status, text[-400:] if status else ""), (0, ""))
        for part in parts:
            contains("output", text, part)
    return probe
