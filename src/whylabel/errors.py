"""Every error that whylabel raises on purpose.

    WhylabelError                 exit code 2: what came, what is allowed, how to fix it
    ├── UsageError                a wrong command line or an impossible request
    ├── RecipeError               a recipe that is not valid: unknown key, wrong type, bad value
    ├── DataError                 a data file or data set that cannot be read as labelled texts
    │   └── LabelError            a label that is not in the label set, or an unusable label set
    ├── ModelError                a model that cannot be found, loaded, trusted or trained
    │   ├── AuditError            training examples that would teach something wrong
    │   ├── EngineError           an engine that is missing or does not answer
    │   └── ParityError           exit code 1: an exported model that answers otherwise
    ├── ServerError               a server that refuses a request, or does not answer
    └── RunFolderError            a run folder that is not ours, or incomplete
        └── RunInUseError         one that another process is using

Any other exception that reaches the command line is a bug of ours (exit code 1), unless it comes from the machine
or a file (exit code 2).
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_NAMES_SHOWN = 100


class WhylabelError(Exception):
    """Base of all errors that a user can fix; it has `where` and `fix` beside the message.

    The command line prints one line each for what, where and fix, and exits with `exit_code`.
    """

    exit_code = 2

    def __init__(self, what: str, *, where: str | None = None, fix: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.fix = fix

    def __str__(self) -> str:
        parts = [self.what]
        if self.where:
            parts.append(f"  where: {self.where}")
        if self.fix:
            parts.append(f"  fix: {self.fix}")
        return "\n".join(parts)

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions with keyword-only arguments cannot be pickled by themselves, to reach another process.
        return (_rebuild, (type(self), self.what, self.where, self.fix))


def _rebuild(kind: type[WhylabelError], what: str, where: str | None, fix: str | None) -> WhylabelError:
    return kind(what, where=where, fix=fix)


class UsageError(WhylabelError):
    """A command line or a call that asks for something impossible."""


class RecipeError(WhylabelError):
    """A recipe with an unknown key, a wrong type or a value that does not fit."""


class DataError(WhylabelError):
    """Data that cannot be read as labelled texts."""


class LabelError(DataError):
    """A label outside the label set, or labels that form no usable set."""


class ModelError(WhylabelError):
    """A model that cannot be found, loaded, trusted or trained."""


class AuditError(ModelError):
    """Training examples that would teach the model something wrong."""


class EngineError(ModelError):
    """An engine that is missing or does not answer."""


class ServerError(WhylabelError):
    """A server that refuses a request, with its HTTP `status` and the field (`param`), or that does not answer."""

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        fix: str | None = None,
        status: int | None = None,
        param: str | None = None,
    ) -> None:
        super().__init__(what, where=where, fix=fix)
        self.status, self.param = status, param


class ParityError(ModelError):
    """An exported model whose answers differ from those of the model that it was made from."""

    exit_code = 1


class RunFolderError(WhylabelError):
    """A run folder that is in use, not ours, or incomplete."""


class RunInUseError(RunFolderError):
    """A run folder that another process is using: the same may work later."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Return "Unknown <kind> 'x'. Did you mean 'y'? Known: ..." for an error message."""
    names = sorted(known)
    close = get_close_matches(name, names, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    more = f" and {len(names) - _NAMES_SHOWN:,} more" if len(names) > _NAMES_SHOWN else ""
    return f"Unknown {kind} {name!r}.{hint} Known: {', '.join(names[:_NAMES_SHOWN])}{more}."
