"""The admin API against its own description: every operation, with requests that a schema-driven tester makes up."""
import os
import re
import subprocess

import pytest

import engines
from test_admin import Tag

# A request that no schema can tell to be wrong is answered with 400 now and then (a path that makes a target too long).
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance," \
         "negative_data_rejection,missing_required_header"


def test_every_operation(fresh, upstream, work, tmp_path):
    st = engines.schemathesis()
    if not st:
        pytest.skip("schemathesis is not here")
    q = fresh(local=[{"name": "apps"}])
    tag = Tag(upstream, work, "admin/openapi")
    tag.push("one")
    assert q.manifest("up.test/admin/openapi", "v1").status == 200
    r = subprocess.run([st, "run", f"http://127.0.0.1:{q.admin}/api/v1/openapi.json", "-H",
                        "Authorization: Bearer " + q.token(), "--url", f"http://127.0.0.1:{q.admin}",
                        "--checks", CHECKS,
                        "--max-examples", "8", "--phases", "coverage,fuzzing", "--continue-on-failure"],
                       capture_output=True, text=True, cwd=tmp_path, timeout=400, env={**os.environ, "NO_COLOR": "1"})
    assert r.returncode == 0, r.stdout[-6000:] + r.stderr[-500:]
    document = q.api("/openapi.json").json()
    refused = q.api("/images", "PUT")
    assert refused.status == 405 and refused.headers["allow"] == "GET, POST"
    operations = sum(len(item) for item in document["paths"].values())
    tested = re.search(r"Tested: (\d+)", r.stdout)
    assert int(tested[1]) >= operations - 1, r.stdout[-2000:]  # how the document itself counts depends on the version
