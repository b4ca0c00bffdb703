"""The capstone refuses what is nobody's setting before anything starts; its poor configuration is one that could run.

That it tells right from wrong on a running service is proved with its exercise (tests/notebooks/mutants).
"""

from __future__ import annotations

import pytest

from servelab import capstone, hardware, tuning
from servelab.engines import process
from servelab.engines.metrics import Metrics
from servelab.errors import ServelabError


@pytest.mark.parametrize(
    ("configuration", "said"),
    [
        ({"engines": {}}, "has the parts engine and service, not engines"),
        ({"engine": {"dtype": "float16"}}, "The engine takes max_num_seqs, .*, not dtype"),
        ({"service": {"keys": ("a",)}}, "The service takes running, .*, not keys"),
    ],
)
def test_what_is_nobodys_setting_starts_nothing(configuration, said, tmp_path, monkeypatch):
    monkeypatch.setenv("SERVELAB_HOME", str(tmp_path))
    with pytest.raises(ServelabError, match=said):
        capstone.examine(configuration, hardware.tier())
    assert not process.states()


def test_the_poor_configuration_has_only_known_settings():
    assert set(capstone.POOR["engine"]) <= set(tuning.KNOBS) and set(capstone.POOR["service"]) <= set(capstone.GATE)
    assert not set(capstone.FRONT) & set(capstone.BACK)


def test_what_became_of_requests_is_counted():
    class Door:
        def metrics(self):
            return Metrics('# TYPE service_requests counter\nservice_requests_total{status="200"} 3\n'
                           'service_requests_total{status="429"} 2\n')  # fmt: skip

    assert capstone.ended(Door()) == {"200": 3, "429": 2}
