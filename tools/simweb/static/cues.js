// What is felt and heard: marks on the page, a shake, the device's own motor where it has one, and tones when sound is on.

const LONG_MS = 300;
let audio = null;
let tonesOn = false;
let running = [];

export function startSound(box) {
  box.checked = false;
  box.addEventListener("change", () => {
    tonesOn = box.checked;
    if (tonesOn && !audio) audio = new AudioContext();
    if (tonesOn) audio.resume();
    else hush();
  });
}

export function playCue(cue) {
  show(cue);
  shake(cue.pulses);
  if (navigator.vibrate && navigator.userActivation?.hasBeenActive && cue.pulses.length) navigator.vibrate(cue.pulses.flat());
  if (tonesOn && audio) sound(cue.tones);
}

function show(cue) {
  const box = document.getElementById("cue");
  box.replaceChildren();
  const name = document.createElement("b");
  name.textContent = cue.name || "cue";
  box.append(name);
  const felt = cue.pulses.map(([on]) => (on >= LONG_MS ? "long" : "short"));
  if (felt.length) box.append(words(`felt ${felt.join(" ")}`), bars("pulses", cue.pulses.map(([on]) => ({ width: Math.max(8, on / 14) }))));
  const heard = cue.tones.filter(([hertz]) => hertz);
  if (heard.length) box.append(words("heard"), bars("tones", heard.map(([hertz]) => ({ height: 4 + Math.min(12, hertz / 110) }))));
}

function words(text) {
  const span = document.createElement("span");
  span.className = "quiet";
  span.textContent = text;
  return span;
}

function bars(kind, sizes) {
  const group = document.createElement("span");
  group.className = kind;
  group.setAttribute("aria-hidden", "true");
  for (const size of sizes) {
    const bar = document.createElement("i");
    for (const [side, px] of Object.entries(size)) bar.style[side] = `${px}px`;
    group.append(bar);
  }
  return group;
}

function shake(pulses) {
  const casing = document.getElementById("casing");
  for (const timer of running) clearTimeout(timer);
  running = [];
  casing.classList.remove("buzz");
  let at = 0;
  for (const [on, off] of pulses) {
    running.push(setTimeout(() => casing.classList.add("buzz"), at), setTimeout(() => casing.classList.remove("buzz"), at + on));
    at += on + off;
  }
}

let tones = [];

function hush() {
  for (const one of tones) one.stop();
  tones = [];
}

function sound(sequence) {
  hush(); // a new cue replaces the one that is played
  let at = audio.currentTime + 0.02;
  for (const [hertz, ms] of sequence) {
    if (hertz) tones.push(tone(hertz, at, ms / 1000));
    at += ms / 1000;
  }
}

function tone(hertz, at, length) {
  const oscillator = audio.createOscillator();
  const gain = audio.createGain();
  oscillator.frequency.value = hertz;
  gain.gain.setValueAtTime(0, at);
  gain.gain.linearRampToValueAtTime(0.18, at + 0.008);
  gain.gain.setValueAtTime(0.18, at + Math.max(0.01, length - 0.015));
  gain.gain.linearRampToValueAtTime(0, at + length);
  oscillator.connect(gain).connect(audio.destination);
  oscillator.start(at);
  oscillator.stop(at + length);
  return oscillator;
}
