"""Everything an operator can set for one provider agent: one YAML file, one model, one docstring per field.

`templates/provider.yaml.j2` is the form to fill in, `load` reads it. Every field can be overridden by an
environment variable: `OCX_PROVIDER_` and the field's name, `__` between levels, for instance
`OCX_PROVIDER_GATEWAY__PORT=8443`. Secrets are named by where they are, never written here.

This module must not open what the settings name, and must not contact anything.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from daemons.configuration import Form, Frozen, Program, WalletSettings

__all__ = [
    "BiddingSettings",
    "GatewaySettings",
    "PluginSettings",
    "Settings",
    "WalletSettings",
    "load",
    "render",
]


class GatewaySettings(Frozen):
    """Where buyers fetch their connection data."""

    host: str = Field(default="127.0.0.1", description="Address to listen on")
    port: int = Field(default=0, ge=0, le=65535, description="Port to listen on; 0 takes a free one")
    url: str | None = Field(
        default=None, description="URL registered in Members; none: https://<host>:<port>"
    )
    cert: Path | None = Field(default=None, description="TLS certificate; made at the first start if absent")
    key: Path | None = Field(default=None, description="TLS private key; made with the certificate")
    committee_first: int = Field(
        default=300,
        ge=0,
        description="Seconds after a delivery for which a committee that is drawn already may look before "
        "the buyer gets in, at most half of the acceptance time; 0: never",
    )


class PluginSettings(Frozen):
    """One cloud."""

    name: str = Field(description="Name in the entry-point group ocx.provisioners, e.g. ironic")
    settings: dict[str, Any] = Field(default_factory=dict, description="The plugin's own settings")


class BiddingSettings(Frozen):
    """Whether and how the agent bids in sealed tenders; rates in microcredits per resource and hour."""

    enabled: bool = Field(default=True, description="Bid in tenders that fit an open offer of ours")
    aim: Literal["rate", "total"] = Field(
        default="rate", description="rate: the price stays; total: it falls towards cost_rate"
    )
    ask_rate: int = Field(
        default=0, ge=0, description="Rate asked far from the start; never below the offer's floor"
    )
    cost_rate: int = Field(default=0, ge=0, description="Never bid less than this (aim total)")
    lead: int = Field(
        default=86_400, ge=0, description="Seconds before the start when the price begins to fall"
    )
    slas: tuple[int, ...] = Field(
        default=(),
        description="SLAs, by number, to agree to besides those our offers promise; a bid is consent",
    )


class Settings(Program):
    """One provider agent."""

    wallet: WalletSettings = Field(
        description="The operator key: a member of the provider's organisation with OFFER, SIGN, DELIVER and "
        "RELEASE"
    )
    state_dir: Path = Field(
        description="Folder for database, TLS key and journals; two agents of one provider share it"
    )
    gateway: GatewaySettings = Field(default_factory=GatewaySettings)
    plugins: tuple[PluginSettings, ...] = Field(min_length=1, description="The clouds, first match first")
    bidding: BiddingSettings = Field(default_factory=BiddingSettings)
    turnaround_slots: int = Field(
        default=1, ge=0, description="Slots booked after each lease, for machines registered from here"
    )
    cycle: float = Field(default=0.2, gt=0, le=60, description="Longest pause between two looks, seconds")
    resync: float = Field(
        default=30.0,
        gt=0,
        description="Longest time a lease is left unread when nothing points at it, seconds",
    )
    inspect_every: float = Field(default=300.0, gt=0, description="Seconds between two measurements")
    look_every: float = Field(default=5.0, gt=0, description="Seconds between two readings of each cloud")
    provision_timeout: float = Field(
        default=1800.0, gt=0, description="Seconds after which health calls a provisioning hung"
    )
    release_timeout: float = Field(
        default=1800.0, gt=0, description="Seconds after which health calls a release hung"
    )
    setup_wait: int = Field(
        default=60,
        ge=0,
        description="Seconds to wait for the buyer's SSH key; then the agent makes one and seals it too",
    )
    orphan_grace: int = Field(
        default=600,
        ge=0,
        description="Seconds a machine of a lease that is over is left alone before it is released",
    )
    health_port: int = Field(
        default=0, ge=0, le=65535, description="Loopback port of the health page; 0: free"
    )
    workers: int = Field(default=32, ge=1, le=512, description="Calls of one kind at one time")

    @model_validator(mode="after")
    def _total_needs_cost(self) -> Settings:
        if not self.bidding.enabled or self.bidding.aim == "rate" or self.bidding.cost_rate:
            return self
        raise ValueError("bidding.aim total needs a cost_rate")

    @property
    def database(self) -> Path:
        """The agent's SQLite file."""
        return self.state_dir / "agent.db"

    @property
    def gateway_cert(self) -> Path:
        """Where the gateway's certificate lies."""
        return self.gateway.cert or self.state_dir / "gateway.crt"

    @property
    def gateway_key(self) -> Path:
        """Where the gateway's private key lies."""
        return self.gateway.key or self.state_dir / "gateway.key"


_FORM = Form(Settings, "provider configuration", "OCX_PROVIDER_", "provider.yaml.j2", "ocx provider config")
load, render = _FORM.load, _FORM.render
