// The two buttons. Every finger's edge goes to the simulated contact as an edge; what it means, the firmware judges.

import { act } from "./net.js";

const KEYS = { r: "record", f: "function" };
const held = new Map();

export function startButtons(holdMs) {
  for (const element of document.querySelectorAll(".push")) {
    element.style.setProperty("--hold", `${holdMs}ms`);
    element.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      element.setPointerCapture(event.pointerId);
      down(element, `pointer ${event.pointerId}`, event.timeStamp);
    });
    for (const kind of ["pointerup", "pointercancel", "lostpointercapture"]) {
      element.addEventListener(kind, (event) => up(`pointer ${event.pointerId}`, event.timeStamp));
    }
    element.addEventListener("contextmenu", (event) => event.preventDefault());
    element.addEventListener("keydown", (event) => {
      if (event.key !== " " && event.key !== "Enter") return;
      event.preventDefault();
      if (!event.repeat) down(element, `key ${event.code}`, event.timeStamp);
    });
  }
  document.addEventListener("keydown", (event) => {
    const name = KEYS[event.key.toLowerCase()];
    if (!name || event.repeat || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
    down(document.getElementById(name), `key ${event.code}`, event.timeStamp);
  });
  document.addEventListener("keyup", (event) => up(`key ${event.code}`, event.timeStamp));
  // A finger that leaves with the window leaves the button, too.
  window.addEventListener("blur", () => { for (const finger of [...held.keys()]) up(finger, performance.now()); });
}

/** The contact is closed while at least one finger is on the button. */
function down(element, finger, atMs) {
  if (held.has(finger)) return;
  const first = ![...held.values()].includes(element);
  held.set(finger, element);
  if (!first) return;
  element.classList.add("down");
  act("press", { button: element.dataset.button }, atMs);
}

function up(finger, atMs) {
  const element = held.get(finger);
  if (!element) return;
  held.delete(finger);
  if ([...held.values()].includes(element)) return;
  element.classList.remove("down");
  act("release", { button: element.dataset.button }, atMs);
}
