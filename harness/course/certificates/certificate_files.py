"""The files of a certificate: certificate.svg and certificate.pdf, in the learner's folder."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from harness.course.certificates.certificate import Certificate, certify
from harness.course.certificates.certificate_page import to_pdf, to_svg, unprintable
from harness.course.verdict import wrap
from harness.course.workspace import find_course
from harness.errors import CourseError, ProgressError
from harness.notebooks.copies import MY_COURSE
from harness.notebooks.files import back_up, write
from harness.state import quoted

_SVG, _PDF = "certificate.svg", "certificate.pdf"


@dataclass(frozen=True, slots=True)
class SavedCertificate:
    """A certificate that was saved.

    Args:
        certificate: the certificate.
        svg: the content of certificate.svg.
        lines: what happened to each file.
    """

    certificate: Certificate
    svg: str
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """Return what the certificate states, and where the files are."""
        statement = wrap(f"{self.certificate.title}: {self.certificate.name} {self.certificate.statement}")
        return "\n".join([statement, *self.lines])


def save(name: str, now: datetime) -> SavedCertificate:
    """Make the certificate of this learner, and write its files. Existing files are backed up first.

    Args:
        name: the learner's name.
        now: the local time, for the date and for the names of backups.

    Raises:
        BadValueError: the name can't be used.
        CourseError: no exercise is solved yet.
        NotebookError: an existing file can't be backed up. It is unchanged.
        ProgressError: the progress can't be read, or a file can't be written.
    """
    certificate, folder = certify(name, now.date()), _folder()
    svg, missing = to_svg(certificate), unprintable(certificate.name)
    lines = [_write(folder / _SVG, svg.encode(), now)]
    if missing:
        lines.append(_without_pdf(folder, missing))
    else:
        lines.append(_write(folder / _PDF, to_pdf(certificate), now))
    return SavedCertificate(certificate, svg, tuple(lines))


def _folder() -> Path:
    """Return my-course/ of the course that contains the current folder, or else the current folder."""
    try:
        copies = find_course(Path.cwd()) / MY_COURSE
    except CourseError:
        return Path.cwd()
    return copies if copies.is_dir() else Path.cwd()


def _write(path: Path, content: bytes, now: datetime) -> str:
    """Write a file, and return what happened."""
    try:
        if path.exists() and path.read_bytes() == content:
            return f"{quoted(path)} is up to date"
        backup = back_up(path, now) if path.exists() else None
        write(path, content)
    except OSError as error:
        raise ProgressError(f"{path} can't be written: {error.strerror or error}.") from None
    return f"wrote {quoted(path)}" + (f"; the previous file is now {quoted(backup)}" if backup else "")


def _without_pdf(folder: Path, missing: str) -> str:
    earlier = f" The existing {_PDF} contains an earlier certificate." if (folder / _PDF).exists() else ""
    return wrap(
        f"No PDF was written, because the font of the PDF can't show the character {missing} of the name. "
        f"{_SVG} shows the name in a font of the computer that opens it. To make a PDF, open {_SVG} in a browser, "
        f"check that the name is shown correctly, and print the page.{earlier}"
    )
