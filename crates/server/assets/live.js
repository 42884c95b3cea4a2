// Live regions: what is in <section data-live="/path"> is replaced by what the server sends as an event "region"; what is in
// <div data-part="word"> beside it, by an event of that word.
// Without this file the page is the same, only not moving. Connections that are lost are left to the browser, which makes them
// again by itself.

for (const region of document.querySelectorAll("[data-live]")) watch(region);

function watch(region) {
  const source = new EventSource(region.dataset.live);
  source.addEventListener("region", (event) => replace(region, event.data));
  for (const part of document.querySelectorAll("[data-part]")) {
    source.addEventListener(part.dataset.part, (event) => replace(part, event.data));
  }
  source.addEventListener("end", () => source.close());
  source.addEventListener("error", () => { if (source.readyState === EventSource.CLOSED) refused(region); });
  addEventListener("pagehide", () => source.close());
}

// The server has given up: where it says that we may not see this any more, as when a grant has ended, the page is asked for
// once more, and says so instead of what it showed last.
async function refused(region) {
  const answer = await fetch(region.dataset.live, { method: "HEAD" }).catch(() => null);
  if (answer && [401, 403, 404].includes(answer.status)) location.reload();
}

// The server escapes every name; the parser runs no scripts, and the policy would not let any run.
function replace(region, html) {
  const holds = region.contains(document.activeElement);
  if (holds) return;
  const next = new DOMParser().parseFromString(html, "text/html").body;
  // What is the same stays in place, for those who read or point at it.
  if (next.innerHTML.trim() === region.innerHTML.trim()) return;
  region.replaceChildren(...next.childNodes);
}
