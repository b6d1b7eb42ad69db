"""EC2 on demand: instances of Amazon EC2, or of whatever speaks its API."""

from __future__ import annotations

from provisioner.plugins.aws.plugin import AwsPlugin
from provisioner.plugins.aws.settings import AwsSettings, Product

__all__ = ["AwsPlugin", "AwsSettings", "Product"]
