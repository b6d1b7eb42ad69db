"""The lab: a real Ironic and machines that exist only as processes, for the demo and the tests.

Ironic, its Redfish driver, the BMCs (sushy-tools), the deploy protocol, the image download, the config
drive and the SSH server are real. What the lab stands in for is the hardware and its kernel: a machine's
disk is a folder, its deploy ramdisk is a thread (`agent`), its installed system is `provisioner.guest`.

    with Lab(directory, machines=2) as lab:
        lab.description["ironic_url"]

`python -m cli.demo.lab --machines 2 --dir DIR` does the same until SIGTERM. Whatever ends the lab, SIGKILL
included, ends every process of it. This package imports nothing of `provisioner`, and starts it by command.
"""

from __future__ import annotations

from cli.demo.lab.lab import Lab

__all__ = ["Lab"]
