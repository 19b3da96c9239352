// Recordings: fetched sealed or opened, and judged by the code of `oathcam verify`.

import { download, post } from "./net.js";

const list = document.getElementById("recording-list");
const known = new Map();
const PLACES = {
  recording: "being recorded",
  card: "on the card",
  receipted: "on the card; the store has signed that it holds it, too",
  store: "in the dock’s store; the camera has released it",
};

export function clearRecordings() {
  known.clear();
  newest = [];
  const empty = document.createElement("li");
  empty.className = "empty";
  empty.textContent = "None yet. Everything that is recorded can be fetched here, sealed or opened, and verified.";
  list.replaceChildren(empty);
}

let newest = [];

/** `rows` as the ledger tells of them; without any, the same again: what became of an open recording depends on the power, too. */
export function showRecordings(rows = newest) {
  newest = rows;
  for (const row of rows) {
    if (!known.has(row.recording)) {
      list.querySelector(".empty")?.remove();
      known.set(row.recording, make(row.recording));
      list.prepend(known.get(row.recording).item);
    }
    update(known.get(row.recording), row);
  }
}

function make(recording) {
  const item = document.createElement("li");
  item.className = "recording";
  item.dataset.recording = recording;
  const text = document.createElement("div");
  const name = document.createElement("h3");
  name.textContent = recording;
  const line = document.createElement("p");
  text.append(name, line);
  const row = document.createElement("div");
  row.className = "row";
  const result = document.createElement("div");
  result.className = "judged";
  result.setAttribute("role", "status");
  const entry = { item, line, result, buttons: [] };
  const path = `/recordings/${encodeURIComponent(recording)}`;
  entry.buttons = [
    button("Sealed", `Download ${recording} sealed`, () => download(`${path}.zip`, `${recording}.sealed.zip`), result),
    button("Opened film", `Download ${recording} as an opened film`, () => download(`${path}.mp4`, `${recording}.mp4`), result),
    button("Verify", `Verify ${recording}`, async () => showVerdict(result, await post("/verify", { recording })), result),
  ];
  entry.buttons[2].classList.add("primary");
  row.append(...entry.buttons);
  item.append(text, row, result);
  return entry;
}

function update(entry, row) {
  const cut = row.place === "recording" && document.body.dataset.state === "off";
  const parts = [cut ? "cut off; the next boot closes it" : PLACES[row.place], `${row.seconds.toFixed(0)} s kept`];
  if (row.marks) parts.push(row.marks === 1 ? "1 mark" : `${row.marks} marks`);
  if (row.end) parts.push(`ended by ${row.end.replaceAll("-", " ")}`);
  entry.line.textContent = parts.join(" · ");
  const open = row.place === "recording";
  for (const one of entry.buttons) one.disabled = open;
}

function button(words, label, job, result) {
  const element = document.createElement("button");
  element.type = "button";
  element.className = "small";
  element.textContent = words;
  element.setAttribute("aria-label", label);
  element.addEventListener("click", () => busy(element, job, result));
  return element;
}

/** Run `job` with its button out of reach; what it refuses is said in `result`. */
export async function busy(element, job, result) {
  element.setAttribute("aria-disabled", "true");
  try {
    await job();
  } catch (error) {
    result.replaceChildren(error.message);
  }
  element.removeAttribute("aria-disabled");
}

export function showVerdict(box, report) {
  const verdict = document.createElement("strong");
  verdict.className = { authentic: "authentic", "not authentic": "not" }[report.verdict] ?? "cannot";
  verdict.textContent = report.verdict;
  const passed = document.createElement("span");
  passed.className = "quiet";
  passed.textContent = ` ${report.passed} checks passed`;
  const details = document.createElement("details");
  const summary = document.createElement("summary");
  summary.textContent = `${report.findings.length} to be read beside it`;
  const rows = document.createElement("ul");
  for (const finding of report.findings) {
    const row = document.createElement("li");
    row.className = finding.severity;
    const severity = document.createElement("span");
    severity.textContent = finding.severity;
    const text = document.createElement("span");
    text.textContent = [finding.text, finding.code && `[${finding.code}]`, finding.remedy].filter(Boolean).join(" ");
    row.append(severity, text);
    rows.append(row);
  }
  details.append(summary, rows);
  details.open = report.verdict !== "authentic";
  box.replaceChildren(verdict, passed, ...(report.findings.length ? [details] : []));
}
