// Two browsers, of two people, that look at the same machine. Reads orders, a JSON object a line; answers each with one.
// usage: node viewers.mjs FOLDER STORY

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(process.env.STEAD_BROWSER + "/node_modules/");
const { chromium } = require("playwright-core");
const [folder, story] = process.argv.slice(2);
const phone = { width: 390, height: 844 };
const password = "quite a long drive";
const browsers = [];
const pages = {};

const orders = { enter, press, look, reload, lose };
for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line);
  const answer = await orders[order.do](order).catch((error) => ({ fault: String(error) }));
  console.log(JSON.stringify(answer ?? {}));
}
for (const browser of browsers) await browser.close();

// A browser is a process of its own: nobody shares a cookie or a connection with the other.
async function enter({ who, link, page: address }) {
  const args = ["--no-sandbox", "--disable-dev-shm-usage"];
  const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args });
  browsers.push(browser);
  const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: phone });
  const page = await context.newPage();
  await page.goto(link);
  await page.fill("[name=password]", password);
  await page.fill("[name=again]", password);
  await Promise.all([page.waitForURL((url) => url.pathname === "/"), page.click("button.first")]);
  const answer = await page.goto(address);
  if (answer.status() !== 200) return { fault: `${address}: ${answer.status()}` };
  pages[who] = page;
}

async function press({ who, button }) {
  const page = pages[who];
  await Promise.all([page.waitForLoadState("load"), page.getByRole("button", { name: button }).click()]);
  await page.waitForSelector("[data-live]");
}

async function reload() {
  await Promise.all(Object.values(pages).map((page) => page.reload()));
}

// What both show at one moment; a figure that changes just then is looked at again, and so is one that is on its way still.
async function look({ stage, least }) {
  const differences = [];
  for (let tries = 1; tries <= 40; tries += 1) {
    const before = await shown();
    if (before.owner.percent === before.partner.percent && (least === null || before.owner.percent >= least)) {
      const picture = ([who, page]) => page.screenshot({ path: `${folder}/${story}-${stage}-${who}.png` });
      await Promise.all(Object.entries(pages).map(picture));
      const after = await shown();
      const same = [after.owner, after.partner].every((one) => one.percent === before.owner.percent);
      if (same) return { ...before.owner, page: await pages.partner.locator("main").innerText(), tries };
    }
    differences.push(`${before.owner.percent} and ${before.partner.percent}`);
    await new Promise((done) => setTimeout(done, 200));
  }
  return { fault: `they are shown different things, or less than ${least} %: ${differences.join(", ")}` };
}

async function shown() {
  const [owner, partner] = await Promise.all([pages.owner.evaluate(read), pages.partner.evaluate(read)]);
  return { owner, partner };
}

function read() {
  const words = document.querySelector("[data-live]")?.innerText.replace(/\s+/g, " ") ?? "";
  const percent = /(\d+)\s?%/.exec(words);
  return { percent: percent ? Number(percent[1]) : null, words };
}

// The live part of the page goes by itself; then the page is asked for once more.
async function lose({ who }) {
  const page = pages[who];
  await page.waitForFunction(() => !document.querySelector("[data-live]"), null, { timeout: 60_000 });
  await page.screenshot({ path: `${folder}/${story}-lost-${who}.png` });
  const answer = await page.reload();
  return { status: answer.status(), page: await page.locator("body").innerText() };
}
