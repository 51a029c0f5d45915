"""quench explain, diff and verify."""
import json

import make_image
from cli_fixtures import cli, images  # noqa: F401


def test_explain(cli, images):
    one = json.loads(cli.ok("explain", "--json", f"oci:{images}:v1", "/usr/share/doc/thing/readme").stdout)[0]
    assert one["platform"] == "linux/amd64" and one["state"] == "removed" and one["rule"] == "docs"
    text = cli.ok("explain", f"oci:{images}:v1", "/bin/app").stdout
    assert text.startswith("kept: /bin/app because ") and "command" in text
    assert "changed: /usr/bin/su by rule setuid" in cli.ok(
        "explain", "--profile", "safe", f"oci:{images}:v1", "/usr/bin/su").stdout
    both = cli.ok("explain", "--json", "--platform", "all", f"oci:{images}:two", "/bin/app").stdout
    assert len(json.loads(both)) == 2
    # The policy decides: what is kept by a glob says so.
    assert "kept: /usr/share/doc/thing/readme" in cli.ok(
        "explain", "--keep", "/usr/share/doc/**", f"oci:{images}:v1", "/usr/share/doc/thing/readme").stdout
    cli.fails(1, "explain", f"oci:{images}:v1", "/no/such", says=["the image has no /no/such"])
    cli.fails(1, "explain", f"oci:{images}:v1", "nosuch", says=["no package and no command"])
    cli.fails(2, "explain", f"oci:{images}:v1", says=["PATH or PACKAGE is missing"])
    cli.fails(2, "explain", "--format", "sarif", f"oci:{images}:v1", "x", says=["sarif"])


def test_diff(cli, images):
    cli.ok("harden", "--quiet", f"oci:{images}:v1", "oci:out:v")
    r = cli("diff", "--json", f"oci:{images}:v1", "oci:out:v")
    assert r.returncode == 1, r.stderr
    one = json.loads(r.stdout)[0]
    assert one["equal"] is False and one["counts"]["removed"] >= 2
    files = {f["path"]: f for f in one["files"]}
    assert files["/usr/share/doc/thing/readme"]["change"] == "removed"
    assert "/bin/app" not in files and "/usr/share/words/data" not in files
    assert "hunter2" not in r.stdout
    text = cli("diff", f"oci:{images}:v1", "oci:out:v")
    assert text.returncode == 1 and "- /usr/share/doc/thing/readme" in text.stdout
    same = cli("diff", f"oci:{images}:v1", f"oci:{images}:v1")
    assert same.returncode == 0 and same.stdout == "equal\n"
    # Content decides, not size and time alone.
    one, two = ({"bin/app": ("program", 0o755), "data": word} for word in ("abcd", "abce"))
    layout = cli.path("content")
    for name, tree in (("one", one), ("two", two)):
        make_image.write_image(layout, name, [make_image.file_layer(tree)], {"Cmd": ["/bin/app"]})
    assert "~ /data  (content)" in cli("diff", f"oci:{layout}:one", f"oci:{layout}:two").stdout
    cli.fails(2, "diff", f"oci:{images}:v1", "oci:nowhere:v", says=["diff", "nowhere"])
    cli.fails(2, "diff", f"oci:{images}:v1", says=["SRC-B is missing"])


def test_verify(cli, images):
    r = cli("verify", f"oci:{images}:v1")
    assert r.returncode == 3 and "FAILED  privileges" in r.stdout and "refused" in r.stderr
    cli.ok("harden", "--quiet", f"oci:{images}:v1", "oci:out:v")
    text = cli.ok("verify", "oci:out:v").stdout
    assert "FAILED" not in text and "ok      entrypoint    /bin/app" in text
    one = json.loads(cli.ok("verify", "--json", "oci:out:v").stdout)[0]
    assert one["ok"] is True and {c["check"] for c in one["verification"]} >= {"needs", "entrypoint", "database"}
    sarif = json.loads(cli("verify", "--format", "sarif", f"oci:{images}:v1").stdout)
    kinds = {r["ruleId"]: r["kind"] for r in sarif["runs"][0]["results"]}
    assert kinds["verify-privileges"] == "fail" and kinds["verify-entrypoint"] == "pass"
