"""Photograph notebooks as JupyterLab shows them, each in several pictures from top to bottom.

python -m tests.browser.screenshot build/pictures --theme dark --width 1024 --run my-course/01a_lesson_first_task.ipynb
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.browser.driver import DARK, LIGHT, Window, chromium, copy_course, jupyterlab

THEMES = {"light": LIGHT, "dark": DARK}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.browser.screenshot", description=__doc__)
    parser.add_argument("folder", type=Path, help="the folder to write to")
    parser.add_argument("notebooks", nargs="*", help="paths in the course; by default all of the learner's copies")
    parser.add_argument("--theme", choices=THEMES, default="light", help="JupyterLab's theme")
    parser.add_argument("--width", type=int, default=1440, help="the width of the window in pixels, with the side bar")
    parser.add_argument("--run", action="store_true", help="run all cells first")
    options = parser.parse_intermixed_args()
    photograph(options.folder, options.notebooks, THEMES[options.theme], options.width, run=options.run)


def photograph(folder: Path, notebooks: Sequence[str], theme: str, width: int, *, run: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as temporary, chromium() as browser:
        course, home = copy_course(Path(temporary, "course")), Path(temporary, "home")
        home.mkdir()
        with jupyterlab(course, home) as server:
            window = Window(browser.new_page(), server)
            window.choose_theme(theme)
            copies = [f"my-course/{path.name}" for path in sorted((course / "my-course").glob("*.ipynb"))]
            for name in notebooks or copies:
                notebook = window.open(name)
                if run:
                    notebook.run_all()
                for picture in notebook.screenshots(folder, width):
                    print(picture)
                window.close_notebooks()


if __name__ == "__main__":
    main()
