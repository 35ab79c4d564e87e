"""What the course adds to Jupyter Server: static cards of predictions, folders without its files, and a first page.

The buttons of a card need the kernel that made them. After it has ended, JupyterLab would show "model not found" in
their place.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager
from jupyter_server.utils import url_path_join
from tornado.web import authenticated
from traitlets import List, Unicode

from harness.course.delivery import last_saved
from harness.course.predictions import NAME, WIDGET, static_card
from harness.errors import CourseError
from harness.notebooks.copies import MY_COURSE, PAGES


class CourseFiles(AsyncLargeFileManager):
    """Jupyter's files, without those of the course in the lists of folders.

    `hide_globs` of Jupyter Server hides a name in all folders. So it would hide a learner's own files as well.

    Attributes:
        hidden_at_top: names that aren't listed in the root folder.
    """

    hidden_at_top = List(Unicode())

    async def get(self, path: str, *arguments: Any, **options: Any) -> dict[str, Any]:
        """Return a file or a folder as `AsyncLargeFileManager` does, without PAGES and `hidden_at_top`."""
        model: dict[str, Any] = await super().get(path, *arguments, **options)  # type: ignore[no-untyped-call]
        if model["type"] == "directory" and model["content"]:
            hidden = self.hidden_at_top if not path.strip("/") else []
            folder = os.path.basename(os.path.abspath(os.path.join(self.root_dir, path.strip("/"))))
            hidden = [*hidden, PAGES] if folder == MY_COURSE else hidden
            model["content"] = [entry for entry in model["content"] if entry["name"] not in hidden]
        return model


class FirstPage(JupyterHandler):
    """Redirects from `taskqueue-course` to the copy that the learner saved last, which changes while a server runs."""

    @authenticated
    def get(self) -> None:
        """Redirect to the copy, or to JupyterLab if there are no copies."""
        root = Path(self.contents_manager.root_dir)
        try:
            page = f"lab/tree/{last_saved(root).relative_to(root).as_posix()}"
        except CourseError:
            page = "lab"
        self.redirect(url_path_join(self.base_url, page))


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": __name__}]


def _load_jupyter_server_extension(server: Any) -> None:
    server.contents_manager.register_pre_save_hook(save_static_cards)
    address = url_path_join(server.web_app.settings["base_url"], "taskqueue-course")
    server.web_app.add_handlers(".*$", [(address, FirstPage)])


def save_static_cards(model: dict[str, Any], **context: Any) -> None:
    """Replace the cards with buttons in a notebook that is about to be saved.

    Args:
        model: the file, in the form of Jupyter's contents manager. It is changed in place.
        context: the path and the contents manager, which aren't needed.
    """
    if model.get("type") == "notebook" and model.get("content"):
        for cell in model["content"].get("cells", []):
            for output in cell.get("outputs", []):
                if WIDGET in output.get("data", {}) and NAME in output.get("metadata", {}):
                    output["data"] = _static(output["data"], output["metadata"].pop(NAME))


def _static(data: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the card of a prediction without buttons, or only its text if the course has no such prediction."""
    try:
        return dict(static_card(name))
    except CourseError:
        return {kind: content for kind, content in data.items() if kind != WIDGET}
