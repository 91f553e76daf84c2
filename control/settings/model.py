"""The tree of settings. The description of a field states its unit and the reason for its default.

The sample file `deploy/qianwan.toml` and the reference table in `docs/OPERATIONS.md` are generated from here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from control.settings.sections import AuthSection, BusSection, LimitsSection, LogSection, StoreSection

Role = Literal["gateway", "im", "control"]


def parse_address(value: str) -> tuple[str, int]:
    """Split `host:port` or `[v6]:port`. Raises ValueError with a readable reason."""
    host, separator, port = value.rpartition(":")
    if not separator or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{value!r} is not host:port")
    return host.strip("[]") or "0.0.0.0", int(port)


def _check_address(value: str) -> str:
    parse_address(value)
    return value


Address = Annotated[str, AfterValidator(_check_address)]


class Section(BaseModel):
    """A section refuses unknown keys, so that a typing error never passes for a setting."""

    model_config = ConfigDict(extra="forbid")


class ServerSection(Section):
    data_dir: Path = Field(
        default=Path("qianwan-data"),
        description="Folder for key files, API keys and the embedded store. Created with mode 0700.",
    )
    roles: list[Role] = Field(
        default=["gateway", "im", "control"],
        description=(
            "What this process does. All three need no other service; a subset needs bus.kind = nats."
        ),
    )
    node_id: int = Field(
        default=1,
        ge=1,
        le=255,
        description=(
            "Number of this process in its cluster, unique among live processes: it is part of session ids."
        ),
    )
    node_name: str = Field(
        default="",
        max_length=64,
        description="Name told to clients and shown in metrics. Empty: `node-<node_id>`.",
    )
    zone: str = Field(
        default="", max_length=64, description="Zone of this machine; LBS prefers the client's own zone."
    )
    isp: str = Field(
        default="", max_length=64, description="Carrier of this machine's address; LBS prefers a match."
    )
    drain_timeout_s: float = Field(
        default=20.0,
        ge=0,
        le=3600,
        description=(
            "Seconds a SIGTERM may take before connections are closed. Below the 30 s an "
            "orchestrator grants by default."
        ),
    )
    drain_spread_s: float = Field(
        default=5.0,
        ge=0,
        le=3600,
        description=(
            "Seconds over which a drain spreads its GOAWAY frames, so that other nodes see no storm."
        ),
    )

    @model_validator(mode="after")
    def roles_make_sense(self) -> ServerSection:
        if not self.roles:
            raise ValueError("roles must name at least one of gateway, im, control")
        return self


class GatewaySection(Section):
    listen: Address = Field(
        default="127.0.0.1:7801",
        description=(
            "Address of the client port (native and WebSocket). Loopback until you decide otherwise."
        ),
    )
    advertise: str = Field(
        default="", description="host:port that LBS gives to clients. Empty: the listen address itself."
    )
    loops: int = Field(
        default=0,
        ge=0,
        le=64,
        description="Loop threads of the core. 0: one per core this process may run on.",
    )
    processes: int = Field(
        default=1,
        ge=1,
        le=254,
        description=(
            "Gateway processes forked from this one, for more connections than one process may have open "
            "files. Node ids and ports count up from server.node_id and gateway.listen. More than 1 needs "
            "roles = [gateway] and a bus."
        ),
    )
    same_port: bool = Field(
        default=False,
        description="Let all of these processes listen on one port; the kernel spreads clients over them.",
    )
    ping_interval_s: int = Field(
        default=240,
        ge=5,
        le=3600,
        description=(
            "Seconds without writing after which a client pings. 240 stays below the common 300 s NAT limit."
        ),
    )
    proxy_from: list[str] = Field(
        default_factory=list,
        description=(
            "Addresses of balancers from which a PROXY v2 header is required. Others may not send one."
        ),
    )
    room_normal_per_s: int = Field(
        default=20,
        ge=0,
        le=1_000_000,
        description=(
            "Chatroom messages of normal priority a receiver gets per second and room; more are dropped and"
            " counted, because nobody can read them. 0: no limit."
        ),
    )
    room_high_per_s: int = Field(
        default=10,
        ge=0,
        le=1_000_000,
        description=(
            "The same for messages of high priority, which never compete with normal ones. 0: no limit."
        ),
    )
    core: dict[str, int | float | bool | str] = Field(
        default_factory=dict,
        description=(
            "Further limits of the core by their name in gateway_core.GatewayConfig (docs/OPERATIONS.md)."
        ),
    )
    events_per_wake: int = Field(
        default=2048,
        ge=1,
        le=65536,
        description=(
            "Events taken from the core at once. More makes larger batches, and longer pauses of "
            "the HTTP API."
        ),
    )


class ImSection(Section):
    service: dict[str, Any] = Field(
        default_factory=dict,
        description="Settings of the message service by their name in im_service (docs/MESSAGES.md).",
    )


class ControlSection(Section):
    http: Address = Field(
        default="127.0.0.1:7800", description="Address of the HTTP API, health and metrics."
    )
    gateways: list[str] = Field(
        default_factory=list,
        description=(
            "Static gateway list for LBS, `host:port` or `host:port;zone=z;isp=i`. Empty: the "
            "gateways that announce themselves (or the own one)."
        ),
    )
    lbs_ttl_s: int = Field(
        default=300,
        ge=5,
        le=86400,
        description="Seconds a client may keep an LBS answer before it asks again.",
    )
    lbs_answers: int = Field(
        default=3,
        ge=1,
        le=16,
        description="Gateways in an LBS answer when so many are there: clients race up to three.",
    )


class Settings(BaseSettings):
    """All settings of one process. Environment: `QIANWAN_<SECTION>__<KEY>`, lists and maps as JSON."""

    model_config = SettingsConfigDict(
        env_prefix="QIANWAN_",
        env_nested_delimiter="__",
        extra="forbid",
        validate_default=True,
        nested_model_default_partial_update=True,
    )

    server: ServerSection = ServerSection()
    gateway: GatewaySection = GatewaySection()
    im: ImSection = ImSection()
    control: ControlSection = ControlSection()
    bus: BusSection = BusSection()
    store: StoreSection = StoreSection()
    auth: AuthSection = AuthSection()
    limits: LimitsSection = LimitsSection()
    log: LogSection = LogSection()

    @model_validator(mode="after")
    def a_split_needs_a_bus(self) -> Settings:
        missing = {"gateway", "im", "control"} - set(self.server.roles)
        if self.bus.kind == "memory" and missing & {"gateway", "im"}:
            raise ValueError(
                f'roles without {", ".join(sorted(missing))} need another process: set bus.kind = "nats"'
            )
        if self.gateway.processes > 1 and (self.server.roles != ["gateway"] or self.bus.kind == "memory"):
            raise ValueError('gateway.processes > 1 needs roles = ["gateway"] and a bus')
        return self

    @property
    def node_name(self) -> str:
        return self.server.node_name or f"node-{self.server.node_id}"
