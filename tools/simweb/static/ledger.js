// The ledger as it grows. Fragments come every second: those of one recording that follow each other share a line.

const list = document.getElementById("leaves");
const follow = document.getElementById("follow");
let count = 0;
let group = null;

export function clearLedger() {
  list.replaceChildren();
  count = 0;
  group = null;
  tell();
}

export function addLeaves(leaves) {
  const fresh = count > 0;
  for (const leaf of leaves) {
    if (leaf.kind === "fragment" && group && group.recording === leaf.fields.recording) extend(leaf);
    else add(leaf, fresh);
    count += 1;
  }
  tell();
  if (follow.checked) list.scrollTop = list.scrollHeight;
}

function tell() {
  document.getElementById("ledger-count").textContent = count === 1 ? "1 leaf" : `${count} leaves`;
}

function add(leaf, fresh) {
  const item = document.createElement("li");
  item.className = `k-${leaf.kind}${fresh ? " new" : ""}`;
  const details = document.createElement("details");
  const summary = document.createElement("summary");
  const time = document.createElement("time");
  time.dateTime = leaf.utc;
  time.textContent = leaf.utc.slice(11, 19);
  const line = document.createElement("span");
  const dot = document.createElement("i");
  dot.className = "kind";
  const words = document.createElement("span");
  words.textContent = leaf.words;
  line.append(dot, words);
  summary.append(time, line);
  details.append(summary);
  details.addEventListener("toggle", () => { if (details.open && !details.querySelector("dl")) details.append(fields(leaf)); });
  item.append(details);
  list.append(item);
  group = leaf.kind === "fragment" ? { recording: leaf.fields.recording, first: leaf, details, words, count: 1, pictures: leaf.fields.pictures } : null;
}

function extend(leaf) {
  group.count += 1;
  group.pictures += leaf.fields.pictures;
  const { seq } = group.first.fields;
  group.words.textContent = `Seconds ${seq} to ${leaf.fields.seq} are durable: ${group.pictures} pictures, hashed and sealed`;
  group.details.querySelector("dl")?.replaceWith(fields(leaf));
}

function fields(leaf) {
  const box = document.createElement("dl");
  const head = { leaf: leaf.n, kind: leaf.kind, boot: leaf.boot, utc: leaf.utc, trust: leaf.trust, "boot time": `${leaf.boottime_s.toFixed(6)} s` };
  for (const [name, value] of Object.entries({ ...head, ...leaf.fields })) {
    const term = document.createElement("dt");
    const text = document.createElement("dd");
    term.textContent = name;
    text.textContent = value === null ? "unknown" : String(value);
    box.append(term, text);
  }
  return box;
}
