// Makes dragoman.js and dragoman.d.ts of the modules in src. With --check it writes nothing, and fails if they are out of date.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { buildSync } from "esbuild";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const TSC = join(HERE, "../../node_modules/typescript/bin/tsc");
const NOTE = "// Made by `node clients/javascript/build.mjs` from src. Do not edit.\n";
const ENTRY = "dragoman";
/** Members that modules use of each other, which get shorter names. Neither frames nor the client have members of these names. */
const INTERNAL = [
  "abandon", "covered", "drop", "emit", "enter", "exchange", "forget", "isDue", "isListed", "isOpen", "isOver", "isThere", "least", "limit", "load", "opened",
  "pings", "post", "probe", "queue", "reach", "receive", "renew", "repeat", "sent", "stored", "take", "tick",
];

/** One file for browsers and Node. */
function bundle() {
  const native = readFileSync(join(HERE, "native.d.ts"), "utf8");
  const [known] = INTERNAL.filter((name) => new RegExp(`\\b${name}\\??:`).test(native));
  if (known) throw new Error(`INTERNAL has ${known}, which frames have`);
  const { outputFiles } = buildSync({
    entryPoints: [join(HERE, "src", `${ENTRY}.ts`)], bundle: true, format: "esm", target: "es2022", minify: true, write: false,
    mangleProps: new RegExp(`^(${INTERNAL.join("|")})$`),
  });
  return `// @ts-self-types="./${ENTRY}.d.ts"\n${outputFiles[0].text}`;
}

/** The declarations of all modules in one. What the first module does not export, the others keep to themselves. */
function declarations() {
  const directory = mkdtempSync(join(tmpdir(), "dragoman-types-"));
  try {
    const options = ["--noEmit", "false", "--declaration", "--emitDeclarationOnly", "--outDir", directory];
    execFileSync(process.execPath, [TSC, "-p", join(HERE, "src"), ...options], { stdio: ["ignore", "inherit", "inherit"] });
    const names = readdirSync(directory).filter((name) => name.endsWith(".d.ts"));
    const texts = Object.fromEntries(names.map((name) => [name, readFileSync(join(directory, name), "utf8")]));
    const own = texts[`${ENTRY}.d.ts`].match(/^export .*\{[^}]*\}.*;$/gm).join("\n");
    const exported = new Set([...own.matchAll(/\w+(?=[,\s}])/g)].map(([name]) => name));
    const modules = names.sort((one, other) => (one === `${ENTRY}.d.ts`) - (other === `${ENTRY}.d.ts`)).map((name) => texts[name]
      .replace(/^import [^;]*;\n/gm, "").replace(/^export (type )?\{[^}]*\}.*;\n/gm, "")
      .replace(/^export (?:declare )?(\w+ (\w+))/gm, (_, start, word) => {
        const isPublic = name === `${ENTRY}.d.ts` || exported.has(word);
        return `${isPublic ? "export " : ""}${/^(type|interface) /.test(start) ? "" : "declare "}${start}`;
      }));
    return `${NOTE}import type * as Native from "./native.d.ts";\nexport type { Native };\n${needed(modules.join(""))}`;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** What is exported, and the types that it names. */
function needed(text) {
  let blocks = text.match(/(?:^\/\*\*[^]*?\*\/\n)?^(?:export |declare |type |interface )[^]*?\n(?=\/\*\*|export |declare |type |interface |$(?![^]))/gm)
    .filter((block) => !/^declare /m.test(block));
  for (let before = Infinity; blocks.length < before;) {
    before = blocks.length;
    blocks = blocks.filter((block) => {
      const [, isExported, word] = /^(export )?(?:declare )?\w+ (\w+)/m.exec(block);
      return isExported || blocks.some((one) => one !== block && new RegExp(`\\b${word}\\b`).test(one));
    });
  }
  return blocks.join("");
}

let isCurrent = true;
for (const [name, text] of [[`${ENTRY}.js`, bundle()], [`${ENTRY}.d.ts`, declarations()]]) {
  const path = join(HERE, name);
  if (!process.argv.includes("--check")) writeFileSync(path, text);
  else if (readFileSync(path, "utf8") !== text) {
    isCurrent = false;
    console.error(`${name} is out of date: node clients/javascript/build.mjs`);
  }
}
process.exitCode = isCurrent ? 0 : 1;
