"""The losses: one term a file, each a pure function of tensors, added up by `objective`.

Every module in this folder is imported here, so that a new file alone registers a new term.
"""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
