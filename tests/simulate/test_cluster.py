"""Clusters: routers, failures, scaling, rollout, the bill, and a sample that stands for many."""

from __future__ import annotations

import numpy as np
import pytest

from servelab.errors import ServelabError
from servelab.load import Request, poisson, synthetic
from servelab.simulate import (
    Autoscaler,
    Cluster,
    EngineConfig,
    Failure,
    Linear,
    Node,
    Rollout,
    Sequence,
    routers,
    sample,
    simulate,
)
from servelab.theory.routing import smooth_round_robin

TIME = Linear(0.03, 0.002, 1e-6, 2e-4)
CONFIG = EngineConfig(num_blocks=400, block_size=32, max_num_seqs=32)
NODE = Node(CONFIG, TIME, price_per_hour=2.0)
REQUESTS = synthetic(300, (200, 1.0), (60, 1.0), seed=1)


class Fake:
    def __init__(self, name: str, outstanding: int = 0, tokens: int = 0) -> None:
        self.name, self.outstanding, self.tokens = name, outstanding, tokens


def test_one_replica_is_an_engine() -> None:
    alone = simulate(REQUESTS, CONFIG, TIME, arrivals=poisson(2))
    one = Cluster([NODE]).run(REQUESTS, poisson(2))
    assert [r.token_times_s for r in one.result.records] == [r.token_times_s for r in alone.records]


@pytest.mark.parametrize("router", routers.by_name().values(), ids=lambda r: r.__name__)
def test_every_router_serves_everybody_the_same_way_twice(router: type) -> None:
    first, second = (Cluster([NODE] * 4, router(), seed=3).run(REQUESTS, poisson(8)) for _time in range(2))
    assert all(r.ok and r.output_tokens == r.asked_tokens for r in first.result.records)
    assert first.result.records == second.result.records
    assert first.nodes["requests"].sum() == first.nodes["served"].sum() == 300
    assert first.nodes["requests"].min() > 0


def test_routers_choose_as_they_say() -> None:
    rng, request = np.random.default_rng(0), Sequence(0, 10, 5, keys=(1, 2, 3), session="ann")
    targets = [Fake("a", 3, 10), Fake("b", 1, 500), Fake("c", 2, 90)]
    assert [routers.RoundRobin()(request, targets, rng).name] == ["a"]
    assert routers.LeastConnections()(request, targets, rng).name == "b"
    assert routers.LeastTokens()(request, targets, rng).name == "a"
    drawn = [routers.PowerOfTwo()(request, targets, rng).name for _time in range(300)]
    assert "a" not in drawn and 170 < drawn.count("b") < 230  # the worst never wins; the best is drawn 2 times of 3
    assert {routers.PowerOfTwo(d=1)(request, targets, rng).name for _time in range(50)} == {"a", "b", "c"}


def test_weighted_turns_are_nginx_s() -> None:
    rng, router = np.random.default_rng(0), routers.WeightedRoundRobin({"a": 5, "c": 2})
    targets = [Fake("a"), Fake("b"), Fake("c")]
    chosen = [targets.index(router(Sequence(0, 10, 5), targets, rng)) for _turn in range(24)]
    assert chosen == smooth_round_robin([5, 1, 2], 24).tolist()


def test_affinity_follows_the_prefix_until_its_replica_is_too_busy() -> None:
    rng, router = np.random.default_rng(0), routers.PrefixAffinity(apart=8)
    targets = [Fake("a"), Fake("b")]
    first = router(Sequence(0, 10, 5, keys=(1, 2, 3)), targets, rng)
    first.outstanding = 5
    assert router(Sequence(1, 10, 5, keys=(1, 2, 9)), targets, rng) is first
    assert router(Sequence(2, 10, 5, keys=(7, 8)), targets, rng) is not first
    first.outstanding = 20
    assert router(Sequence(3, 10, 5, keys=(1, 2, 3)), targets, rng) is not first


def test_a_bounded_ring_keeps_sessions_until_their_place_is_full() -> None:
    rng, targets = np.random.default_rng(0), [Fake(name) for name in "abcdef"]
    plain, bounded = routers.ConsistentHash(epsilon=np.inf), routers.ConsistentHash(epsilon=0.0)
    request = Sequence(0, 10, 5, session="ann")
    home = plain(request, targets, rng)
    assert all(plain(request, targets, rng) is home is bounded(request, targets, rng) for _time in range(3))
    for _request in range(60):
        bounded(request, targets, rng).outstanding += 1
    assert {t.outstanding for t in targets} == {10}
    left = [t for t in targets if t is not home]
    others = [Sequence(i, 10, 5, session=i) for i in range(200)]
    stay = [plain(r, left, rng) is before for r in others if (before := plain(r, targets, rng)) is not home]
    assert all(stay)
    with pytest.raises(ServelabError):
        routers.ConsistentHash(epsilon=-0.1)


def test_affinity_finds_the_cache_and_round_robin_does_not() -> None:
    rng = np.random.default_rng(5)
    heads = [rng.integers(1_000, 30_000, 320).tolist() for _head in range(8)]
    asked = [Request(i, heads[i % 8] + rng.integers(1_000, 30_000, 40).tolist(), 20) for i in rng.permutation(160)]
    asked = [Request(i, r.prompt, 20) for i, r in enumerate(asked)]
    small = Node(EngineConfig(num_blocks=60, block_size=32, max_num_seqs=16), TIME)
    rate = {
        name: Cluster([small] * 4, router).run(asked, poisson(3)).nodes["hit_rate"].mean()
        for name, router in (("blind", routers.RoundRobin()), ("affinity", routers.PrefixAffinity()))
    }
    assert rate["affinity"] > rate["blind"] + 0.1


def test_who_was_cut_off_is_served_again_and_has_been_waiting_all_the_time() -> None:
    failures = [Failure(20.0, 0, down_s=5.0)]
    calm = Cluster([NODE] * 3).run(REQUESTS, poisson(6))
    again = Cluster([NODE] * 3, failures=failures).run(REQUESTS, poisson(6))
    cut = Cluster([NODE] * 3, failures=failures, retry=False).run(REQUESTS, poisson(6))
    assert all(r.ok for r in again.result.records)
    assert again.result.summary().e2e.mean > calm.result.summary().e2e.mean
    lost = [r for r in cut.result.records if not r.ok]
    assert lost and all(r.status == "cut" and r.finished_s == 20.0 for r in lost)
    assert all(t <= 20.0 for r in lost for t in r.token_times_s)
    assert again.events["what"].tolist() == ["ready"] * 3 + ["failed", "ready"]
    assert again.events["t_s"].iloc[-1] == 20.0 + 5.0 + NODE.start_s


def test_who_fails_while_starting_starts_anew() -> None:
    done = Cluster([NODE] * 2, failures=[Failure(5.0, 0), Failure(20.0, 0, down_s=5.0)]).run(REQUESTS[:60], poisson(1))
    assert done.events["what"].tolist() == ["ready", "ready", "failed", "failed", "ready"]
    assert done.events["t_s"].iloc[-1] == 20.0 + 5.0 + NODE.start_s
    assert all(r.ok for r in done.result.records)


def test_with_nobody_ready_requests_wait_in_line() -> None:
    result = Cluster([NODE], failures=[Failure(5.0, 0)]).run(REQUESTS[:60], poisson(4))
    late = [r for r in result.result.records if 5.0 < r.intended_s < 35.0]
    assert late and all(r.ok and r.first_token_s > 35.0 for r in late)


def test_a_rollout_replaces_one_after_the_other() -> None:
    new = Node(CONFIG, TIME, start_s=10.0, kind="new")
    done = Cluster([NODE] * 3, rollout=Rollout(10.0, new)).run(REQUESTS, poisson(4))
    assert all(r.ok for r in done.result.records)
    assert done.nodes["state"].tolist() == ["stopped"] * 3 + ["ready"] * 3
    ready = 3
    for what in done.events["what"].iloc[3:]:
        ready += {"ready": 1, "draining": -1}.get(what, 0)
        assert ready >= 3


def test_the_autoscaler_follows_the_load_and_the_bill_follows_it() -> None:
    times = np.sort(
        np.concatenate([poisson(1).offsets(60), 60 + poisson(12).offsets(600), 120 + poisson(1).offsets(340)])
    )
    asked = synthetic(1_000, 100, 60, seed=2)
    rule = Autoscaler(6, least=1, most=8, patience_s=60)
    grown = Cluster([NODE], autoscaler=rule).run(asked, times)
    fixed = Cluster([NODE] * 8).run(asked, times)
    assert all(r.ok for r in grown.result.records)
    assert {"starting", "ready", "draining", "stopped"} <= set(grown.events["what"])
    assert 3 <= len(grown.nodes) <= 20
    assert grown.cost < fixed.cost
    assert grown.result.summary().ttft.p95 > fixed.result.summary().ttft.p95
    hours = fixed.nodes["up_s"].sum() / 3_600
    assert fixed.cost == pytest.approx(2.0 * hours)
    tokens = sum(r.output_tokens for r in fixed.result.records)
    assert fixed.cost_per_million == pytest.approx(fixed.cost / tokens * 1e6)


def test_an_idle_cluster_goes_to_nothing_and_the_next_to_come_pay_the_cold_start() -> None:
    rule = Autoscaler(4, least=0, most=4, every_s=5, patience_s=20)
    times = [*range(10), *range(600, 610)]
    done = Cluster([NODE], autoscaler=rule).run(REQUESTS[:20], times)
    waited = [r.first_token_s - r.intended_s for r in done.result.records]
    assert all(r.ok for r in done.result.records)
    assert "stopped" in done.events["what"].tolist() and max(waited[:10]) < 1
    assert NODE.start_s < waited[10] < NODE.start_s + 2 * rule.every_s
    always = Cluster([NODE]).run(REQUESTS[:20], times)
    assert done.nodes["up_s"].sum() < always.nodes["up_s"].sum()


@pytest.mark.parametrize("wrong", [{"target": 0}, {"least": 3, "most": 2}, {"least": 0, "most": 0}, {"every_s": 0}])
def test_an_autoscaler_that_cannot_be(wrong: dict) -> None:
    with pytest.raises(ServelabError, match="autoscaler"):
        Autoscaler(**{"target": 4, **wrong})


def test_a_sample_stands_for_the_whole() -> None:
    asked = synthetic(12_000, 60, (30, 1.0), seed=4)
    times = poisson(200).offsets(12_000)
    whole = Cluster([NODE] * 100, routers.PowerOfTwo()).run(asked, times)
    part = sample(Cluster([NODE] * 25, routers.PowerOfTwo()), asked, times, of=100)
    assert part.each == 4
    a, b = whole.result.summary(), part.result.summary()
    assert b.e2e.mean == pytest.approx(a.e2e.mean, rel=0.05)
    assert part.cost == pytest.approx(whole.cost, rel=0.05)
    assert b.throughput_tok_s * part.each == pytest.approx(a.throughput_tok_s, rel=0.06)
    with pytest.raises(ServelabError, match="cannot stand"):
        sample(Cluster([NODE] * 3), asked, times, of=2)


def test_a_sample_draws_sessions_whole_and_requests_without_one_alone() -> None:
    whose = [f"s{n % 20}" for n in range(400)]
    asked = [Request(n, list(range(8)), 4, extra={"session": name}) for n, name in enumerate(whose)]
    kept = [r.id for r in sample(Cluster([NODE] * 2), asked, poisson(50).offsets(400), of=4).result.records]
    drawn = {whose[n] for n in kept}
    assert kept == [n for n in range(400) if whose[n] in drawn] and 0 < len(drawn) < 20
    alone = sample(Cluster([NODE] * 2), [Request(n, [7] * 64, 4) for n in range(400)], poisson(50).offsets(400), of=4)
    assert 150 < len(alone.result.records) < 250


def test_a_cluster_needs_nodes_and_requests() -> None:
    for nodes, asked in (([], REQUESTS), ([NODE], [])):
        with pytest.raises(ServelabError, match="at least one"):
            Cluster(nodes).run(asked, [])
