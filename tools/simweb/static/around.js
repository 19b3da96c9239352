// What is around the camera: power, dock, lens, card, clock. A dial that is being moved is not moved back by what the server says.

import { act } from "./net.js";

const $ = (id) => document.getElementById(id);
const FULL_MB = 32000;
let now = null;

// Sliders whose ends are far apart go by a curve: fine where it matters.
const room = { toDial: (mb) => Math.round(100 * Math.cbrt(Math.min(mb, FULL_MB) / FULL_MB)), toValue: (dial) => Math.round(FULL_MB * (dial / 100) ** 3) };
const clock = {
  toDial: (seconds) => Math.round(Math.sign(seconds) * 100 * Math.cbrt(Math.min(Math.abs(seconds), 86400) / 86400)),
  toValue: (dial) => Math.round(Math.sign(dial) * 86400 * Math.abs(dial / 100) ** 3),
};

export function startAround() {
  $("battery-out").addEventListener("click", () => act(now && powered(now) ? "pull_battery" : "insert_battery"));
  $("dock").addEventListener("click", () => act(now?.docked ? "undock" : "dock"));
  $("cover").addEventListener("click", () => act(now?.covered ? "uncover_lens" : "cover_lens"));
  $("turn").addEventListener("click", () => act(now?.upside_down ? "turn_back" : "turn_over"));
  $("shut-down").addEventListener("click", () => act("shut_down"));
  dial("battery", (value) => act("set_battery", { percent: value }), (value) => `${value} %`);
  dial("heat", (value) => act("set_heat", { celsius: value }), (value) => `${value} °C`);
  dial("room", (value) => act("set_room", { megabytes: room.toValue(value) }), (value) => bytes(room.toValue(value)));
  dial("clock-error", (value) => act("set_clock", { error: clock.toValue(value) }), (value) => wrong(clock.toValue(value)));
  for (const choice of document.querySelectorAll(".faults select")) {
    choice.addEventListener("change", () => act(choice.dataset.do, { fault: choice.value }));
  }
}

/** Pulled, or switched off by itself: one button brings it back. */
function powered(state) {
  return state.battery.in && state.phase !== "down" && state.phase !== "off";
}

function dial(id, send, words) {
  const input = $(id);
  const output = document.querySelector(`label[for="${id}"] output`);
  input.words = (value) => { output.textContent = words(value); input.setAttribute("aria-valuetext", words(value)); };
  input.addEventListener("input", () => { input.moved = performance.now(); input.words(Number(input.value)); });
  input.addEventListener("change", () => { input.moved = performance.now(); send(Number(input.value)); });
}

function set(id, value, words = null) {
  const input = $(id);
  if (input.matches(":active") || performance.now() - (input.moved ?? -1e9) < 1500) return;
  input.value = value;
  input.words(value);
  if (words) document.querySelector(`label[for="${id}"] output`).textContent = words;
}

export function showAround(state) {
  now = state;
  const on = powered(state);
  const battery = $("battery-out");
  battery.setAttribute("aria-pressed", String(!on));
  label(battery, on ? "Pull the battery" : state.battery.in ? "Switch it on" : "Insert the battery", on ? "power is gone at once" : "another boot: see what it recovers");
  $("dock").setAttribute("aria-pressed", String(state.docked));
  label($("dock"), state.docked ? "Take it out of the dock" : "Put it in the dock", state.docked ? "a transfer is cut off" : "a real station on this machine");
  $("cover").setAttribute("aria-pressed", String(state.covered));
  label($("cover"), state.covered ? "Uncover the lens" : "Cover the lens", "a hand, or a strap");
  $("turn").setAttribute("aria-pressed", String(state.upside_down));
  label($("turn"), state.upside_down ? "Turn it back" : "Turn it over", "it hangs by its strap");
  $("shut-down").disabled = state.phase !== "on";
  $("dock-said").textContent = state.dock.running ? "The dock and the camera are talking." : state.dock.said ? `The dock: ${state.dock.said}.` : "";
  set("battery", state.battery.percent, `${state.battery.percent} %${state.battery.charging ? ", charging" : ""}`);
  set("heat", state.battery.celsius);
  set("room", room.toDial(state.room_mb), bytes(state.room_mb));
  set("clock-error", clock.toDial(state.clock_error_s), wrong(state.clock_error_s));
  for (const choice of document.querySelectorAll(".faults select")) {
    const fault = state.faults[choice.dataset.do];
    if (document.activeElement !== choice) choice.value = fault;
    choice.classList.toggle("amiss", fault !== "none");
  }
}

function label(element, head, text) {
  const [strong, span] = [element.querySelector("b"), element.querySelector("span")];
  if (strong.textContent !== head) strong.textContent = head;
  if (span.textContent !== text) span.textContent = text;
}

function bytes(mb) {
  return mb >= 1000 ? `${(mb / 1000).toFixed(1)} GB` : `${mb} MB`;
}

function wrong(seconds) {
  const size = Math.abs(seconds);
  const text = size >= 3600 ? `${(size / 3600).toFixed(1)} h` : size >= 60 ? `${Math.round(size / 60)} min` : `${Math.round(size)} s`;
  return size < 0.5 ? "0 s" : `${text} ${seconds > 0 ? "fast" : "slow"}`;
}
