"""Every metric of the program, defined here and read only when Prometheus asks.

Names: prefix `qianwan_`, base units, `_total` for counters; never a user, device or room as a label.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import PackageNotFoundError, version

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

from control.part import Numbers, Source

GATEWAY_COUNTERS: Mapping[str, str] = {
    "accepted": "TCP connections accepted",
    "accept_errors": "Accepts that failed",
    "accept_pauses": "Times accepting paused because file descriptors ran out",
    "refused_full": "Connections refused because the connection table was full",
    "refused_ip_connections": "Connections refused by the per-address connection limit",
    "refused_ip_rate": "Connections refused by the per-address rate limit",
    "refused_net64": "Connections refused by the per-/64 limit",
    "admitted_new": "Newcomers let in",
    "admitted_known": "Clients let in that were logged in before",
    "deferred_new": "Newcomers told to come again later",
    "deferred_known": "Clients that were logged in before told to come again later",
    "handshakes": "Noise handshakes finished",
    "handshakes_failed": "Noise handshakes that failed",
    "ephemerals_made_hot": "Ephemeral keys made while a client waited",
    "reject_version": "Clients rejected for their protocol version",
    "reject_unsupported": "Clients rejected for an unsupported pattern, suite or flag",
    "reject_key": "Clients rejected for an unknown server key id",
    "reject_overloaded": "Clients rejected because of overload",
    "reject_lite": "Clients asked for the lighter handshake with their ticket",
    "reject_ticket": "Clients rejected because their ticket was over or could not be opened",
    "logins": "Sessions that became live",
    "refused_logins": "Logins refused by the token check",
    "stale_commands": "Commands for connections that were gone",
    "commands": "Commands taken from the mailboxes",
    "events": "Events handed to Python",
    "events_over": "Events that had to wait for room in the event ring",
    "bytes_in": "Bytes read from clients",
    "records_in": "Records opened",
    "frames_in": "Frames parsed",
    "bytes_out": "Bytes written to clients",
    "records_out": "Records sealed",
    "frames_out": "Frames sent",
    "flushes": "Flushes of a connection",
    "partial_writes": "Writes the kernel took only in part",
    "rekeys_in": "Rekeys of the receiving direction",
    "rekeys_out": "Rekeys of the sending direction",
    "pings": "PING frames answered",
    "publishes": "Publishes to a topic",
    "publishes_unheard": "Publishes to a topic without a local member",
    "sweeps": "Sweeps of topic members",
    "swept": "Members visited by sweeps",
    "relayed": "Messages relayed inside the core",
    "relay_dropped": "Messages not relayed inside the core",
    "compressed": "Bodies compressed",
    "dropped_normal": "Events of normal priority dropped",
    "dropped_high": "Events of high priority dropped",
    "dropped_notice": "Notices of chatrooms dropped",
    "dropped_budget_normal": "Events of normal priority over a chatroom's budget",
    "dropped_budget_high": "Events of high priority over a chatroom's budget",
    "dropped_budget_notice": "Notices over a chatroom's budget",
    "dropped_pending_normal": "Events of normal priority dropped from a full topic queue",
    "dropped_pending_high": "Events of high priority dropped from a full topic queue",
    "dropped_pending_notice": "Notices dropped from a full topic queue",
    "dropped_at_close": "Frames unsent when their connection closed",
    "stalls": "Connections whose socket stopped taking data",
    "soft_limit": "Out queues that passed the soft limit",
    "slow_consumer": "Connections closed as slow consumers",
    "rate_limited": "Connections that hit their inbound rate limit",
    "read_pauses": "Turns without reading because events waited for Python",
    "reads_eased": "Pauses of heavy senders while the loop was eased",
    "goaways": "Sessions asked to move elsewhere",
    "tickets": "Tickets given, with which a session is taken up again",
    "ticket_logins": "Logins by ticket whose binding was proven",
    "handed_over": "Connections handed to the loop that keeps their session",
    "parked": "Sessions that lost their connection and wait for their client",
    "parked_over": "Waiting sessions that ended: their time was over, or later ones needed the room",
    "resumed": "Sessions taken up again",
    "resumed_early": "Resumes answered in the first flight",
    "resumed_late": "Resumes answered behind the client's first record: not fresh, or perhaps a repetition",
    "resume_epoch": "Resumes refused: the session was of an earlier start of this node",
    "resume_overflow": "Resumes refused: more was missed than is kept",
    "resume_expired": "Resumes refused: the session had ended",
    "resume_revoked": "Resumes refused: the rights of the ticket were taken back",
    "resume_elsewhere": "Resumes refused: the node of the session did not answer in time",
    "replays": "First flights with a ticket that were, perhaps, repetitions",
    "unacked_dropped": "Messages let go before their client acknowledged them",
    "reports": "REPORT frames handed on",
    "reports_refused": "REPORT frames that were too long",
    "ticks": "Turns of the loops",
}

GATEWAY_LIVE: Mapping[str, str] = {
    "connections": "Connections open",
    "preauth": "Connections that have not sent their AUTH",
    "sessions": "Sessions logged in",
    "topics": "Topics with local members",
    "memberships": "Members of all topics together",
    "in_buffers": "Connections that hold a partial record",
    "in_bytes": "Bytes of partial records",
    "ws_states": "WebSocket connections",
    "out_queues": "Connections with queued output",
    "queued_bytes": "Bytes queued for output",
    "tails": "Connections with a sealed, unsent tail",
    "batches": "Shared batches alive",
    "told": "Sessions that shall leave and have not left yet",
    "parked": "Sessions without a connection that wait for their client",
    "unacked": "Messages kept until their client acknowledges them, each session's counted",
}

TURNS = "qianwan_gateway_turn_seconds"
LONGEST_TURN = "qianwan_gateway_longest_turn_seconds"


@dataclass
class Sources:
    """Where the collector reads: a section of SECTIONS -> its source. A process without a part lacks its
    sections.
    """

    node_name: str
    roles: tuple[str, ...]
    sections: Mapping[str, Source] = field(default_factory=dict)
    ready: Callable[[], bool] | None = None
    leaving: Callable[[], bool] | None = None


class NodeCollector:
    """A prometheus-client collector over the sources; nothing is counted twice or kept between scrapes."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        s = self._sources
        yield InfoMetricFamily(
            "qianwan_build",
            "Version and roles of this process",
            {"version": _version(), "node": s.node_name, "roles": ",".join(s.roles)},
        )
        if s.ready is not None:
            yield _gauge("qianwan_ready", "1 when /readyz answers ok", float(s.ready()))
        if s.leaving is not None:
            yield _gauge("qianwan_leaving", "1 while this process drains and stops", float(s.leaving()))
        for name, metrics in SECTIONS.items():
            if name in s.sections:
                yield from metrics(s.sections[name]())


def make_registry(sources: Sources) -> CollectorRegistry:
    """A registry of this process: the sources above, CPU, memory, descriptors and garbage collections."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(NodeCollector(sources))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def _gateway(stats: Numbers) -> Iterable[Metric]:
    for name, text in GATEWAY_COUNTERS.items():
        if name in stats:
            yield _counter(f"qianwan_gateway_{name}", text, stats[name])
    if "eased_events" in stats:
        text = "Presence and notices left out because of overload"
        yield _counter("qianwan_gateway_eased_events", text, stats["eased_events"])
        for name, text in (("mailbox", "commands into"), ("events", "events out of")):
            fullest = stats[f"max_{name}_fill"]
            yield _gauge(
                f"qianwan_gateway_{name}_fill", f"Share in use of the fullest ring of {text} a loop", fullest
            )
    live = stats.get("live", {})
    for name, text in GATEWAY_LIVE.items():
        if name in live:
            yield _gauge(f"qianwan_gateway_{name}", text, live[name])
    for key, metric, text, label in (
        ("closed_by_reason", "qianwan_gateway_closed", "Connections ended, by reason", "reason"),
        ("closes", "qianwan_gateway_session_closes", "Sessions ended, by close code", "code"),
        ("k_histogram", "qianwan_gateway_flush_frames", "Flushes by frames in the flush", "frames"),
    ):
        family = CounterMetricFamily(metric, text, labels=[label])
        for value, count in stats.get(key, {}).items():
            family.add_metric([str(value)], count)
        yield family
    states = GaugeMetricFamily("qianwan_gateway_states", "Connections by state", labels=["state"])
    for state, count in stats.get("states", {}).items():
        states.add_metric([state], count)
    yield states
    if "turns" in stats:
        yield from _turns(stats)


def _turns(stats: Numbers) -> Iterable[Metric]:
    buckets: list[tuple[str, float]] = []
    count = 0
    for bound, turns in stats["turns"].items():
        count += turns
        buckets.append(("+Inf" if bound == "over" else repr(bound / 1e9), count))
    text = "Turns of the loops by their length, sleep excluded"
    yield HistogramMetricFamily(TURNS, text, buckets=buckets, sum_value=stats["turns_sum_ms"] / 1000)
    text = "Longest turn of a loop since start"
    yield _gauge(LONGEST_TURN, text, stats["max_turn_ms"] / 1000)


def longest_turn_s(turns: Mapping[float, float], since_start_s: float) -> float:
    """The longest turn of a window, from the growth of the histogram's buckets (bound in seconds -> turns up
    to it) and the longest one ever: at most a quarter too long, exact when it is the longest ever.
    """
    every = max(turns.values(), default=0.0)
    if not every:
        return 0.0
    return min(since_start_s, *(bound for bound, count in turns.items() if count == every))


def _stages(stages: Numbers) -> Iterable[Metric]:
    seconds = CounterMetricFamily(
        "qianwan_gateway_stage_seconds", "Loop time spent per stage", labels=["stage"]
    )
    counts = CounterMetricFamily("qianwan_gateway_stage_operations", "Operations per stage", labels=["stage"])
    for stage, numbers in stages.items():
        seconds.add_metric([stage], numbers["ns"] / 1e9)
        counts.add_metric([stage], numbers["count"])
    yield seconds
    yield counts


def _node(node: Numbers) -> Iterable[Metric]:
    yield _gauge("qianwan_node_sessions", "Sessions the wiring knows of", node["sessions"])
    yield _counter("qianwan_node_logins", "Logins accepted", node["logins"])
    yield _counter("qianwan_node_wakes", "Times the Python thread took events", node["wakes"])
    yield _counter("qianwan_node_events", "Events the Python thread took", node["events"])
    refusals = CounterMetricFamily(
        "qianwan_node_logins_refused", "Logins refused, by reason", labels=["reason"]
    )
    for reason, count in node["refusals"].items():
        refusals.add_metric([reason], count)
    yield refusals
    yield _counter("qianwan_node_sync_hints", "SYNC hints sent after a loss", node["sync_hints"])
    yield _counter("qianwan_downlink_dropped", "Downlink commands dropped", node["downlink_dropped"])
    yield _counter("qianwan_downlink_delayed", "Downlink commands delayed", node["downlink_delayed"])
    yield _gauge("qianwan_downlink_waiting", "Downlink commands waiting", node["downlink_waiting"])


def _upstream(upstream: Numbers) -> Iterable[Metric]:
    yield _gauge("qianwan_node_topics", "Topics announced to the im processes", upstream["topics"])
    text = "SENDs and CALLs answered 503 because no im process was there"
    yield _counter("qianwan_node_unavailable", text, upstream["unavailable"])
    text = "Times that a gateway had miscounted its topics, found when it repeated them"
    yield _counter("qianwan_node_topic_drifts", text, upstream["topic_drifts"])
    text = "SENDs and CALLs answered 504 because the im process that was asked is gone"
    yield _counter("qianwan_node_unknown", text, upstream["unknown"])


def _numbers(prefix: str, numbers: Numbers) -> Iterable[Metric]:
    """What the service and the store tell, under their own names: a counter where it ends in `_total`."""
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        text = f"{name.replace('_', ' ')} ({prefix})"
        if name.endswith("_total"):
            yield _counter(f"qianwan_{prefix}_{name.removesuffix('_total')}", text, value)
        else:
            yield _gauge(f"qianwan_{prefix}_{name}", text, value)


def _keys(seconds_left: Numbers) -> Iterable[Metric]:
    text = "Seconds until the last key of a kind ends; 0: nobody can log in"
    left = GaugeMetricFamily("qianwan_key_left_seconds", text, labels=["kind"])
    for kind, seconds in seconds_left.items():
        left.add_metric([kind], seconds)
    yield left


def _live_settings(live: Numbers) -> Iterable[Metric]:
    text = "Live settings that do not hold here: they do not go with what the process was started with"
    yield _gauge("qianwan_settings_live_refused", text, live["live_refused"])
    text = "Parts that have not taken the live settings yet"
    yield _gauge("qianwan_settings_live_waiting", text, live["live_waiting"])


def _shared_keys(shared: Numbers) -> Iterable[Metric]:
    yield _gauge("qianwan_keys_unshared", "1: the keys here are not those of the cluster", shared["unshared"])


def _admission(admission: Numbers) -> Iterable[Metric]:
    for name, who in (("new", "newcomers"), ("known", "clients that were logged in before")):
        text = f"Rate at which {who} are let in here now, a second; 0: no limit"
        yield _gauge(f"qianwan_admission_{name}_per_second", text, admission[f"{name}_per_s"])
    text = "Who is let in now: 0 all, 1 those who were logged in before, 2 nobody"
    yield _gauge("qianwan_admission_door", text, admission["max_door"])


def _drain(drain: Numbers) -> Iterable[Metric]:
    yield _gauge(
        "qianwan_drain_active", "1 while this gateway sends its clients elsewhere", drain["draining"]
    )
    text = "1 while it sends nobody, as no other gateway takes clients"
    yield _gauge("qianwan_drain_waits", text, drain["waits"])
    yield _gauge("qianwan_drain_told", "Sessions told by the drain under way", drain["told"])
    yield _gauge("qianwan_drain_left", "Of these, sessions that have left", drain["left"])
    yield _gauge(
        "qianwan_drain_remaining", "Sessions the drain under way has left to move", drain["remaining"]
    )
    yield _gauge("qianwan_drain_told_per_second", "Sessions told a second, lately", drain["rate"])
    yield _counter("qianwan_moves_aged", "Sessions told to move because of their age", drain["aged"])
    yield _counter("qianwan_moves_evicted", "Idle sessions told to move to make room", drain["evicted"])


def _overload(overload: Numbers) -> Iterable[Metric]:
    yield _gauge("qianwan_overload_step", "Step of the overload ladder that holds now", overload["max_step"])
    taken = CounterMetricFamily(
        "qianwan_overload_steps", "Times a step of the ladder was taken", labels=["step"]
    )
    for name, count in overload["taken"].items():
        taken.add_metric([name], count)
    yield taken
    load = overload["load"]
    text = "Share of their time that the loops work"
    yield _gauge("qianwan_overload_loop_share", text, load.get("max_loop_share", 0.0))
    text = "How long a byte that comes at any time waits for its loop, on average"
    yield _gauge("qianwan_overload_wait_seconds", text, load.get("max_wait_ms", 0.0) / 1000)
    text = "Share that the process holds of the memory it may hold"
    yield _gauge("qianwan_overload_memory_share", text, load.get("max_memory_share", 0.0))
    text = "Share in use of the fullest ring between a loop and Python"
    yield _gauge("qianwan_overload_queue_share", text, load.get("max_queue_share", 0.0))


POLICY_ARMS: Mapping[str, tuple[str, str, bool]] = {
    "sessions": ("sessions", "Sessions that go by a version of a heartbeat policy", False),
    "connected_s": ("connected_seconds", "Time that sessions went by a version", True),
    "pings": ("beats", "PING frames of who goes by a version", True),
    "ends": ("ends", "Connections whose end a client told, by the version it went by", True),
    "deaths": ("deaths", "Of these: no answer came, or a reset", True),
    "lost": ("lost", "Connections of a version that vanished, as the gateway saw it", True),
}


def _policy(policy: Numbers) -> Iterable[Metric]:
    yield _counter("qianwan_policy_reports", "REPORT frames of clients", policy["reports"])
    yield _counter("qianwan_policy_unreadable", "Of these: they could not be read", policy["unreadable"])
    text = "Clients known by network and platform alone, because there were too many kinds"
    yield _counter("qianwan_policy_folded", text, policy["folded"])
    text = "1: policies are those of the disk, because the documents are away since the start"
    yield _gauge("qianwan_policy_cached", text, policy["max_cached"])
    for key, (name, text, counts) in POLICY_ARMS.items():
        kind = CounterMetricFamily if counts else GaugeMetricFamily
        family = kind(f"qianwan_policy_{name}", text, labels=["policy", "version"])
        for arm, numbers in policy["arms"].items():
            family.add_metric(list(arm.rpartition("/")[::2]), numbers[key])
        yield family


def _policy_guard(guard: Numbers) -> Iterable[Metric]:
    text = "Canaries that were paused or taken back because they harmed"
    yield _counter("qianwan_policy_breaches", text, guard["breaches"])
    yield _counter("qianwan_policy_looks", "Looks at canaries", guard["looks"])
    text = "Evidence against a canary, 1: it is acted on"
    evidence = GaugeMetricFamily("qianwan_policy_evidence", text, labels=["policy", "test"])
    for name, share in guard["evidence"].items():
        evidence.add_metric(list(name.rpartition(" ")[::2]), share)
    yield evidence


def _bus(bus: Numbers) -> Iterable[Metric]:
    yield _gauge(
        "qianwan_bus_connected",
        "1 while the bus is connected and carries what is said",
        float(bus["connected"]),
    )
    yield _counter("qianwan_bus_dropped", "Messages the bus buffer could not hold", bus["dropped"])


def _routes(routes: Numbers) -> Iterable[Metric]:
    yield _gauge("qianwan_routes", "Entries (topic, gateway) of the routing table", routes["entries"])
    yield _gauge("qianwan_routed_topics", "Topics of the routing table, each once", routes["topics"])
    yield _gauge("qianwan_route_bytes", "Memory of the routing table", routes["bytes"])
    text = "Gateways whose topics are not what the routing table has of them, by their last word"
    yield _gauge("qianwan_route_gateways_differing", text, routes["differing"])
    text = "Sessions in the cores of all gateways, by their last words"
    yield _gauge("qianwan_gateways_open_sessions", text, routes["open"])
    text = "Of these: sessions that im processes were told of"
    yield _gauge("qianwan_gateways_told_sessions", text, routes["told"])
    text = (
        "Sessions that logged in at this im process, when those words came; all im processes have the others"
    )
    yield _gauge("qianwan_gateways_registered_sessions", text, routes["registered"])
    text = "Times that a gateway's topics were compared with the routing table"
    yield _counter("qianwan_route_comparisons", text, routes["compared"])
    text = "Of these: they differed, and the gateway was asked to repeat everything"
    yield _counter("qianwan_route_differences", text, routes["unequal"])
    text = "Answers, joins and kicks for gateways that were not there; they repeat all when they are back"
    yield _counter("qianwan_undelivered", text, routes["undelivered"])
    text = "Batches of gateways that had been replaced or had left"
    yield _counter("qianwan_unheeded_batches", text, routes["unheeded"])


def _nodes(nodes: Numbers) -> Iterable[Metric]:
    yield _gauge("qianwan_nodes", "Processes of the cluster that this one knows of", nodes["max_nodes"])
    text = "Of these: they live, but etcd lists them no more"
    yield _gauge("qianwan_nodes_lapsed", text, nodes["max_lapsed"])
    text = "Processes that etcd lists, and of which this one hears nothing on the bus"
    yield _gauge("qianwan_nodes_mute", text, nodes["max_mute"])
    yield _gauge("qianwan_nodes_draining", "Of these: they send their clients away", nodes["max_draining"])
    text = "Seconds between this process's clock and the median of the processes that it hears"
    yield _gauge("qianwan_clock_off_seconds", text, nodes["max_clock_off_s"])


def _etcd(etcd: Numbers) -> Iterable[Metric]:
    yield _gauge("qianwan_etcd_up", "1 while etcd serves this process", float(etcd["up"]))
    text = "1 while etcd is full: it takes no writes until an operator compacts, defragments and disarms it"
    yield _gauge("qianwan_etcd_full", text, float(etcd["max_full"]))
    text = "1 while etcd refuses this process a call for want of a right; the log names it"
    yield _gauge("qianwan_etcd_denied", text, float(etcd["max_denied"]))
    text = "Seconds that the lease on the node id holds; 0: it is lost"
    yield _gauge("qianwan_etcd_lease_left_seconds", text, etcd["min_lease_left_s"])
    for name, text in (
        ("requests", "Calls to etcd"),
        ("retries", "Calls to etcd that were repeated"),
        ("logins", "Logins to etcd"),
        ("reconnects", "Watches that were begun again"),
        ("divergences", "Differences that a listing showed to what a watch had told"),
    ):
        yield _counter(f"qianwan_etcd_{name}", text, etcd[f"{name}_total"])


def _streams(streams: Numbers) -> Iterable[Metric]:
    for name, text in (
        ("gaps", "Gaps noticed in incoming streams"),
        ("losses", "Batches of incoming streams lost for good"),
        ("repaired", "Batches sent again"),
        ("unrepairable", "Batches asked for that the ring no longer held"),
    ):
        yield _counter(f"qianwan_stream_{name}", text, streams[name])


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=value)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _moderation(moderation: Numbers) -> Iterable[Metric]:
    text = "Messages and other texts that were looked at for words of lists"
    yield _counter("qianwan_moderation_texts", text, moderation["looked"])
    text = "Of these: with a hit, by list and what it asks for"
    hits = CounterMetricFamily("qianwan_moderation_hits", text, labels=["list", "action"])
    for key, count in moderation["hits"].items():
        hits.add_metric(key.split(" "), count)
    yield hits
    text = "Verdicts on messages that were held, reported or sent: by rule, and what became of them"
    decisions = CounterMetricFamily("qianwan_moderation_decisions", text, labels=["rule", "verdict"])
    for labels, count in moderation["decisions"].items():
        decisions.add_metric(labels, count)
    yield decisions


def _engines(engines: Numbers) -> Iterable[Metric]:
    yield from _asked("qianwan_engine_questions", "engine", "Questions to engines", engines)
    text = "Texts whose finding was remembered: the engine was not asked"
    yield _counter("qianwan_engine_remembered", text, engines["cached"])


def _endpoints(endpoints: Numbers) -> Iterable[Metric]:
    """By name: operators give few of them."""
    for name, text in (
        ("lag_events", "Events committed and not yet with the endpoint, those its filter leaves out too"),
        ("lag_seconds", "Age of the oldest of them"),
        ("disabled", "1 where the program gave an endpoint up"),
    ):
        family = GaugeMetricFamily(f"qianwan_endpoint_{name}", text, labels=["endpoint"])
        for endpoint, value in endpoints[name].items():
            family.add_metric([endpoint], value)
        yield family
    for name, text in (
        ("delivered", "Events that an endpoint has taken"),
        ("letters", "Events that were given up and kept as dead letters"),
        ("gaps", "Times events expired before an endpoint had them"),
    ):
        counter = CounterMetricFamily(f"qianwan_endpoint_{name}", text, labels=["endpoint"])
        for endpoint, value in endpoints[name].items():
            counter.add_metric([endpoint], value)
        yield counter
    requests = CounterMetricFamily(
        "qianwan_endpoint_requests",
        "Requests to an endpoint, by what came of them",
        labels=["endpoint", "verdict"],
    )
    for endpoint, verdicts in endpoints["requests"].items():
        for verdict, count in verdicts.items():
            requests.add_metric([endpoint, verdict], count)
    yield requests


def _callbacks(callbacks: Numbers) -> Iterable[Metric]:
    yield from _asked("qianwan_callbacks", "kind", "Questions to the application's server", callbacks)


def _asked(prefix: str, label: str, what: str, asked: Numbers) -> Iterable[Metric]:
    text = f"{what}, by what came of each: a verdict, or why there was none"
    answers = CounterMetricFamily(prefix, text, labels=[label, "outcome"])
    for key, count in asked["answers"].items():
        answers.add_metric(key.split(" "), count)
    yield answers
    seconds = CounterMetricFamily(f"{prefix}_seconds", f"{what}: time that they took", labels=[label])
    for name, spent in asked["seconds"].items():
        seconds.add_metric([name], spent)
    yield seconds
    away = GaugeMetricFamily(
        f"{prefix}_open", f"{what}: 1 while none is asked, for lack of answers", labels=[label]
    )
    for name, value in asked["open"].items():
        away.add_metric([name], value)
    yield away
    yield _gauge(f"{prefix}_under_way", f"{what}: under way, or waiting for their turn", asked["under_way"])


def _push(push: Numbers) -> Iterable[Metric]:
    text = "Pushes to devices by vendor and what came of them"
    outcomes = CounterMetricFamily("qianwan_push", text, labels=["vendor", "outcome"])
    for key, many in push["outcomes"].items():
        outcomes.add_metric(key, many)
    yield outcomes
    for name, (kind, text) in PUSH_LANES.items():
        family = kind(f"qianwan_push_{name}", text, labels=["vendor"])
        for vendor, number in push[name].items():
            family.add_metric([vendor], number)
        yield family


PUSH_LANES: Mapping[str, tuple[type[CounterMetricFamily | GaugeMetricFamily], str]] = {
    "retries": (CounterMetricFamily, "Pushes that were tried again"),
    "seconds": (CounterMetricFamily, "Time that requests to vendors took together"),
    "queued": (GaugeMetricFamily, "Pushes on their way to a vendor"),
    "open": (GaugeMetricFamily, "1 while a vendor that failed is left alone for a moment"),
}


SECTIONS: Mapping[str, Callable[[Numbers], Iterable[Metric]]] = {
    "keys": _keys,
    "gateway_stats": _gateway,
    "gateway_stages": _stages,
    "node": _node,
    "admission": _admission,
    "drain": _drain,
    "overload": _overload,
    "policy": _policy,
    "policy_guard": _policy_guard,
    "upstream": _upstream,
    "service": partial(_numbers, "im"),
    "store": partial(_numbers, "store"),
    "moderation": _moderation,
    "callbacks": _callbacks,
    "engines": _engines,
    "endpoints": _endpoints,
    "push": _push,
    "http": partial(_numbers, "http"),
    "admin": partial(_numbers, "admin"),
    "audit": partial(_numbers, "audit"),
    "shared_keys": _shared_keys,
    "api_keys": partial(_numbers, "api_keys"),
    "live_settings": _live_settings,
    "lbs": partial(_numbers, "lbs"),
    "lbs_http": partial(_numbers, "lbs_http"),
    "streams": _streams,
    "bus": _bus,
    "nodes": _nodes,
    "etcd": _etcd,
    "routes": _routes,
}
"""The sections of the sources, in the order of /metrics."""


def _version() -> str:
    try:
        return version("qianwan-server")
    except PackageNotFoundError:
        return "source"
