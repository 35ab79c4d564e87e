"""The files of one web2py root: a temporary folder with applications made from the skeleton in `harness/app`."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from harness.web2py import leftovers

SKELETON = Path(__file__).parent.parent / "app"
_PARTS = ("models", "views")
_PACKAGES = ("", "modules")  # so that `from x import y` finds the application's modules, and no one else's


def make_root() -> Path:
    """Make an empty root in the folder for temporary files; its path has no symbolic links in it."""
    leftovers.sweep_once()
    root = Path(tempfile.mkdtemp(prefix=leftovers.PREFIX)).resolve()
    leftovers.hold(root)
    (root / "applications").mkdir()
    (root / "applications" / "__init__.py").touch()  # else an installed package `applications` goes before it
    return root


def make_app(root: Path, name: str) -> None:
    """Make an application from the skeleton; one that is there already stays as it is."""
    app = root / "applications" / name
    for part in _PARTS:
        shutil.copytree(SKELETON / part, app / part, copy_function=shutil.copyfile)
    (app / "controllers").mkdir()
    (app / "databases").mkdir()  # web2py makes it at the first request, which may come after a look at a table
    for package in _PACKAGES:
        (app / package).mkdir(exist_ok=True)
        (app / package / "__init__.py").touch()


def remove_root(root: Path) -> None:
    """Remove a root and all that is in it, as far as it is still there."""
    leftovers.release(root)
    shutil.rmtree(root, ignore_errors=True)


def list_files(app: Path) -> list[str]:
    """Return the paths of an application's own files, without the databases, sessions and tickets."""
    folders = ("controllers", "models", "modules", "views", "static")
    files = (file for folder in folders for file in sorted((app / folder).rglob("*")) if file.is_file())
    return [file.relative_to(app).as_posix() for file in files if file.name != "__init__.py"]


def replace_file(file: Path, data: bytes | None) -> bytes | None:
    """Write a file, or remove it where `data` is None; return what was in it before, or None."""
    before = file.read_bytes() if file.exists() else None
    if data is None:
        file.unlink()
    else:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return before
