"""What every command shares: the global options, where things lie, and how failures are told.

Each command gets one `App`. It opens the exchange only when a command asks, so that `ocx --help` stays fast,
and it must not know what any single command does.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import update_wrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import click

from market.errors import Bug, InvalidInput, OcxError, Temporary

if TYPE_CHECKING:
    from chain.exchange import Exchange
    from chain.wallet import Wallet

__all__ = ["App", "Command", "Group", "LazyGroup", "Root", "pass_app"]

_P = ParamSpec("_P")
_R = TypeVar("_R")


@dataclass
class App:
    """The global options of one run; paths as given, None where nothing was given."""

    connection: Path | None = None
    wallet: Path | None = None
    passphrase_file: Path | None = None
    acting_for: str | None = None
    generation: int | None = None
    state: Path = Path("~/.local/state/ocx")
    format: str = "table"
    yes: bool = False

    @property
    def state_dir(self) -> Path:
        """The state directory, the home directory filled in."""
        return self.state.expanduser()

    def connection_path(self) -> Path:
        """The connection file; InvalidInput if none was named."""
        if self.connection is None:
            raise InvalidInput(
                "no connection file was given",
                hint="give --connection FILE or set OCX_CONNECTION; an operator of the network hands it out",
            )
        return self.connection

    def wallet_path(self) -> Path:
        """The keystore file; InvalidInput if none was named."""
        if self.wallet is None:
            raise InvalidInput(
                "no wallet was given",
                hint="give --wallet FILE or set OCX_WALLET; make one with: ocx wallet create",
            )
        return self.wallet

    def passphrase(self, *, confirm: bool = False) -> Callable[[], str]:
        """Where passphrases come from: the file, the environment, or the prompt."""
        from chain.wallet import passphrase_source

        return passphrase_source(self.passphrase_file, confirm=confirm)

    def open_wallet(self) -> Wallet:
        """The wallet, unlocked."""
        from chain.wallet import load

        return load(self.wallet_path(), self.passphrase())

    def address(self) -> str | None:
        """The wallet's address without unlocking it; None if no wallet was named."""
        from chain.wallet import address_of

        return None if self.wallet is None else address_of(self.wallet)

    def exchange(self, *, sign: bool = False) -> Exchange:
        """The exchange of the connection file, with the unlocked wallet if `sign`."""
        from chain.exchange import Exchange

        connection = self.connection_path()
        if not sign:
            return Exchange.open(connection, generation=self.generation)
        journal = self.state_dir / "sender"
        exchange = Exchange.open(connection, self.open_wallet(), journal, generation=self.generation)
        click.get_current_context().call_on_close(exchange.sender.close)
        return exchange


def pass_app(function: Callable[Concatenate[App, _P], _R]) -> Callable[_P, _R]:
    """Hand the run's `App` to a command as its first argument."""

    def wrapped(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        return function(click.get_current_context().ensure_object(App), *args, **kwargs)

    return update_wrapper(wrapped, function)


def _store(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Keep a global option in the `App`; on a command it only counts if it was really given there."""
    app = context.ensure_object(App)
    source = context.get_parameter_source(parameter.name or "")
    given = source in (click.core.ParameterSource.COMMANDLINE, click.core.ParameterSource.ENVIRONMENT)
    on_command = source is click.core.ParameterSource.COMMANDLINE
    if (given if context.parent is None else on_command) and value is not None:
        if parameter.name == "json":
            app.format = "json" if value else app.format
        else:
            setattr(app, str(parameter.name), value)


def _global(*names: str, **attributes: Any) -> click.Option:
    envvar = "OCX_" + names[0].lstrip("-").upper().replace("-", "_")
    settings: dict[str, Any] = {"expose_value": False, "callback": _store, "show_envvar": True}
    return click.Option(list(names), envvar=envvar, **settings, **attributes)


def _global_options(hidden: bool) -> list[click.Parameter]:
    path = click.Path(path_type=Path, dir_okay=False)
    return [
        _global("--connection", type=path, hidden=hidden, help="Connection file of the network."),
        _global("--wallet", type=path, hidden=hidden, help="Keystore file of the account that acts."),
        _global(
            "--passphrase-file",
            type=path,
            hidden=hidden,
            help="File with the passphrase, readable by its owner only; else OCX_PASSPHRASE, else a prompt.",
        ),
        _global(
            "--acting-for",
            metavar="ORG",
            hidden=hidden,
            help="Organisation that granted the account rights, HANDLE or number; by default its own.",
        ),
        _global(
            "--generation",
            type=click.IntRange(1),
            hidden=hidden,
            help="Work with this generation of the contracts alone; by default with all.",
        ),
        _global(
            "--state",
            type=click.Path(path_type=Path, file_okay=False),
            hidden=hidden,
            help="Directory for what must not be lost: journals, salts, keys.  [default: ~/.local/state/ocx]",
        ),
        _global("--format", type=click.Choice(["table", "json", "value"]), help="How results are printed."),
        _global("--json", is_flag=True, help="Short for --format json."),
        _global("--yes", is_flag=True, default=None, help="Do not ask before sending."),
    ]


class Command(click.Command):
    """A command that takes the global options too and shows every option's environment variable."""

    def __init__(self, *args: Any, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        for parameter in self.params:
            if isinstance(parameter, click.Option):
                parameter.show_envvar = True
                parameter.show_default = True
        known = {parameter.name for parameter in self.params}
        self.params += [option for option in _global_options(hidden=True) if option.name not in known]


class Group(click.Group):
    """A group of such commands; it only lists them."""

    command_class = Command


class LazyGroup(Group):
    """A group whose commands are imported when they are needed.

    `lazy` is name -> ("module:attribute", what the list of commands says of it); listing imports nothing.
    """

    def __init__(
        self, *args: Any, lazy: Mapping[str, tuple[str, str]] | None = None, **attributes: Any
    ) -> None:
        super().__init__(*args, **attributes)
        self._lazy = dict(lazy or {})

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order they were given."""
        return [*self._lazy, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now."""
        if cmd_name not in self._lazy:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = self._lazy[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)  # noqa: S101  the table of commands is ours
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self._lazy.items()])


class Root(LazyGroup):
    """`ocx` itself: takes the global options and turns every failure into one line and an exit code."""

    def __init__(self, *args: Any, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.params += _global_options(hidden=False)

    def main(self, args: Sequence[str] | None = None, *more: Any, **extra: Any) -> Any:
        """Run and exit: 0 done, 1 refused or failed, 2 command line cannot be parsed, 130 on Ctrl-C."""
        extra |= {"standalone_mode": False, "prog_name": "ocx"}
        if not os.environ.get("OCX_DEBUG"):
            # An error is one line; what a library would add to it is for those who look for a bug.
            # (None would print a complaint of its own.)
            logging.lastResort = logging.NullHandler()
        try:
            status = super().main(args, **extra)
            sys.stdout.flush()
        except Exception as error:
            if os.environ.get("OCX_DEBUG"):
                raise
            sys.exit(_tell(error))
        except KeyboardInterrupt:
            click.echo("ocx: stopped", err=True)
            sys.exit(130)
        sys.exit(status if isinstance(status, int) else 0)


def _tell(error: Exception) -> int:
    """Say what went wrong in one line on standard error; the exit code."""
    if isinstance(error, click.UsageError):
        error.show()
        return 2
    if isinstance(error, click.Abort):
        click.echo("ocx: stopped, nothing more was sent", err=True)
        return 130
    if isinstance(error, BrokenPipeError):
        # Whoever read our output has enough; keep the interpreter from complaining while it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    click.echo(f"ocx: {_without_secrets(_line(error))}", err=True)
    return 1


def _without_secrets(text: str) -> str:
    """Take out what a plugin read as its password, if this command had one at work."""
    loaded = sys.modules.get("daemons.secrets")
    return text if loaded is None else str(loaded.redact(text))


def _line(error: Exception) -> str:
    if isinstance(error, OcxError):
        hint = error.hint
        if hint is None and isinstance(error, Temporary):
            hint = f"try again in {max(1, round(error.retry_after))} s"
        if hint is None and isinstance(error, Bug):
            hint = "please report it"
        return (
            f"{error.message.rstrip('.')}; {hint[0].lower() + hint[1:].rstrip('.')}"
            if hint
            else error.message
        )
    if isinstance(error, click.ClickException):
        return " ".join(error.format_message().split())
    text = " ".join(str(error).split())
    return f"unexpected {type(error).__name__}: {text}; run again with OCX_DEBUG=1 and report what it prints"
