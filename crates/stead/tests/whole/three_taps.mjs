// A person with a phone whose files are gone. Every touch of the screen is counted, typing apart.
// usage: node three_taps.mjs LINK FOLDER SHALLOW DEEP   (names of two files)   Prints what it took as one JSON object.

import { createRequire } from "node:module";

const require = createRequire(process.env.STEAD_BROWSER + "/node_modules/");
const { chromium } = require("playwright-core");

const [link, folder, shallow, deep] = process.argv.slice(2);
const origin = new URL(link).origin;
const args = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"];
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args });
const phone = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, ignoreHTTPSErrors: true };
const page = await (await browser.newContext(phone)).newPage();
const faults = [];
page.on("console", (message) => { if (message.type() === "error") faults.push(message.text()); });
page.on("request", (request) => { if (!request.url().startsWith(origin)) faults.push(`asks ${request.url()}`); });

let taps = 0;
async function tap(what) {
  await what.tap();
  taps += 1;
}
async function open(what) {
  const from = page.url();
  try {
    await Promise.all([page.waitForEvent("load", { timeout: 60_000 }), tap(what)]);
  } catch (error) {
    throw new Error(`nothing was opened from ${from}, which shows:\n${await page.innerText("main")}`, { cause: error });
  }
}
async function counted(work) {
  taps = 0;
  await work();
  const said = await page.getByText("The machine is told to put it back").count();
  if (said !== 1) faults.push(`nobody says that it is put back: ${page.url()}`);
  return taps;
}

// Once: the link from the terminal, and a password.
await page.goto(link);
for (const field of await page.locator("input[type=password]").all()) await field.fill("three taps and not four");
await page.getByRole("button", { name: "Set password and sign in" }).tap();
await page.waitForURL(`${origin}/`);
const machine = page.locator("a.machine").first();
let runs = [];
await page.screenshot({ path: `${folder}/fleet.png` });

// From the page that one lands on: the machine, its files, the file's own button.
const fromFleet = await counted(async () => {
  await open(machine);
  runs = await page.locator("[id^=run-]").allTextContents();
  await page.screenshot({ path: `${folder}/machine.png` });
  await open(page.getByRole("link", { name: "Files and restore" }));
  await page.screenshot({ path: `${folder}/files.png` });
  await open(page.getByRole("button", { name: `Put back ${shallow}, if it is missing` }));
});

// A file somewhere deep, from the machine's page: the field, Find, the button at what was found.
const bySearch = await counted(async () => {
  await tap(page.getByRole("searchbox", { name: "Find a file by its name" }));
  await page.keyboard.type(deep);
  await open(page.getByRole("button", { name: "Find" }));
  await page.screenshot({ path: `${folder}/found.png` });
  await open(page.getByRole("button", { name: new RegExp(`Put back .*/${deep}, if it is missing`) }));
});
await page.screenshot({ path: `${folder}/restoring.png` });
await browser.close();
console.log(JSON.stringify({ runs, fromFleet, bySearch, faults }));
