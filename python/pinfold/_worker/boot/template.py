"""The script that a template, and a spawned worker, is started with.

    python template.py N SETTINGS... [SPILL_DIR BASE TEMPLATE NUMBER WORKER_ID]

SETTINGS is JSON text, in N pieces because the kernel bounds the size of one argument (execve(2)):
``package``, the directory that pinfold lies in; ``path``, more directories, in which its
dependencies may be found when this interpreter has none; ``preload``, names of modules; ``setup``,
a source text or null; ``node_id``; and what TemplateConfig (_wire/plan.py) has besides. What
follows is for a spawned worker: the spill directory, the pid of the template that it shall not
outlive (or 0), its number and its id.

The script makes the interpreter what a candidate expects to run in: one that was started without a
script. Descriptor 3 is the socket to the pool; a failure to start is told there (lib/wire/frame.h,
FRAME_FAILED). It is short, because scripts are compiled at every start, and it must parse on any
Python 3, to say that it is the wrong one.
"""

import sys

STARTED_WITH = list(sys.modules)

import gc  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402

SOCKET = 3


def main() -> None:
    # Not before the first fork: a collection writes to every object, and so would unshare it.
    gc.disable()
    end = 2 + int(sys.argv[1])
    own, rest = sys.argv[1:end], sys.argv[end:]
    script = os.path.abspath(__file__)
    sys.argv = [""]
    if not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
        del sys.path[0]  # the directory of this file
    settings = json.loads("".join(own[1:]))
    name_package(os.path.join(settings["package"], "pinfold"))
    try:
        from pinfold._worker.boot import preload
    except BaseException:
        fail(explain(os.path.join(settings["package"], "pinfold")))
    clear_main()
    preload.started_with = STARTED_WITH
    if rest:
        preload.spawned_worker(settings, *rest)
    else:
        preload.template(settings, [sys.executable, script, *own])


def name_package(directory: str) -> None:
    """Make ``pinfold._worker`` importable without what ``import pinfold`` brings along.

    The package itself is there for a candidate that asks for it: it loads at the first use.
    """
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("pinfold", os.path.join(directory, "__init__.py"))
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    names = module.__dict__
    run = spec.loader.exec_module

    def load(name: str) -> object:
        if name.startswith("__") and name != "__all__":
            raise AttributeError(name)
        del names["__getattr__"]
        try:
            run(module)
        except BaseException:
            names["__getattr__"] = load
            raise
        return getattr(module, name)

    names["__getattr__"] = load
    sys.modules["pinfold"] = module


def clear_main() -> None:
    """Put an empty ``__main__`` in the place of this file, as an interactive Python has it."""
    new = type(sys)("__main__")
    new.__dict__.update(
        __builtins__=sys.modules["builtins"], __loader__=sys.__loader__, __annotations__={}
    )
    sys.modules["__main__"] = new


def explain(package: str) -> str:
    """The sentence about an interpreter that cannot load the runtime."""
    import traceback

    here = f"{sys.implementation.name}-{sys.version_info[0]}{sys.version_info[1]}"
    there = os.listdir(os.path.join(package, "_worker", "ext"))
    built = [name for name in there if name.startswith("_runtime.") and name.endswith(".so")]
    trace = traceback.format_exc()
    if any(f".{here}" in name for name in built):
        return trace
    return (
        f"{sys.executable} is {here}, and pinfold in {package} is built for another:"
        f" {', '.join(built) or 'none'}. Configure the interpreter for which pinfold was installed,"
        f" or install pinfold for this one.\n{trace}"
    )


def fail(text: str) -> None:
    """Tell the pool why there is no template, and end."""
    tail = text.encode("utf-8", "backslashreplace")[-60000:]
    size = 16 + len(tail)
    os.write(SOCKET, b"PF\x01\x04" + size.to_bytes(4, "little") + bytes(8) + tail)
    os._exit(1)


if __name__ == "__main__":
    main()
