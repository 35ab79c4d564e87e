"""Print the reference card, a page of notebooks/, as a PDF of two pages. Chromium prints it."""

import os
import re
import shutil
import signal
import subprocess
from contextlib import suppress
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory

from harness.errors import NotebookError
from harness.notebooks.lint import markdown
from harness.state import command

PAGE = Path("notebooks", "REFERENCE_CARD.md")
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
_STYLE = Path(__file__).with_name("reference_card.css")
_SECONDS = 120  # for Chromium to start and to print
_CODE = re.compile(r"(?<=<code>).*?(?=</code>)")
_BREAK = re.compile(r"(?<=\w)(?:\(|=(?=\w+\())(?=\w)")  # in a table, a line may end after such a part of code
_BOXES = {2: "article", 3: "section"}  # the element around a heading of this level and the text below it


def find_chromium() -> str | None:
    """Return the path of the Chromium that is found on PATH, or None."""
    return next(filter(None, map(shutil.which, CHROMIUM)), None)


def make_card(root: Path, target: Path, browser: str | None = None) -> None:
    """Write the reference card as a PDF. If this fails, an existing PDF isn't changed.

    Args:
        root: the folder that holds notebooks/.
        target: the PDF to write.
        browser: the path of Chromium, or of a browser that is based on it. None means the Chromium on PATH.

    Raises:
        NotebookError: the page is missing, Chromium is missing, Chromium didn't print the page, or the PDF can't be
            written.
    """
    try:
        source = (root / PAGE).read_text(encoding="utf-8")
    except OSError:
        raise NotebookError(f"{root} holds no {PAGE}; run this in the repository's top folder") from None
    program = browser or find_chromium()
    if program is None:
        raise NotebookError(
            "The card is printed by Chromium, which isn't installed. Install it (on Debian: apt-get install chromium). "
            f"If you have Chrome or Edge, pass its path: {command('taskqueue-course')} card --browser PATH"
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # A Chromium that snap installed reads neither /tmp nor hidden folders.
        with TemporaryDirectory(prefix="card-", dir=target.parent.absolute(), ignore_cleanup_errors=True) as folder:
            page = Path(folder, "card.html")
            page.write_text(card_html(source), encoding="utf-8")
            _print(program, page).replace(target)
    except OSError as error:
        raise NotebookError(f"{target} can't be written: {error.strerror or error}") from None


def card_html(source: str) -> str:
    """Return the card as HTML. Each heading of the second level begins a new sheet of paper."""
    title = escape(markdown.headings(source)[0][1])
    body = _CODE.sub(lambda found: _BREAK.sub("\\g<0><wbr>", found[0]), _boxed(source, 2))
    style = _STYLE.read_text(encoding="utf-8")
    head = f'<meta charset="utf-8"><title>{title}</title><style>{style}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>'


def _boxed(source: str, level: int) -> str:
    """Return Markdown as HTML, with boxes for its headings of this level and below."""
    if level not in _BOXES:
        return markdown.to_html(source)
    first, *parts = re.split(rf"^(?={'#' * level} )", source, flags=re.MULTILINE)
    box = _BOXES[level]
    return _boxed(first, level + 1) + "".join(f"<{box}>{_boxed(part, level + 1)}</{box}>" for part in parts)


def _print(program: str, page: Path) -> Path:
    """Print a page as a PDF beside it, and return its path. The profile is new, because Chromium may be running."""
    pdf = page.with_suffix(".pdf")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--no-pdf-header-footer"]
    places = [f"--user-data-dir={page.with_name('profile')}", f"--print-to-pdf={pdf}", page.as_uri()]
    errors = page.with_name(
        "errors.txt"
    )  # not a pipe, because a process that Chromium leaves behind could hold it open
    try:
        status = _run([program, *options, *places], errors)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotebookError(f"{program} didn't print the card: {error}") from None
    if status != 0 or not pdf.is_file() or not pdf.read_bytes().startswith(b"%PDF"):
        last = errors.read_text(errors="replace").strip().rpartition("\n")[2]
        raise NotebookError(f"{program} didn't print the card: {last or f'exit status {status}'}")
    return pdf


def _run(command: list[str], errors: Path) -> int:
    """Run a command, end all processes that it has started, and return its exit status.

    Args:
        command: the command.
        errors: the file for its standard error.
    """
    with errors.open("wb") as file:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=file, start_new_session=True
        )
    try:
        return process.wait(_SECONDS)
    finally:
        if os.name == "posix":
            with suppress(ProcessLookupError, PermissionError):  # macOS raises the second one if only zombies are left
                os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.wait()
