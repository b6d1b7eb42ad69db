"""Where secrets are read from, and that no error repeats one."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from chain import wallet as wallets
from daemons import secrets
from daemons.opening import open_wallet
from daemons.secrets import SecretSource, redact
from market.errors import InvalidInput, OcxError, Permanent, Refused, Temporary
from provisioner.settings import Settings, load

SECRET = "correct-horse-battery"


def private(path: Path, text: str, mode: int = 0o600) -> Path:
    """A file of that mode."""
    path.touch(mode=0o600)
    path.write_text(text)
    path.chmod(mode)
    return path


def program(path: Path, text: str) -> str:
    """A program in the shell's language."""
    return str(private(path, f"#!/bin/sh\n{text}\n", 0o700))


def everything_said(error: OcxError) -> str:
    """The error as people, programs and logs with tracebacks see it."""
    shown = "".join(traceback.format_exception(error))
    return f"{error} {error!r} {error.hint} {error.evidence} {shown}"


def test_an_environment_variable_is_read_when_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    source = SecretSource.parse({"env": "OCX_TEST_SECRET"}, "x")
    with pytest.raises(Permanent, match="the variable OCX_TEST_SECRET"):
        source.read()
    monkeypatch.setenv("OCX_TEST_SECRET", SECRET)
    assert source.read() == SECRET


def test_a_rotated_secret_counts_at_the_next_use(tmp_path: Path) -> None:
    file = private(tmp_path / "secret", f"{SECRET}\n")
    asked = SecretSource.parse({"command": ["cat", str(file)]}, "x")
    read = SecretSource.parse({"file": str(file)}, "x")
    assert read.read() == asked.read() == SECRET
    file.write_text("another\n")
    assert read.read() == asked.read() == "another"


def test_a_file_that_everybody_can_read_is_refused(tmp_path: Path) -> None:
    file = private(tmp_path / "secret", SECRET, 0o644)
    with pytest.raises(Permanent, match="chmod 600") as caught:
        SecretSource(file=str(file)).read()
    assert SECRET not in everything_said(caught.value)


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe" + SECRET.encode()])
def test_a_file_without_a_readable_secret_is_refused(tmp_path: Path, content: bytes) -> None:
    file = private(tmp_path / "secret", "")
    file.write_bytes(content)
    with pytest.raises(Permanent) as caught:
        SecretSource(file=str(file)).read()
    assert SECRET not in everything_said(caught.value)
    with pytest.raises(Permanent, match="No such file"):
        SecretSource(file=str(tmp_path / "none")).read()


@pytest.mark.parametrize("ending", ["exit 3", "kill -9 $$"])
def test_a_command_that_fails_is_tried_again_later_and_what_it_printed_is_not_told(
    tmp_path: Path, ending: str
) -> None:
    command = program(tmp_path / "ask", f"echo {SECRET}; echo {SECRET} >&2; {ending}")
    with pytest.raises(Temporary, match="ended with") as caught:
        SecretSource(command=(command,)).read()
    assert SECRET not in everything_said(caught.value)


def test_a_command_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "_COMMAND_SECONDS", 0.2)
    command = program(tmp_path / "ask", f"echo {SECRET}; exec tail -f /dev/null")
    with pytest.raises(Temporary, match="TimeoutExpired") as caught:
        SecretSource(command=(command,)).read()
    assert SECRET not in everything_said(caught.value)


def test_a_command_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Temporary, match="FileNotFoundError"):
        SecretSource(command=(str(tmp_path / "none"),)).read()


def test_what_a_command_is_given_as_arguments_is_not_told(tmp_path: Path) -> None:
    command = program(tmp_path / "ask", "exit 1")
    with pytest.raises(Temporary) as caught:
        SecretSource(command=(command, "--key", SECRET)).read()
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [SECRET, None, 7, {}, {"env": ""}, {"env": "A", "file": "b"}, {"password": SECRET}]
    + [{"command": SECRET}, {"command": []}, {"command": ["a", 1]}, {"file": [SECRET]}, {"env": 1}],
)
def test_a_setting_that_names_no_place_is_refused_without_repeating_it(value: Any) -> None:
    with pytest.raises(InvalidInput, match=r"the setting plugin\.password") as caught:
        SecretSource.parse(value, "plugin.password")
    assert SECRET not in everything_said(caught.value)


# ---- the operator key's passphrase ---------------------------------------------------------------------


def agent(folder: Path, **wallet: Any) -> Settings:
    """Settings whose wallet is opened as `wallet` says, read from a file."""
    lines = ["connection: c.yaml\nstate_dir: state\nplugins: [{name: fake}]\nwallet: {keystore: key.json"]
    lines += [f", {name}: {value}" for name, value in wallet.items()]
    path = folder / "provider.yaml"
    path.write_text("".join(lines) + "}\n")
    return load(path, {})


def test_the_wallet_is_opened_from_variable_file_and_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = wallets.create(tmp_path / "key.json", SECRET, light=True).address
    private(tmp_path / "secret", f"{SECRET}\n")
    monkeypatch.setenv("OCX_TEST_SECRET", SECRET)
    monkeypatch.delenv("OCX_PASSPHRASE", raising=False)
    forms = ["{env: OCX_TEST_SECRET}", "{file: secret}", f"{{command: [cat, {tmp_path / 'secret'}]}}"]
    for form in forms:  # the file's path counts from the configuration's folder
        assert open_wallet(agent(tmp_path, passphrase=form)).address == address
    assert open_wallet(agent(tmp_path, passphrase_file="secret")).address == address
    with pytest.raises(Permanent, match="OCX_PASSPHRASE"):
        open_wallet(agent(tmp_path))
    monkeypatch.setenv("OCX_PASSPHRASE", "wrong")
    with pytest.raises(Refused, match="wrong passphrase"):
        open_wallet(agent(tmp_path))


def test_a_passphrase_in_the_configuration_is_refused_without_repeating_it(tmp_path: Path) -> None:
    for wallet in ({"passphrase": SECRET}, {"passphrase": f"{{text: {SECRET}}}"}):
        with pytest.raises(InvalidInput, match=r"wallet\.passphrase") as caught:
            agent(tmp_path, **wallet)
        assert SECRET not in everything_said(caught.value)
    with pytest.raises(InvalidInput, match="not both"):
        agent(tmp_path, passphrase="{env: A}", passphrase_file="b")


# ---- what is told ---------------------------------------------------------------------------------------


def test_a_secret_that_was_read_is_taken_out_of_what_is_told_in_every_form(tmp_path: Path) -> None:
    secret = 'p"ss/wörd & more'
    SecretSource(file=str(private(tmp_path / "secret", secret))).read()
    url = f"https://admin:{quote(secret, safe='')}@cloud/"
    encoded = base64.b64encode(secret.encode()).decode()
    for told in (secret, url, json.dumps({"why": secret}), repr([secret]), f"Basic {encoded}"):
        shown = redact(f"before {told} after")
        assert "[secret]" in shown and shown.startswith("before ") and shown.endswith(" after")
        assert "rd" not in shown


def test_a_short_word_is_left_in_texts(tmp_path: Path) -> None:
    SecretSource(file=str(private(tmp_path / "secret", "root"))).read()
    assert redact("the root of it") == "the root of it"


def test_the_log_holds_our_debugging_no_librarys_and_no_secret_in_a_traceback(tmp_path: Path) -> None:
    program = f"""
import logging
from daemons.logs import begin
from daemons.secrets import SecretSource, redact
begin("debug")
secret = SecretSource(file={str(private(tmp_path / "secret", SECRET))!r}).read()
logging.getLogger("provisioner.x").debug("ours %s", secret)
logging.getLogger("urllib3.connectionpool").debug("theirs")
logging.getLogger("botocore").info("their news")
try:
    raise RuntimeError(f"401 for https://admin:{{secret}}@cloud/")
except RuntimeError:
    logging.getLogger("keystoneauth").exception("theirs went wrong")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "ours [secret]" in done.stderr and "their news" in done.stderr
    assert "RuntimeError: 401 for https://admin:[secret]@cloud/" in done.stderr
    assert "connectionpool" not in done.stderr and SECRET not in done.stderr
