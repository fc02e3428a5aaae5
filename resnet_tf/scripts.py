"""The frame that every script shares: flags in, one exit code and at most one line out.

The only module of the package that knows absl's flags; nothing in the package imports it.
"""

import contextlib
import dataclasses
import importlib.util
import os
import sys
import traceback
from collections.abc import Callable, Iterable
from typing import NoReturn

from absl import app, flags

from resnet_tf import checks, errors
from resnet_tf.config import Config
from resnet_tf.errors import UserError, bad_flag
from resnet_tf.reporting.console import Unfailing
from resnet_tf.stopping import Terminated, end_at_once

FLAGS = flags.FLAGS


def run(main: Callable[[list[str]], None], positional: bool = False) -> None:
    """Runs `main(arguments)` and exits with the code of the command contract.

    A `UserError` is one line on stderr; `--v=1` adds the traceback. Anything unforeseen is
    a bug: traceback, exit code 70.

    Args:
      main: takes the positional arguments.
      positional: whether the script has any.
    """

    sys.stderr = Unfailing(sys.stderr)

    def parse(argv: list[str]) -> list[str]:
        if {"--helpshort", "-helpshort"} & set(argv):
            sys.exit(_print_short_help(argv[0]))
        try:
            arguments = FLAGS(argv)
            if len(arguments) > 1 and not positional:
                raise flags.Error(f"unexpected argument {arguments[1]!r}")
            for name in FLAGS:
                if any("\ud800" <= c <= "\udfff" for c in str(FLAGS[name].value)):
                    raise flags.Error(f"--{name} is not UTF-8: {FLAGS[name].value!r}")
            return arguments
        except flags.Error as error:
            name = os.path.basename(argv[0])
            fail(UserError(errors.BAD_FLAGS, str(error), name, "see --helpshort or --helpfull"))

    def guarded(arguments: list[str]) -> None:
        end_at_once()
        try:
            main(arguments[1:])
            sys.stdout.flush()  # code 0 says that the result was written
            _leave(0)
        except UserError as error:
            fail(error)
        except Terminated as signal:
            fail(UserError(errors.TERMINATED, f"stopped by {signal}", "here", "run it again"))
        except KeyboardInterrupt:
            fail(UserError(errors.INTERRUPTED, "interrupted", "Ctrl-C", "run it again to go on"))
        except OSError as error:
            what, where = error.strerror or str(error), error.filename or "system"
            fail(UserError(errors.IO_ERROR, what, where, "see that it can be read and written"))
        except Exception:
            traceback.print_exc()
            fail(UserError(errors.INTERNAL, "internal error, see above", "here", "report it"))

    app.run(guarded, flags_parser=parse)


def _leave(code: int) -> NoReturn:
    """Ends the process; what was said is written as far as that can be.

    Without the clean-up of the interpreter: TensorFlow takes seconds to take itself apart, 15 of
    them after a run with 60,000 pictures in memory, and who asked for a stop may not wait for that.
    """
    if "apache_beam" in sys.modules:
        sys.exit(code)  # its servers are stopped in that clean-up
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(code)


def _print_short_help(script: str) -> None:
    """One screen: what the script is for, and a line for each of its common flags."""
    print(sys.modules["__main__"].__doc__.strip(), end="\n\n")
    common = FLAGS.flags_by_module_dict()[script]
    width = max(len(flag.name) for flag in common)
    for flag in sorted(common, key=lambda flag: flag.name):
        print(f"  --{flag.name.ljust(width)}  {flag.help}")
    print("\nAll flags: --helpfull")


def fail(error: UserError) -> NoReturn:
    """Prints an error as the contract says and ends the process."""
    if FLAGS.is_parsed() and FLAGS["v"].value >= 1:
        traceback.print_exc()
    print(error, file=sys.stderr)
    if error.details:
        print(error.details, file=sys.stderr)
    _leave(error.code)


def refuse_without_matplotlib(drawn: str, where: str) -> None:
    """Raises UserError 66 where `where` cannot draw what it is for."""
    refuse_without("matplotlib", f"draws the {drawn}", where, "report")


def refuse_without(package: str, does: str, where: str, extra: str) -> None:
    """Raises UserError 66 where the package of an extra is not installed.

    Args:
      package: its name.
      does: what it does here, as in "draws the curves".
      where: the flag or script that needs it.
      extra: of our own package, to install it with.
    """
    if importlib.util.find_spec(package.replace("-", "_")) is None:
        raise UserError(
            errors.MISSING_INPUT,
            f"{package} is not installed, which {does}",
            where,
            f"pip install -e '.[{extra}]'",
        )


def define_config_flags(common: Iterable[str]) -> None:
    """Makes every field of `Config` a flag; one that is not given keeps the recipe's value.

    Args:
      common: the flags that `--helpshort` shows; the rest is in `--helpfull`.
    """
    common = set(common)
    for field in dataclasses.fields(Config):
        module = sys.argv[0] if field.name in common else "resnet_tf.config"
        kind = type(field.default if field.default is not dataclasses.MISSING else {})
        text, name = field.metadata["help"], field.name
        if kind is bool:
            flags.DEFINE_bool(name, None, text, module_name=module)
        elif kind is int:
            flags.DEFINE_integer(name, None, text, module_name=module)
        elif kind is float:
            flags.DEFINE_float(name, None, text, module_name=module)
        elif kind in (tuple, dict):
            flags.DEFINE_list(name, None, text, module_name=module)
        else:
            flags.DEFINE_string(name, None, text, module_name=module)


def config_from_flags(recipe: Config) -> Config:
    """The recipe with every flag that was given put in its place.

    Of steps, epochs and examples, giving one takes the recipe's away. A flag that does nothing
    beside the others is named on stderr.

    Raises:
      UserError: 64 for values that no run could use.
    """
    given = {
        field.name: FLAGS[field.name].value
        for field in dataclasses.fields(Config)
        if FLAGS[field.name].value is not None
    }
    told = list(given)
    if "model_options" in given:
        given["model_options"] = options_from("model_options", given["model_options"])
    elif given.get("model", recipe.model) != recipe.model:
        given["model_options"] = {}  # the recipe's belong to the recipe's network
    texts = {f.name for f in dataclasses.fields(Config) if f.type == tuple[str, ...]}
    for name, value in given.items():
        if isinstance(value, list):
            given[name] = tuple(value) if name in texts else numbers_from(name, value)
    if not given.keys().isdisjoint(("steps", "epochs", "examples")):
        given = {"steps": 0, "epochs": 0.0, "examples": 0} | given
    config = dataclasses.replace(recipe, **given)
    for sentence in checks.without_effect(config, told):
        print(f"note: {sentence}", file=sys.stderr)
    return config


def options_from(flag: str, texts: list[str]) -> dict:
    """The options that a flag gives as name=value,name=value.

    Raises:
      UserError: 64 for anything else.
    """
    options = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise bad_flag(flag, "must be name=value,name=value", repr(text))
        options[name] = _literal(value)
    return options


def _literal(text: str) -> bool | int | float | str:
    """A number or a truth value where the text is one."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def numbers_from(flag: str, texts: list[str]) -> tuple[float, ...]:
    """The numbers that a flag gives as a,b,c.

    Raises:
      UserError: 64 for anything else.
    """
    try:
        return tuple(float(text) for text in texts)
    except ValueError as error:
        raise bad_flag(flag, "must be numbers", ",".join(texts)) from error
