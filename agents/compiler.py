"""Compiles the core: `make compile`, or ``python -m agents.compiler``.

Needs a C compiler and what `requirements/compile.txt` has. A build that is up to date is kept.
"""

import os
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from config import compiled

#: Types of these are read by nobody that is compiled, and to check them takes minutes. Stubs
#: are for those who check the code: whoever compiles it has none, as in the image.
_CHECK = """
[mypy]
strict_optional = True
disable_error_code = import-untyped
[mypy-river.*,scipy.*]
follow_imports = skip
follow_imports_for_stubs = True
ignore_missing_imports = True
"""


def compile_core() -> bool:
    """Build the modules for this Python, if the build that there is does not fit; whether it was
    necessary. The build is replaced in one step, once it is whole.
    """
    build, now = compiled.directory(), compiled.made_now()
    if compiled.made_then(build) == now:
        return False
    build.parent.mkdir(exist_ok=True)
    with TemporaryDirectory(dir=build.parent) as scratch:
        new = Path(scratch, "new")
        _build(new, Path(scratch, "objects"))
        compiled.seal(new, now)
        shutil.rmtree(build, ignore_errors=True)
        new.rename(build)
    return True


def _build(target: Path, scratch: Path) -> None:
    """Compile the modules from the root of the tree, by which the compiler knows their names."""
    try:
        from mypyc.build import mypycify  # noqa: PLC0415 - no worker needs it
    except ImportError:
        raise SystemExit(
            "There is no compiler: run `make compile`, which installs requirements/compile.txt."
        ) from None
    from setuptools import Distribution  # noqa: PLC0415
    from setuptools.command.build_ext import build_ext  # noqa: PLC0415

    os.chdir(compiled.ROOT)
    scratch.mkdir()
    config = scratch / "mypy.ini"
    config.write_text(_CHECK)
    extensions = mypycify(
        [
            f"--config-file={config}",
            *(name.replace(".", "/") + ".py" for name in compiled.MODULES),
        ],
        group_name=compiled.LIBRARY.removesuffix("__mypyc"),
        target_dir=str(scratch),
        opt_level="2",
        debug_level="0",
    )
    for extension in extensions:
        extension.extra_compile_args = [*extension.extra_compile_args, *compiled.FLAGS]
    command = build_ext(Distribution({"name": "keepstream-core", "ext_modules": extensions}))
    command.build_lib, command.build_temp = str(target), str(scratch)
    command.ensure_finalized()
    command.run()


def main() -> int:
    """Compile, unless that was done."""
    is_new = compile_core()
    sys.stdout.write(f"{compiled.directory()} {'was made' if is_new else 'is up to date'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
