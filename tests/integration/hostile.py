"""An upstream registry that misbehaves on request."""
import hashlib
import http.server
import json
import threading
import time


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Upstream:
    """Serves manifests by tag and digest and blobs by digest; faults are functions by digest."""

    def __init__(self):
        self.manifests, self.blobs, self.types = {}, {}, {}
        self.cut, self.wrong, self.delay, self.log = {}, set(), {}, []
        self.lock = threading.Lock()
        self.stopped = False
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_HEAD(self):
                self.answer(False)

            def do_GET(self):
                self.answer(True)

            def answer(self, body):
                if outer.stopped:
                    self.connection.shutdown(2)
                    self.close_connection = True
                    return None
                with outer.lock:
                    outer.log.append((self.command, self.path, self.headers.get("Range")))
                parts = self.path.split("?")[0].split("/")
                kind, reference = (parts[-2], parts[-1]) if len(parts) > 3 else ("", "")
                if self.path == "/v2/":
                    return self.send(200, b"{}", "application/json", body)
                if kind == "manifests" and reference in outer.manifests:
                    data = outer.manifests[reference]
                    return self.send(200, data, outer.types[digest(data)], body, digest(data))
                if kind == "blobs" and reference in outer.blobs:
                    return self.blob(reference, body)
                return self.send(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"unknown"}]}',
                                 "application/json", body)

            def blob(self, reference, body):
                data = outer.blobs[reference]
                if reference in outer.wrong:
                    data = data[:-1] + bytes([data[-1] ^ 1])
                start = 0
                if self.headers.get("Range"):
                    start = int(self.headers["Range"].split("=")[1].split("-")[0])
                if reference in outer.delay:
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    for i in range(0, len(data), 65536):
                        self.wfile.write(data[i:i + 65536])
                        self.wfile.flush()
                        time.sleep(outer.delay[reference])
                    return None
                cuts = outer.cut.get(reference, 0)
                if cuts > 0:
                    outer.cut[reference] = cuts - 1
                    self.send_response(206 if start else 200)
                    if start:
                        self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
                    self.send_header("Content-Length", str(len(data) - start))
                    self.end_headers()
                    self.wfile.write(data[start:start + (len(data) - start) // 2])
                    self.wfile.flush()
                    self.connection.shutdown(2)
                    self.close_connection = True
                    return None
                if start:
                    self.send_response(206)
                    self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
                    self.send_header("Content-Length", str(len(data) - start))
                    self.end_headers()
                    self.wfile.write(data[start:])
                    return None
                return self.send(200, data, "application/octet-stream", body)

            def send(self, status, data, media_type, body, content_digest=None):
                self.send_response(status)
                self.send_header("Content-Type", media_type)
                self.send_header("Content-Length", str(len(data)))
                if content_digest:
                    self.send_header("Docker-Content-Digest", content_digest)
                self.end_headers()
                if body:
                    try:
                        self.wfile.write(data)
                    except OSError:
                        pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 1024

            def handle_error(self, request, client_address):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.stopped = True
        self.server.shutdown()
        self.server.server_close()

    def put_blob(self, data):
        self.blobs[digest(data)] = data
        return digest(data)

    def put_manifest(self, tag, data, media_type="application/vnd.oci.image.manifest.v1+json"):
        self.manifests[tag] = self.manifests[digest(data)] = data
        self.types[digest(data)] = media_type
        return digest(data)

    def put_image(self, tag, layers, config=None, diff_ids=None, sizes=None, layer_type=None, **extra):
        """An image of compressed layers as they are given."""
        document = {"architecture": "amd64", "os": "linux", "config": config or {"Cmd": ["/app"]},
                    "rootfs": {"type": "layers", "diff_ids": diff_ids or [digest(x) for x in layers]}}
        encoded = json.dumps(document).encode()
        manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                    "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
                               "digest": self.put_blob(encoded), "size": len(encoded)},
                    "layers": [{"mediaType": layer_type or "application/vnd.oci.image.layer.v1.tar+gzip",
                                "digest": self.put_blob(x), "size": (sizes or {}).get(i, len(x))}
                               for i, x in enumerate(layers)]}
        manifest.update(extra)
        return self.put_manifest(tag, json.dumps(manifest).encode())

    def gets(self, part):
        with self.lock:
            return sum(1 for method, path, _ in self.log if method == "GET" and part in path)
