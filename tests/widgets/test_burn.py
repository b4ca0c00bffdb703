"""The burn-rate explorer says what the theory does: when an alert fires, and when it stays silent."""

import pytest

from servelab.theory.reliability import Alert
from servelab.widgets.burn import burn


def test_the_sentence_is_the_theorys():
    explorer = burn()
    expected = float(Alert(14.4, 3600, 300).detection_s(0.3, 0.99)) / 60
    assert f"fires {expected:.0f} min after" in explorer.caption(percent=30, minutes=60)
    assert "budget" in explorer.caption()


@pytest.mark.parametrize("changes", [{"percent": 10}, {"percent": 100, "minutes": 5}])
def test_a_small_or_short_trouble_wakes_nobody(changes):
    assert "silent" in burn().caption(**changes)
    assert not [s for s in burn().figure(**changes).layout.shapes if s.type == "rect"]
