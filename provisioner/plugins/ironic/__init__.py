"""Bare metal through OpenStack Ironic, standalone or behind Keystone."""

from __future__ import annotations

from provisioner.plugins.ironic.plugin import IronicPlugin
from provisioner.plugins.ironic.settings import IronicSettings

__all__ = ["IronicPlugin", "IronicSettings"]
