"""The OCI distribution specification's own tests, everything enabled (scripts/conformance.py)."""
import os
import subprocess
import sys

import pytest

from conftest import QUENCH, ROOT


def test_conformance():
    r = subprocess.run([sys.executable, os.path.join(ROOT, "scripts", "conformance.py")], capture_output=True,
                       text=True, env={**os.environ, "QUENCH": os.path.abspath(QUENCH)}, timeout=900)
    if r.returncode == 77:
        pytest.skip(r.stdout.strip().splitlines()[-1])
    assert r.returncode == 0, r.stdout + r.stderr
    anybody, login, dense = (line for line in r.stdout.splitlines() if line.startswith("sparse: "))
    for line in (anybody, login):
        assert " 0 fail, 0 error, 0 skip, 0 disabled" in line
    assert " 0 error, 0 skip, 0 disabled" in dense
