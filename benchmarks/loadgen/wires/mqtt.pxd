"""MQTT 3.1.1, QoS 0, plain TCP (OASIS standard sections 3.1-3.3, 3.8, 3.12): the wire of mosquitto."""

from benchmarks.loadgen.types cimport Swarm

cdef void mqtt_open(Swarm* s) noexcept
