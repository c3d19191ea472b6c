/** The frames that the drawer shows. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "./typescript.mjs";

const { frames } = await load("src/wire/frames.ts");

test("no part of a password is shown, whatever its characters are", () => {
  for (const value of ["orange", 'or"ange', "or\\", 'o\\"range']) {
    frames.note(true, JSON.stringify({ op: "delete_account", secret: { scheme: "plain", value }, id: 1 }));
    assert.deepEqual(JSON.parse(frames.list.at(-1).text), { op: "delete_account", secret: { scheme: "plain", value: "…" }, id: 1 });
  }
});
