"""Compiles the core: `make compile`, or ``python -m agents.compiler``.

Needs a C compiler and the packages in `requirements/compile.txt`. An up-to-date build is kept.
"""

import os
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from config import compiled

#: No compiled module reads types of these packages, and checking them takes minutes. Their stubs
#: serve only type checking: an installation that compiles, such as the image, has none.
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
    """Build the modules for this Python unless the present build fits; return whether it built. A
    complete build replaces the old one in one step.
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
    """Compile the modules from the root of the tree, which gives them their module names."""
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
    """Compile, unless the build is up to date."""
    is_new = compile_core()
    sys.stdout.write(f"{compiled.directory()} {'was made' if is_new else 'is up to date'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
