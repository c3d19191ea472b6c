/** Modules of the web client for its tests. */
import { fileURLToPath } from "node:url";
import { buildSync } from "esbuild";

const WEB = fileURLToPath(new URL("../../../web/", import.meta.url));

/** What a module exports, by its path below `web/`. */
export function load(path) {
  const options = { bundle: true, write: false, format: "esm", absWorkingDir: WEB, entryPoints: [path], logLevel: "silent" };
  const [file] = buildSync(options).outputFiles;
  return import(`data:text/javascript;base64,${Buffer.from(file.contents).toString("base64")}`);
}
