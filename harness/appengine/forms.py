"""Fill in an HTML form of a page, and make the request that a browser sends for it."""

from __future__ import annotations

import hashlib
import mimetypes
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urljoin, urlsplit

from harness.errors import BadRequestError, did_you_mean, quoted
from harness.records import Request, Response

if TYPE_CHECKING:
    from bs4 import BeautifulSoup, Tag
    from webtest.forms import Field, Form

_MULTIPART = "multipart/form-data"
_URLENCODED = "application/x-www-form-urlencoded"
_SHOWN = 30  # names of fields in a message
# A browser never sends them (HTML, "constructing the entry list").
_NOT_SENT = ":is(input, select, textarea, button, fieldset):disabled, [type=button], [type=reset]"
_OTHER_NAME = "\n"  # the beginning of a name that can't be filled in
# The request of a form repeats the headers of the page's request, except those whose names begin with one of these.
_NOT_CARRIED = ("content-", "cookie", "if-", "range", "referer", "x-forwarded-proto")
Entries = list[tuple[str, Any]]  # pairs of a name, and a string or a file


@dataclass(frozen=True, slots=True)
class FormRequest:
    """The request that a browser sends: its method, its path with the query, its headers, and for POST its body."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes | None = None


def fill_in(page: Response, fields: Mapping[str, Any]) -> FormRequest:
    """Return the request for a form of a page. Fields that aren't given keep the values that the page contains.

    Args:
        page: the response with the form. If it has several, one that has all these fields is used; see `Lab.submit`.
        fields: the values by name; see `Lab.submit`.

    Raises:
        BadRequestError: the page has no such form, or a browser could not send a value with it.
    """
    if not isinstance(page, Response) or page.request is None:
        raise BadRequestError(f"pass the response with the form, as in page = lab.get(...), not {quoted(page)}")
    form = _choose(page, fields)
    pressed = next((field for _, field in form.field_order if _kind(field) == "Submit"), None)
    for name, value in fields.items():
        if all(_kind(field) == "Submit" for field in form.fields[name]):
            pressed = _press(form, name, value)
        else:
            _set(name, form.fields[name], value)
    entries = _entries(form, pressed)
    path = _path(page, _attribute("action", form, pressed))
    headers = {name: value for name, value in page.request.headers if not name.lower().startswith(_NOT_CARRIED)}
    headers["Referer"] = _address(page.request)
    try:
        if _attribute("method", form, pressed).upper() != "POST":
            return FormRequest("GET", f"{path.partition('?')[0]}?{urlencode(_names_of_files(entries))}", headers)
        if _attribute("enctype", form, pressed).lower() != _MULTIPART:
            body, kind = urlencode(_names_of_files(entries)).encode(), _URLENCODED
        else:
            body, kind = _multipart(entries)
    except UnicodeEncodeError as error:
        what = f"{error.object[error.start]!r} cannot be sent, because it is only half of a character (a surrogate)"
        raise BadRequestError(what) from None
    return FormRequest("POST", path, {**headers, "Content-Type": kind}, body)


def _choose(page: Response, fields: Mapping[str, Any]) -> Form:
    from bs4 import BeautifulSoup
    from webtest.forms import Form

    html = BeautifulSoup(page.text, "html.parser")
    _adapt(html)
    forms = [_with_names(Form(SimpleNamespace(html=html), str(tag))) for tag in html.find_all("form")]
    if not forms:
        begins = f". It begins with {quoted(page.text[:80])}" if page.text else ""
        raise BadRequestError(
            f"the page of {page.request and page.request.url} (status {page.status}) has no form{begins}"
        )
    complete = [form for form in forms if form.fields.keys() >= fields.keys()]
    if complete:
        return max(complete, key=lambda form: _count_equal(form, fields))
    known = {name: None for form in forms for name in form.fields if name is not None}
    wrong = next((name for name in fields if name not in known), None)
    names = ", ".join([*known][:_SHOWN])
    if wrong is None:
        raise BadRequestError(f"no form of the page has all these fields: {', '.join(fields)}; the page has: {names}")
    hint = did_you_mean(wrong, known) if isinstance(wrong, str) else ""
    raise BadRequestError(
        f"no form of the page has a field {quoted(wrong)} that can be filled in: {hint or 'check its name.'} "
        f"The fields are: {names}"
    )


def _adapt(html: BeautifulSoup) -> None:
    """Change a page so that webtest finds the fields that a browser sends, and the values that they accept."""
    for tag in html.select(_NOT_SENT):
        tag.extract()
    for select in html.select("select:not([multiple])"):
        selected = select.select("option[selected]")[-1:] or select.select("option:not(:disabled)")[:1]
        for option in select.select("option[selected]"):
            del option["selected"]
        for option in selected:
            option["selected"] = ""
        if select.select("option[selected]:disabled"):
            select["unsent"] = ""  # a browser sends nothing until the user chooses another option
    for option in html.select("option:disabled"):
        option.extract()
    for field in html.select("ul.w2p_list input"):
        field["grows"] = ""  # web2py's script adds and removes such fields
    for form in html.select("form"):
        _rename(form.select("input, select, textarea, button"))


def _rename(fields: Iterable[Tag]) -> None:
    """Rename the fields that can't be filled in, because another field has the same name.

    They are hidden fields, which web pages put in front of a checkbox, and fields that webtest can't distinguish from
    radio buttons.
    """
    by_name: dict[Any, list[Tag]] = {}
    for field in fields:
        by_name.setdefault(field.get("name"), []).append(field)
    for name, named in by_name.items():
        kinds = {str(field.get("type", "")).lower() for field in named}
        shown = {"radio"} if "radio" in kinds else kinds - {"hidden"}
        for field in named if shown and name is not None else []:
            if str(field.get("type", "")).lower() not in shown:
                field["name"] = f"{_OTHER_NAME}{name}"


def _with_names(form: Form) -> Form:
    """Restore the names that `_rename` has changed. These fields are sent, but a caller can't fill them in."""
    form.field_order = [(name and name.removeprefix(_OTHER_NAME), field) for name, field in form.field_order]
    for name in [name for name in form.fields if name is not None and name.startswith(_OTHER_NAME)]:
        del form.fields[name]
    return form


def _count_equal(form: Form, fields: Mapping[str, Any]) -> int:
    """Return how many of the caller's values are in hidden fields and buttons. These distinguish similar forms."""
    return sum(
        isinstance(value, str | int)
        and str(value) in [_own_value(field) for field in form.fields[name] if _kind(field) in ("Hidden", "Submit")]
        for name, value in fields.items()
    )


def _own_value(field: Field) -> str:
    return str(field.value_if_submitted() if _kind(field) == "Submit" else field.value)


def _attribute(name: str, form: Form, pressed: Field | None) -> str:
    """Return an attribute of the form, or that of the pressed button, which takes precedence."""
    own = pressed.attrs.get(f"form{name}") if pressed is not None else None
    return str(getattr(form, name) or "") if own is None else str(own)


def _kind(field: Field) -> str:
    return type(field).__name__


def _press(form: Form, name: str, value: Any) -> Field:
    """Return the button with this value."""
    values = {field.value_if_submitted(): field for field in form.fields[name]}
    if value not in values:
        known = ", ".join(map(repr, values))
        raise BadRequestError(f"the form has no button {name!r} with the value {quoted(value)}; its values: {known}")
    return values[value]


def _set(name: str, fields: list[Field], value: Any) -> None:
    """Fill in the fields of one name."""
    fields = [field for field in fields if _kind(field) != "Submit"]
    if all(_kind(field) == "Checkbox" for field in fields):
        _check(name, fields, value)
    elif _kind(fields[0]) == "File":
        several = value if isinstance(value, list) and "multiple" in fields[0].attrs else [value]
        fields[0].value = [_upload(name, each) for each in several if each is not None]
    elif all("grows" in field.attrs for field in fields):
        fields[0].value = [_text(name, each) for each in _listed(value)]
        for field in fields[1:]:
            field.value = []
    elif len(fields) == 1:
        _fill(name, fields[0], value)
    else:
        values = _listed(value)
        if len(values) != len(fields):
            raise BadRequestError(f"the form has {len(fields)} fields {name!r}, so pass a list of {len(fields)} values")
        for field, each in zip(fields, values, strict=True):
            _fill(name, field, each)


def _fill(name: str, field: Field, value: Any) -> None:
    kind = _kind(field)
    if kind == "Checkbox":
        _check(name, [field], value)
    elif isinstance(value, bool):
        raise BadRequestError(f"only a checkbox takes {value}, and {name!r} isn't one")
    elif kind == "MultipleSelect":
        _choose_option(name, field, [_text(name, each) for each in _listed(value)])
    elif kind in ("Select", "Radio"):
        _choose_option(name, field, _text(name, value))
    else:
        field.value = _text(name, value)


def _check(name: str, boxes: list[Field], value: Any) -> None:
    """Check the boxes whose values are given, and uncheck the others. A single box also takes True and False."""
    if len(boxes) == 1 and (value is None or isinstance(value, bool)):
        boxes[0].checked = value
        return
    known, chosen = [box._value or "on" for box in boxes], [_text(name, each) for each in _listed(value)]
    if wrong := [each for each in chosen if each not in known]:
        flags = "True, False or " if len(boxes) == 1 else "a list of some of "
        raise BadRequestError(f"the checkbox {name!r} has no value {wrong[0]!r}; pass {flags}{', '.join(known)}")
    for box, each in zip(boxes, known, strict=True):
        box.checked = each in chosen


def _choose_option(name: str, field: Field, value: str | list[str]) -> None:
    try:
        field.value = value
    except ValueError:
        known = ", ".join(repr(option) for option, _, _ in field.options) or "none"
        raise BadRequestError(f"the field {name!r} has no option {quoted(value)}; its options: {known}") from None


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple | set) else [] if value is None else [value]


def _text(name: str, value: Any) -> str:
    if isinstance(value, bytes | Mapping | list | tuple | set):
        raise BadRequestError(f"the field {name!r} takes one string, not {quoted(value)}")
    return "" if value is None else str(value)


def _upload(name: str, value: Any) -> tuple[str, bytes]:
    if isinstance(value, Path):
        try:
            return value.name, value.read_bytes()
        except OSError as error:
            raise BadRequestError(f"the file {value} for {name!r} can't be read: {error.strerror}") from None
    match value:
        case (str(filename), bytes(data)):
            return filename, data
    raise BadRequestError(
        f"the field {name!r} uploads a file. Pass a pathlib.Path, or the name and the bytes as in ('a.txt', b'text'), "
        f"not {quoted(value)}"
    )


def _entries(form: Form, pressed: Field | None) -> Entries:
    """Return the names and values that a browser sends. Of the buttons, only the pressed one is included."""
    found: Entries = []
    for name, field in form.field_order:
        if name is None:
            continue
        if _kind(field) == "Submit":
            values = [pressed.value_if_submitted()] if pressed is not None and field is pressed else []
        elif _kind(field) == "File":
            values = field.value or [("", b"")]  # what a browser sends for a field without a file
        elif "unsent" in field.attrs and field.selectedIndex is None:
            values = []
        else:
            values = field.value if isinstance(field.value, list) else [] if field.value is None else [field.value]
        found += [(name, re.sub("\r\n?|\n", "\r\n", each) if isinstance(each, str) else each) for each in values]
    return found


def _address(request: Request) -> str:
    return f"{request.header('X-Forwarded-Proto') or 'http'}://{request.host}{request.url}"


def _path(page: Response, action: str) -> str:
    request = page.request
    assert request is not None  # noqa: S101  # fill_in has checked it
    target = urlsplit(urljoin(_address(request), action))
    if target.scheme == "javascript":
        raise BadRequestError(
            f"a script of the page sends this form ({action}), but a lab doesn't run scripts. Send the request of the "
            "script with lab.get or lab.post"
        )
    if target.netloc != request.host:
        raise BadRequestError(f"the form sends its fields to another server: {action}")
    if target.scheme == "https":
        return target._replace(fragment="").geturl()
    return target.path + (f"?{target.query}" if target.query else "")


def _names_of_files(entries: Entries) -> Entries:
    """Return the entries for a form that isn't multipart. For such a form, a browser sends only a file's name."""
    return [(name, value if isinstance(value, str) else value[0]) for name, value in entries]


def _multipart(entries: Entries) -> tuple[bytes, str]:
    """Return the body of a multipart form, and its content type."""
    from urllib3.filepost import encode_multipart_formdata

    parts = [(name, value if isinstance(value, str) else (*value, _media_type(value[0]))) for name, value in entries]
    # The hash gives the same form the same boundary in every run. The values don't contain this hash.
    boundary = hashlib.sha256(repr(parts).encode()).hexdigest()
    body, content_type = encode_multipart_formdata(parts, boundary)
    return body, content_type


def _media_type(filename: str) -> str:
    return mimetypes.guess_type(filename)[0] or "application/octet-stream"
