// Live regions: <section data-live="/path"> is replaced by what the server sends as an event "region".
// Without this file the page is the same, only not moving. Errors are left to the browser, which connects again by itself.

for (const region of document.querySelectorAll("[data-live]")) watch(region);

function watch(region) {
  const source = new EventSource(region.dataset.live);
  source.addEventListener("region", (event) => replace(region, event.data));
  source.addEventListener("end", () => source.close());
  addEventListener("pagehide", () => source.close());
}

// The server escapes every name; the parser runs no scripts, and the policy would not let any run.
function replace(region, html) {
  const holds = region.contains(document.activeElement);
  if (holds) return;
  const next = new DOMParser().parseFromString(html, "text/html").body;
  region.replaceChildren(...next.childNodes);
}
