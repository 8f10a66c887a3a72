"""Compute rows in batches: a row that fails does not take the others down, and a broken program is not hidden."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

from whylabel.errors import ModelError, WhylabelError
from whylabel.host.runtime import first_line, is_out_of_memory

Row = TypeVar("Row")
Result = TypeVar("Result")


class Isolation(Generic[Row, Result]):
    """Computes batches with `compute`, which returns a result for every row of a batch, in order.

    A batch that fails is halved until the row that causes it is alone: it needs too much memory, or the model cannot
    take it. If nothing has worked yet and another cause than memory comes, `trial` computes the simplest input there
    is; if that fails, too, the model or its code is broken for all rows, which is a `ModelError`.
    """

    def __init__(
        self, compute: Callable[[list[Row]], Sequence[Result]], trial: Callable[[], object], what: str
    ) -> None:
        self._compute, self._trial, self._what = compute, trial, what
        self._works = False

    def run(self, batch: list[Row]) -> Iterator[tuple[list[Row], Sequence[Result], str | None]]:
        """Yield (rows, their results, None) for the parts that worked and ([row], [], reason) for a row that failed.

        Raises `ModelError` if the cause is no row, but the model or its code.
        """
        failure: str | None = None
        results: Sequence[Result] = ()
        try:
            results = self._compute(batch)
            self._works = True
        except WhylabelError:
            raise
        except Exception as error:  # models and their libraries raise anything
            if not is_out_of_memory(error):
                self._check_works()
            failure = first_line(error)
        # Outside the handler: the traceback would keep the tensors of the failed batch alive.
        if failure is None:
            yield batch, results, None
        elif len(batch) == 1:
            yield batch, (), failure
        else:
            middle = len(batch) // 2
            yield from self.run(batch[:middle])
            yield from self.run(batch[middle:])

    def _check_works(self) -> None:
        if self._works:
            return
        try:
            self._trial()
        except Exception as error:
            if is_out_of_memory(error):
                return
            raise ModelError(
                f"The model cannot {self._what} at all: {type(error).__name__}: {first_line(error)}",
                fix="no row is to blame: --debug shows where it happened; use another model, or the versions of the "
                "libraries that whylabel is tested with",
            ) from error
        self._works = True
