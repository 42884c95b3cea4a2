// Looks at pages in Chromium: phone and desk, light and dark, with and without script; axe-core, console, requests, keyboard.
// usage: node browse.mjs ORIGIN COOKIE FOLDER PAGE...   Prints one JSON object; what is wrong stands in "faults".
// A page is a path, or `path!action?fields`: what is shown after a form of that path was sent. `#word` names its pictures;
// digits at its end are the status that it must have.

import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const require = createRequire(process.env.STEAD_BROWSER + "/node_modules/");
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const [origin, cookie, folder, ...paths] = process.argv.slice(2);
const sizes = { phone: { width: 390, height: 844 }, desk: { width: 1440, height: 900 } };
const args = ["--no-sandbox", "--disable-dev-shm-usage"];
const faults = [];
let looked = 0;

const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args });
for (const [size, viewport] of Object.entries(sizes)) {
  for (const colorScheme of ["light", "dark"]) {
    const context = await entered({ viewport, colorScheme });
    for (const path of paths) await look(context, path, `${size}-${colorScheme}`);
    await context.close();
  }
}
const plain = await entered({ viewport: sizes.phone, javaScriptEnabled: false });
for (const path of paths) await lookWithoutScript(plain, path);
await browser.close();
console.log(JSON.stringify({ looked, faults }));

async function entered(options) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, ...options });
  const [name, value] = cookie.split("=");
  if (value) await context.addCookies([{ name, value, url: origin, httpOnly: true, sameSite: "Lax" }]);
  return context;
}

function wanted(path) {
  return Number(/#\D*(\d{3})$/.exec(path)?.[1] ?? 200);
}

function named(path) {
  const [address, word] = path.split("#");
  const short = address.split("?")[0].replace(/[0-9a-f]{8}-[0-9a-f-]+/g, "one").replace(/[0-9a-f]{64}/g, "snapshot");
  return short.replace(/welcome.*/, "welcome").replaceAll("/", "_").replace("!", "") + (word ? `-${word}` : "");
}

// Goes to a page; to one that a form leads to, by sending the form.
async function open(page, path, fault) {
  const [before, after] = path.split("#")[0].split("!");
  let answer = await page.goto(origin + before, { waitUntil: "load" });
  if (after) {
    const [action, fields] = after.split("?");
    const sent = page.waitForNavigation({ waitUntil: "load" });
    await page.evaluate(send, [action, [...new URLSearchParams(fields)]]);
    answer = await sent;
  }
  if (answer.status() !== wanted(path)) fault(`status ${answer.status()}`);
  return answer;
}

function send([action, fields]) {
  const form = Object.assign(document.createElement("form"), { method: "post", action });
  const token = document.querySelector("input[name=token]").value;
  for (const [name, value] of [...fields, ["token", token]]) {
    form.append(Object.assign(document.createElement("input"), { type: "hidden", name, value }));
  }
  document.body.append(form);
  form.submit();
}

async function look(context, path, as) {
  const page = await context.newPage();
  const fault = (words) => faults.push(`${path} ${as}: ${words}`);
  // The browser itself writes down that a page was refused.
  const isRefusal = (text) => wanted(path) !== 200 && text.startsWith("Failed to load resource");
  page.on("console", (message) => { if (["error", "warning"].includes(message.type()) && !isRefusal(message.text())) fault(`console: ${message.text()}`); });
  page.on("pageerror", (error) => fault(`error: ${error}`));
  page.on("request", (request) => { if (!request.url().startsWith(origin)) fault(`asks another host: ${request.url()}`); });
  await open(page, path, fault);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  if (wide > 0) fault(`is ${wide} pixels too wide`);
  await page.screenshot({ path: `${folder}/${named(path)}-${as}.png`, fullPage: true });
  await audit(page, fault);
  if (as === "desk-light") await walk(page, fault);
  if (as.startsWith("phone")) await touch(page, fault);
  looked += 1;
  await page.close();
}

// The policy forbids inline scripts to pages, not to the one who debugs them.
async function audit(page, fault) {
  await page.evaluate(axe);
  const found = await page.evaluate(() => globalThis.axe.run(document));
  for (const violation of found.violations) {
    const where = violation.nodes.slice(0, 3).map((node) => node.html.slice(0, 160)).join(" | ");
    fault(`axe ${violation.id}: ${violation.help}: ${where}`);
  }
}

// By keyboard alone: Tab reaches every link, button and field (of long pages the first 60), and one sees where one is. Of
// buttons that belong together one is reached, as browsers do it. Live regions may put equal elements in place of others.
async function walk(page, fault) {
  const wanted = await page.evaluate(() => {
    globalThis.told = ({ tagName, href, name, value, ariaLabel, textContent }) =>
      [tagName, href, name, value, ariaLabel, textContent.trim().slice(0, 60)].join("|");
    const ways = "a[href], button, input:not([type=hidden], [type=radio]:not(:checked)), select, textarea, summary";
    return [...document.querySelectorAll(ways)].filter((element) => element.checkVisibility()).map(globalThis.told);
  });
  const missing = new Set(wanted.slice(0, 60));
  for (let step = 0; step < wanted.length + 20 && missing.size > 0; step += 1) {
    await page.keyboard.press("Tab");
    const at = await page.evaluate(() => {
      const element = document.activeElement;
      const { outlineStyle, outlineWidth } = getComputedStyle(element);
      const isPage = element === document.body;
      return { told: globalThis.told(element), isPage, ring: outlineStyle !== "none" && parseFloat(outlineWidth) >= 2 };
    });
    if (at.isPage) continue;
    missing.delete(at.told);
    if (!at.ring) fault(`nobody sees that this has the focus: ${at.told}`);
  }
  for (const one of missing) fault(`the keyboard does not reach ${one}`);
}

// What a thumb touches is 44 pixels high.
async function touch(page, fault) {
  const small = await page.evaluate(() => {
    const touched = "button, .button, .chip, summary, .top nav a, .machine, select, input:not([type=hidden], [type=checkbox], [type=radio]), .choice";
    const height = (element) => element.getBoundingClientRect().height;
    const tooSmall = (element) => element.checkVisibility() && height(element) > 0 && height(element) < 43.5;
    const told = (element) => `${element.outerHTML.slice(0, 80)} (${height(element)})`;
    return [...document.querySelectorAll(touched)].filter(tooSmall).map(told);
  });
  for (const one of small.slice(0, 5)) fault(`too small for a thumb: ${one}`);
}

async function lookWithoutScript(context, path) {
  const page = await context.newPage();
  const fault = (words) => faults.push(`${path} without script: ${words}`);
  await open(page, path, fault);
  const heading = await page.locator("h1").first().textContent();
  if (!heading?.trim()) fault("no heading");
  looked += 1;
  await page.close();
}
