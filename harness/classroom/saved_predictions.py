"""A Jupyter Server extension: a saved notebook contains a prediction's card without buttons.

The buttons need the kernel that made them. After it has ended, JupyterLab would show "model not found" in their place.
"""

from __future__ import annotations

from typing import Any

from harness.course.predictions import NAME, WIDGET, static_card


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": __name__}]


def _load_jupyter_server_extension(server: Any) -> None:
    server.contents_manager.register_pre_save_hook(save_static_cards)


def save_static_cards(model: dict[str, Any], **context: Any) -> None:
    """Replace the cards with buttons in a notebook that is about to be saved.

    Args:
        model: the file, in the form of Jupyter's contents manager. It is changed in place.
        context: the path and the contents manager, which aren't needed.
    """
    if model.get("type") == "notebook" and model.get("content"):
        for cell in model["content"].get("cells", []):
            for output in cell.get("outputs", []):
                if WIDGET in output.get("data", {}) and NAME in output["metadata"]:
                    output["data"] = static_card(output["metadata"].pop(NAME))
