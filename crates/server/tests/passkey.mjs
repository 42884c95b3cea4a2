// Adds a passkey, signs in by it, and removes it, with Chromium's virtual authenticator.
// usage: node passkey.mjs ORIGIN COOKIE FOLDER   Prints one JSON object: what was seen at each step.

import { createRequire } from "node:module";

const require = createRequire(process.env.STEAD_BROWSER + "/node_modules/");
const { chromium } = require("playwright-core");

const [origin, cookie, folder] = process.argv.slice(2);
const args = ["--no-sandbox", "--disable-dev-shm-usage"];
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args });
const context = await browser.newContext({ viewport: { width: 390, height: 844 } });
const [name, value] = cookie.split("=");
await context.addCookies([{ name, value, url: origin, httpOnly: true, sameSite: "Lax" }]);
const page = await context.newPage();
const devtools = await context.newCDPSession(page);
await devtools.send("WebAuthn.enable");
const options = { protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true, isUserVerified: true };
await devtools.send("WebAuthn.addVirtualAuthenticator", { options: { ...options, automaticPresenceSimulation: true } });
const seen = { troubles: [] };
page.on("pageerror", (error) => seen.troubles.push(String(error)));
let sent;
page.on("request", (request) => { if (request.url().endsWith("/sign-in/passkey")) sent = request.postData(); });

await page.goto(`${origin}/settings`);
await page.getByLabel("What do you call it?").fill("Anna's phone");
await page.screenshot({ path: `${folder}/passkey-settings.png`, fullPage: true });
seen.added = await pressed("Add a passkey", ".note.is-good, [role=alert]:not([hidden])");
seen.listed = await page.getByText("Anna's phone").isVisible();

await context.clearCookies();
await page.goto(`${origin}/sign-in?next=%2Fpeople`);
await page.screenshot({ path: `${folder}/passkey-sign-in.png`, fullPage: true });
await pressed("Sign in with a passkey", "h1:has-text('member'), [role=alert]:not([hidden])");
seen.signedIn = new URL(page.url()).pathname;
seen.replayed = await page.evaluate(async (body) => {
  const headers = { "content-type": "application/x-www-form-urlencoded" };
  return (await fetch("/sign-in/passkey", { method: "POST", headers, body })).status;
}, sent);

await page.goto(`${origin}/settings`);
await page.getByRole("button", { name: "Remove the passkey Anna's phone" }).click();
await page.waitForSelector(".note.is-good");
await context.clearCookies();
await page.goto(`${origin}/sign-in`);
const refused = page.waitForResponse((response) => response.url().endsWith("/sign-in/passkey"));
await page.getByRole("button", { name: "Sign in with a passkey" }).click();
seen.removed = (await refused).status();
seen.cookies = (await context.cookies()).length;
await browser.close();
console.log(JSON.stringify(seen));

async function pressed(button, until) {
  await page.getByRole("button", { name: button }).click();
  await page.waitForSelector(until);
  return (await page.locator(until).first().textContent()).trim();
}
