"""queue.yaml: what it may say (T39, T40), and the message for everything else."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.appengine.taskqueue import QueueConfig, RetryParameters, parse_queue_yaml
from harness.appengine.taskqueue.client import preload
from harness.errors import QueueConfigError
from tests.support.fuzz import examples, promptly


def only_queue(*lines: str) -> QueueConfig:
    """The configuration of a queue with these further lines."""
    configs = parse_queue_yaml("\n  ".join(["queue:\n- name: mail", *lines]))
    return next(config for config in configs if config.name == "mail")


def retry_of(*lines: str) -> RetryParameters:
    return only_queue("retry_parameters:", *(f"  {line}" for line in lines)).retry


def mistake(text: str | bytes) -> str:
    with pytest.raises(QueueConfigError) as refusal:
        parse_queue_yaml(text)
    return str(refusal.value)


@pytest.mark.row("T39")
def test_every_field_is_read():
    text = """
total_storage_limit: 1.5G
resume_paused_queues: false
queue:
- name: mail
  mode: push
  rate: 10/m
  bucket_size: 40
  max_concurrent_requests: 10
  target: v2.worker
  retry_parameters:
    task_retry_limit: 7
    task_age_limit: 2d
    min_backoff_seconds: 10
    max_backoff_seconds: 200.5
    max_doublings: 0
- name: later
  mode: pull
  acl:
  - user_email: ann@example.com
  retry_parameters:
    task_retry_limit: 3
"""
    mail = QueueConfig("mail", 10 / 60, 40, 10, RetryParameters(10, 200.5, 0, 7, 172_800), "push", "v2.worker")
    later = QueueConfig("later", retry=RetryParameters(task_retry_limit=3), mode="pull")
    assert parse_queue_yaml(text) == (QueueConfig("default"), mail, later)


@pytest.mark.row("T39")
@pytest.mark.parametrize(
    ("rate", "per_second"),
    [("5/s", 5), ("10/m", 10 / 60), ("1/h", 1 / 3600), ("1/d", 1 / 86400), ("0.5/s", 0.5), ("500/s", 500), ("0", 0)],
)
def test_a_rate_is_a_number_and_a_unit(rate, per_second):
    assert only_queue(f"rate: {rate}").rate == pytest.approx(per_second)
    assert only_queue(f"rate: '{rate}'").rate == pytest.approx(per_second)


@pytest.mark.row("T39")
@pytest.mark.parametrize(
    ("limit", "seconds"), [("90s", 90), ("1.9s", 1), ("10m", 600), ("1.5h", 5400), ("2d", 172_800)]
)
def test_an_age_limit_is_a_number_and_a_unit(limit, seconds):
    assert retry_of(f"task_age_limit: {limit}").task_age_limit == seconds


@pytest.mark.row("T40")
def test_the_default_queue_is_always_there():
    default = QueueConfig("default", rate=5, bucket_size=5, max_concurrent_requests=1000, mode="push")
    for text in ("queue: []", "total_storage_limit: 120M", "queue:\n- name: mail"):
        assert parse_queue_yaml(text)[0] == default


@pytest.mark.row("T40")
def test_the_default_queue_can_be_changed():
    assert parse_queue_yaml("queue:\n- name: default\n  rate: 1/s") == (QueueConfig("default", rate=1),)


def test_one_backoff_alone_moves_the_other_where_it_is_in_the_way():
    assert retry_of("min_backoff_seconds: 5000").max_backoff == 5000
    assert retry_of("max_backoff_seconds: 0.05").min_backoff == 0.05
    assert retry_of("min_backoff_seconds: 5").max_backoff == 3600
    assert retry_of("max_backoff_seconds: 5").min_backoff == 0.1


@pytest.mark.row("T39")
def test_the_fields_may_stand_in_any_order():
    config = only_queue("retry_parameters: {task_retry_limit: 2}", "rate: 1/s", "mode: push")
    assert config == QueueConfig("mail", rate=1, retry=RetryParameters(task_retry_limit=2))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "queue.yaml is empty; it must begin with `queue:`, followed by one `- name: …` per queue"),
        ("# nothing\n", "queue.yaml is empty; it must begin with `queue:`, followed by one `- name: …` per queue"),
        ("- name: mail", "queue.yaml, line 1: the file: expected lines of `field: value`, not a list"),
        ("mail", "queue.yaml, line 1: the file: expected lines of `field: value`, not 'mail'"),
        ("queue:", "queue.yaml, line 1: queue: expected a list, one `- name: …` per queue, not nothing"),
        ("queue: mail", "queue.yaml, line 1: queue: expected a list, one `- name: …` per queue, not 'mail'"),
        ("queue: {a: b}", "queue.yaml, line 1: queue: expected a list, one `- name: …` per queue, not fields"),
        ("queue:\n- mail", "queue.yaml, line 2: queue: expected lines of `field: value`, not 'mail'"),
        ("queue:\n- rate: 5/s", "queue.yaml, line 2: name: missing; every queue needs one, such as `- name: mail`"),
        ("queue:\n- name: [mail]", "queue.yaml, line 2: name: expected one value, not a list"),
        ("queue:\n- name: mail\n  name: post", "queue.yaml, line 3: name: given twice in one queue; delete one"),
        ("quue: []", "queue.yaml, line 1: 'quue': unknown field of the file; did you mean 'queue'?"),
        (
            "? [queue]\n: mail",
            "queue.yaml, line 1: a list: unknown field of the file; "
            "the fields are queue, resume_paused_queues, total_storage_limit",
        ),
        ("queue:\n- name: mail\n  rat: 5/s", "queue.yaml, line 3: 'rat': unknown field of queue; did you mean 'rate'?"),
        (
            "queue:\n- name: mail\n- name: mail",
            "queue.yaml, line 3: name: queue 'mail' is already defined in line 2",
        ),
        (
            "queue:\n- name: my_mail",
            "queue.yaml, line 2: name: 'my_mail' is not a queue name; use 1 to 100 letters, digits and '-'",
        ),
        (
            "queue:\n- name: later\n  mode: pull\n  rate: 5/s",
            "queue.yaml, line 4: rate: allowed only for push queues; delete it",
        ),
        (
            "queue:\n- name: later\n  mode: pull\n  rate:\n    5/s",
            "queue.yaml, line 4: rate: allowed only for push queues; delete it",
        ),
        (
            "queue:\n- name: mail\n  retry_parameters:\n    task_retry_limits: 1",
            "queue.yaml, line 4: 'task_retry_limits': unknown field of retry_parameters; "
            "did you mean 'task_retry_limit'?",
        ),
        ("queue:\n- name: mail\n  acl: []", "queue.yaml, line 3: acl: allowed only for pull queues; delete it"),
        ("queue:\n- name: mail\n  mode: drag", "queue.yaml, line 3: mode: 'drag' is not a mode; write push or pull"),
        (
            "queue:\n- name: mail\n  target: My Service",
            "queue.yaml, line 3: target: 'My Service' is not a target; write a service, or version.service",
        ),
        (
            "total_storage_limit: much",
            "queue.yaml, line 1: total_storage_limit: "
            "'much' is not a size; write a number and B, K, M, G or T, such as 120M",
        ),
        (
            "resume_paused_queues: perhaps",
            "queue.yaml, line 1: resume_paused_queues: 'perhaps' is not true or false",
        ),
        (
            "queue:\n- name: mail\n\trate: 5/s",
            "queue.yaml, line 3: not YAML: found character '\\t' that cannot start any token; "
            "indent with spaces, not with tabs",
        ),
        ("queue: [", "queue.yaml, line 1: not YAML: expected the node content, but found '<stream end>'"),
        ("queue: []\n---\nqueue: []", "queue.yaml, line 2: not YAML: but found another document"),
        ("queue:\n- name: m\x00", "queue.yaml, line 2: not YAML: the character '\\x00' is not allowed"),
        ("\nqueue:\n- name: m\x00", "queue.yaml, line 3: not YAML: the character '\\x00' is not allowed"),
        ("queue:\n- name: m\ud800", "queue.yaml, line 2: not YAML: the character '\\ud800' is not allowed"),
        ('queue:\n- name: "\\UFFFFFFFF"', "queue.yaml, line 2: not YAML: an escape \\U beyond Unicode"),
        ('\nqueue:\n- name: "\\UFFFFFFFF"\n\n\n', "queue.yaml, line 3: not YAML: an escape \\U beyond Unicode"),
        (b"\nqueue: caf\xe9", "queue.yaml, line 2: the byte 0xe9 is not UTF-8; save the file as UTF-8"),
        (b"queue:\n- name: caf\xe9", "queue.yaml, line 2: the byte 0xe9 is not UTF-8; save the file as UTF-8"),
        ("queue:\n- *x", "queue.yaml, line 2: *x: anchors and aliases are not allowed; repeat the value"),
        ("queue: &x []", "queue.yaml, line 1: &x: anchors and aliases are not allowed; repeat the value"),
        ("queue: []\nrate: ! 5/s", "queue.yaml, line 2: !: a tag without a name is not allowed; delete it"),
        ("[" * 1000, "queue.yaml, line 1: queue.yaml: nested more than 6 levels deep"),
        ("[" + "a, " * 1000 + "[" * 1000, "queue.yaml, line 1: queue.yaml: nested more than 6 levels deep"),
    ],
)
@pytest.mark.row("T39")
def test_a_mistake_names_the_line_and_the_field(text, message):
    assert mistake(text) == message


@pytest.mark.parametrize(
    "rate", ["5/x", "5", "-5/s", "yes", "2012-09-03", "1e3/s", "nan/s", "5 / s", "/s", "5/", "٥/s", "[5]", "~", "''"]
)
@pytest.mark.row("T39")
def test_a_bad_rate_is_quoted_with_what_is_allowed(rate):
    text = f"queue:\n- name: mail\n  rate: {rate}"
    message = mistake(text)
    assert message.startswith("queue.yaml, line 3: rate: ")
    assert message.endswith("such as 5/s, 10/m, 1/h or 1/d, or 0 to hold all tasks") or "expected one value" in message


@pytest.mark.parametrize(
    ("line", "bounds"),
    [
        ("rate: 501/s", "at most 500/s"),
        ("rate: " + "9" * 400 + "/s", "at most 500/s"),
        ("bucket_size: 0", "at least 1 and at most 500"),
        ("bucket_size: 501", "at least 1 and at most 500"),
        ("max_concurrent_requests: 0", "at least 1 and at most 5000"),
        ("max_concurrent_requests: " + "9" * 400, "at least 1 and at most 5000"),
        ("max_concurrent_requests: -1", "from 1 to 5000"),
        ("bucket_size: 2.5", "from 1 to 500"),
        ("bucket_size: true", "from 1 to 500"),
    ],
)
@pytest.mark.row("T39")
def test_a_figure_out_of_range_is_told_its_bounds(line, bounds):
    field = line.partition(":")[0]
    message = mistake(f"queue:\n- name: mail\n  {line}")
    assert message.startswith(f"queue.yaml, line 3: {field}: '{line.partition(' ')[2][:60]}'")
    assert message.endswith(bounds)


@pytest.mark.row("T39")
@pytest.mark.parametrize(
    ("field", "least", "most"),
    [("bucket_size", 1, 500), ("max_concurrent_requests", 1, 5000)],
)
def test_a_figure_at_its_bounds_is_taken(field, least, most):
    for figure in (least, most):
        taken = getattr(only_queue(f"{field}: {figure}"), field)
        assert (taken, type(taken)) == (figure, int)


@pytest.mark.row("T39")
def test_retry_parameters_at_their_bounds_are_taken():
    lines = ("task_retry_limit", "task_age_limit", "min_backoff_seconds", "max_backoff_seconds", "max_doublings")
    least, most = (0, "1s", 0, 0, 0), (2**31 - 1, "3650d", 315_360_000, 315_360_000, 2**31 - 1)
    assert retry_of(*map("{}: {}".format, lines, least)) == RetryParameters(0, 0, 0, 0, 1)
    assert retry_of(*map("{}: {}".format, lines, most)) == RetryParameters(
        315_360_000, 315_360_000, 2**31 - 1, 2**31 - 1, 315_360_000
    )


@pytest.mark.row("T39")
def test_names_and_targets_have_a_length():
    assert parse_queue_yaml(f"queue:\n- name: {'x' * 100}")[1].name == "x" * 100
    assert only_queue(f"target: {'v' * 100}.{'x' * 63}").target == f"{'v' * 100}.{'x' * 63}"
    assert "is not a queue name" in mistake(f"queue:\n- name: {'x' * 101}")
    for target in ("x" * 64, f"{'v' * 101}.x", f"v.{'x' * 64}", "a.b.c", "-a", "v.-a"):
        assert "is not a target" in mistake(f"queue:\n- name: mail\n  target: {target}")


@pytest.mark.parametrize("switch", ["true", "True", "FALSE", "no", "'True'"])
def test_true_and_false_may_have_each_form_of_yaml(switch):
    assert parse_queue_yaml(f"resume_paused_queues: {switch}") == (QueueConfig("default"),)


@pytest.mark.row("T39")
@pytest.mark.parametrize(
    ("written", "read"), [("010", 8), ("0x10", 16), ("0b11", 3), ("1_0", 10), ("1:30", 90), ("+5", 5), ("'010'", 10)]
)
def test_a_number_is_read_by_the_rules_of_yaml_1_1(written, read):
    config = only_queue(f"bucket_size: {written}", "retry_parameters:", f"  min_backoff_seconds: {written}")
    assert (config.bucket_size, config.retry.min_backoff) == (read, read)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("bucket_size: 0x1000", "'0x1000' is read as '4096', and '4096' is out of range; at least 1 and at most 500"),
        ("target: yes", "'yes' is read as 'True', and 'True' is not a target; write a service, or version.service"),
        ("target: null", "expected one value, but found none"),
        ("target: 2012-13-45", "'2012-13-45' is not a valid timestamp of YAML; write it in quotes if it is a string"),
        (
            "bucket_size: " + "9" * 5000,
            f"'{'9' * 60}' is not a valid int of YAML; write it in quotes if it is a string",
        ),
        ("target: !card x", "not a value: could not determine a constructor for the tag '!card'"),
        (
            "rate: ' 5/s'",
            "' 5/s' is not a rate; write a number and a unit, such as 5/s, 10/m, 1/h or 1/d, or 0 to hold all tasks",
        ),
        (
            "retry_parameters: {min_backoff_seconds: 1.0e+9}",
            "'1.0e+9' is read as '1000000000.0', and '1000000000.0' is out of range; "
            "at least 0 and at most 315360000 seconds",
        ),
    ],
)
def test_a_mistake_in_a_value_says_how_yaml_reads_it(line, what):
    assert mistake(f"queue:\n- name: mail\n  {line}").endswith(f": {what}")


@pytest.mark.parametrize("acl", ["x", "[x]", "{user_email: x}", "[{user_mail: x}]", "[{user_email: []}]"])
def test_an_acl_is_a_list_of_addresses(acl):
    assert mistake(f"queue:\n- name: later\n  mode: pull\n  acl: {acl}").startswith("queue.yaml, line 4: ")
    assert parse_queue_yaml("queue:\n- name: later\n  mode: pull\n  acl: [{writer_email: a@b.c}]")


@pytest.mark.parametrize(
    ("lines", "shown"),
    [
        ("queue:\n- name: {}", 60),
        ("queue:\n- name: m\n  target: {}", 60),
        ("queue:\n- name: m\n  rate: {}", 60),
        ("queue:\n- name: m\n  mode: {}", 60),
        ("queue:\n- name: m\n  bucket_size: {}", 60),
        ("queue:\n- name: m\n  retry_parameters:\n    task_age_limit: {}", 60),
        ("queue:\n- name: m\n  retry_parameters:\n    min_backoff_seconds: {}", 60),
        ("queue:\n- name: m\n  retry_parameters: {}", 60),
        ("total_storage_limit: {}", 60),
        ("resume_paused_queues: {}", 60),
        ("{}: 1", 60),
    ],
)
def test_a_message_quotes_no_more_than_the_beginning_of_a_long_value(lines, shown):
    message = mistake(lines.format("y_" * 100))
    assert repr(("y_" * 100)[:shown]) in message


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("task_retry_limit: -1", "write one from 0 to 2147483647"),
        ("task_retry_limit: 2147483648", "at least 0 and at most 2147483647"),
        ("task_age_limit: 2", "a number and a unit, such as 30s, 10m, 4h or 2d"),
        ("task_age_limit: 2w", "a number and a unit, such as 30s, 10m, 4h or 2d"),
        ("task_age_limit: 0s", "at least 1 and at most 315360000 seconds"),
        ("task_age_limit: 9999999d", "at least 1 and at most 315360000 seconds"),
        ("task_age_limit: " + "9" * 400 + "d", "at least 1 and at most 315360000 seconds"),
        ("min_backoff_seconds: soon", "a number such as 0.5, 10 or 300"),
        ("max_backoff_seconds: .inf", "a number such as 0.5, 10 or 300"),
        ("max_backoff_seconds: 1000000000", "at least 0 and at most 315360000 seconds"),
        ("max_doublings: many", "write one from 0 to 2147483647"),
        ("task_retry_limits: 1", "did you mean 'task_retry_limit'?"),
    ],
)
@pytest.mark.row("T39")
def test_a_bad_retry_parameter_is_explained(line, reason):
    message = mistake(f"queue:\n- name: mail\n  retry_parameters:\n    {line}")
    assert message.startswith("queue.yaml, line 4: ")
    assert message.endswith(reason)


def test_the_least_backoff_may_not_be_more_than_the_most():
    text = "queue:\n- name: mail\n  retry_parameters:\n    max_backoff_seconds: 1\n    min_backoff_seconds: 10"
    assert mistake(text) == "queue.yaml, line 5: min_backoff_seconds: 10 is more than max_backoff_seconds, 1"
    assert mistake(text.replace(" 10", "\n      10")).startswith("queue.yaml, line 6: min_backoff_seconds: 10 is more")


def test_a_pull_queue_has_one_retry_parameter():
    text = "queue:\n- name: later\n  mode: pull\n  retry_parameters:\n    max_doublings: 1"
    assert mistake(text) == (
        "queue.yaml, line 5: 'max_doublings': unknown field of the retry_parameters of a pull queue; "
        "the fields are task_retry_limit"
    )


def test_a_pull_task_that_may_not_be_leased_again_is_allowed():
    assert only_queue("mode: pull", "retry_parameters: {task_retry_limit: 0}").retry.task_retry_limit == 0


def test_bytes_may_begin_with_a_byte_order_mark():
    assert parse_queue_yaml(b"\xef\xbb\xbfqueue:\r\n- name: mail\r\n")[1] == QueueConfig("mail")


LINES = [
    "queue:",
    "- name: mail",
    "- name: default",
    "  rate: 5/s",
    "  rate: 1/x",
    "  mode: pull",
    "  bucket_size: 5",
    "  retry_parameters:",
    "    task_age_limit: 2d",
    "    max_doublings: -1",
    "  retry_parameters: {}",
    "\tname: tab",
    "- &anchor name",
    "- *anchor",
    "? [complex]",
    "'\"",
    "{ [ }",
    "--- |",
    "%YAML 9.9",
    '"\\U99999999"',
    "!!python/name:os.system x: y",
    "<<: {rate: 5/s}",
]
FRAGMENTS = st.one_of(st.sampled_from(LINES), st.text(max_size=12), st.sampled_from(LINES).map(str.strip))


@examples(100)
@given(st.lists(FRAGMENTS, max_size=12).map("\n".join) | st.binary(max_size=80))
def test_any_text_is_a_configuration_or_a_documented_error(text):
    try:
        configs = parse_queue_yaml(text)
    except QueueConfigError as error:
        assert str(error).startswith("queue.yaml")
    else:
        assert "default" in {config.name for config in configs}


WRITTEN = """5 010 08 0x1F 0b11 1_0 1:30 +5 -1 -0 5.5 5.0 .5 1e1 1.0e+2 0.00001 .inf .nan true yes NO null ~ '' 0 00
0/s 5/s 05/s 5./s 2.5/m 501/s '5/s_' 5/w 30s 1.5h 0.5s 2w 010s 1e3s a v2.mail a.b.c -a A 1.50 2012-01-01 2012-13-45 push
pull PUSH mail a-b a_b !!int_010 !!str_010 !!float_5 !x_5 !_010 &x_a 120M 1.5G 5K9 'true' 'False' [] {} = 0o10 <<"""
SCALARS = st.sampled_from(
    [text.replace("_", " ") if text[0] in "!&'" else text for text in WRITTEN.split()]
) | st.builds(
    lambda letter, count, end: letter * count + end,
    st.sampled_from("a-5"),
    st.sampled_from([1, 62, 63, 64, 100, 101]),
    st.sampled_from(["", ".a", "." + "b" * 63, "." + "b" * 64, ".a.b"]),
)
NUMBERED = ["bucket_size", "max_concurrent_requests"]
RETRIES = ["task_retry_limit", "task_age_limit", "min_backoff_seconds", "max_backoff_seconds", "max_doublings"]


@st.composite
def queue_yamls(draw) -> str:
    """A queue.yaml with the right fields and any values."""
    lines = []
    for name in draw(st.lists(st.sampled_from(["total_storage_limit", "resume_paused_queues"]), unique=True)):
        lines.append(f"{name}: {draw(SCALARS)}")
    lines.append("queue:")
    for number in range(draw(st.integers(1, 3))):
        lines.append(f"- name: {draw(SCALARS | st.just(f'q{number}'))}")
        for name in draw(st.lists(st.sampled_from(["rate", "mode", "target", "acl", *NUMBERED]), unique=True)):
            lines.append(f"  {name}: {draw(SCALARS)}")
        if retries := draw(st.lists(st.sampled_from(RETRIES), unique=True)):
            lines += ["  retry_parameters:", *(f"    {name}: {draw(SCALARS)}" for name in retries)]
    return "\n".join(lines)


def by_google(text: str) -> dict[str, dict[str, object]]:
    """The fields of each queue, as Google's own parser reads them."""
    preload()
    from google.appengine.api import queueinfo

    info = queueinfo.LoadSingleQueue(text)
    queues = {}
    for entry in info.queue or []:
        values = {name: getattr(entry, name) for name in ["mode", "target", *NUMBERED]}
        values["rate"] = None if entry.rate is None else queueinfo.ParseRate(entry.rate)
        retry = queueinfo.TranslateRetryParameters(entry.retry_parameters or queueinfo.RetryParameters())
        values |= {field.name: number for field, number in retry.ListFields()}
        queues[entry.name] = {name: value for name, value in values.items() if value is not None}
    return queues


# What we refuse on purpose although Google's parser accepts it: the message, and why.
REFUSALS = {
    "allowed only for (push|pull) queues": "Google's server refuses or ignores it (Docs)",
    "unknown field of the retry_parameters of a pull queue": "Google's server ignores it (Docs)",
    "unknown field of the file": "the file may be part of another configuration, which the lab does not have",
    "expected one value, but found none": "an empty field is a slip, and Google's parser takes it as left out",
    "expected (a list|lines of `field: value`).*, not (nothing|'(~|null|Null|NULL)')": "the same",
    "expected one value, not (a list|fields)": "Google's parser makes a text such as `['a']` of it",
    "is not an integer": "Google's parser makes an integer of 2.5, -1 and true",
    "is out of range": "the documented bounds, which Google's server checks",
    "is not a number of seconds": "Google's parser makes a number of true, and accepts nan and a line end",
    "is not (a length of time|a size|a rate)": "Google's parser accepts all numbers of Python, such as 1e3",
    "is not a (queue name|target)": "Google's parser accepts a line end behind it, and an empty or a long name",
    "is already defined in line": "the second queue would replace the first",
    "given twice in one": "the second value would replace the first",
    "nested more than": "no queue.yaml needs it",
    "is more than max_backoff_seconds": "Google's server refuses it (Docs)",
    "not YAML": "PyYAML refuses some malformed files that ruamel.yaml, which Google uses, still reads",
    "queue.yaml is empty": "an empty file is a slip",
    "the file: expected lines of `field: value`": "Google's parser takes a file of one value for an empty one",
}
PLAUSIBLE = {
    "total_storage_limit": "120M 1.5G 0 5K 1e1 10B",
    "resume_paused_queues": "true False y n Y N yes on Off 0 1",
    "name": "mail a-b 5 y N 010 1_0 1.50 default",
    "rate": "5/s 10/m 0.5/h 1/d 0 0/s .5/s 500/s 1_0/s 010/s y",
    "mode": "push pull PULL",
    "target": "v2.mail worker y 5 010 1.5 a.b.c - a_b",
    "bucket_size": "5 010 0x10 0b11 1_0 1:30 +5 5.0 y n on 500",
    "max_concurrent_requests": "5 010 0o10 1000 y N 5000",
    "acl": "[] [{user_email:_a@b.c}] [{writer_email:_y}] ~",
    "task_retry_limit": "0 5 010 y n 1_0 2147483647",
    "task_age_limit": "30s 1.5h 2d 010s 1e3s",
    "min_backoff_seconds": "0 5 0.5 010 y 1e1 1.0e+1 .5",
    "max_backoff_seconds": "3600 5 0.5 010 n 1:30 .5",
    "max_doublings": "0 5 010 y 16",
}


@st.composite
def plausible_queue_yamls(draw) -> str:
    """A queue.yaml of one queue whose values mostly suit their fields."""

    def line(indent: str, name: str) -> str:
        fitting = st.sampled_from([text.replace("_", " ") if "{" in text else text for text in PLAUSIBLE[name].split()])
        return f"{indent}{name}: {draw(st.one_of(fitting, fitting, fitting, SCALARS))}"

    def some(names: list[str], most: int) -> list[str]:
        return draw(st.lists(st.sampled_from(names), unique=True, max_size=most))

    lines = [line("", name) for name in some(["total_storage_limit", "resume_paused_queues"], 1)]
    lines += ["queue:", line("- ", "name")]
    lines += [line("  ", name) for name in some(["rate", "mode", "target", "acl", *NUMBERED], 2)]
    if retries := some(RETRIES, 2):
        lines += ["  retry_parameters:", *(line("    ", name) for name in retries)]
    return "\n".join(lines)


ANY_YAML = queue_yamls() | plausible_queue_yamls() | st.lists(FRAGMENTS, max_size=12).map("\n".join)


def assert_same_values(text: str) -> None:
    """Require that Google's parser accepts a text, and reads the values that we read."""
    ours = {config.name: config for config in parse_queue_yaml(text)}
    for name, values in by_google(text).items():
        config = ours[name]
        own = {
            **{field: getattr(config, field) for field in ["mode", "target", "rate", *NUMBERED]},
            "retry_limit": config.retry.task_retry_limit,
            "age_limit_sec": config.retry.task_age_limit,
            "min_backoff_sec": config.retry.min_backoff,
            "max_backoff_sec": config.retry.max_backoff,
            "max_doublings": config.retry.max_doublings,
        }
        assert {field: own[field] for field in values} == pytest.approx(values)


@pytest.mark.row("T39")
@pytest.mark.filterwarnings("ignore::ruamel.yaml.error.MantissaNoDotYAML1_1Warning")
@examples(60)
@given(ANY_YAML)
def test_google_accepts_each_accepted_file_and_reads_the_same_values(text):
    try:
        parse_queue_yaml(text)
    except QueueConfigError:
        return
    assert_same_values(text)


@pytest.mark.row("T39")
@pytest.mark.filterwarnings("ignore::ruamel.yaml.error.MantissaNoDotYAML1_1Warning")
@examples(60)
@given(ANY_YAML)
def test_each_file_that_google_accepts_is_accepted_or_refused_on_purpose(text):
    try:
        with promptly():
            parse_queue_yaml(text)
    except QueueConfigError as error:
        if not any(re.search(pattern, str(error)) for pattern in REFUSALS):
            with pytest.raises(Exception):  # noqa: B017  # Google's parser raises errors of many types
                by_google(text)


@pytest.mark.row("T39")
@pytest.mark.filterwarnings("ignore::ruamel.yaml.error.MantissaNoDotYAML1_1Warning")
@pytest.mark.parametrize("written", ["y", "Y", "n", "N", "1e1", "1.5E3", "+2e-1"])
def test_what_only_googles_parser_takes_for_a_boolean_or_a_float_is_read_as_it_reads_it(written):
    fields = ["total_storage_limit: {}", "resume_paused_queues: {}", "queue: [{{name: {}}}]"]
    fields += [
        "queue: [{{name: mail, target: {}}}]",
        "queue: [{{name: mail, retry_parameters: {{max_backoff_seconds: {}}}}}]",
    ]
    accepted = 0
    for field in fields:
        try:
            parse_queue_yaml(text := field.format(written))
        except QueueConfigError as error:
            assert "is read as" in str(error)
        else:
            assert_same_values(text)
            accepted += 1
    assert accepted
