"""Pickles that others published, read without running code from them."""

import pickle


class PlainUnpickler(pickle.Unpickler):
    """Knows numpy arrays and numbers and plain containers; refuses every other global.

    A refusal is a `pickle.UnpicklingError`. What Python 2 wrote needs `encoding="latin1"`.
    """

    # "_codecs.encode" is how Python 3 pickles bytes for Python 2.
    _KNOWN = frozenset(
        {("numpy", "ndarray"), ("numpy", "dtype"), ("collections", "OrderedDict")}
        | {("_codecs", "encode")}
        | {
            (f"numpy.{core}.{module}", name)
            for core in ("core", "_core")
            for module, name in (
                ("multiarray", "_reconstruct"),
                ("multiarray", "scalar"),
                ("numeric", "_frombuffer"),
            )
        }
    )

    def find_class(self, module: str, name: str):
        """The global of that name, if it is one of the few that are known."""
        if (module, name) not in self._KNOWN:
            raise pickle.UnpicklingError(f"the file asks for {module}.{name}, which is refused")
        return super().find_class(module, name)
