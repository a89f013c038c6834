"""How a request ends: an ``OSError`` becomes the system call's errno, a bug ``EIO`` and a line in the log."""

from __future__ import annotations

import errno
import sys
import traceback
from typing import TYPE_CHECKING

from pyfuse3 import FUSEError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any, Concatenate, ParamSpec, TypeVar

    Server = TypeVar("Server")
    Arguments = ParamSpec("Arguments")
    Answer = TypeVar("Answer")
    Method = Callable[Concatenate[Server, Arguments], Coroutine[Any, Any, Answer]]


def answering(method: Method[Server, Arguments, Answer]) -> Method[Server, Arguments, Answer]:
    """Make a request's method raise nothing but ``FUSEError``: anything else would end the server."""

    async def answered(self: Server, /, *arguments: Arguments.args, **named: Arguments.kwargs) -> Answer:
        try:
            return await method(self, *arguments, **named)
        except FUSEError:
            raise
        except OSError as error:
            raise FUSEError(error.errno or errno.EIO) from None
        except Exception:
            traceback.print_exc(file=sys.stderr)
            sys.stderr.flush()
            raise FUSEError(errno.EIO) from None

    answered.__doc__ = method.__doc__
    return answered
