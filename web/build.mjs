/**
 * Builds the web client into `clients/chat`: `node web/build.mjs [--check | --watch]`.
 *
 * Names of assets have a hash of their content. `index.html` is written last: an edge reads the directory again when it
 * changes. `--check` writes nothing, and fails for code that the client's policies would block.
 */
import { createHash } from "node:crypto";
import { mkdir, readFile, readdir, rename, rm, writeFile } from "node:fs/promises";
import { dirname, extname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build, context } from "esbuild";

const WEB = dirname(fileURLToPath(import.meta.url));
const RESULT = join(WEB, "..", "clients", "chat");
const BUDGET = 90_000;
/** Code that the enforced headers block, or that gets past them: an expression, and why. */
const FORBIDDEN = [
  [/\bstyleMap\b|\sstyle=|["']style["']/, "the policy blocks style attributes: see properties() in src/parts"],
  [
    /\b(inner|outer)HTML\b|insertAdjacentHTML|DOMParser|unsafeHTML|document\.write/,
    "texts become templates, never HTML",
  ],
  [/\son[a-z]+=/, "the policy blocks inline handlers"],
  [/\beval\(|new Function\b/, "the policy blocks code in texts"],
  [/ref\([^)]*measureElement/, "measureElement in ref() enters the render again: measure in updated()"],
];
const SHARED = {
  absWorkingDir: WEB,
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  charset: "utf8",
  legalComments: "none",
  metafile: true,
  write: false,
  logLevel: "silent",
};

const rules = {
  name: "rules",
  setup(plugin) {
    plugin.onLoad({ filter: /[/\\]web[/\\].*\.ts$/ }, async ({ path }) => {
      const contents = await readFile(path, "utf8");
      const errors = contents
        .split("\n")
        .flatMap((text, line) =>
          FORBIDDEN.filter(([expression]) => expression.test(text)).map(([, why]) => ({
            text: why,
            location: { file: relative(WEB, path), line: line + 1, lineText: text },
          })),
        );
      return { contents, errors, loader: "ts" };
    });
  },
};

const TONE = /1F3F[B-F]/g;

/** `emoji:LANGUAGE`: of all that can be chosen the name, the tags, and the forms without and in each skin tone. */
const emoji = {
  name: "emoji",
  setup(plugin) {
    plugin.onResolve({ filter: /^emoji:/ }, ({ path }) => ({ path: path.slice(6), namespace: "emoji" }));
    plugin.onLoad({ filter: /./, namespace: "emoji" }, async ({ path }) => {
      const list = await readFile(join(WEB, "..", "node_modules/emojibase-data", path, "compact.json"), "utf8");
      const short = ({ unicode }) => unicode.replace(/(\p{Emoji_Presentation})\ufe0f/gu, "$1"); // as keyboards send it
      const isOneTone = ({ hexcode }) => new Set(hexcode.match(TONE)).size === 1;
      const lines = JSON.parse(list)
        .filter(({ group, hexcode }) => group !== undefined && !hexcode.match(TONE))
        .sort((one, other) => one.order - other.order)
        .map(({ label, tags = [], unicode, skins = [] }) =>
          [label, tags.join(" "), ...[{ unicode }, ...skins.filter(isOneTone)].map(short)].join("\t"),
        );
      return { contents: lines.join("\n"), loader: "text" };
    });
  },
};

const OPTIONS = {
  ...SHARED,
  plugins: [rules, emoji],
  splitting: true,
  outdir: RESULT,
  entryPoints: { main: "src/main.ts", style: "style.css" },
  entryNames: "assets/[name]-[hash]",
  chunkNames: "assets/[name]-[hash]",
  assetNames: "assets/[name]-[hash]",
};

/** The files of the client by their path below /chat, and its build. */
async function assembled(result) {
  const files = new Map(
    result.outputFiles.map(({ path, contents }) => [relative(RESULT, path), Buffer.from(contents)]),
  );
  const named = (name) => [...files.keys()].find((path) => path.startsWith(`assets/${name}-`));
  for (const name of await readdir(join(WEB, "icons"))) {
    const content = await readFile(join(WEB, "icons", name));
    files.set(`assets/${name.replace(/\.\w+$/, "")}-${hash(content)}${extname(name)}`, content);
  }
  const code = hash(Buffer.concat([...files.values()]));
  const fill = async (name) =>
    (await readFile(join(WEB, name), "utf8"))
      .replaceAll(/\{(main|style|icon|unread)\}/g, (_, asset) => named(asset))
      .replaceAll("{build}", code);
  const page = Buffer.from(await fill("index.html"));
  files.set("manifest.webmanifest", Buffer.from(await fill("manifest.webmanifest")));
  const worker = await build({
    ...SHARED,
    plugins: [rules],
    format: "iife",
    entryPoints: ["src/worker.ts"],
    outdir: RESULT,
    define: { BUILD: JSON.stringify(code), ASSETS: JSON.stringify([...files.keys()]) },
  });
  files.set("worker.js", Buffer.from(worker.outputFiles[0].contents));
  return { files, page, first: firstLoad(result.metafile) };
}

/** The files that a browser loads before anything is shown: the page's own script and style with their imports. */
function firstLoad({ outputs }) {
  const named = Object.keys(outputs).filter((path) => /assets\/(main|style)-/.test(path));
  for (const path of named) {
    for (const { path: other, kind } of outputs[path].imports) {
      if (kind === "import-statement" && !named.includes(other)) named.push(other);
    }
  }
  return named.map((path) => relative(RESULT, join(WEB, path)));
}

function hash(content) {
  return createHash("sha256").update(content).digest("hex").slice(0, 10).toUpperCase();
}

async function write({ files, page }) {
  await mkdir(join(RESULT, "assets"), { recursive: true });
  for (const [path, content] of files) await writeFile(join(RESULT, path), content);
  for (const name of await readdir(join(RESULT, "assets"))) {
    if (!files.has(`assets/${name}`)) await rm(join(RESULT, "assets", name));
  }
  await writeFile(join(RESULT, ".index.html"), page);
  await rename(join(RESULT, ".index.html"), join(RESULT, "index.html"));
}

/** In gzipped bytes of the first load. */
function size({ files, first }) {
  return first.reduce((sum, path) => sum + gzipSync(files.get(path), { level: 9 }).length, 0);
}

async function finish(result, isChecked) {
  const made = await assembled(result);
  const bytes = size(made);
  if (!isChecked) await write(made);
  console.log(`the web client: ${(bytes / 1000).toFixed(1)} kB gzipped at first load`);
  if (bytes > BUDGET) throw new Error(`more than the budget of ${BUDGET / 1000} kB`);
}

if (process.argv.includes("--watch")) {
  const shown = {
    name: "shown",
    setup: (plugin) =>
      plugin.onEnd((result) =>
        result.errors.length
          ? console.error(
              result.errors.map(({ text, location }) => `${location?.file}:${location?.line}: ${text}`).join("\n"),
            )
          : finish(result, false).catch((error) => console.error(error.message)),
      ),
  };
  await (await context({ ...OPTIONS, plugins: [rules, emoji, shown] })).watch();
} else {
  try {
    await finish(await build(OPTIONS), process.argv.includes("--check"));
  } catch ({ errors, message }) {
    const lines = errors?.map(({ text, location }) => `web/${location?.file}:${location?.line}: ${text}`) ?? [message];
    console.error(lines.join("\n"));
    process.exitCode = 1;
  }
}
