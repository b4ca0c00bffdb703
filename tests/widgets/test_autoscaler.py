"""The autoscaler's explorer shows what its simulation says, whichever signal it follows."""

import numpy as np
import pytest

from servelab.widgets.autoscaler import RULES, STARTS, autoscaler, offered, run


@pytest.fixture(scope="module")
def explorer():
    return autoscaler(service_s=0.02, slo_s=0.1)


def test_the_load_rises_to_its_peak_and_falls_again():
    load = offered(0.02, 3.0, 60)
    assert load[0] == load[-1] == pytest.approx(25) and load.max() == pytest.approx(150)
    assert load[120] == pytest.approx(25) and load[180] == pytest.approx(150) and load[600] == pytest.approx(150)


@pytest.mark.parametrize("rule", RULES)
def test_figures_are_the_simulation(explorer, rule):
    flow, value, waits = explorer.figures(rule=rule)
    fleet = run(0.02, rule, 60, 3.0, 60)
    assert list(flow.data[0].y) == list(fleet.offered) and list(flow.data[1].y) == list(fleet.capacity)
    assert np.array(value.data[0].y) == pytest.approx(fleet.value)
    assert np.array(waits.data[0].y) == pytest.approx(np.maximum(fleet.wait_s, 1e-3))
    assert f"{fleet.late(0.1):.0%} of all" in explorer.caption(rule=rule)


def test_a_fast_start_helps_and_the_processor_never_does(explorer):
    late = [run(0.02, "pending", start, 3.0, 60).late(0.1) for start in STARTS]
    assert late[0] < late[-1] and run(0.02, "cpu", 0, 3.0, 60).late(0.1) > 0.4
    assert "at most 1 replicas" in explorer.caption(rule="cpu", start_s=0)
