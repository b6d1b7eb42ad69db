"""Any Ansible playbook as a product: a setup play hands a host to a tenant, a cleanup play takes it back."""

from __future__ import annotations

from provisioner.plugins.ansible.plugin import AnsiblePlugin
from provisioner.plugins.ansible.settings import AnsibleSettings

__all__ = ["AnsiblePlugin", "AnsibleSettings"]
