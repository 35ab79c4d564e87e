// The card of a prediction in a notebook; prediction_card.py is its other half.

const SAVING = "Your choice is being saved. If this takes long, run this cell again.";

function element(kind, properties, ...children) {
  const made = Object.assign(document.createElement(kind), properties);
  made.append(...children);
  return made;
}

function label(letter, choice, answer) {
  if (answer && letter === answer) {
    return letter === choice ? "✓ your choice, right" : "✓ right answer";
  }
  return letter !== choice ? "" : answer ? "✗ your choice" : "● your choice";
}

function render({ model, el }) {
  const buttons = model.get("options").map(([letter, text]) => {
    const mark = element("span", { className: "tqc-mark" });
    const button = element(
      "button",
      { type: "button", className: "tqc-option" },
      element("span", { className: "tqc-letter" }, letter),
      element("span", { className: "tqc-text" }, text),
      mark,
    );
    button.addEventListener("click", () => {
      if (!model.get("answer") && model.get("choice") !== letter) {
        model.set("choice", letter);
        model.save_changes();
        status.textContent = SAVING; // the kernel sends another status when it has remembered the choice
      }
    });
    return { letter, button, mark };
  });
  const question = element("p", { className: "tqc-question" }, model.get("question"));
  const status = element("p", { className: "tqc-status" });
  status.setAttribute("role", "status");
  const card = element("div", { className: "tqc-prediction" }, question, ...buttons.map((each) => each.button), status);
  card.setAttribute("role", "group");
  card.setAttribute("aria-label", model.get("question"));
  // In JupyterLab, a key would otherwise run a command, such as a new cell, and move the focus to the cell.
  card.setAttribute("data-lm-suppress-shortcuts", "true");
  card.addEventListener("keydown", (event) => {
    event.stopPropagation();
    const notebook = card.closest(".jp-Notebook");
    const runs = event.key === "Enter" && (event.shiftKey || event.ctrlKey || event.altKey);
    if (notebook && (runs || event.key === "Escape")) {
      event.preventDefault();
      notebook.focus();
      if (runs) {
        notebook.dispatchEvent(new KeyboardEvent("keydown", event)); // after a vote, Shift+Enter runs cells as before
      }
    }
  });

  function update() {
    const choice = model.get("choice");
    const answer = model.get("answer");
    for (const { letter, button, mark } of buttons) {
      button.setAttribute("aria-pressed", String(letter === choice));
      button.setAttribute("aria-disabled", String(Boolean(answer)));
      button.classList.toggle("tqc-right", letter === answer);
      button.classList.toggle("tqc-wrong", Boolean(answer) && letter === choice && letter !== answer);
      mark.textContent = label(letter, choice, answer);
    }
    if (status.textContent !== model.get("status")) {
      status.textContent = model.get("status");
    }
  }

  update();
  model.on("change:choice change:answer change:status", update);
  el.append(card);
  return () => model.off("change:choice change:answer change:status", update);
}

export default { render };
