"""What the tests of pushing share: a daemon with local repositories, and the protocol step by step."""
import hashlib
import json

import make_image
from conftest import blob_bytes, request

OCI = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
EMPTY = "application/vnd.oci.empty.v1+json"
OCTETS = {"Content-Type": "application/octet-stream"}
EVERYBODY = {"rules": [{"who": ["*"], "actions": ["pull", "push", "delete"]}]}
LOCAL = [{"name": "apps"}, {"name": "sparse", "sparse": True}, {"name": "hard", "harden_on_push": True}]


def sha(data, algorithm="sha256"):
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def code(response):
    return response.json()["errors"][0]["code"]


class Client:
    """Pushes to one repository of a registry on loopback."""

    def __init__(self, port, repository):
        self.port, self.repository = port, repository

    def call(self, method, path, headers=None, body=None, timeout=120):
        return request(self.port, path if path.startswith("/v2/") else f"/v2/{self.repository}{path}", method, headers,
                       body, timeout)

    def start(self, query=""):
        r = self.call("POST", "/blobs/uploads/" + query)
        assert r.status == 202, (r.status, r.body)
        return r.headers["location"]

    def patch(self, location, data, first=None, **headers):
        if first is not None:
            headers["Content-Range"] = f"{first}-{first + len(data) - 1}"
        return self.call("PATCH", location, {**OCTETS, **headers}, data)

    def finish(self, location, digest, data=None):
        return self.call("PUT", f"{location}?digest={digest}", OCTETS, data)

    def blob(self, data, algorithm="sha256"):
        digest = sha(data, algorithm)
        r = self.finish(self.start(), digest, data)
        assert r.status == 201, (r.status, r.body)
        return digest

    def put(self, reference, document, media_type=None, headers=None):
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        media_type = media_type or json.loads(data).get("mediaType", OCI)
        return self.call("PUT", f"/manifests/{reference}", {"Content-Type": media_type, **(headers or {})}, data)

    def get(self, reference, method="GET", **headers):
        return self.call(method, f"/manifests/{reference}", {"Accept": f"{OCI}, {INDEX}", **headers})

    def get_blob(self, digest, method="GET"):
        return self.call(method, f"/blobs/{digest}")

    def descriptor(self, data, media_type="application/octet-stream"):
        return {"mediaType": media_type, "digest": self.blob(data), "size": len(data)}

    def artifact(self, content=b"content", kind="application/vnd.test.thing", **members):
        """A manifest of an artifact, whose blobs are pushed."""
        return {"schemaVersion": 2, "mediaType": OCI, "artifactType": kind,
                "config": self.descriptor(b"{}", EMPTY), "layers": [self.descriptor(content)], **members}

    def push_layout(self, layout, descriptor, reference):
        """An image or an index of an OCI layout with everything below it."""
        data = blob_bytes(layout, descriptor["digest"])
        document = json.loads(data)
        for child in document.get("manifests", []):
            self.push_layout(layout, child, child["digest"])
        for blob in document.get("layers", []) + [document["config"]] if "config" in document else []:
            if self.get_blob(blob["digest"], "HEAD").status != 200:
                self.blob(blob_bytes(layout, blob["digest"]))
        r = self.put(reference, data, descriptor["mediaType"])
        assert r.status == 201, (r.status, r.body)
        return r


def image_layers(name):
    """A small image with something to harden: a setuid file and a manual page."""
    return [make_image.file_layer({"app": (f"#!/bin/sh\necho {name}\n", 0o755), "bin/sh": ("not a shell\n", 0o755),
                                   "usr/bin/su": ("not su\n", 0o4755), "usr/share/man/man1/x.1": "manual\n",
                                   "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n"})]
