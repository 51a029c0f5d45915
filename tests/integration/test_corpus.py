"""The quick part of the corpus: five images, started and tried before and after. All of them: make corpus."""
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "corpus"))
import run  # noqa: E402
import table  # noqa: E402

PROFILES = ["standard", "strict"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    c = run.Corpus(str(tmp_path_factory.mktemp("corpus")))
    yield c
    c.close()


@pytest.mark.parametrize("image", [i.name for i in table.select(quick=True)])
def test_hardened_images_work(corpus, image):
    trial = run.Trial(corpus, table.select([image])[0], quick=True).run(PROFILES, print)
    assert not trial.problems, "\n".join(trial.problems)
    assert trial.rows["strict"]["files"] <= trial.rows["original"]["files"]
