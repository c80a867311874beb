"""Everything that anybody might ever print of an error."""

import pickle
import traceback


def traceback_of(error: BaseException) -> str:
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    return "".join(told.format())


def shown(error: BaseException) -> str:
    """Write all of an error that anybody might ever print: causes, locals, pickles."""
    parts = [repr(error), str(error), repr(error.args), repr(vars(error))]
    seen: BaseException | None = error
    while seen is not None:
        parts += [repr(seen), str(seen), repr(seen.args), traceback_of(seen)]
        seen = seen.__cause__ or seen.__context__
    parts.append(pickle.dumps(error).decode("latin-1"))
    return "\n".join(parts)
