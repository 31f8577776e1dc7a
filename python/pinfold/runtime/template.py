"""The script that a template, and a spawned worker, is started with.

    python template.py SETTINGS [SPILL_DIR TEMPLATE NUMBER WORKER_ID]

SETTINGS is JSON text: ``package``, the directory that pinfold lies in; ``path``, more directories,
in which its dependencies may be found when this interpreter has none; ``preload``, names of
modules; ``setup``, a source text or null; ``node_id``. What follows is for a spawned worker: the
spill directory, the pid of the template that it shall not outlive (or 0), its number and its id.

The script makes the interpreter what a candidate expects to run in: one that was started without a
script. Descriptor 3 is the socket to the pool; a failure to start is told there (src/frame.h,
FRAME_FAILED). It is short, because scripts are compiled at every start, and it must parse on any
Python 3, to say that it is the wrong one.
"""

import gc
import json
import os
import sys

SOCKET = 3


def main():
    # Not before the first fork: a collection writes to every object, and so would unshare it.
    gc.disable()
    text, rest = sys.argv[1], sys.argv[2:]
    script = os.path.abspath(__file__)
    sys.argv = [""]
    if not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
        sys.path[0] = ""
    settings = json.loads(text)
    name_package(os.path.join(settings["package"], "pinfold"))
    try:
        from pinfold.runtime import preload
    except BaseException:
        fail(explain(os.path.dirname(script)))
    clear_main()
    if rest:
        preload.spawned_worker(settings, *rest)
    else:
        preload.template(settings, [sys.executable, script, text])


def name_package(directory):
    """Make ``pinfold.runtime`` importable without what ``import pinfold`` brings along.

    The package itself is there for a candidate that asks for it: it loads at the first use.
    """
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("pinfold", os.path.join(directory, "__init__.py"))
    module = module_from_spec(spec)

    def load(name):
        if name.startswith("__") and name != "__all__":
            raise AttributeError(name)
        del module.__getattr__
        try:
            spec.loader.exec_module(module)
        except BaseException:
            module.__getattr__ = load
            raise
        return getattr(module, name)

    module.__getattr__ = load
    sys.modules["pinfold"] = module


def clear_main():
    """Put an empty ``__main__`` in the place of this file, as an interactive Python has it."""
    old = sys.modules["__main__"]
    new = type(old)("__main__")
    new.__builtins__ = old.__builtins__
    new.__loader__ = sys.__loader__
    new.__annotations__ = {}
    sys.modules["__main__"] = new


def explain(runtime):
    """The sentence about an interpreter that cannot load the runtime."""
    import traceback

    here = "%s-%d%d" % ((sys.implementation.name,) + sys.version_info[:2])
    built = [name for name in os.listdir(runtime) if name.startswith("_runtime.")]
    told = traceback.format_exc()
    if any("." + here in name for name in built):
        return told
    return (
        "%s is %s, and pinfold in %s is built for another: %s. Configure the interpreter for which "
        "pinfold was installed, or install pinfold for this one.\n%s"
        % (sys.executable, here, runtime, ", ".join(built) or "none", told)
    )


def fail(text):
    """Tell the pool why there is no template, and end."""
    tail = text.encode("utf-8", "backslashreplace")[-60000:]
    size = 16 + len(tail)
    os.write(SOCKET, b"PF\x01\x04" + size.to_bytes(4, "little") + bytes(8) + tail)
    os._exit(1)


if __name__ == "__main__":
    main()
