"""quench harden and quench inspect as people and pipelines use them."""
import gzip
import hashlib
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import threading
import time

import pytest

import conftest
import make_image
from cli_fixtures import (DATA, SYSTEM, blob, cli, content, descriptor, document, images, load, packed,
                          raw_image)
from conftest import QUENCH, Registry, wait_for

assert cli and images  # fixtures

REPORT = {"schema", "platform", "source", "hardened", "engine", "policy", "before", "after", "layers", "packages",
          "rules", "kept", "findings", "controls", "verification"}
FIGURES = {"compressed_bytes", "bytes", "files", "packages", "elf", "executables", "setuid", "file_caps", "shells",
           "world_writable", "accounts"}
DENY = 'policies: [{name: default, match: ["**"], remove: {paths: ["/etc/passwd"]}, on_doubt: %s}]\n'


# --- results --------------------------------------------------------------------------------------------------------
def test_twice_gives_the_same_bytes(cli, images):
    cli.ok("harden", f"oci:{images}:v1", "oci:a:v1", "--report", "a.json")
    cli.ok("harden", f"oci:{images}:v1", "oci:b:v1", "--report", "b.json")
    a, b = content(cli.path("a")), content(cli.path("b"))
    assert a == b and len(a) == 6  # two layers, config, manifest, index.json, oci-layout
    assert content(cli.directory)["a.json"] == content(cli.directory)["b.json"]
    text = b"".join(a.values())
    for word in (cli.directory.encode(), images.encode(), socket.gethostname().encode()):
        assert word not in text


def test_only_what_a_rule_touches_changes(cli, images):
    cli.ok("harden", f"oci:{images}:v1", "oci:out:v1", "--report", "r.json")
    before, after = document(images, "v1"), document(cli.path("out"), "v1")
    assert after["layers"][0] == before["layers"][0]
    assert after["layers"][1]["digest"] != before["layers"][1]["digest"]
    source = descriptor(images, "v1")["digest"]
    assert after["annotations"]["org.opencontainers.image.base.digest"] == source
    policy = after["annotations"]["io.quench.policy"]
    assert re.fullmatch(r"default@sha256:[0-9a-f]{64}", policy)
    config = json.loads(blob(cli.path("out"), after["config"]["digest"]))
    assert config["config"]["Labels"]["io.quench.source"] == source
    assert config["config"]["Labels"]["io.quench.policy"] == policy
    assert config["rootfs"]["diff_ids"][0] == json.loads(blob(images, before["config"]["digest"]))["rootfs"][
        "diff_ids"][0]
    report = load(cli.path("r.json"))[0]
    assert [layer["state"] for layer in report["layers"]] == ["unchanged", "rewritten"]
    assert report["source"]["digest"] == source
    assert report["hardened"]["digest"] == descriptor(cli.path("out"), "v1")["digest"]


def test_hardening_a_result_changes_nothing(cli, images):
    cli.ok("harden", f"oci:{images}:v1", "oci:one:v1")
    cli.ok("harden", "oci:one:v1", "oci:two:v1")
    assert content(cli.path("one")) == content(cli.path("two"))


def test_oci_archive_round_trip(cli, images):
    cli.ok("harden", f"oci:{images}:v1", "oci:dir:v1")
    cli.ok("harden", f"oci:{images}:v1", "oci-archive:file.tar:v1")
    cli.ok("harden", "oci-archive:file.tar:v1", "oci:back:v1")
    assert content(cli.path("dir")) == content(cli.path("back"))
    seen = subprocess.run(["skopeo", "inspect", "--format", "{{.Digest}}", f"oci-archive:{cli.path('file.tar')}:v1"],
                          capture_output=True, text=True, check=True, env=dict(os.environ, TMPDIR=cli.path()))
    assert seen.stdout.strip() == descriptor(cli.path("dir"), "v1")["digest"]


def test_docker_archive_round_trip(cli, images):
    cli.ok("harden", f"oci:{images}:v1", "docker-archive:file.tar:my/app:1")
    seen = subprocess.run(["skopeo", "inspect", "--config", f"docker-archive:{cli.path('file.tar')}:my/app:1"],
                          capture_output=True, text=True, check=True, env=dict(os.environ, TMPDIR=cli.path()))
    config = json.loads(seen.stdout)
    assert config["config"]["Labels"]["io.quench.source"] == descriptor(images, "v1")["digest"]
    r = cli.ok("harden", "--dry-run", "--format", "json", "docker-archive:file.tar")
    report = json.loads(r.stdout)[0]
    assert report["source"] == report["hardened"]  # nothing is left to do
    subprocess.run(["skopeo", "copy", "-q", f"oci:{images}:v1", f"docker-archive:{cli.path('plain.tar')}:x:1"],
                   check=True, env=dict(os.environ, TMPDIR=cli.path()))
    cli.ok("harden", "docker-archive:plain.tar", "oci:from:1")
    assert descriptor(cli.path("from"), "1")["mediaType"].endswith("+json")


def test_docker_family_stays(cli, images):
    cli.ok("harden", f"oci:{images}:docker", "oci:out:v1")
    after = document(cli.path("out"), "v1")
    assert after["mediaType"] == "application/vnd.docker.distribution.manifest.v2+json"
    assert {layer["mediaType"] for layer in after["layers"]} == {"application/vnd.docker.image.rootfs.diff.tar.gzip"}
    assert "annotations" not in after


def test_an_existing_layout_keeps_its_other_tags(cli, images):
    cli.ok("harden", f"oci:{images}:v1", "oci:out:one")
    cli.ok("harden", f"oci:{images}:docker", "oci:out:two")
    assert descriptor(cli.path("out"), "one")["digest"] != descriptor(cli.path("out"), "two")["digest"]


def test_registry_to_registry(cli, images, tmp_path):
    registry = Registry(str(tmp_path / "registry"))
    try:
        registry.push(images, descriptor(images, "two"), "lib/app:1")
        at = f"docker://127.0.0.1:{registry.port}"
        cli.ok("harden", "--platform", "all", "--src-plain-http", "--dst-plain-http", f"{at}/lib/app:1",
               f"{at}/hard/app:1")
        cli.ok("harden", "--platform", "all", f"oci:{images}:two", "oci:out:1")
        seen = conftest.request(registry.port, "/v2/hard/app/manifests/1",
                                headers={"Accept": conftest.MANIFEST_TYPES})
        assert seen.headers["docker-content-digest"] == descriptor(cli.path("out"), "1")["digest"]
        cli.fails(1, "harden", f"{at}/lib/app:1", "oci:none", says=[at])  # that registry does not speak TLS
        cli.fails(1, "harden", "--src-plain-http", f"{at}/lib/app:nope", "oci:none", says=["lib/app:nope", "404"])
    finally:
        registry.stop()


# --- platforms ------------------------------------------------------------------------------------------------------
def children(layout, tag):
    return [(m["platform"]["architecture"], m["digest"]) for m in document(layout, tag)["manifests"]]


def test_index_keeps_the_platforms_asked_for(cli, images):
    cli.ok("harden", f"oci:{images}:two", "oci:one:v")
    assert [c[0] for c in children(cli.path("one"), "v")] == ["amd64"]
    cli.ok("harden", f"oci:{images}:two", "oci:both:v", "--platform", "all", "--report", "r.json")
    found = children(cli.path("both"), "v")
    assert [c[0] for c in found] == ["amd64", "arm64"]
    assert found[0] == children(cli.path("one"), "v")[0]
    reports = load(cli.path("r.json"))
    assert [r["platform"] for r in reports] == ["linux/amd64", "linux/arm64/v8"]
    assert [r["hardened"]["digest"] for r in reports] == [c[1] for c in found]
    for _, digest in found:
        for layer in json.loads(blob(cli.path("both"), digest))["layers"]:
            blob(cli.path("both"), layer["digest"])
    made = document(cli.path("both"), "v")
    assert made["annotations"]["org.opencontainers.image.base.digest"] == descriptor(images, "two")["digest"]


def test_named_platforms_must_be_there(cli, images):
    cli.fails(1, "harden", "--platform", "linux/s390x", f"oci:{images}:two", "oci:out", says=["s390x", "linux/arm64"])
    cli.fails(1, "harden", "--platform", "linux/amd64", "--platform", "linux/s390x", f"oci:{images}:two", "oci:out",
              says=["linux/s390x"])
    cli.fails(1, "harden", "--platform", "linux/arm64", f"oci:{images}:v1", "oci:out", says=["linux/amd64"])
    assert not os.path.exists(cli.path("out", "index.json"))


def test_one_platform_into_docker_archive(cli, images):
    cli.fails(2, "harden", "--platform", "all", f"oci:{images}:two", "docker-archive:x.tar", says=["--platform"])
    cli.ok("harden", "--platform", "linux/arm64", f"oci:{images}:two", "docker-archive:x.tar")
    r = cli.ok("inspect", "--json", "docker-archive:x.tar")
    assert json.loads(r.stdout)[0]["platform"].startswith("linux/arm64")


def test_docker_list_and_nested_index(cli, images):
    cli.ok("harden", "--platform", "all", f"oci:{images}:list", "oci:out:list")
    made = document(cli.path("out"), "list")
    assert made["mediaType"] == "application/vnd.docker.distribution.manifest.list.v2+json"
    assert len(made["manifests"]) == 2 and "annotations" not in made
    cli.ok("harden", f"oci:{images}:nested", "oci:out:nested")
    inner = document(cli.path("out"), "nested")["manifests"][0]
    assert inner["mediaType"] == "application/vnd.oci.image.index.v1+json"
    assert len(json.loads(blob(cli.path("out"), inner["digest"]))["manifests"]) == 1


def test_attestations_stay_with_what_does_not_change(cli, images):
    cli.ok("harden", f"oci:{images}:v1", "oci:src:hard")
    image = {k: v for k, v in descriptor(cli.path("src"), "hard").items() if k != "annotations"}
    image["platform"] = {"os": "linux", "architecture": "amd64"}
    layout = cli.path("src")
    statement, size = make_image.put_blob(layout, b'{"_type":"https://in-toto.io/Statement/v1"}')
    config, length = make_image.put_blob(layout, b'{"architecture":"unknown","os":"unknown","rootfs":{"type":"layers",'
                                         b'"diff_ids":[]}}')
    digest, n = make_image.put_blob(layout, json.dumps({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": length},
        "layers": [{"mediaType": "application/vnd.in-toto+json", "digest": statement, "size": size}]}).encode())
    attestation = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": n,
                   "platform": {"os": "unknown", "architecture": "unknown"}, "annotations": {
                       "vnd.docker.reference.type": "attestation-manifest",
                       "vnd.docker.reference.digest": image["digest"]}}
    make_image.write_index(layout, "index", [image, attestation])
    cli.ok("harden", "oci:src:index", "oci:out:index")
    assert descriptor(cli.path("out"), "index")["digest"] == descriptor(layout, "index")["digest"]
    assert blob(cli.path("out"), statement) and blob(cli.path("out"), digest)


# --- options --------------------------------------------------------------------------------------------------------
def changed(cli, images, *options, tag="v1"):
    r = cli.ok("harden", "--dry-run", "--format", "json", f"oci:{images}:{tag}", *options)
    report = json.loads(r.stdout)[0]
    return report, {c["path"] for rule in report["rules"] for c in rule["changes"]}


def test_rules_profile_use_and_keep_are_heard(cli, images):
    report, paths = changed(cli, images)
    assert {"/usr/share/doc/thing/readme", "/usr/bin/su", "config.User"} <= paths
    assert "/usr/share/doc/thing/copyright" not in paths
    assert "/usr/share/doc/thing/readme" not in changed(cli, images, "--rule", "docs=off")[1]
    report, paths = changed(cli, images, "--rule", "docs=report")
    assert [r["state"] for r in report["rules"] if r["rule"] == "docs"] == ["reported"]
    assert report["before"]["files"] - report["after"]["files"] == 2  # the cache, and su
    assert "/usr/share/doc/thing/readme" not in changed(cli, images, "--keep", "/usr/share/doc/**")[1]
    report, paths = changed(cli, images, "--profile", "safe")
    assert report["policy"]["profile"] == report["policy"]["achieved"] == "safe"
    assert "config.User" not in {c["path"] for r in report["rules"] if r["state"] == "applied" for c in r["changes"]}
    report, paths = changed(cli, images, "--use", "build")
    assert report["policy"]["use"] == "build" and "config.User" not in paths


def test_keep_command_is_a_root(cli, tmp_path):
    layout = str(tmp_path / "layout")
    make_image.write_image(layout, "v", [make_image.file_layer(dict(SYSTEM, **{"usr/bin/nc": ("program", 0o755)}))],
                           {"Cmd": ["/bin/app"]})
    assert "/usr/bin/nc" in changed(cli, layout, tag="v")[1]
    assert "/usr/bin/nc" not in changed(cli, layout, "--keep-command", "nc -z localhost 80", tag="v")[1]


def test_policy_by_name_and_by_match(cli, images, tmp_path):
    with open(cli.path("q.yaml"), "w") as f:
        f.write('policies:\n  - {name: gentle, match: ["docker.io/**"], profile: safe}\n'
                '  - {name: other, match: ["**"], rules: {docs: off}}\n')
    report, paths = changed(cli, images, "-c", "q.yaml", "--policy", "gentle")
    assert report["policy"]["name"] == "gentle" and report["policy"]["achieved"] == "safe"
    report, paths = changed(cli, images, "-c", "q.yaml")
    assert report["policy"]["name"] == "default"  # a file matches no name
    cli.fails(2, "harden", "-c", "q.yaml", "--policy", "none", f"oci:{images}:v1", "oci:out", says=['"none"'])


def zstd(*options, data):
    return subprocess.run(["zstd", "-q", "-c", *options], input=data, capture_output=True, check=True).stdout


@pytest.mark.parametrize("compression,media,magic", [("keep", "zstd", b"\x28\xb5\x2f\xfd"),
                                                     ("gzip", "gzip", b"\x1f\x8b")], ids=["keep", "gzip"])
def test_compression_of_rewritten_layers(cli, tmp_path, compression, media, magic):
    plain = make_image.file_layer(SYSTEM)
    layout = str(tmp_path / "layout")
    raw_image(layout, "v", zstd(data=plain), plain, text=lambda t: t.replace("tar+gzip", "tar+zstd"))
    with open(cli.path("q.yaml"), "w") as f:
        f.write(f'policies: [{{name: p, match: ["**"], compression: {compression}}}]\n')
    cli.ok("harden", "-c", "q.yaml", "--policy", "p", f"oci:{layout}:v", "oci:out:v")
    layer, = document(cli.path("out"), "v")["layers"]
    assert layer["mediaType"] == "application/vnd.oci.image.layer.v1.tar+" + media
    data = blob(cli.path("out"), layer["digest"])
    assert data.startswith(magic) and len(data) == layer["size"]
    tar = gzip.decompress(data) if media == "gzip" else zstd("-d", data=data)
    about = json.loads(blob(cli.path("out"), document(cli.path("out"), "v")["config"]["digest"]))
    assert about["rootfs"]["diff_ids"] == ["sha256:" + hashlib.sha256(tar).hexdigest()]
    assert b"usr/share/doc/thing/readme" not in tar and b"bin/app" in tar


def test_dry_run_writes_nothing(cli, images):
    before = sorted(os.listdir(cli.directory))
    r = cli.ok("harden", "--dry-run", f"oci:{images}:v1", "oci:out:v1")
    assert "hardened  sha256:" in r.stdout
    assert cli.ok("harden", "--dry-run", f"oci:{images}:v1").stdout == r.stdout
    assert sorted(os.listdir(cli.directory)) == before


def test_report_has_the_keys_of_the_contract(cli, images):
    r = cli.ok("harden", f"oci:{images}:v1", "oci:out:v1", "--report", "r.json", "--format", "json")
    assert json.loads(r.stdout) == load(cli.path("r.json"))
    report = load(cli.path("r.json"))[0]
    assert set(report) == REPORT and report["schema"] == "quench.report.v1"
    assert set(report["before"]) == set(report["after"]) == FIGURES
    assert report["before"]["setuid"] == 1 and report["after"]["setuid"] == 0
    assert set(report["policy"]) >= {"name", "digest", "profile", "achieved", "use"}
    for rule in report["rules"]:
        assert set(rule) >= {"rule", "state", "because", "checks", "changes"}
        assert rule["state"] in {"applied", "nothing-to-do", "backed-off", "reported", "off"}
        for change in rule["changes"]:
            assert set(change) <= {"action", "path", "package", "from", "to", "because"}
            assert change["action"] in {"remove", "chmod", "chown", "edit", "add", "config"}
    for finding in report["findings"]:
        assert set(finding) == {"check", "level", "fixed", "where", "detail"}
    assert all(check["ok"] for check in report["verification"]) and report["verification"]
    assert "hunter2" not in json.dumps(report)


def test_text_shows_before_and_after(cli, images):
    lines = cli.ok("harden", f"oci:{images}:v1", "oci:out:v1").stdout.splitlines()
    start = next(i for i, line in enumerate(lines) if line.split() == ["before", "after"])
    rows = {line[2:20].strip(): line[20:].split() for line in lines[start + 1:lines.index("", start)]}
    assert rows["setuid"][:2] == ["1", "0"]
    assert rows["user"][0] == "root" and rows["user"][1] != "root"
    assert int(rows["files"][0]) == len(SYSTEM) - 1 + len(DATA)  # one is a directory
    assert cli.ok("harden", "--quiet", f"oci:{images}:v1", "oci:out:v1").stdout == ""


def test_sarif(cli, images):
    for args, kinds in ((("harden", "--dry-run"), {"pass", "fail"}), (("inspect",), {"fail"})):
        run = json.loads(cli.ok(*args, "--format", "sarif", f"oci:{images}:v1").stdout)
        assert run["version"] == "2.1.0"
        rules = run["runs"][0]["tool"]["driver"]["rules"]
        results = run["runs"][0]["results"]
        assert {r["kind"] for r in results} == kinds
        for r in results:
            assert rules[r["ruleIndex"]]["id"] == r["ruleId"]
            assert r["message"]["text"] and len(r["locations"]) == 1
            assert (r["kind"] == "pass") == (r["level"] == "none")
        assert any(r["locations"][0].get("physicalLocation", {}).get("artifactLocation", {}).get("uri") == "usr/bin/su"
                   for r in results)


# --- inspect --------------------------------------------------------------------------------------------------------
def test_inspect(cli, images):
    r = cli.ok("inspect", "--json", f"oci:{images}:v1")
    one = json.loads(r.stdout)[0]
    assert one["schema"] == "quench.inspect.v1" and one["source"]["digest"] == descriptor(images, "v1")["digest"]
    assert set(one["figures"]) == FIGURES and one["figures"]["setuid"] == 1
    assert one["image"]["cmd"] == ["/bin/app"] and one["image"]["env"] == ["PATH", "DB_PASSWORD"]
    assert {"CIS-DI-0010", "CIS-DI-0008", "CIS-DI-0001"} <= {f["check"] for f in one["findings"]}
    assert one["layers"] == [layer["digest"] for layer in document(images, "v1")["layers"]]
    text = cli.ok("inspect", f"oci:{images}:v1").stdout
    assert "DB_PASSWORD" in text and "hunter2" not in text + r.stdout
    assert json.loads(cli.ok("inspect", "--format", "json", "--platform", "all", f"oci:{images}:two").stdout)[1][
        "platform"] == "linux/arm64/v8"
    assert os.listdir(cli.directory) == ["tmp"]


def test_inspect_as_a_gate(cli, images):
    for level in ("info", "warn", "fatal"):
        r = cli("inspect", "--fail-on", level, f"oci:{images}:v1")
        assert r.returncode == 3 and r.stderr.count("\n") == 1 and "findings" in r.stderr
    cli.ok("harden", "--quiet", f"oci:{images}:named", "oci:out:v")
    assert cli("inspect", "--fail-on", "warn", "oci:out:v").returncode == 0
    cli.fails(2, "inspect", "--fail-on", "high", f"oci:{images}:v1", says=["high"])


def test_nothing_of_an_image_reaches_the_terminal_raw(cli, tmp_path):
    layout = str(tmp_path / "layout")
    layer = make_image.file_layer(dict(SYSTEM, **{"usr/bin/\x1b[31mred": ("x", 0o4755)}))
    make_image.write_image(layout, "v", [layer], {"Cmd": ["/bin/app", "\x1b]0;title\x07", "\u009b31m"],
                                                  "Env": ["A\x1b[2J=1"], "User": "0\x1b[2J"})
    for args in (("inspect",), ("harden", "--dry-run")):
        r = cli(*args, f"oci:{layout}:v")
        assert "\x1b" not in r.stdout + r.stderr and "\u009b" not in r.stdout + r.stderr


# --- errors ---------------------------------------------------------------------------------------------------------
def test_usage_errors(cli, images):
    src = f"oci:{images}:v1"
    cli.fails(2, "harden", says=["SRC"])
    cli.fails(2, "harden", src, says=["DST"])
    cli.fails(2, "harden", src, "oci:out", "more", says=["more"])
    cli.fails(2, "harden", "--nonsense", src, "oci:out", says=["--nonsense"])
    cli.fails(2, "harden", src, "oci:out", "--platform", says=["--platform"])
    cli.fails(2, "harden", "somewhere", "oci:out", says=["somewhere"])
    cli.fails(2, "harden", "docker://UPPER CASE", "oci:out")
    cli.fails(2, "harden", src, "docker://h.test/a@sha256:" + "0" * 64, says=["tag"])
    cli.fails(2, "harden", "--profile", "extreme", src, "oci:out", says=["extreme"])
    cli.fails(2, "harden", "--use", "look", src, "oci:out", says=["look"])
    cli.fails(2, "harden", "--rule", "docs", src, "oci:out", says=["docs"])
    cli.fails(2, "harden", "--rule", "docs=maybe", src, "oci:out", says=["docs"])
    cli.fails(2, "harden", "--rule", "nothing=on", src, "oci:out", says=["nothing"])
    cli.fails(2, "harden", "--platform", "amiga", src, "oci:out", says=["amiga"])
    cli.fails(2, "harden", "--format", "xml", src, "oci:out", says=["xml"])
    cli.fails(2, "inspect", says=["SRC"])
    cli.fails(2, "nonsense", says=["nonsense"])
    assert os.listdir(cli.directory) == ["tmp"]
    assert "usage: quench harden" in cli.ok("harden", "--help").stdout
    assert "usage: quench inspect" in cli.ok("inspect", "--help").stdout


def test_reserved_names_are_refused(cli, images):
    src = f"oci:{images}:v1"
    cli.fails(2, "harden", "--used-by", "pod.yaml", src, "oci:out", says=["not built yet: --used-by"])
    cli.fails(2, "harden", "docker-daemon:app:1", "oci:out", says=["not built yet: docker-daemon"])
    cli.fails(2, "harden", src, "docker-daemon:app:1", says=["not built yet: docker-daemon"])
    for rule in ("kernel", "secrets", "language-managers", "build-tools", "privilege-tools", "unused-packages",
                 "unused-files", "shells", "preload", "trust-store", "timestamps"):
        r = cli("harden", "--rule", f"{rule}=on", src, "oci:out")
        assert r.returncode in (0, 2), rule
        if r.returncode == 2:
            assert f"not built yet: rules.{rule}" in r.stderr


@pytest.mark.parametrize("text,line,column,word", [
    ("platforms: linux/amd64\nlisten:\n  regstry: []\n", 3, 3, "regstry"),
    ("limits: {jobs: many}\n", 1, 16, "many"),
    ("storage:\n  root: [1]\n", 2, 9, "root"),
    ("auth: {token: {realm: x}}\n", 1, None, "not built yet"),
    ("a: 1\na: 2\n", 2, 1, "a"),
    ("listen: [\n", None, None, ""),
    ("policies:\n  - name: x\n    profile: extreme\n", 3, 14, "extreme"),
])
def test_configuration_errors_say_where(cli, images, text, line, column, word):
    with open(cli.path("q.yaml"), "w") as f:
        f.write(text)
    for args in (("harden", "-c", "q.yaml", "--dry-run", f"oci:{images}:v1"), ("check-config", "-c", "q.yaml"),
                 ("inspect", "-c", "q.yaml", f"oci:{images}:v1")):
        r = cli.fails(2, *args, says=["q.yaml:", word])
        found = re.search(r"q\.yaml:(\d+):(\d+): ", r.stderr)
        assert found, r.stderr
        assert line is None or int(found.group(1)) == line, r.stderr
        assert column is None or int(found.group(2)) == column, r.stderr


def test_verifier_decides(cli, images):
    """The policy wants passwd gone, the image's user has only a name there."""
    with open(cli.path("q.yaml"), "w") as f:
        f.write(DENY % "back-off")
    args = ("harden", "-c", "q.yaml", "--report", "r.json", f"oci:{images}:named", "oci:out:v")
    r = cli(*args)
    assert r.returncode == 4 and "verifier" in r.stderr and r.stderr.count("\n") == 1
    report = load(cli.path("r.json"))[0]
    assert report["policy"]["achieved"] != report["policy"]["profile"] and "passwd" in report["policy"]["because"]
    assert descriptor(cli.path("out"), "v")["digest"] == report["hardened"]["digest"]
    assert not any(rule["changes"] for rule in report["rules"])
    assert cli.ok(*args, "--allow-back-off").stderr == ""
    with open(cli.path("q.yaml"), "w") as f:
        f.write(DENY % "deny")
    cli.fails(3, "harden", "-c", "q.yaml", f"oci:{images}:named", "oci:none:v", says=["named", "passwd"])
    assert not os.path.exists(cli.path("none"))


TAR = make_image.file_layer(SYSTEM)


def wrong_digest(layout):
    layer = raw_image(layout, "v", packed(TAR), TAR)
    with open(os.path.join(layout, "blobs", "sha256", layer.split(":")[1]), "r+b") as f:
        f.seek(20)
        f.write(b"\0\0\0\0")
    return layer


def short_blob(layout):
    layer = raw_image(layout, "v", packed(TAR), TAR)
    with open(os.path.join(layout, "blobs", "sha256", layer.split(":")[1]), "r+b") as f:
        f.truncate(100)
    return layer


def corrupt_tar():
    broken = bytearray(TAR)
    broken[100:108] = b"zzzzzzz\0"  # the mode of the first entry: its checksum is wrong now
    return bytes(broken)


@pytest.mark.parametrize("make,word", [
    (lambda layout: raw_image(layout, "v", packed(TAR)[:-40], TAR), "layer 0"),
    (lambda layout: raw_image(layout, "v", packed(corrupt_tar()), corrupt_tar()), "layer 0"),
    (lambda layout: raw_image(layout, "v", packed(TAR[:700]), TAR[:700]), "layer 0"),
    (lambda layout: raw_image(layout, "v", b"neither gzip nor tar " * 30), "layer 0"),
    (lambda layout: raw_image(layout, "v", packed(make_image.file_layer({"../etc/x": "y"}))), "layer 0"),
    (wrong_digest, "layer 0"),
    (short_blob, "layer 0"),
    (lambda layout: raw_image(layout, "v", packed(TAR), TAR,
                              text=lambda m: m.replace('"layers"', '"schemaVersion": 2, "layers"')), "schemaVersion"),
    (lambda layout: raw_image(layout, "v", packed(TAR), TAR, text=lambda m: m[:-10]), "manifest"),
    (lambda layout: raw_image(layout, "v", packed(TAR), TAR, text=lambda m: m.replace("tar+gzip", "tar+lz4")), "lz4"),
    (lambda layout: raw_image(layout, "v", packed(TAR), TAR, config={"architecture": "amd64", "os": "linux", "rootfs": {
        "type": "layers", "diff_ids": []}}), "diff_ids"),
    (lambda layout: raw_image(layout, "v", packed(TAR), TAR, config=[1]), "config"),
], ids=["gzip-cut", "tar-checksum", "tar-cut", "not-a-layer", "path-escapes", "wrong-digest", "short-blob",
        "duplicate-keys", "json-cut", "media-type", "diff-ids", "config"])
def test_malformed_images_fail_with_one_line(cli, tmp_path, make, word):
    layout = str(tmp_path / "layout")
    make(layout)
    for args in (("harden", f"oci:{layout}:v", "oci:out:v"), ("inspect", f"oci:{layout}:v")):
        if args[0] == "inspect" and word == "diff_ids":
            continue  # only a result needs them
        r = cli.fails(1, *args, says=[f"oci:{layout}", word])
        assert not re.search(r"[^\x20-\x7e\n]", r.stderr)
    assert not os.path.exists(cli.path("out", "index.json"))


def test_missing_places(cli, images):
    cli.fails(1, "harden", "oci:nowhere:v1", "oci:out", says=["nowhere"])
    cli.fails(1, "harden", f"oci:{images}:none", "oci:out", says=["none"])
    cli.fails(1, "harden", "oci-archive:nowhere.tar", "oci:out", says=["nowhere.tar"])
    cli.fails(1, "harden", f"oci:{images}:v1", "oci-archive:no/such/directory/x.tar", says=["no/such/directory"])
    cli.fails(1, "harden", "--work", "nowhere", f"oci:{images}:v1", "oci:out", says=["nowhere"])
    cli.fails(1, "harden", "--src-plain-http", f"docker://127.0.0.1:{conftest.free_port()}/a/b:c", "oci:out",
              says=["docker://127.0.0.1"])


def test_limits_apply(cli, images):
    with open(cli.path("q.yaml"), "w") as f:
        f.write("limits: {layer_entries: 5}\n")
    cli.fails(1, "harden", "-c", "q.yaml", f"oci:{images}:v1", "oci:out", says=["layer 1", "more than 5 entries"])


# --- the work directory, signals, the terminal ------------------------------------------------------------------------
def test_work_directory(cli, images):
    os.mkdir(cli.path("work"))
    cli.ok("harden", "--work", "work", f"oci:{images}:v1", "oci:out:v1")
    assert os.listdir(cli.path("work")) == []
    os.makedirs(cli.path("root", "tmp"))
    with open(cli.path("q.yaml"), "w") as f:
        f.write(f"storage: {{root: {cli.path('root')}}}\n")
    cli.fails(2, "harden", "-c", "q.yaml", "--work", "root/tmp", f"oci:{images}:v1", "oci:out:v1",
              says=["storage.root"])


class Stalling:
    """A registry that sends manifest and config and stops in the middle of the layer."""

    def __init__(self, layout, tag):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.layout, self.entry = layout, descriptor(layout, tag)
        self.layers = {layer["digest"] for layer in document(layout, tag)["layers"]}
        self.stalled = threading.Event()
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                c, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.talk, args=(c,), daemon=True).start()

    def talk(self, c):
        with c, c.makefile("rb") as f:
            while True:
                line = f.readline().split()
                while f.readline() not in (b"\r\n", b"\n", b""):
                    pass
                if len(line) < 2:
                    return
                last = line[1].decode().split("/")[-1]
                digest = last if last.startswith("sha256:") else self.entry["digest"]
                data = b"{}" if line[1] == b"/v2/" else blob(self.layout, digest)
                head = (f"HTTP/1.1 200 OK\r\nContent-Type: {self.entry['mediaType']}\r\nContent-Length: {len(data)}\r\n"
                        f"Docker-Content-Digest: {digest}\r\n\r\n")
                body = b"" if line[0] == b"HEAD" else data[:20] if digest in self.layers else data
                c.sendall(head.encode() + body)
                if digest in self.layers and line[0] == b"GET":
                    self.stalled.set()
                    time.sleep(60)


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_end_it_in_order(cli, images, sig):
    registry = Stalling(images, "v1")
    p = subprocess.Popen([QUENCH, "harden", "--src-plain-http", f"docker://127.0.0.1:{registry.port}/a/b:c", "oci:out"],
                         cwd=cli.directory, env=cli.environment(), stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
                         text=True, preexec_fn=lambda: signal.signal(sig, signal.SIG_DFL))
    try:
        assert registry.stalled.wait(20)
        wait_for("a private directory", lambda: os.listdir(cli.tmp))
        p.send_signal(sig)
        assert p.wait(10) == 1
        assert "cancelled" in p.stderr.read().lower()
        assert os.listdir(cli.tmp) == [] and not os.path.exists(cli.path("out"))
    finally:
        p.kill()
        p.wait()
        p.stderr.close()
        registry.socket.close()


def on_terminal(cli, *args):
    """What a terminal on standard error gets."""
    main, other = pty.openpty()
    p = subprocess.Popen([QUENCH, *args], cwd=cli.directory, env=cli.environment(), stdin=subprocess.DEVNULL,
                         stdout=subprocess.DEVNULL, stderr=other)
    os.close(other)
    seen = b""
    while True:
        ready, _, _ = select.select([main], [], [], 60)
        try:
            part = os.read(main, 65536) if ready else b""
        except OSError:  # the terminal is gone
            part = b""
        if not part:
            break
        seen += part
    os.close(main)
    assert p.wait(60) == 0
    return seen.decode()


def test_progress_on_a_terminal_only(cli, images):
    seen = on_terminal(cli, "harden", f"oci:{images}:v1", "oci:out:v1")
    for stage in ("fetch", "plan", "verify"):
        assert stage in seen
    assert "linux/amd64" in seen and seen.endswith("\r\x1b[K") and "\n" not in seen
    assert on_terminal(cli, "harden", "--quiet", f"oci:{images}:v1", "oci:out:v1") == ""
    assert cli.ok("harden", f"oci:{images}:v1", "oci:out:v1").stderr == ""

