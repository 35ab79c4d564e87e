// The page of the console. Strings of the application are inserted as text, never as HTML.

const KEPT = 1000; // attempts
const FEW = 160; // attempts that the timeline draws one by one; if there are more, it shows counts
const LANES = 6; // of the timeline
const OTHERS = "other queues"; // a name with a space, which no queue has
const MOST_ROWS = 5; // of a lane
const BARS = 60; // of a lane that shows counts
const BREAK = 1000; // milliseconds from one search to the next, because a search may look at each task
const STEP = 25; // rows that a table shows at first
const HOLD = 2000; // milliseconds for which rows keep their places after the mouse has moved over them
const RANGES = { 60: ["minute", 10], 300: ["5 minutes", 60], 900: ["15 minutes", 180] }; // by seconds: a name, and the seconds between two grid lines
const WORDS = { DONE: "done", FAILED: "failed", STOPPED: "deadline", DROPPED: "dropped", DELETED: "deleted" };
const STATES = { starting: "The application is starting", failed: "The application has failed", stopped: "The application is stopped" };
const ADVICE = { failed: " It starts again when you change a file.", starting: " Its tasks wait until it runs." };
const SVG = "http://www.w3.org/2000/svg";

const find = selector => document.querySelector(selector);
const meta = name => find(`meta[name=${name}]`).content;

const state = {
  queues: [],
  tasks: [],
  found: null, // the tasks that the search has found
  attempts: new Map(), // by number, in the order of their ends
  counts: new Map(), // by second, and then by queue and mark: how many attempts have ended
  started: new Map(), // by task: when its running attempt started
  offset: 0, // seconds that the server's clock is ahead
  arrived: 0, // attempts
  listed: 0, // attempts that had arrived when the list was last updated
  shown: { tasks: STEP, attempts: STEP },
};

const serverNow = () => Date.now() / 1000 + state.offset;
const taskKey = task => `${task.queue}\n${task.task ?? task.name}`;
const count = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;

// Elements

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function draw(tag, attributes = {}, text = "") {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text) element.textContent = text;
  return element;
}

function put(element, text) {
  if (element.textContent !== String(text)) element.textContent = text;
}

function key(mark) {
  const svg = draw("svg", { class: "key", viewBox: "-6 -6 12 12", "aria-hidden": "true" });
  svg.append(draw("use", { href: `#marker-${mark}` }));
  return svg;
}

function cell(title, ...children) {
  return make("td", { role: "cell", "data-title": title }, ...children);
}

function shorten(text, limit) {
  const letters = [...text];
  const tail = Math.floor(limit / 3);
  return letters.length <= limit ? text : `${letters.slice(0, limit - tail - 1).join("")}…${letters.slice(-tail).join("")}`;
}

// Times

const HOUR = new Intl.DateTimeFormat([], { timeStyle: "medium" });
const DAY = new Intl.DateTimeFormat([], { dateStyle: "medium", timeStyle: "medium" });
const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];

function duration(seconds) {
  if (seconds > 0 && seconds < 0.0005) return "under 1 ms";
  if (seconds < 59.9995) return `${+seconds.toFixed(3)} s`;
  let rest = Math.round(seconds);
  const parts = [];
  for (const [size, unit] of UNITS) {
    if (rest >= size) parts.push(`${Math.floor(rest / size)} ${unit}`);
    rest %= size;
  }
  return parts.slice(0, 2).join(" ");
}

function relative(at) {
  const seconds = Math.round(at - serverNow());
  if (!seconds) return "now";
  const [size, unit] = UNITS.find(([size]) => Math.abs(seconds) >= size);
  const amount = `${Math.floor(Math.abs(seconds) / size)} ${unit}`;
  return seconds > 0 ? `in ${amount}` : `${amount} ago`;
}

function makeTime() {
  const [clock, distance] = [make("span"), make("span", { class: "faint" })];
  const element = make("time", {}, clock, " ", distance);
  return Object.assign(element, { clock, distance });
}

function putTime(element, at) {
  if (element.at !== at) {
    const date = new Date(at * 1000);
    element.at = at;
    element.dateTime = date.toISOString();
    element.title = DAY.format(date);
    put(element.clock, (date.toDateString() === new Date().toDateString() ? HOUR : DAY).format(date));
  }
  put(element.distance, relative(at));
}

// Rows keep their elements, so that the focus and open details stay as they are

class Rows {
  constructor(parent, keyOf, build) {
    Object.assign(this, { parent, keyOf, build, rows: new Map() });
  }

  // While the rows are held, no row moves or is removed. A row that the user is reading is never removed.
  show(items, held) {
    const wanted = new Map(items.map(item => [this.keyOf(item), item]));
    const active = document.activeElement;
    let lost = null;
    for (const [name, row] of this.rows) {
      if (wanted.has(name)) continue;
      row.element.classList.add("gone");
      if (held || row.isInUse()) continue;
      if (row.element.contains(active)) lost = row.element.nextElementSibling ?? row.element.previousElementSibling;
      row.element.remove();
      this.rows.delete(name);
    }
    let cursor = this.parent.querySelector(":scope > :not(thead)");
    for (const [name, item] of wanted) {
      const row = this.rows.get(name) ?? this.build(item);
      row.element.classList.remove("gone");
      row.update(item);
      while (cursor?.classList.contains("gone")) cursor = cursor.nextElementSibling;
      if (row.element === cursor) cursor = cursor.nextElementSibling;
      else if (!held || !this.rows.has(name)) this.parent.insertBefore(row.element, held ? null : cursor);
      this.rows.set(name, row);
    }
    if (document.activeElement === active || active === document.body) return;
    const next = active.isConnected ? active : lost?.querySelector("button:not([hidden])");
    (next ?? this.parent.closest("section").querySelector("h2")).focus({ preventScroll: true });
  }
}

const tables = { queues: find("#queues"), tasks: find("#tasks"), attempts: find("#attempts") };

for (const table of Object.values(tables)) {
  table.addEventListener("pointermove", () => {
    table.moved = performance.now();
    clearTimeout(table.timer);
    table.timer = setTimeout(render, HOLD + 50);
  });
}

const isHeld = table => table.matches(":hover") && performance.now() - (table.moved ?? -HOLD) < HOLD;

// Actions

async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("The server doesn't respond.");
  }
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

function post(path, fields) {
  const headers = { "Content-Type": "application/json", "X-Console-Token": meta("token") };
  return ask(path, { method: "POST", headers, body: JSON.stringify(fields) });
}

// The buttons of a row, and the message of the last action that failed.
class Actions {
  constructor(fields) {
    this.fields = fields;
    this.text = make("span");
    this.dismiss = make("button", { type: "button", hidden: "", "aria-label": "Dismiss the message" }, "×");
    this.dismiss.addEventListener("click", () => this.report(""));
    this.buttons = make("div", { class: "buttons" });
    this.note = make("p", { class: "note", role: "alert" });
    this.cell = cell("", this.buttons, this.note, this.dismiss);
    this.cell.classList.add("full");
  }

  button(label, path) {
    const button = make("button", { type: "button" }, label);
    button.path = path;
    button.addEventListener("click", () => this.act(button));
    this.buttons.append(button);
    return button;
  }

  async act(button) {
    if (button.ariaDisabled === "true") return;
    if (button.path === "purge" && !(await confirmPurge(this.fields.queue))) return;
    button.ariaDisabled = "true"; // a disabled button would lose the focus
    try {
      await post(button.path, this.fields);
      this.report("");
    } catch (error) {
      this.report(error.message);
    }
    button.ariaDisabled = "false";
  }

  report(text) {
    put(this.note, text);
    this.dismiss.hidden = !text;
    if (!text) render();
  }
}

function confirmPurge(name) {
  const dialog = find("#confirm");
  const queue = state.queues.find(queue => queue.name === name);
  const number = (queue?.waiting ?? 0) + (queue?.running ?? 0);
  put(find("#confirm-title"), `Purge the queue ${name}?`);
  put(find("#confirm-text"), `${count(number, "task")} will be deleted, and all tasks that are added before you confirm. You can't undo this.`);
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise(resolve => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

// Queues

function rateOf(queue) {
  if (queue.mode === "pull") return "leased by workers";
  const unit = [[1, "s"], [60, "min"], [3600, "h"]].find(([size]) => queue.rate * size >= 1) ?? [1, "s"];
  return `${+(queue.rate * unit[0]).toFixed(2)}/${unit[1]}`;
}

const queueRows = new Rows(tables.queues.tBodies[0], queue => queue.name, queue => {
  const [name, badge, target, waiting, running, most, minute, rate, bucket] = Array.from({ length: 9 }, () => make("span"));
  const oldest = makeTime();
  const actions = new Actions({ queue: queue.name });
  const toggle = actions.button("Pause", "pause");
  actions.button("Purge …", "purge").setAttribute("aria-label", `Purge … ${queue.name}`);
  const cells = [
    cell("", name, " ", badge, target),
    cell("Waiting", waiting),
    cell("Running", running, most),
    cell("Last minute", minute),
    cell("Rate", rate, bucket),
    cell("Oldest ETA", oldest),
    actions.cell,
  ];
  cells[0].classList.add("full");
  for (const each of cells.slice(1, 4)) each.classList.add("number");
  name.className = "name";
  most.className = target.className = bucket.className = "faint";
  const numbers = { waiting, running, last_minute: minute };

  function update(queue) {
    const isPull = queue.mode === "pull";
    put(name, queue.name);
    put(badge, queue.paused ? "paused" : isPull ? "pull" : "");
    badge.className = badge.textContent ? `badge ${queue.paused ? "paused" : ""}` : "";
    put(target, queue.target ? ` → ${queue.target}` : "");
    for (const [field, element] of Object.entries(numbers)) {
      put(element, queue[field].toLocaleString("en"));
      element.className = queue[field] ? "" : "zero";
    }
    put(most, isPull || !queue.max_concurrent ? "" : ` of ${queue.max_concurrent.toLocaleString("en")}`);
    put(rate, rateOf(queue));
    const tokens = queue.tokens === null ? "" : `${+queue.tokens.toFixed(1)} of `;
    put(bucket, isPull ? "" : `, ${tokens}${count(queue.bucket_size, "token")}`);
    oldest.hidden = queue.oldest_eta === null;
    if (!oldest.hidden) putTime(oldest, queue.oldest_eta);
    put(toggle, queue.paused ? "Resume" : "Pause");
    toggle.path = queue.paused ? "resume" : "pause";
    toggle.setAttribute("aria-label", `${toggle.textContent} ${queue.name}`);
  }
  return { element: make("tr", { role: "row" }, ...cells), update, isInUse: () => actions.note.textContent !== "" };
});

// Tasks

const taskRows = new Rows(tables.tasks.tBodies[0], taskKey, task => {
  const [retries, badge] = [make("span"), make("span", { class: "badge busy" }, "running")];
  const eta = makeTime();
  const actions = new Actions({ queue: task.queue, task: task.name });
  const run = actions.button("Run now", "run_now");
  const remove = actions.button("Delete", "delete_task");
  run.setAttribute("aria-label", `Run now ${task.name}`);
  remove.setAttribute("aria-label", `Delete ${task.name}`);
  const cells = [
    cell("", make("span", { class: "name" }, task.name)),
    cell("Queue", task.queue),
    cell("", make("span", { class: "request" }, `${task.method} ${task.url}`)),
    cell("ETA", badge, eta),
    cell("Retries", retries),
    actions.cell,
  ];
  cells[0].classList.add("full");
  cells[2].classList.add("full");

  function update(task) {
    const isRunning = task.state === "running";
    badge.hidden = !isRunning;
    eta.hidden = isRunning;
    run.hidden = isRunning || state.queues.some(queue => queue.name === task.queue && queue.mode === "pull");
    putTime(eta, task.eta);
    const last = task.previous_status ? `, last ${task.previous_status}` : "";
    put(retries, task.retries ? `${task.retries}${last}` : "0");
    retries.className = task.retries ? "together" : "zero";
  }
  return { element: make("tr", { role: "row" }, ...cells), update, isInUse: () => actions.note.textContent !== "" };
});

// Attempts

const attemptRows = new Rows(tables.attempts, attempt => attempt.number, attempt => {
  const status = attempt.status || "no response";
  const words = WORDS[attempt.mark] === String(status) ? status : `${status} ${WORDS[attempt.mark]}`;
  const id = `attempt-${attempt.number}`;
  const open = make("button", { type: "button", class: "open", "aria-expanded": "false" }, key(attempt.mark), words);
  open.setAttribute("aria-label", `${words}, attempt ${attempt.attempt} of ${attempt.task}: details`);
  const next = cell("Next");
  const started = makeTime();
  const retry = makeTime();
  if (attempt.next_eta !== null && attempt.mark !== "DONE") next.append("retry ", retry);
  if (!/^status \d+$/.test(attempt.note)) next.append(make("div", { class: "faint" }, attempt.note));
  if (!next.hasChildNodes()) next.removeAttribute("data-title");
  const cells = [
    cell("", open),
    cell("", make("span", { class: "name" }, attempt.task), " ", make("span", { class: "faint together" }, `attempt ${attempt.attempt}`)),
    cell("Queue", attempt.queue),
    cell("", make("span", { class: "request" }, `${attempt.method} ${attempt.url}`)),
    cell("Started", started),
    cell("Took", duration(attempt.elapsed)),
    next,
  ];
  cells[5].classList.add("number");
  cells[3].classList.add("full");
  const element = make("tbody", { role: "rowgroup" }, make("tr", { role: "row" }, ...cells));

  open.addEventListener("click", async () => {
    const isOpen = open.ariaExpanded === "true";
    open.ariaExpanded = String(!isOpen);
    if (isOpen) {
      open.removeAttribute("aria-controls");
      element.querySelector(".details")?.remove();
      render();
      return;
    }
    const details = make("td", { role: "cell", colspan: "7", id }, "Loading …");
    element.append(make("tr", { role: "row", class: "details" }, details));
    open.setAttribute("aria-controls", id);
    try {
      details.replaceChildren(...describe(await ask(`attempt?number=${attempt.number}`)));
      for (const box of details.querySelectorAll("pre.log")) box.scrollTop = box.scrollHeight; // where the exception is
    } catch (error) {
      details.replaceChildren(make("p", { class: "note", role: "alert" }, error.message));
    }
  });

  function update(attempt) {
    putTime(started, attempt.started);
    if (attempt.next_eta !== null) putTime(retry, attempt.next_eta);
  }
  return { element, update, isInUse: () => open.ariaExpanded === "true" };
});

function* describe(attempt) {
  const part = (title, text, attributes = {}) => {
    const box = make("pre", { tabindex: "0", role: "region", "aria-label": title, ...attributes }, text);
    return make("div", {}, make("h3", {}, title), box);
  };
  if (attempt.ticket) yield part("Ticket", attempt.ticket);
  if (attempt.log.length) yield part("Log lines of this request", attempt.log.join("\n"), { class: "log" });
  else yield make("div", {}, make("h3", {}, "Log lines of this request"), make("p", { class: "empty" }, "none"));
  const columns = make("div", { class: "columns" });
  const request = [`${attempt.method} ${attempt.url}`, ...attempt.headers].join("\n");
  columns.append(part("Request", request + (attempt.payload && `\n\n${attempt.payload}`)));
  const status = attempt.status ? `status ${attempt.status}` : attempt.note;
  columns.append(part("Response", [status, ...attempt.response_headers].join("\n") + (attempt.body && `\n\n${attempt.body}`)));
  yield columns;
}

// The timeline: an attempt is a bar from its start to its end, with the marker of its result

const figure = find("#timeline svg");
const rangeOf = () => Number(find("#range input:checked").value);
const names = new Map([...document.querySelectorAll("#legend li")].map(item => [item.dataset.mark, item.textContent.trim()]));

function spansSince(first) {
  const spans = [];
  for (const attempt of state.attempts.values()) {
    const end = attempt.started + attempt.elapsed;
    if (end > first) spans.push({ ...attempt, end });
  }
  for (const task of state.tasks) {
    const started = state.started.get(taskKey(task));
    if (started) spans.push({ queue: task.queue, task: task.name, started, end: serverNow(), mark: "RUNNING", status: "" });
  }
  return spans;
}

function lanesOf(spans) {
  const sizes = new Map(state.queues.filter(queue => queue.mode !== "pull").map(queue => [queue.name, 0]));
  for (const span of spans) sizes.set(span.queue, (sizes.get(span.queue) ?? 0) + 1);
  const lanes = [...sizes.keys()];
  if (lanes.length <= LANES) return lanes;
  const busiest = new Set([...lanes].sort((a, b) => sizes.get(b) - sizes.get(a)).slice(0, LANES - 1));
  return [...lanes.filter(lane => busiest.has(lane)), OTHERS];
}

function drawTimeline() {
  const width = Math.max(figure.clientWidth, 300);
  const [range, now] = [rangeOf(), serverNow()];
  const first = now - range;
  const [spans, isNarrow] = [spansSince(first), width < 640];
  const lanes = lanesOf(spans);
  const laneOf = queue => (lanes.includes(queue) ? queue : OTHERS);
  const [left, right] = [isNarrow ? 10 : 160, width - 16];
  const x = at => left + ((right - left) * (Math.max(at, first) - first)) / range;
  const view = { first, range, x, left, right, isNarrow, isFew: spans.length <= FEW };
  const [nodes, label, used] = [[], [], new Set()];
  let top = 6;
  for (const lane of lanes) {
    const own = spans.filter(span => laneOf(span.queue) === lane);
    const failed = own.filter(span => !["DONE", "RUNNING"].includes(span.mark)).length;
    label.push(`${lane}: ${own.length}${failed ? `, ${failed} of them not done` : ""}.`);
    const begin = top + (isNarrow ? 18 : 0);
    const [nodesOfLane, height, detail, marks] = view.isFew ? drawSpans(own, begin, view) : drawCounts(lane, laneOf, begin, view);
    nodes.push(draw("rect", { class: "lane", x: left, y: begin, width: right - left, height }));
    nodes.push(...drawName(lane, detail, top, height, view), ...nodesOfLane);
    for (const mark of marks) used.add(mark);
    top = begin + height + 5;
  }
  nodes.unshift(...drawAxis(top, view));
  figure.setAttribute("viewBox", `0 0 ${width} ${top + 20}`);
  figure.setAttribute("height", top + 20);
  figure.setAttribute("aria-label", `Attempts of the last ${RANGES[range][0]}. ${label.join(" ")}`);
  figure.querySelector("g").replaceChildren(...nodes);
  for (const item of document.querySelectorAll("#legend li")) item.hidden = !used.has(item.dataset.mark);
  state.isMoving = spans.length > 0;
}

function drawName(lane, detail, top, height, { left, isNarrow }) {
  const name = draw("text", isNarrow ? { x: left, y: top + 13 } : { x: 12, y: top + height / 2 + (detail ? -2 : 4) });
  name.append(draw("tspan", {}, shorten(lane, isNarrow ? 30 : 20)), draw("title", {}, lane));
  if (!detail) return [name];
  const at = isNarrow ? { x: left + 230, y: top + 13 } : { x: 12, y: top + height / 2 + 13 };
  return [name, draw("text", { class: "faint", ...at }, detail)];
}

function* drawAxis(bottom, { first, range, x, isNarrow }) {
  const step = RANGES[range][1] * (isNarrow ? 2 : 1);
  for (let ago = 0; ago <= range; ago += step) {
    const at = x(first + range - ago);
    const anchor = ago === 0 ? "end" : ago === range ? "start" : "middle";
    yield draw("line", { class: ago ? "grid" : "now", x1: at, x2: at, y1: 2, y2: bottom });
    const text = ago === 0 ? "now" : `−${ago < 60 ? `${ago} s` : `${ago / 60} min`}`;
    yield draw("text", { class: "faint", x: at, y: bottom + 13, "text-anchor": anchor }, text);
  }
}

// The attempts of a task share a row. If there are too few rows, several tasks share one.
function drawSpans(spans, top, { x, right }) {
  const tasks = Map.groupBy(spans, taskKey);
  const rows = [...tasks.values()].map(own => {
    own.sort((a, b) => a.started - b.started);
    return { own, begin: x(own[0].started) - 7, end: Math.max(...own.map(span => x(span.end))) + 7 };
  });
  const ends = [];
  for (const row of rows.sort((a, b) => a.begin - b.begin)) {
    const free = ends.findIndex(end => end <= row.begin);
    row.number = free >= 0 ? free : Math.min(ends.length, MOST_ROWS - 1);
    ends[row.number] = row.end;
  }
  const height = Math.max(28, ends.length * 15 + 12);
  const middle = number => top + (height - ends.length * 15) / 2 + number * 15 + 7.5;
  const [bars, markers] = [[], []];
  for (const { own, number } of rows) {
    const y = middle(number);
    if (own.length > 1) bars.push(draw("line", { class: "retry", x1: x(own[0].end), x2: x(own.at(-1).started), y1: y, y2: y }));
    for (const span of own) {
      const [begin, end] = [x(span.started), Math.min(x(span.end), right)];
      const kind = span.mark === "RUNNING" ? "running" : `mark-${span.mark}`;
      const bar = draw("rect", { class: kind, x: begin, y: y - 4.5, width: Math.max(end - begin, 1.5), height: 9 });
      const title = `${span.task}: ${names.get(span.mark)}, ${span.status || "no status"}, ${duration(span.end - span.started)}`;
      bar.append(draw("title", {}, title));
      bars.push(bar);
      if (span.mark !== "RUNNING") {
        const marker = draw("use", { href: `#marker-${span.mark}`, x: end, y });
        marker.append(draw("title", {}, title));
        markers.push(marker);
      }
      if (end - begin > 38 && span.status) {
        const tone = ["DONE", "DROPPED"].includes(span.mark) ? "inside" : "inside dark";
        markers.push(draw("text", { class: tone, x: (begin + end) / 2, y: y + 3.2 }, String(span.status)));
      }
    }
  }
  return [[...bars, ...markers], height, "", spans.map(span => span.mark)];
}

function drawCounts(lane, laneOf, top, { first, range, x, left, right }) {
  const [size, height] = [range / BARS, 46];
  const bars = new Map(); // by the bar's number, and then by mark: how many attempts
  for (const [second, counts] of state.counts) {
    if (second < first) continue;
    const bar = Math.floor(second / size);
    for (const [name, number] of counts) {
      const [queue, mark] = name.split("\n");
      if (laneOf(queue) !== lane) continue;
      if (!bars.has(bar)) bars.set(bar, new Map());
      bars.get(bar).set(mark, (bars.get(bar).get(mark) ?? 0) + number);
    }
  }
  const sums = [...bars.values()].map(marks => [...marks.values()].reduce((sum, each) => sum + each, 0));
  const peak = Math.max(1, ...sums);
  const nodes = [];
  for (const [bar, marks] of bars) {
    const begin = Math.max(x(bar * size), left);
    const end = Math.min(x((bar + 1) * size) - 1.5, right);
    let y = top + height;
    for (const mark of names.keys()) {
      const number = marks.get(mark);
      if (!number || end <= begin) continue;
      const tall = ((height - 4) * number) / peak;
      y -= tall;
      const part = draw("rect", { x: begin, y, width: end - begin, height: tall, fill: `url(#fill-${mark})` });
      part.append(draw("title", {}, `${number.toLocaleString("en")} × ${names.get(mark)}`));
      nodes.push(part);
    }
  }
  return [nodes, height, sums.length ? `up to ${peak.toLocaleString("en")} in ${size} s` : "", [...bars.values()].flatMap(marks => [...marks.keys()])];
}

// The page

const matches = (text, ...values) => values.some(value => value.toLowerCase().includes(text));
const query = () => ({ text: find("#text").value.trim(), queue: find("#queue").value });

function renderQueues() {
  queueRows.show(state.queues, isHeld(tables.queues));
  showEmpty(tables.queues, state.queues.length ? "" : "No queue is defined. Add one to queue.yaml.");
  const select = find("#queue");
  const chosen = select.value;
  const wanted = state.queues.map(queue => queue.name);
  if (chosen && !wanted.includes(chosen)) wanted.push(chosen);
  if ([...select.options].slice(1).map(option => option.value).join("\n") === wanted.join("\n")) return;
  select.replaceChildren(select.options[0], ...wanted.map(name => make("option", { value: name }, name)));
  select.value = chosen;
}

function renderTasks() {
  const tasks = state.found ?? state.tasks;
  const total = state.queues.reduce((sum, queue) => sum + queue.waiting + queue.running, 0);
  const limit = state.shown.tasks;
  taskRows.show(tasks.slice(0, limit), isHeld(tables.tasks));
  put(find("#tasks-count"), state.found ? `${count(tasks.length, "task")} found` : total ? total.toLocaleString("en") : "");
  const empty = state.found ? "No waiting task matches." : "No task waits. A task appears here as soon as your application adds it.";
  showEmpty(tables.tasks, tasks.length ? "" : empty);
  const beyond = !state.found && total > tasks.length ? ` of ${total.toLocaleString("en")}; search to find others` : "";
  showMore(tables.tasks, tasks.length > limit ? `Show ${tasks.length}${beyond}` : "");
}

function renderAttempts() {
  const { text, queue } = query();
  const [lower, failedOnly] = [text.toLowerCase(), find("#failed").checked];
  const isOpen = tables.attempts.querySelector(".details") !== null;
  const held = isOpen || isHeld(tables.attempts);
  if (!held) state.listed = state.arrived;
  const fits = each =>
    (!queue || each.queue === queue) && (!lower || matches(lower, each.task, each.url)) && !(failedOnly && each.mark === "DONE");
  const all = [...state.attempts.values()].reverse().filter(fits);
  const listed = all.filter(attempt => attempt.arrival <= state.listed);
  attemptRows.show(listed.slice(0, state.shown.attempts), false);
  const newer = all.length - listed.length;
  find("#newer").hidden = !newer;
  put(find("#newer"), `Show ${newer.toLocaleString("en")} newer`);
  put(find("#attempts-count"), all.length ? `${all.length.toLocaleString("en")}${all.length === KEPT ? " newest" : ""}` : "");
  showEmpty(tables.attempts, listed.length ? "" : state.attempts.size ? "No attempt matches." : "No attempt has ended yet.");
  showMore(tables.attempts, listed.length > state.shown.attempts ? "Show more" : "");
}

function showEmpty(table, text) {
  const empty = table.parentElement.querySelector(":scope > .empty");
  const isEmpty = Boolean(text) && !table.querySelector(".gone");
  table.hidden = isEmpty;
  empty.hidden = !isEmpty;
  put(empty, text);
}

function showMore(table, text) {
  const more = table.parentElement.querySelector(":scope > .more");
  more.hidden = !text;
  put(more, text);
}

function render() {
  renderQueues();
  renderTasks();
  renderAttempts();
  drawTimeline();
}

let isPlanned = false;

function plan() {
  if (isPlanned) return;
  isPlanned = true;
  requestAnimationFrame(() => {
    isPlanned = false;
    render();
  });
}

let isSearching = false;
let isAwaited = false;

async function search() {
  const { text, queue } = query();
  if (!text && !queue) {
    state.found = null;
    put(find("#search-note"), "");
    plan();
    return;
  }
  if (isSearching) {
    isAwaited = true; // the running search starts another one when it ends
    return;
  }
  isAwaited = false;
  isSearching = true;
  const began = performance.now();
  try {
    const { tasks } = await ask(`tasks?${new URLSearchParams({ text, queue })}`);
    state.found = tasks;
    put(find("#search-note"), "");
  } catch (error) {
    state.found = [];
    put(find("#search-note"), error.message);
  }
  plan();
  const isSame = () => query().text === text && query().queue === queue;
  while (isSame() && performance.now() - began < BREAK) await new Promise(resolve => setTimeout(resolve, 50));
  isSearching = false;
  if (isAwaited || !isSame()) search();
}

function showApplications(applications) {
  const name = each => applications.length > 1 ? `${each.name}: ` : "";
  const lines = applications.map(each => {
    const line = make("li", {}, name(each), make("span", { class: `state ${each.state}` }, each.state));
    if (/^https?:/.test(each.url)) line.append(make("a", { href: each.url }, each.url));
    line.append(make("code", {}, each.command));
    return line;
  });
  const failed = applications.filter(each => each.state !== "running" && each.reason);
  const stopped = failed.map(each => make("p", { class: "problem" }, `${name(each)}${STATES[each.state] ?? each.state}: ${each.reason}.${ADVICE[each.state] ?? ""}`));
  const others = applications.flatMap(each => each.problems.map(text => make("p", { class: "problem mild" }, name(each) + text)));
  find("#applications").replaceChildren(...lines);
  find("#problems").replaceChildren(...stopped, ...others);
}

function addAttempt(attempt) {
  if (state.attempts.has(attempt.number)) return;
  state.attempts.set(attempt.number, { ...attempt, arrival: ++state.arrived });
  const second = Math.floor(attempt.started + attempt.elapsed);
  if (!state.counts.has(second)) state.counts.set(second, new Map());
  const counts = state.counts.get(second);
  const name = `${attempt.queue}\n${attempt.mark}`;
  counts.set(name, (counts.get(name) ?? 0) + 1);
}

function forget() {
  for (const number of state.attempts.keys()) {
    if (state.attempts.size <= KEPT) break;
    state.attempts.delete(number);
  }
  for (const second of state.counts.keys()) if (second < serverNow() - 1000) state.counts.delete(second);
}

function receive(event) {
  state.offset = event.now - Date.now() / 1000;
  for (const attempt of event.attempts) addAttempt(attempt);
  forget();
  if (event.queues) state.queues = event.queues;
  if (event.tasks) {
    state.tasks = event.tasks;
    const running = event.tasks.filter(task => task.state === "running");
    state.started = new Map(running.map(task => [taskKey(task), task.started]));
  }
  if (event.applications) showApplications(event.applications);
  if (event.tasks || event.queues) search();
  plan();
}

// The connection

let source = null;

function showConnection(kind, text) {
  find("#connection").className = kind;
  put(find("#connection"), text);
}

function connect() {
  source?.close();
  source = new EventSource("events");
  source.addEventListener("start", event => {
    if (event.data !== meta("start")) location.reload(); // the server was restarted, and has a new token
  });
  source.onmessage = event => {
    showConnection("live", "Live");
    receive(JSON.parse(event.data));
  };
  source.onerror = () => {
    if (!find("#connection.gone")) showConnection("gone", `No connection since ${HOUR.format(new Date())}; reconnecting …`);
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, 2000);
  };
}

// A page that isn't visible closes its connection, because a browser allows only six to a server.
document.addEventListener("visibilitychange", () => (document.hidden ? source?.close() : connect()));

setInterval(() => {
  if (document.hidden) return;
  for (const time of document.querySelectorAll("time")) if (time.at) put(time.distance, relative(time.at));
  if (state.isMoving) drawTimeline();
}, 1000);

for (const field of ["#text", "#queue", "#failed"]) {
  find(field).addEventListener("input", () => {
    for (const open of document.querySelectorAll('.open[aria-expanded="true"]')) open.click(); // its attempt may not match any more
    search();
  });
}
find("#range").addEventListener("input", drawTimeline);
find("#newer").addEventListener("click", () => {
  state.listed = state.arrived;
  render();
});
for (const [name, most] of [["tasks", 200], ["attempts", KEPT]]) {
  tables[name].parentElement.querySelector(".more").addEventListener("click", () => {
    state.shown[name] = name === "tasks" ? most : Math.min(state.shown[name] * 4, most);
    plan();
  });
}
new ResizeObserver(plan).observe(find("#timeline"));
connect();
