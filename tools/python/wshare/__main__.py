"""`python -m wshare`, and the command `wshare` of the wheel: the program, in this process."""

import glob
import importlib.util
import os
import sys
from typing import NoReturn, Optional


def _onnxruntime() -> Optional[str]:
    """The folder of the onnxruntime that this Python would import, if it has a library for C."""
    found = importlib.util.find_spec("onnxruntime")
    if found is None or not found.origin:
        return None
    folder = os.path.join(os.path.dirname(found.origin), "capi")
    return folder if glob.glob(os.path.join(glob.escape(folder), "libonnxruntime.so*")) else None


def main() -> NoReturn:
    program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "wshare")
    environment = dict(os.environ)
    own = _onnxruntime()
    if own and not environment.get("WSHARE_ONNXRUNTIME"):
        environment["WSHARE_ONNXRUNTIME"] = own
    try:
        os.execve(program, [program, *sys.argv[1:]], environment)
    except OSError as error:
        sys.exit(f"wshare: '{program}': {error.strerror}")


if __name__ == "__main__":
    main()
