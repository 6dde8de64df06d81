"""One session, an adapter for each run."""

from __future__ import annotations

import json
import os
import threading
from typing import TYPE_CHECKING, Any, Dict, FrozenSet, List, Optional, Sequence, Tuple

from ._library import Error, Handle, names

if TYPE_CHECKING:
    import onnxruntime

    from ._bundle import Bundle, _Plan

_INVALID, _RUNTIME = 4, 6

# What onnxruntime calls element types, and numpy.
_TYPES = {"float": "float32", "double": "float64"}

_Loaded = Tuple[Optional[Any], FrozenSet[str]]  # the adapter, None: as the base; what it gives


class Tasks:
    """The tasks of a bundle over one session. All functions may be called by several threads."""

    def __init__(self, bundle: "Bundle", base: str, session: Any, plan: "_Plan") -> None:
        self.base = base
        self.session: "onnxruntime.InferenceSession" = session
        self._bundle, self._plan = bundle, plan
        self._inputs = json.dumps([*_inputs(session.get_inputs(), False),
                                   *_inputs(session.get_overridable_initializers(), True)]).encode()
        self._lock = threading.Lock()
        self._generation = -1  # of the bundle that _loaded is of; guarded by _lock
        self._loaded: Dict[str, _Loaded] = {}  # guarded by _lock

    @property
    def names(self) -> List[str]:
        """Those that run on this session, of the bundle as it is now."""
        return names("catalog_tasks", self._bundle._catalog.raw, os.fsencode(self.base))

    def run(self, task: str, feeds: Dict[str, Any],
            output_names: Optional[Sequence[str]] = None) -> List[Any]:
        """Runs the session with the weights of `task`; "" is the base itself.

        Raises Error if there is no such task, its adapter is not the bundle's or does not fit, or
        `feeds` has what the task gives.
        """
        adapter, given = self._adapter(task) if task else (None, frozenset())
        for name in feeds:
            if name in given:
                raise Error(_INVALID, f"task '{task}': input '{name}' is given by the task and by the caller")
        options = None
        if adapter is not None:
            import onnxruntime

            options = onnxruntime.RunOptions()
            options.add_active_adapter(adapter)  # a raw pointer: `adapter` lives until the run is over
        return list(self.session.run(output_names, feeds, options))

    def _adapter(self, task: str) -> _Loaded:
        with self._lock:
            generation = self._bundle._generation
            if self._generation != generation:
                self._loaded, self._generation = {}, generation
            known = self._loaded.get(task)
        if known is not None:
            return known
        loaded = self._load(task)
        with self._lock:
            if self._generation == generation:
                self._loaded[task] = loaded
        return loaded

    def _load(self, task: str) -> _Loaded:
        handle = Handle("task_free", "plan_task", self._plan.handle.raw, os.fsencode(task), self._inputs)
        told = json.loads(handle.text("task_json"))
        if not told["path"]:
            return None, frozenset()
        import onnxruntime

        adapter = onnxruntime.LoraAdapter()
        try:
            adapter.Load(told["path"])
        except Exception as error:
            raise Error(_RUNTIME, f"'{told['file']}': {' '.join(str(error).split())}") from error
        return adapter, frozenset(told["parameters"])


def _inputs(arguments: Sequence[Any], has_default: bool) -> List[Dict[str, Any]]:
    """The tensors among them, as wshare_plan_task() wants them."""
    inputs = []
    for each in arguments:
        if not each.type.startswith("tensor("):
            continue
        kind = each.type[len("tensor("):-1]
        inputs.append({"name": each.name, "type": _TYPES.get(kind, kind), "shape": list(each.shape),
                       "has_default": has_default})
    return inputs
