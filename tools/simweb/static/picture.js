// The picture through the lens: one still after another, each asked for when the last is shown; nothing while the page is hidden.

const PAUSE_MS = 250;

export async function startPicture(canvas) {
  const context = canvas.getContext("2d", { alpha: false });
  let after = 0;
  for (;;) {
    if (document.hidden) await new Promise((done) => document.addEventListener("visibilitychange", done, { once: true }));
    try {
      const answer = await fetch(`/picture?after=${after}`);
      if (answer.status !== 200) { await pause(); continue; }
      after = Number(answer.headers.get("x-number"));
      const still = await createImageBitmap(await answer.blob());
      if (canvas.width !== still.width || canvas.height !== still.height) { canvas.width = still.width; canvas.height = still.height; }
      context.drawImage(still, 0, 0);
      still.close();
    } catch {
      await pause();
    }
  }
}

function pause() {
  return new Promise((done) => setTimeout(done, PAUSE_MS));
}
