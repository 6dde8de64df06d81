"""libwshare_runtime.so through ctypes: the functions of wshare/runtime_c.h that make no session."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from typing import Any, List

_API_VERSION = 4

PATH, HANDLE, SIZE = ctypes.c_char_p, ctypes.c_void_p, ctypes.c_uint64


class Error(Exception):
    """What went wrong: `code` is an exit code of the command line, `hint` what can be done, or ""."""

    def __init__(self, code: int, message: str, hint: str = "") -> None:
        super().__init__(code, message, hint)
        self.code, self.message, self.hint = code, message, hint

    def __str__(self) -> str:
        return self.message + (f"\nhint: {self.hint}" if self.hint else "")


class PlanRequest(ctypes.Structure):
    _fields_ = [("struct_size", SIZE), ("onnxruntime", PATH), ("optimization", PATH),
                ("on_device", SIZE), ("packing_off", SIZE), ("own_files", SIZE)]


def _load() -> ctypes.CDLL:
    """From this package's own folder and nowhere else."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "libwshare_runtime.so.1")
    try:
        library = ctypes.CDLL(path)
    except OSError as error:
        raise ImportError(f"wshare: {path}: {error} (this is {sys.platform} on "
                          f"{platform.machine()}: is the wheel for another machine?)") from error
    if library.wshare_c_api_version() < _API_VERSION:
        raise ImportError(f"wshare: {path}: version {library.wshare_c_api_version()} of its C API, "
                          f"{_API_VERSION} is needed")
    for name, result in (("version", PATH), ("error_message", PATH), ("error_hint", PATH),
                         ("names_get", PATH), ("names_count", ctypes.c_size_t),
                         ("plan_json", PATH), ("task_json", PATH)):
        getattr(library, "wshare_" + name).restype = result
    for name in ("catalog_open", "catalog_reload", "catalog_models", "catalog_tasks", "catalog_plan",
                 "plan_map", "plan_check", "plan_task"):
        getattr(library, "wshare_" + name).restype = HANDLE  # an error, or None
    return library


_library = _load()


def version() -> str:
    return str(_library.wshare_version().decode())


def call(name: str, *arguments: Any) -> None:
    """Calls wshare_`name`, and raises what it returns."""
    error = getattr(_library, "wshare_" + name)(*arguments)
    if not error:
        return
    error = HANDLE(error)
    try:
        raise Error(_library.wshare_error_code(error), _text(_library.wshare_error_message(error)),
                    _text(_library.wshare_error_hint(error)))
    finally:
        _library.wshare_error_free(error)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


class Handle:
    """What a wshare_X_open() gave; closed with the last reference."""

    def __init__(self, close: str, name: str, *arguments: Any) -> None:
        self._close = getattr(_library, "wshare_" + close)
        self._handle = HANDLE()
        call(name, *arguments, ctypes.byref(self._handle))

    @property
    def raw(self) -> ctypes.c_void_p:
        return self._handle

    def text(self, name: str) -> str:
        """What wshare_`name` tells of it."""
        return _text(getattr(_library, "wshare_" + name)(self._handle))

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self._close(self._handle)


def names(name: str, *arguments: Any) -> List[str]:
    """The list that wshare_`name` gives."""
    held = Handle("names_free", name, *arguments)
    return [_text(_library.wshare_names_get(held.raw, ctypes.c_size_t(i)))
            for i in range(_library.wshare_names_count(held.raw))]
