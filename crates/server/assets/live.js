// Live regions: what is in <section data-live="/path"> is replaced by what the server sends as an event "region"; what is in
// <div data-part="word"> beside it, by an event of that word.
// Without this file the page is the same, only not moving. Errors are left to the browser, which connects again by itself.

for (const region of document.querySelectorAll("[data-live]")) watch(region);

function watch(region) {
  const source = new EventSource(region.dataset.live);
  source.addEventListener("region", (event) => replace(region, event.data));
  for (const part of document.querySelectorAll("[data-part]")) {
    source.addEventListener(part.dataset.part, (event) => replace(part, event.data));
  }
  source.addEventListener("end", () => source.close());
  addEventListener("pagehide", () => source.close());
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
