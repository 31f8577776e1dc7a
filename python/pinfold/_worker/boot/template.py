# SPDX-License-Identifier: Apache-2.0
"""The script that starts a template or a spawned worker.

    python template.py N SETTINGS... [SPILL_DIR BASE TEMPLATE NUMBER WORKER_ID]

SETTINGS is JSON text, split into N arguments because the kernel bounds the size of one
(execve(2)). Its fields are those of TemplateConfig (_wire/plan.py); ``package`` is the directory
that contains pinfold, and ``path`` has directories for dependencies that this interpreter lacks. A
spawned worker has five more arguments: the spill directory, the base directory, the pid of the
template that it must not outlive (or 0), its number and its id.

The script makes the interpreter look as if it had been started without a script, as programs
expect. Descriptor 3 is the socket to the pool; the script reports a failure to start there
(PINFOLD_FRAME_FAILED). It is short because scripts are compiled at every start. It must
parse on any Python 3, so that it can report an unsuitable version.
"""

import sys

STARTED_WITH = list(sys.modules)

import gc  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402

SOCKET = 3


def main() -> None:
    # A collection writes to every object, which would unshare its page in forked workers.
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
    """Make ``pinfold._worker`` importable without the imports of ``import pinfold``.

    The package itself loads when a program first uses one of its names.
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
    """Replace this script's ``__main__`` by an empty one, as an interactive Python has it."""
    new = type(sys)("__main__")
    new.__dict__.update(
        __builtins__=sys.modules["builtins"], __loader__=sys.__loader__, __annotations__={}
    )
    sys.modules["__main__"] = new


def explain(package: str) -> str:
    """Return the text that says why this interpreter cannot load the runtime."""
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
    """Report to the pool why the template cannot start, and exit."""
    tail = text.encode("utf-8", "backslashreplace")[-60000:]
    size = 16 + len(tail)
    os.write(SOCKET, b"PF\x02\x04" + size.to_bytes(4, "little") + bytes(8) + tail)
    os._exit(1)


if __name__ == "__main__":
    main()
