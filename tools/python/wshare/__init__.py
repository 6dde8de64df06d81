"""Sessions of onnxruntime over one copy of the weights of many models: docs/python.md."""

from ._bundle import Bundle, How, Pack
from ._library import Error, version as _version
from ._tasks import Tasks

__all__ = ["Bundle", "Error", "How", "Pack", "Tasks", "__version__"]
__version__: str = _version()
