"""Everything an operator can set for one witness: one YAML file, one model, one docstring per field.

Every field can be overridden by an environment variable: `OCX_WITNESS_` and the field's name, `__` between
levels, for instance `OCX_WITNESS_MEASURE__TIMEOUT=3`. The passphrase is named by where it is, never written
here.

This module must not open what the settings name, and must not contact anything.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from daemons.configuration import Form, Frozen, Program, WalletSettings

__all__ = ["ClockSettings", "LogSettings", "MeasureSettings", "Settings", "load", "render"]


class MeasureSettings(Frozen):
    """How machines are probed."""

    timeout: float = Field(
        default=5.0, gt=0, le=60, description="Seconds a probe may take; never more than 0.4 of a round"
    )
    concurrency: int = Field(default=2000, ge=1, le=50_000, description="Machines being measured at one time")
    late_ms: int = Field(
        default=1000,
        ge=1,
        le=60_000,
        description="A measurement that begins later than this after its time leaves its round unmeasured; "
        "keep it below the audits' tolerance",
    )
    host_key_every: int = Field(
        default=10,
        ge=1,
        description="One round in so many, by lot, asks an SSH server to prove its host key",
    )
    loopback: bool = Field(
        default=False,
        description="Measure loopback and link-local addresses too; for demos. Else a machine there is down",
    )


class ClockSettings(Frozen):
    """When our own clock is too wrong to measure by."""

    bound: float = Field(default=5.0, gt=0, description="Seconds it may be off, by the blocks' times")
    transit: float = Field(
        default=5.0, gt=0, description="Seconds a block may take from its timestamp until we see it"
    )
    max_age: float = Field(default=7200.0, gt=0, description="Seconds the last block's time is good for")


class LogSettings(Frozen):
    """How long measurements are kept."""

    keep_samples: int = Field(
        default=96, ge=24, description="Epochs single measurements are kept (for audits)"
    )
    keep_leaves: int = Field(default=2160, ge=96, description="Epochs summaries per machine are kept")
    batch: float = Field(
        default=0.1, ge=0, le=5, description="Seconds measurements wait for others to share a sync"
    )


class Settings(Program):
    """One witness."""

    wallet: WalletSettings = Field(
        description="The signer: the key that ticks, proves and answers; never an admin's"
    )
    state_dir: Path = Field(
        description="Folder for the log, the master key and the journal; for one node alone"
    )
    measure: MeasureSettings = Field(default_factory=MeasureSettings)
    clock: ClockSettings = Field(default_factory=ClockSettings)
    log: LogSettings = Field(default_factory=LogSettings)
    references: tuple[str, ...] = Field(
        default=(),
        description="host:port of servers whose answer shows that our own network works, beside the chain's "
        "endpoints and other providers' gateways",
    )
    cycle: float = Field(
        default=1.0, gt=0, le=60, description="Longest pause between two looks at the chain, s"
    )
    health_port: int = Field(
        default=0, ge=0, le=65535, description="Loopback port of the health page; 0: free"
    )

    @property
    def database(self) -> Path:
        """The log."""
        return self.state_dir / "witness.db"

    @property
    def ready_file(self) -> Path:
        """Where a running node says who it is and at which port its health page is."""
        return self.state_dir / "ready.json"

    @property
    def master_key(self) -> Path:
        """The secret the times of measurement come from; made at the first start."""
        return self.state_dir / "master.key"


_FORM = Form(Settings, "witness configuration", "OCX_WITNESS_", "witness.yaml.j2", "ocx witness config")
load, render = _FORM.load, _FORM.render
