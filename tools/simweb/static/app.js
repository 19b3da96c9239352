// The page: listens to what the server says of the camera and shows it. Nothing here decides what the camera does.

import { showAround, startAround } from "./around.js";
import { startButtons } from "./buttons.js";
import { playCue, startSound } from "./cues.js";
import { addLeaves, clearLedger } from "./ledger.js";
import { post, save, say } from "./net.js";
import { startPicture } from "./picture.js";
import { busy, clearRecordings, showRecordings, showVerdict } from "./recordings.js";

const $ = (id) => document.getElementById(id);
const settings = JSON.parse($("settings").textContent);
const PHASES = { off: "off", starting: "starting", restarting: "restarting", down: "off" };
const WHY_DARK = {
  docked: "In the dock: the camera takes no pictures",
  sleeping: "Asleep: no pictures are taken",
  fault: "A fault: no pictures are kept",
  full: "No room: no pictures are kept",
  held: "Held after a critical recording: no pictures are taken",
  halted: "Shutting down",
};
let shown = "";
const slips = []; // seconds by which the world had fallen behind, second by second

function showState(state) {
  const name = PHASES[state.phase] ?? state.state;
  $("state").textContent = name;
  $("hint").textContent = state.phase === "starting" ? "Power is on; the board starts. The record button is not heard yet." : state.phase === "restarting" ? "The recorder ended and is started again." : state.phase === "down" ? "The camera has switched itself off." : state.hint;
  $("no-picture").hidden = state.looking;
  $("no-picture").textContent = state.phase === "on" ? WHY_DARK[state.state] ?? "No picture" : "No power, no picture";
  for (const which of ["subject", "status"]) lamp(which, state.lamps[which]);
  showQuestion(state.question);
  showAround(state);
  showMachine(state.phase === "on" ? state.state : "");
  $("scenario-count").textContent = state.actions ? `${state.actions} action${state.actions === 1 ? " was" : "s were"} noted since this camera first booted` : "Nothing was done yet";
  if (name !== shown) say(`Camera: ${name}. ${$("hint").textContent}`);
  document.body.dataset.state = name;
  if (name !== shown) showRecordings();
  shown = name;
}

/** The list is in the wearer's head, not on the camera; the page shows it to whoever still learns it. */
function showQuestion(question) {
  const was = $("question").hidden;
  $("question").hidden = question === null;
  if (question === null) return;
  $("question-title").textContent = question.title;
  const items = question.choices.map((label, place) => {
    const item = document.createElement("li");
    item.textContent = label;
    item.ariaCurrent = String(place === question.place);
    return item;
  });
  $("question-choices").replaceChildren(...items);
  const chosen = question.choices[question.place];
  const said = chosen ? `${question.place + 1}: ${chosen}` : was ? `The camera asks: ${question.title}` : "";
  if (said && $("announce").textContent !== said) say(said);
}

function lamp(which, { colour, blink_ms: blinkMs }) {
  const light = $(`lamp-${which}`);
  const blinks = blinkMs > 0 && colour !== "off";
  light.dataset.colour = colour;
  light.style.setProperty("--period", `${2 * blinkMs}ms`);
  light.classList.toggle("blinks", blinks);
  const words = blinks ? `${colour}, blinking` : colour;
  if ($(`${which}-words`).textContent !== words) $(`${which}-words`).textContent = words;
}

function showMachine(state) {
  if ($("ways-state").textContent === state) return;
  for (const node of document.querySelectorAll(".machine .state")) node.classList.toggle("lit", node.id === `state-${state}`);
  for (const arrow of document.querySelectorAll(".machine .arrow")) arrow.classList.toggle("lit", arrow.dataset.from === state);
  $("ways-state").textContent = state;
  $("ways-list").replaceChildren(...(settings.ways[state] ?? []).map(way));
}

function way({ event, guard, to, why }) {
  const item = document.createElement("li");
  for (const text of [guard ? `${event}, if ${guard}` : event, `→ ${to}`, why]) {
    const span = document.createElement("span");
    span.textContent = text;
    item.append(span);
  }
  return item;
}

function showClock({ wall, slipped_s: slipped }) {
  $("clock").textContent = wall.replace("T", " ");
  slips.push(slipped);
  if (slips.length > 8) slips.shift();
  $("slip").hidden = slipped - slips[0] < 1;
  $("slip").textContent = "this machine is busy: the camera’s time goes slower";
}

function listen() {
  const source = new EventSource("/events");
  const on = (name, job) => source.addEventListener(name, (event) => job(JSON.parse(event.data)));
  on("begin", () => { clearLedger(); clearRecordings(); });
  on("state", showState);
  on("clock", showClock);
  on("cue", playCue);
  on("leaves", addLeaves);
  on("recordings", showRecordings);
  source.addEventListener("open", () => { $("link").textContent = "connected"; $("link").classList.add("on"); });
  source.addEventListener("error", () => { $("link").textContent = "not connected"; $("link").classList.remove("on"); });
}

function startScenario() {
  const said = $("scenario-said");
  $("scenario-form").addEventListener("submit", (event) => {
    event.preventDefault();
    said.textContent = "Replaying what was done, as fast as it computes.";
    busy($("scenario-save"), async () => {
      const made = await post("/scenario", { name: $("scenario-name").value, description: $("scenario-description").value });
      save(new Blob([made.text], { type: "application/toml" }), made.file);
      const { recordings, verdict } = made.found;
      said.textContent = `Replayed: ${recordings} recording${recordings === 1 ? "" : "s"}, ${verdict}. Saved as ${made.file}.`;
    }, said);
  });
  $("new").addEventListener("click", () => busy($("new"), async () => {
    said.textContent = "Making another camera.";
    await post("/new", {});
    said.textContent = "A new camera, with an agency of its own.";
  }, said));
}

startButtons(settings.hold_ms);
startSound($("sound"));
startAround();
startScenario();
$("verify-all").addEventListener("click", () => busy($("verify-all"), async () => showVerdict($("verify-all-result"), await post("/verify", {})), $("verify-all-result")));
startPicture($("picture"));
listen();
