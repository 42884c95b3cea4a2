// Passkeys: a form with data-begin asks the server, then the browser, and sends the browser's answer. It shows only where the
// browser can do it; what stands in data-instead shows where it cannot.

const can = Boolean(globalThis.PublicKeyCredential?.parseCreationOptionsFromJSON);
for (const note of document.querySelectorAll("[data-instead]")) note.hidden = can;
for (const form of can ? document.querySelectorAll("form[data-begin]") : []) {
  form.hidden = false;
  form.addEventListener("submit", (event) => { event.preventDefault(); ask(form); });
}

async function ask(form) {
  const note = form.querySelector("[role=alert]");
  note.hidden = true;
  try {
    const begun = await fetch(form.dataset.begin, { method: "POST", body: new URLSearchParams(new FormData(form)) });
    if (!begun.ok) throw new Error(begun.status === 429 ? "Too many attempts. Wait a minute." : `The server answered ${begun.status}.`);
    const { ceremony, options } = await begun.json();
    const credential = await (form.dataset.adds ? made(options) : shown(options));
    form.elements.ceremony.value = ceremony;
    form.elements.credential.value = JSON.stringify(credential);
    form.submit();
  } catch (error) {
    note.textContent = error.name === "NotAllowedError" ? "The browser was given no passkey." : error.message;
    note.hidden = false;
  }
}

function made(options) {
  return navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) });
}

function shown(options) {
  return navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) });
}
