"""/metrics: its format, what it counts, and that dashboard and alerts ask for what is there."""
import json
import os
import re

import yaml

from conftest import ROOT, request
from test_admin import MANUAL, Tag


def scrape(q):
    r = request(q.admin, "/metrics")
    assert r.status == 200 and r.headers["content-type"].startswith("text/plain; version=0.0.4")
    samples, types = {}, {}
    for line in r.body.decode().splitlines():
        if line.startswith("# TYPE "):
            name, kind = line.split()[2:]
            assert name not in types
            types[name] = kind
        elif not line.startswith("#"):
            m = re.fullmatch(r'([a-z_]+)(\{[^}]*\})? (\S+)', line)
            assert m, line
            base = re.sub(r"_(bucket|sum|count)$", "", m[1])
            assert m[1] in types or types.get(base) == "histogram", line
            samples[m[1] + (m[2] or "")] = float(m[3])
    return samples


def test_what_is_counted(fresh, upstream, work):
    q = fresh(policies=MANUAL)
    tag = Tag(upstream, work, "admin/metrics")
    tag.push("one")
    assert q.manifest("up.test/admin/metrics", "v1").status == 403
    [waiting] = q.api("/images?state=awaiting-approval").json()["images"]
    assert scrape(q)["quench_approvals_waiting"] == 1
    q.api(f"/images/{waiting['digest']}/approve", "POST")
    for _ in range(3):
        assert q.manifest("up.test/admin/metrics", "v1").status == 200
    m = scrape(q)
    assert m['quench_denials_total{reason="not-approved"}'] == 1
    assert m["quench_jobs_done_total"] == 1 and m["quench_approvals_waiting"] == 0 and m["quench_jobs_queued"] == 0
    assert m['quench_job_stage_seconds_count{stage="plan"}'] == 1
    assert m['quench_job_stage_seconds_bucket{stage="plan",le="+Inf"}'] == 1
    assert m["quench_upstream_bytes_total"] > 100 and m['quench_upstream_up{upstream="up.test"}'] == 1
    assert m["quench_pulls_total"] >= 2 and m["quench_layers_scanned_total"] >= 1


def test_dashboard_and_alerts_name_what_there_is(quench):
    known = {re.sub(r"\{.*", "", name) for name in scrape(quench)} | {"quench_upstream_rate_remaining",
                                                                     "quench_upstream_rate_limit"}
    with open(os.path.join(ROOT, "conf/grafana/quench.json")) as f:
        asked = [t["expr"] for p in json.load(f)["panels"] for t in p["targets"]]
    with open(os.path.join(ROOT, "conf/prometheus/alerts.yaml")) as f:
        asked += [r["expr"] for g in yaml.safe_load(f)["groups"] for r in g["rules"]]
    used = set(re.findall(r"quench_[a-z_]+", " ".join(asked)))
    assert len(used) > 30 and used <= known, used - known


def test_denials_of_every_kind(quench):
    """What no pull was made for counts as well: a name that leads nowhere, on both listeners."""
    before = scrape(quench).get('quench_denials_total{reason="unknown-upstream"}', 0)
    assert quench.manifest("nowhere.test/x", "v1").status == 404
    assert quench.manifest("x", "v1", port=quench.mirror, suffix="?ns=nowhere.test").headers["quench-denied"]
    assert scrape(quench)['quench_denials_total{reason="unknown-upstream"}'] == before + 2
