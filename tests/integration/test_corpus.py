"""The quick part of the corpus: images, started and tried before and after. All of them: make corpus."""
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "corpus"))
import run  # noqa: E402
import table  # noqa: E402

PROFILE = "strict"


@pytest.fixture(scope="module")
def trials():
    return {t.image.name: t for t in run.run(profiles=[PROFILE], quick=True)}


@pytest.mark.parametrize("image", [i.name for i in table.select(quick=True)])
def test_hardened_image_works(trials, image):
    trial = trials[image]
    assert not trial.problems, "\n".join(trial.problems)
    before, after = trial.rows["original"], trial.rows[PROFILE]
    # A user that the image did not know gets passwd and group.
    assert after["files"] <= before["files"] + 2 and after["setuid"] == 0
