"""Images of applications: an interpreter of the distribution, or one brought along, and a program that keeps notes.

Every application has POST and GET of /notes/NAME, and /notes-about, which tries what such programs use at run time
(TLS, compression, time zones, names, locales) and answers 200 or 500."""
import probes
from image import Image
from servers import PATH

FLASK = """import ctypes.util, json, locale, os, sqlite3, ssl, subprocess, zlib, bz2, lzma, zoneinfo, datetime, decimal
import multiprocessing, socket, pwd, uuid, unicodedata, xml.etree.ElementTree
from flask import Flask, request, abort
import yaml, jinja2
app = Flask(__name__)
STORE = os.environ.get("STORE", "/srv/notes")

@app.route("/notes/<name>", methods=["POST"])
def write(name):
    with sqlite3.connect(os.path.join(STORE, "notes.db")) as db:
        db.execute("CREATE TABLE IF NOT EXISTS note (name TEXT PRIMARY KEY, text TEXT)")
        db.execute("INSERT OR REPLACE INTO note VALUES (?, ?)", (name, request.get_data(as_text=True)))
    return "", 204

@app.route("/notes/<name>")
def read(name):
    with sqlite3.connect(os.path.join(STORE, "notes.db")) as db:
        db.execute("CREATE TABLE IF NOT EXISTS note (name TEXT PRIMARY KEY, text TEXT)")
        row = db.execute("SELECT text FROM note WHERE name = ?", (name,)).fetchone()
    return row[0] if row else abort(404)

@app.route("/notes-about")
def about():
    assert ssl.create_default_context().cert_store_stats()["x509_ca"] > 50, "no trust store"
    for module in (zlib, bz2, lzma):
        assert module.decompress(module.compress(b"x")) == b"x"
    noon = datetime.datetime(2024, 7, 1, 12, tzinfo=zoneinfo.ZoneInfo("Europe/Paris"))
    assert noon.utcoffset().seconds == 7200
    assert pwd.getpwuid(os.getuid()).pw_name, "no name"
    assert socket.gethostbyname("localhost") == "127.0.0.1"
    assert locale.setlocale(locale.LC_ALL, "C.UTF-8")
    assert yaml.safe_load("a: [1]") == {"a": [1]} and jinja2.Template("{{ 1 + 1 }}").render() == "2"
    assert uuid.uuid4() and unicodedata.name("a") and multiprocessing.cpu_count()
    return json.dumps({"user": os.getuid()})
"""

NODE = """const http = require('http'), fs = require('fs'), path = require('path'), crypto = require('crypto');
const zlib = require('zlib'), dns = require('dns'), tls = require('tls'), worker = require('worker_threads');
const greet = require('greeting');
const store = process.env.STORE || '/srv/notes';
function about(res) {
  try {
    if (greet('you') !== 'hello you') throw new Error('module');
    if (zlib.gunzipSync(zlib.gzipSync('x')).toString() !== 'x') throw new Error('zlib');
    if (crypto.createHash('sha256').update('x').digest('hex').length !== 64) throw new Error('crypto');
    if (new Date(Date.UTC(2024, 6, 1, 12)).toLocaleString('en-GB', {timeZone: 'Europe/Paris'}).indexOf('14:00') < 0)
      throw new Error('time zones');
    if (new Intl.NumberFormat('de').format(1234.5) !== '1.234,5') throw new Error('icu');
    if (tls.rootCertificates.length < 50) throw new Error('tls');
    dns.lookup('localhost', (e) => {
      if (e) { res.writeHead(500); return res.end(String(e)); }
      new worker.Worker('require("worker_threads").parentPort.postMessage(1)', {eval: true})
        .on('message', () => { res.writeHead(200); res.end('ok'); })
        .on('error', (w) => { res.writeHead(500); res.end(String(w)); });
    });
  } catch (e) { res.writeHead(500); res.end(String(e.stack)); }
}
http.createServer((req, res) => {
  const file = path.join(store, path.basename(req.url));
  if (req.url === '/notes-about') return about(res);
  if (req.method === 'POST') {
    const out = fs.createWriteStream(file);
    out.on('error', (e) => { res.writeHead(500); res.end(String(e)); });
    return req.pipe(out).on('finish', () => { res.writeHead(204); res.end(); });
  }
  fs.readFile(file, (e, data) => { res.writeHead(e ? 404 : 200); res.end(e ? '' : data); });
}).listen(3000);
process.on('SIGTERM', () => process.exit(0));
"""
NODE_ENTRY = """#!/bin/sh
set -e
# Run with node if the first argument contains a "-" or is not a command of the system.
if [ "${1#-}" != "${1}" ] || [ -z "$(command -v "${1}")" ] || { [ -f "${1}" ] && ! [ -x "${1}" ]; }; then
  set -- node "$@"
fi
exec "$@"
"""

IMAGES = [
    Image("flask", {"Cmd": ["gunicorn", "--bind", "0.0.0.0:8000", "--workers", "2", "app:app"],
                    "WorkingDir": "/srv/app",
                    "Env": ["PATH=/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                            "PYTHONUNBUFFERED=1", "VIRTUAL_ENV=/opt/venv"],
                    "ExposedPorts": {"8000/tcp": {}}},
          probes.notes(8000), packages=["python3", "python3-venv", "python3-flask", "python3-yaml", "gunicorn",
                                        "ca-certificates", "tzdata"],
          hook="python3 -m venv --copies /opt/venv\n"
               "for m in flask werkzeug jinja2 markupsafe itsdangerous click yaml _yaml gunicorn pkg_resources "
               "setuptools; do\n"
               "  [ ! -e /usr/lib/python3/dist-packages/$m ] || cp -r /usr/lib/python3/dist-packages/$m "
               "/opt/venv/lib/python3.11/site-packages/; done\n"
               "printf '#!/opt/venv/bin/python3\\nimport sys\\nfrom gunicorn.app.wsgiapp import run\\n"
               "sys.exit(run())\\n' "
               "> /opt/venv/bin/gunicorn; chmod 755 /opt/venv/bin/gunicorn",
          layers=[{"srv/app/app.py": FLASK, "srv/notes": (None, 0o777),
                   "srv/app/requirements.txt": "flask\ngunicorn\n"}],
          tmpfs=["/srv/notes"], variants={"user": ["--user", "1000:1000", "--cap-drop", "ALL"]}),
    Image("node", {"Entrypoint": ["docker-entrypoint.sh"], "Cmd": ["node", "server.js"], "WorkingDir": "/app",
                   "Env": [PATH, "NODE_ENV=production"], "ExposedPorts": {"3000/tcp": {}}},
          probes.notes(3000), packages=["nodejs", "tzdata"],
          layers=[{"usr/local/bin/docker-entrypoint.sh": (NODE_ENTRY, 0o755)},
                  {"app/server.js": NODE, "app/package.json": '{"name": "notes", "version": "1.0.0"}\n',
                   "app/node_modules/greeting/package.json": '{"name": "greeting", "version": "2.0.0"}\n',
                   "app/node_modules/greeting/index.js": "module.exports = (who) => `hello ${who}`;\n",
                   "srv/notes": (None, 0o755)}],
          tmpfs=["/srv/notes"]),
]
