"""Photograph a notebook as JupyterLab shows it after a run, as one tall picture.

python -m tests.browser.screenshot notebooks/01_first_task.ipynb lesson.png [--dark]
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.browser.driver import DARK, LIGHT, Window, chromium, copy_course, jupyterlab


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.browser.screenshot", description=__doc__)
    parser.add_argument("notebook", help="its path in the repository, such as notebooks/01_first_task.ipynb")
    parser.add_argument("picture", type=Path, help="the PNG file to write")
    parser.add_argument("--dark", action="store_true", help="in JupyterLab's dark theme")
    options = parser.parse_args()
    photograph(options.notebook, options.picture, DARK if options.dark else LIGHT)


def photograph(notebook: str, picture: Path, theme: str) -> None:
    with TemporaryDirectory() as folder, chromium() as browser:
        home = Path(folder, "home")
        home.mkdir()
        with jupyterlab(copy_course(Path(folder, "course")), home) as server:
            window = Window(browser.new_page(), server)
            window.choose_theme(theme)
            page = window.open(notebook)
            page.run_all()
            page.screenshot(picture)
            window.close_notebooks()


if __name__ == "__main__":
    main()
