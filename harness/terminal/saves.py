"""Tells when a notebook was saved."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_DEBOUNCE = 400  # ms at most; JupyterLab writes beside the notebook and then renames, all within a few
_STEP = 50  # ms of quiet that end a save
_PATIENCE = 500  # ms without a save after which it tells that there was none


@contextmanager
def saves(
    folder: Path,
    saved: Callable[[frozenset[str]], None],
    following: Callable[[], None],
    failed: Callable[[str], None],
) -> Iterator[None]:
    """Call `saved` with the names of the notebooks in a folder that were written, in this scope, from a thread.

    Args:
        folder: where they are; folders in it (.ipynb_checkpoints, backups) do not count.
        saved: takes names of files.
        following: called once, within a second or two, when no save is missed from now on.
        failed: takes the reason why saves cannot be followed; called once, at most.
    """
    stop = threading.Event()
    follower = threading.Thread(target=_follow, args=(folder, saved, following, failed, stop), daemon=True)
    follower.start()
    try:
        yield
    finally:
        stop.set()
        follower.join()


def _follow(
    folder: Path,
    saved: Callable[[frozenset[str]], None],
    following: Callable[[], None],
    failed: Callable[[str], None],
    stop: threading.Event,
) -> None:
    from watchfiles import watch

    begun = False
    try:
        for changes in watch(
            folder,
            debounce=_DEBOUNCE,
            step=_STEP,
            rust_timeout=_PATIENCE,
            yield_on_timeout=True,
            recursive=False,
            stop_event=stop,
        ):
            if not begun:  # it yields nothing when it begins, but something, maybe nothing new, soon after
                begun = True
                following()
            names = frozenset(Path(path).name for _, path in changes if path.endswith(".ipynb"))
            if names:
                saved(names)
    except (OSError, RuntimeError) as error:
        failed(f"What is saved in {folder} cannot be followed ({error}); the key r checks again")
