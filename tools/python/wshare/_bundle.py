"""A bundle, and sessions of the onnxruntime that this Python has over its one copy of weights.

The module of onnxruntime has an ONNX Runtime of its own inside, which takes no session from outside
and no container for packed weights. So libwshare_runtime.so only says how a session is made: which
file, with which options, over which maps (lib/runtime/catalog.cc). It is made here.
"""

from __future__ import annotations

import ctypes
import json
import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Tuple, Union

from ._library import HANDLE, SIZE, Error, Handle, PlanRequest, call, names

if TYPE_CHECKING:
    import onnxruntime

    from ._tasks import Tasks

_UNSUPPORTED, _RUNTIME = 5, 6
Provider = Union[str, Tuple[str, Dict[str, Any]]]


@dataclass(frozen=True)
class Pack:
    """Weights of a model as one ONNX Runtime packs them for one kind of CPU ('wshare pack')."""

    file: str
    onnxruntime: str
    cpu: str
    optimization: str
    packed_bytes: int
    why_not: str  #: "": sessions of this onnxruntime on this CPU can be made over it

    @property
    def fits(self) -> bool:
        return not self.why_not


@dataclass(frozen=True)
class How:
    """How a session is made, or was: over a pack, over maps of the bundle, or of onnxruntime."""

    way: str  #: "packed", "lent" or "mapped"
    file: str  #: the model that is opened, in the bundle
    why: str  #: what stands against a better way; "" where this is the best
    onnxruntime: str


@dataclass
class _Plan:
    """What wshare_catalog_plan() says; must live as long as sessions by it."""

    handle: Handle
    told: Dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.told = json.loads(self.handle.text("plan_json"))

    def lend(self, file: str) -> Any:
        """The bytes of `file`, as an array over the bundle's map."""
        address, size = HANDLE(), SIZE()
        call("plan_map", self.handle.raw, os.fsencode(file), ctypes.byref(address), ctypes.byref(size))
        import numpy

        if not size.value:
            return numpy.empty(0, numpy.uint8)
        held: Any = (ctypes.c_ubyte * size.value).from_address(address.value or 0)
        array = numpy.frombuffer(held, numpy.uint8)
        array.flags.writeable = False
        return array


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise Error(_UNSUPPORTED, f"sessions need onnxruntime, which this Python has not: {error}",
                    "pip install onnxruntime") from error
    return onnxruntime


class Bundle:
    """A bundle, open. To be opened after fork(): in the workers of gunicorn, not before.

    It is the folder that it opened, also when that is moved; reload() takes what commands have
    changed since. All functions may be called by several threads.
    """

    def __init__(self, path: Union[str, "os.PathLike[str]"]) -> None:
        self.path = os.fspath(path)
        self._catalog = Handle("catalog_close", "catalog_open", os.fsencode(self.path))
        self._lock = threading.Lock()
        self._made: Dict[str, How] = {}  # guarded by _lock
        self._refused: Dict[str, str] = {}  # by file of a pack; guarded by _lock
        self._generation = 0

    def __repr__(self) -> str:
        return f"wshare.Bundle({self.path!r})"

    @property
    def names(self) -> List[str]:
        """The names of its models."""
        return names("catalog_models", self._catalog.raw)

    def size(self, name: str) -> int:
        """The bytes of one model: its file, and its weights, most of which others have, too."""
        told = self._plan(name).told
        return int(told["file_bytes"]) + int(told["weight_bytes"])

    def packs(self, name: str) -> List[Pack]:
        """The packs of a model, those first that are tried first, with why one does not fit."""
        return [Pack(**{key: each[key] for key in Pack.__dataclass_fields__})
                for each in self._plan(name).told["packs"]]

    def how(self, name: str) -> How:
        """How the last session of `name` was made; before there is one, how it will be."""
        with self._lock:
            made = self._made.get(name)
        if made:
            return made
        told = self._plan(name).told
        return self._how(told, told["ways"][0], told["why"])

    def reload(self) -> bool:
        """Takes what commands have changed in the bundle. Sessions go on; True if there was something."""
        changed = ctypes.c_int()
        call("catalog_reload", self._catalog.raw, ctypes.byref(changed))
        with self._lock:
            if changed.value:
                self._generation += 1
                self._made.clear()
                self._refused.clear()
        return bool(changed.value)

    def session(self, name: str, session_options: Optional["onnxruntime.SessionOptions"] = None,
                providers: Optional[Sequence[Provider]] = None) -> "onnxruntime.InferenceSession":
        """An onnxruntime.InferenceSession of the model `name`, over the bundle's one copy.

        It keeps what it needs of the bundle. `session_options` are used as they are and stay as
        they are; what cannot be honoured over shared weights is refused by name. Without
        `providers`, the CPU's.
        """
        return self._open(name, session_options, providers)[0]

    def tasks(self, base: str, session_options: Optional["onnxruntime.SessionOptions"] = None,
              providers: Optional[Sequence[Provider]] = None) -> "Tasks":
        """One session of `base`, which runs each task of the bundle with its adapter."""
        from ._tasks import Tasks

        return Tasks(self, base, *self._open(base, session_options, providers))

    # ---- how it is done --------------------------------------------------------------------------

    def _plan(self, name: str, optimization: Optional[str] = None, on_device: bool = False,
              packing_off: bool = False, own_files: bool = False) -> _Plan:
        request = PlanRequest(ctypes.sizeof(PlanRequest), _onnxruntime().__version__.encode(),
                              optimization.encode() if optimization else None,
                              on_device, packing_off, own_files)
        return _Plan(Handle("plan_close", "catalog_plan", self._catalog.raw, os.fsencode(name),
                            ctypes.byref(request)))

    def _how(self, told: Dict[str, Any], way: Dict[str, Any], why: str) -> How:
        return How(way["way"], way["file"], why, _onnxruntime().__version__)

    def _open(self, name: str, options: Optional[Any], providers: Optional[Sequence[Provider]]) -> Tuple[Any, _Plan]:
        providers = list(providers) if providers is not None else ["CPUExecutionProvider"]
        on_device = any((each if isinstance(each, str) else each[0]) != "CPUExecutionProvider"
                        for each in providers)
        plan = self._plan(name, on_device=on_device, own_files=options is not None,
                          **_read_options(name, options))
        why = [plan.told["why"]] if plan.told["why"] else []
        for way in plan.told["ways"]:
            known = self._refused.get(way["file"]) if way["way"] == "packed" else None
            try:
                if known:
                    raise RuntimeError(known)
                session = _make(plan, way, options, providers)
            except Exception as error:
                if way["way"] != "packed":
                    call("plan_check", plan.handle.raw)  # says more, where it is the reason
                    raise Error(_RUNTIME, f"'{name}': {_plain(str(error), way, self.path)}") from error
                refused = f"ONNX Runtime refuses its pack: {_plain(str(error), way, self.path)}"
                why.append(known or refused)
                with self._lock:
                    self._refused[way["file"]] = known or refused
                continue
            call("plan_check", plan.handle.raw)
            session._wshare = plan  # lives as long as the session
            with self._lock:
                self._made[name] = self._how(plan.told, way, "; ".join(why))
            return session, plan
        raise Error(_UNSUPPORTED, f"'{name}': no session: {'; '.join(why)}")


# As 'wshare pack --opt' calls them. Options that nobody set say ALL, which stands for
# whatever a pack was made with.
_LEVELS = {"ORT_DISABLE_ALL": "none", "ORT_ENABLE_BASIC": "basic", "ORT_ENABLE_EXTENDED": "extended",
           "ORT_ENABLE_LAYOUT": "layout"}


def _read_options(name: str, options: Optional[Any]) -> Dict[str, Any]:
    """What of the caller's options matters to a plan."""
    if options is None:
        return {}
    elsewhere = "session.model_external_initializers_file_folder_path"
    if _entry(options, elsewhere) is not None:
        raise Error(_UNSUPPORTED, f"'{name}': {elsewhere}={_entry(options, elsewhere)}: weights are "
                    "those of the bundle; some would be read from there instead", "leave it out")
    return {"optimization": _LEVELS.get(options.graph_optimization_level.name),
            "packing_off": _entry(options, "session.disable_prepacking") == "1"}


def _entry(options: Any, key: str) -> Optional[str]:
    try:
        return str(options.get_session_config_entry(key))
    except Exception:  # there is no other way to ask
        return None


_changed_options = threading.Lock()  # held while the caller's options are not as the caller made them


def _make(plan: _Plan, way: Dict[str, Any], given: Optional[Any], providers: List[Provider]) -> Any:
    onnxruntime = _onnxruntime()
    # No second try with other options, which onnxruntime makes else, with lines on stdout.
    arguments: Dict[str, Any] = {"providers": providers, "enable_fallback": 0}
    if given is not None:
        if way["optimise"]:
            return onnxruntime.InferenceSession(way["path"], given, **arguments)
        with _changed_options:
            before = given.graph_optimization_level
            given.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
            try:
                session = onnxruntime.InferenceSession(way["path"], given, **arguments)
            finally:
                given.graph_optimization_level = before
        _trim()
        return session
    options = onnxruntime.SessionOptions()
    for key, value in way["config"].items():
        options.add_session_config_entry(key, value)
    if not way["optimise"]:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 3  # what packs leave out is said at each open else
    lent = [plan.lend(file) for file in way["lend"]]
    if lent:
        options.add_external_initializers_from_files_in_memory(way["lend"], lent,
                                                               [each.nbytes for each in lent])
    session = onnxruntime.InferenceSession(way["path"], options, **arguments)
    _trim()
    return session


def _trim() -> None:
    """Gives back what glibc keeps of weights that were packed to be compared."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)


def _plain(message: str, way: Dict[str, Any], path: str) -> str:
    """One line, with the path that the user knows."""
    folder = os.path.dirname(way["path"])
    return " ".join(message.replace(folder, path).split())
