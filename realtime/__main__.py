"""The command line: argv -> Config -> App.run(), the catalogue of models, stored sessions, and new keys.

It owns the words that the operator types and the exit statuses: 0 for done, 1 for a model that can't be had or is not there, 2 for bad
configuration, 130 for Ctrl-C. Everything that is slow to import is imported by the command that needs it, so that `--help` is instant.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeAlias

from realtime.config import Config, add_flags, flags, load, supervision
from realtime.errors import ConfigError, EngineError, StoreError
from realtime.options import SECTIONS, SETTINGS, Setting

if TYPE_CHECKING:
    from realtime.engines.models import Model

DONE, FAILED, MISUSED, INTERRUPTED = 0, 1, 2, 130
"""Exit statuses. 2 is argparse's own, 130 the shell's for SIGINT (128 + 2)."""

NEW_KEY_HELP = "make a key: its line for the file of keys goes to the output, the key itself is shown once, as an error message would be"

_Run = Callable[[argparse.Namespace], int]
_Commands: TypeAlias = "argparse._SubParsersAction[_Parser]"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    try:
        options = _parser().parse_args(argv)
        command: _Run = options.command
        return command(options)
    except ConfigError as error:
        print(f"realtime: {error}", file=sys.stderr)
        return MISUSED
    except (EngineError, StoreError) as error:
        print(f"realtime: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED


class _Parser(argparse.ArgumentParser):
    """A mistake is answered in one line, as bad configuration is."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message} (see {self.prog} --help)")


class _Version(argparse.Action):
    """`--version`, reading the package's metadata only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print("realtime", version("realtime-daemon"))
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="realtime", description="The OpenAI Realtime protocol in front of any chat model.", allow_abbrev=False)
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    serve = _command(commands, "serve", _serve, "answer websocket clients until SIGTERM or Ctrl-C")
    serve.epilog = "A flag beats the environment variable in brackets, which beats the default beside it. Keys have no flag."
    models = commands.add_parser("models", help="list, fetch or remove the embedded models", allow_abbrev=False)
    _add_models(models.add_subparsers(title="commands", metavar="COMMAND", required=True))
    replay = commands.add_parser("replay", help="run a recorded session again (REALTIME_RECORD_DIR)", allow_abbrev=False)
    replay.add_argument("file", metavar="FILE", type=Path, help="the recording")
    replay.set_defaults(command=_replay)
    sessions = commands.add_parser("sessions", help="list, show, export, import or delete stored sessions", allow_abbrev=False)
    _add_sessions(sessions.add_subparsers(title="commands", metavar="COMMAND", required=True))
    keys = commands.add_parser("keys", help="make keys for clients", allow_abbrev=False)
    new = _command(keys.add_subparsers(title="commands", metavar="COMMAND", required=True), "new", _new_key, NEW_KEY_HELP, ())
    new.usage = "%(prog)s [options] NAME >> FILE"
    new.add_argument("name", metavar="NAME", help="whose key it is")
    return parser


def _add_models(commands: _Commands) -> None:
    cache = tuple(setting for setting in SETTINGS if setting.name == "cache_dir")
    _command(commands, "list", _list, "show what there is and what is here", cache)
    fetch = _command(commands, "fetch", _fetch, "fetch models; without names, those that serve needs with the same options")
    fetch.usage = "%(prog)s [options] [NAME ...]"
    fetch.add_argument("names", nargs="*", metavar="NAME", help="name in the list, or a hub id")
    remove = _command(commands, "remove", _remove, "delete fetched models", cache)
    remove.usage = "%(prog)s [options] NAME [NAME ...]"
    remove.add_argument("names", nargs="+", metavar="NAME", help="name in the list, or a hub id")


def _add_sessions(commands: _Commands) -> None:
    stored = SECTIONS["memory"]
    _command(commands, "list", _list_sessions, "show which there are", stored)
    show = _command(commands, "show", _show_session, "show what was said in one", stored)
    export = _command(commands, "export", _export_session, "write one to a file, as JSON, with its sounds and pictures", stored)
    take = _command(commands, "import", _import_session, "put an exported one back, under its id", stored)
    delete = _command(commands, "delete", _delete_sessions, "delete some, for ever; who is in one of them is sent away", stored)
    for parser in (show, export):
        parser.add_argument("id", metavar="ID", help="of the session")
    export.add_argument("file", metavar="FILE", nargs="?", default="-", help="default: the output")
    take.add_argument("file", metavar="FILE", nargs="?", default="-", help="default: the input")
    delete.add_argument("ids", metavar="ID", nargs="+", help="of the session")
    show.usage, export.usage = "%(prog)s [options] ID", "%(prog)s [options] ID [FILE]"
    take.usage, delete.usage = "%(prog)s [options] [FILE]", "%(prog)s [options] ID [ID ...]"


def _command(commands: _Commands, name: str, run: _Run, help: str, flags: tuple[Setting, ...] = SETTINGS) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=help, description=help, usage="%(prog)s [options]", allow_abbrev=False)
    parser.set_defaults(command=run)
    add_flags(parser, flags)
    return parser


def _serve(options: argparse.Namespace) -> int:
    config, supervisor = load(vars(options)), supervision()
    if config.workers > 1 and not supervisor.worker:
        from realtime.parent import Parent

        return Parent(config, supervisor, flags(vars(options))).run()
    from realtime.app import App

    return App(config, supervisor).run()


def _list(options: argparse.Namespace) -> int:
    config = load(vars(options))
    from realtime.engines.models import CATALOGUE, locate

    rows = [_row(model, locate(model.name, config.cache_dir)) for model in CATALOGUE.values()]
    for line in _table([("name", "kind", "size", "licence", "where"), *rows]):
        print(line)
    return DONE


def _row(model: Model, folder: Path | None) -> tuple[str, ...]:
    return model.name, model.kind, f"{model.size / 1e6:.0f} MB", model.licence, str(folder or "not fetched")


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    """Columns as wide as their widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _fetch(options: argparse.Namespace) -> int:
    config = load(vars(options))
    from realtime.engines.models import fetch, terminal_progress

    for name in options.names or _needed(config):
        try:
            with terminal_progress() as progress:
                folder = fetch(name, config.cache_dir, progress)
        except EngineError as error:
            if options.names or not _is_optional(name, config):
                raise
            print(f"realtime: going on without {name}, turns will be judged by the words: {error}", file=sys.stderr)
            continue
        print(f"{name}: {folder}")
    return DONE


def _needed(config: Config) -> list[str]:
    """The models that `serve` would load. The default voice and the detector come inside their packages."""
    from realtime.engines.models import CATALOGUE, VOICES

    names = [config.whisper_model] if config.stt_engine == "local" and config.enable_audio_processing else []
    if config.llm == "local" or (config.llm == "auto" and config.endpoint is None):
        names += [model.name for model in CATALOGUE.values() if model.kind == "llm"]
    if config.turn_model != "words" and config.enable_audio_processing:
        names += [model.name for model in CATALOGUE.values() if model.kind == "turn"]
    if config.tts == "piper" and config.piper_voice in VOICES:
        names.append(config.piper_voice)
    return names


def _is_optional(name: str, config: Config) -> bool:
    """Whether `serve` would start without that model, and not ask for it again."""
    from realtime.engines.models import CATALOGUE

    return config.turn_model == "auto" and name in CATALOGUE and CATALOGUE[name].kind == "turn"


def _remove(options: argparse.Namespace) -> int:
    config = load(vars(options))
    from realtime.engines.models import remove

    status = DONE
    for name in options.names:
        if remove(name, config.cache_dir):
            print(f"{name}: removed")
        else:
            print(f"{name}: was not here", file=sys.stderr)
            status = FAILED
    return status


def _list_sessions(options: argparse.Namespace) -> int:
    from realtime import archive

    for line in _table([("session", "last used", "size"), *archive.show_list(load(vars(options)))]):
        print(line)
    return DONE


def _show_session(options: argparse.Namespace) -> int:
    from realtime import archive

    for line in archive.show(load(vars(options)), options.id):
        print(line)
    return DONE


def _export_session(options: argparse.Namespace) -> int:
    from realtime import archive

    archive.write(load(vars(options)), options.id, options.file)
    return DONE


def _import_session(options: argparse.Namespace) -> int:
    from realtime import archive

    print(f"{archive.read(load(vars(options)), options.file)}: imported")
    return DONE


def _delete_sessions(options: argparse.Namespace) -> int:
    from realtime import archive

    missing = archive.remove(load(vars(options)), options.ids)
    for each in options.ids:
        print(f"{each}: was not here" if each in missing else f"{each}: deleted", file=sys.stderr if each in missing else sys.stdout)
    return FAILED if missing else DONE


def _replay(options: argparse.Namespace) -> int:
    from realtime.replay import run

    difference = run(options.file)
    for line in difference or [f"{options.file}: the same"]:
        print(line)
    return FAILED if difference else DONE


def _new_key(options: argparse.Namespace) -> int:
    from realtime.server.keys import fresh

    key, line = fresh(options.name)
    print(line, flush=True)
    print(f"The key of {options.name}, which is not shown again: {key}", file=sys.stderr)
    return DONE


if __name__ == "__main__":
    sys.exit(main())
