"""A config drive is read as mkisofs, which Ironic calls, writes it."""

from __future__ import annotations

import base64
import gzip
import json
import subprocess
from pathlib import Path

import pytest

from cli.demo.lab.iso import files_of, unpack_config_drive
from market.errors import InvalidInput

FLAGS = ["-ldots", "-allow-lowercase", "-allow-multidot", "-l", "-quiet", "-J", "-r", "-V", "config-2"]


def drive(folder: Path) -> str:
    """A folder as the text Ironic hands to its ramdisk."""
    image = folder.with_suffix(".iso")
    subprocess.run(["mkisofs", "-o", str(image), *FLAGS, str(folder)], check=True, capture_output=True)
    return base64.b64encode(gzip.compress(image.read_bytes())).decode()


def test_every_file_comes_back_under_its_own_name(tmp_path: Path) -> None:
    contents = {
        "openstack/latest/meta_data.json": json.dumps({"hostname": "a"}).encode(),
        "openstack/latest/user_data": b"#cloud-config\n" * 1000,
        "openstack/2012-08-10/empty": b"",
        **{f"many/a-rather-long-file-name-{n:03}.txt": str(n).encode() for n in range(60)},
    }
    for name, content in contents.items():
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    unpack_config_drive(drive(tmp_path / "source"), tmp_path / "target")
    found = {
        str(path.relative_to(tmp_path / "target")): path.read_bytes()
        for path in (tmp_path / "target").rglob("*")
        if path.is_file()
    }
    assert found == contents


@pytest.mark.parametrize("image", [b"", b"\0" * 100_000, b"CD001" * 10_000])
def test_anything_else_is_refused(image: bytes) -> None:
    with pytest.raises(InvalidInput, match="not an ISO"):
        files_of(image)
