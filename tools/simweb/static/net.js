// Requests to the server that gave out this page: every POST carries the page's token, and they keep their order.

const token = document.querySelector('meta[name="token"]').content;
let waiting = [];
let sending = false;

/** POST a JSON body; resolves to the answer, rejects with a sentence. */
export async function post(path, body) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json", "x-oathcam-token": token },
    body: JSON.stringify(body),
  });
  return read(answer);
}

/** Let something happen to the camera. Actions arrive in the order in which they were done; those that come while a request is under way
 *  go together with the next. */
export async function act(action, fields = {}, fingerMs = null) {
  waiting.push({ do: action, fields, finger_ms: fingerMs });
  if (sending) return;
  sending = true;
  while (waiting.length) {
    const actions = waiting;
    waiting = [];
    try {
      await post("/act", { actions });
    } catch (error) {
      say(error.message);
    }
  }
  sending = false;
}

/** Fetch a file and let the browser keep it under `name`; rejects with a sentence when it is refused. */
export async function download(path, name) {
  const answer = await fetch(path);
  if (!answer.ok) await read(answer);
  save(await answer.blob(), name);
}

export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

export function say(text) {
  document.getElementById("announce").textContent = text;
}

async function read(answer) {
  const text = await answer.text();
  let value = {};
  try { value = JSON.parse(text); } catch { value = { error: text.trim() }; }
  if (!answer.ok) throw new Error([value.error, value.remedy].filter(Boolean).join(" ") || `the server said ${answer.status}`);
  return value;
}
