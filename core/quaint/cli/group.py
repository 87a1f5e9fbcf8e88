"""The group of all commands: lists them without importing them, and turns errors into messages and exit codes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from quaint.cli.session import Session
from quaint.errors import INTERRUPTED, QuaintError
from quaint.plugins import registry
from quaint.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable

HOOK = "quaint_commands"
BUG = 1


class LazyGroup(click.Group):
    """A group whose commands are components of the hook ``quaint_commands``."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Names of the commands, sorted."""
        return registry().names(HOOK)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now.

        Raises:
            QuaintError: QP520 or QP522 where its plugin is broken.
        """
        if cmd_name not in registry().names(HOOK):
            ctx.fail(f"No such command {cmd_name!r}; {did_you_mean(cmd_name, registry().names(HOOK))}")
        command: click.Command = registry().get(HOOK, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The list in ``--help``, from the summaries alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(component.name, component.summary) for component, _ in registry().components(HOOK)])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Note whether the result is wanted as JSON before anything can go wrong."""
        ctx.obj = Session(json="--json" in args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command under the rules for errors: refusals in one line, bugs with a traceback."""
        session: Session = ctx.obj
        with session.warnings_shown():
            return guarded(session, lambda: super(LazyGroup, self).invoke(ctx))


def guarded(session: Session, run: Callable[[], Any]) -> Any:
    """What ``run`` gives; where it raises, the error told and the process ended with the code of its kind."""
    try:
        return run()
    except QuaintError as error:
        session.refuse(error)
        sys.exit(error.exit_code)
    except MemoryError:
        shortage = QuaintError("QC250", "not enough memory", hint="try a smaller --batch-size")
        session.refuse(shortage)
        sys.exit(shortage.exit_code)
    except click.UsageError as error:
        if session.json:
            session.print_json({"error": {"code": "QU100", "message": error.format_message(), "details": []}})
        raise
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        sys.exit(INTERRUPTED)
    except (click.ClickException, click.exceptions.Exit, BrokenPipeError):
        raise
    except Exception as error:  # noqa: BLE001 - whatever else comes up is a bug
        session.report_bug(error)
        sys.exit(BUG)


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="quaint", message="%(package)s %(version)s")
def quaint() -> None:
    """Turn a trained float model into the exact integer program of an edge chip."""
