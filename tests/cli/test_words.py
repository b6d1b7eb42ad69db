"""What needs no chain: reading what people type, printing what they read, help, keys, exit codes."""

from __future__ import annotations

import json
import os
import resource
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cli import parse, render
from cli.app import App
from cli.main import _COMMANDS, cli
from market.errors import InvalidInput
from tests.cli.conftest import Person


def commands(group: click.Group, path: str = "ocx") -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, with its full name."""
    context = click.Context(group, info_name=path)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


ALL = dict(commands(cli))


@pytest.mark.parametrize("path", ALL)
def test_every_command_has_help_that_shows_the_variable_of_every_option(path: str) -> None:
    result = CliRunner().invoke(cli, [*path.split()[1:], "--help"], env={"COLUMNS": "100"})
    assert result.exit_code == 0
    text = " ".join(result.stdout.split())
    assert ALL[path].help
    shown = [p for p in ALL[path].params if isinstance(p, click.Option) and not p.hidden]
    assert all(option.help and option.show_envvar for option in shown)
    assert text.count("env var:") == len(shown)
    assert {"json", "format"} <= {option.name for option in shown}


def test_no_two_options_share_a_variable_and_none_is_a_setting_of_an_agent_or_node() -> None:
    variables: dict[str, str] = {}
    for path, command in ALL.items():
        with click.Context(cli, info_name="ocx", auto_envvar_prefix="OCX") as context:
            for name in path.split()[1:]:
                group = context.command
                assert isinstance(group, click.Group)
                child = group.get_command(context, name)
                assert child is not None
                context = child.make_context(name, [], parent=context, resilient_parsing=True)
        for option in command.params:
            if (
                not isinstance(option, click.Option)
                or option.hidden
                or option.name in ("json", "format", "yes")
            ):
                continue
            name = option.envvar or f"{context.auto_envvar_prefix}_{option.name}".upper()
            assert isinstance(name, str) and not name.startswith(("OCX_PROVIDER_", "OCX_WITNESS_"))
            same = variables.setdefault(name, f"{path} {option.name}")
            assert option.envvar or same == f"{path} {option.name}", name


def test_variable_does_what_its_option_does(tmp_path: Path) -> None:
    person = Person("x", tmp_path)
    made = person.run("wallet create", OCX_WALLET_CREATE_LIGHT="1", OCX_JSON="1")
    assert made.exit_code == 0, made.stderr
    assert json.loads(person.keystore.read_text())["crypto"]["kdfparams"]["n"] < 1 << 18
    assert json.loads(made.stdout)["file"] == str(person.keystore)


def test_help_loads_no_command_and_none_of_the_heavy_libraries() -> None:
    code = (
        "import sys\nfrom cli.main import cli\n"
        "try:\n    cli.main(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'rich', 'eth_account', 'pydantic', 'cli.lease', 'chain'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    spent = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    assert done.returncode == 0, done.stderr
    assert spent < 1.0, "0.2 s on an idle machine"


def test_every_group_is_listed() -> None:
    text = CliRunner().invoke(cli, ["--help"]).stdout
    assert all(name in text for name in _COMMANDS)


@pytest.mark.parametrize(
    ("text", "amount"), [("1.25", 1_250_000), ("0", 0), ("0.000001", 1), ("1_000", 1_000_000_000)]
)
def test_credits_are_read_exactly(text: str, amount: int) -> None:
    assert parse.microcredits(text) == amount


@pytest.mark.parametrize("text", ["", "x", "-1", "1.0000001", "nan", "inf", "1e60"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse.microcredits(text)


@pytest.mark.parametrize(("text", "rate"), [("0.5", 500_000), ("0.5/h", 500_000), ("12/d", 500_000)])
def test_rates_are_per_hour(text: str, rate: int) -> None:
    assert parse.rate(text) == rate


@pytest.mark.parametrize("text", ["1/w", "/h", "1/h/h"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse.rate(text)


def test_ids_are_put_in_order_and_named_once() -> None:
    assert parse.increasing([3, 1], "node") == [1, 3]
    with pytest.raises(InvalidInput, match="twice"):
        parse.increasing([1, 1], "node")


def test_money_always_has_six_decimals() -> None:
    assert render.credits_text(1_234_500_000) == "1,234.500000"
    assert render.credits_text(-1) == "-0.000001"


def test_fields_are_shown_by_their_names() -> None:
    assert render.text_of("rate", 500_000) == "0.500000"
    assert render.text_of("start", 1_800_000_000) == "2027-01-15T08:00:00Z"
    assert render.text_of("ended_at", 0) == "-"
    assert render.text_of("lease", 7) == "7"
    assert render.text_of("limit", render.NO_LIMIT) == "none"


@pytest.mark.parametrize(
    ("form", "expected"), [("json", '"lease": 7'), ("value", "7\t500000\n"), ("table", "0.500000")]
)
def test_results_come_in_three_forms(form: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    render.show(App(format=form), [{"lease": 7, "rate": 500_000}], value="lease rate")
    assert expected in capsys.readouterr().out


def test_unknown_option_is_a_usage_error() -> None:
    result = CliRunner().invoke(cli, ["lease", "list", "--nonsense"])
    assert result.exit_code == 2


def test_refused_value_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    line = Person("x", tmp_path).is_refused("credits transfer 0x12 1")
    assert "0x12" in line
    assert ";" in line


def test_unforeseen_error_shows_no_traceback_unless_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("chain.wallet.address_of", broken)
    person = Person("x", tmp_path)
    assert "OCX_DEBUG=1" in person.is_refused("wallet show")
    result = person.run("wallet show", OCX_DEBUG="1")
    assert isinstance(result.exception, ZeroDivisionError)


def test_wallet_is_created_shown_and_never_overwritten(tmp_path: Path) -> None:
    person = Person("x", tmp_path)
    made = person.does("wallet create --light")
    assert person.does("wallet show")["address"] == made["address"]
    assert stat.S_IMODE(person.keystore.stat().st_mode) == 0o600
    assert "exists already" in person.is_refused("wallet create --light")


def test_key_is_imported_from_a_file_and_not_shown(tmp_path: Path) -> None:
    person = Person("x", tmp_path)
    (tmp_path / "key").write_text("0x" + "11" * 32)
    result = person.run(f"wallet import --light --from {tmp_path / 'key'}")
    assert "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A" in result.stdout
    assert "1111" not in result.output


def test_wrong_passphrase_and_open_passphrase_file_are_refused(tmp_path: Path) -> None:
    person = Person("x", tmp_path)
    person.does("wallet key-create --light")
    (tmp_path / "passphrase").write_text("guess")
    assert "wrong passphrase" in person.is_refused("wallet key-export", str(tmp_path / "copy"))
    (tmp_path / "passphrase").chmod(0o644)
    assert "chmod 600" in person.is_refused("wallet create other.json --light")


def test_encryption_key_travels_by_export_and_import(tmp_path: Path) -> None:
    here, there = Person("x", tmp_path / "here"), Person("x", tmp_path / "there")
    made = here.does("wallet key-create --light")
    here.does(f"wallet key-export {tmp_path / 'copy.json'}")
    assert there.does(f"wallet key-import {tmp_path / 'copy.json'}")["public_key"] == made["public_key"]
    assert stat.S_IMODE((there.state / "encryption-key.json").stat().st_mode) == 0o600
    assert "exists already" in here.is_refused("wallet key-create --light")


def test_completion_prints_a_script() -> None:
    for shell in ("bash", "zsh", "fish"):
        assert "_OCX_COMPLETE" in CliRunner().invoke(cli, ["completion", shell]).stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("ocx lea", "plain,lease"),
        ("ocx lease sho", "plain,show"),
        ("ocx lease show --wh", "plain,--why"),
        ("ocx offer list --format j", "plain,json"),
    ],
)
def test_shell_completes_commands_options_and_values(words: str, expected: str) -> None:
    variables = {"_OCX_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    result = CliRunner().invoke(cli, [], env=variables)
    assert result.stdout.split() == [expected]


def test_ocx_is_a_program() -> None:
    program = Path(sys.executable).with_name("ocx")
    env = {name: value for name, value in os.environ.items() if not name.startswith("OCX_")}
    done = subprocess.run([program, "offer", "list"], capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 1
    assert done.stderr.startswith("ocx: no connection file was given; ")


def test_json_may_stand_before_or_after_the_command(tmp_path: Path) -> None:
    person = Person("x", tmp_path)
    person.does("wallet create --light")
    for command in ("--json wallet show", "wallet show --json", "wallet show --format json"):
        assert json.loads(person.run(command).stdout)["file"] == str(person.keystore)


def test_a_line_of_a_batch_that_cannot_be_read_does_not_stop_it() -> None:
    result = CliRunner().invoke(cli, ["batch"], input="wallet 'show\ncompletion bash\n")
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [answer["exit_code"] for answer in answers] == [2, 0]
    assert "No closing quotation" in answers[0]["error"]
