/** Makes segments of a text with names. Pure. */
export type Mentioning = { t: "text"; text: string } | { t: "mention"; account: number; text: string };

/** A mention has at most 64 characters: the rest is for `#` and the number. */
const LONGEST_NAME = 46;

/** The name of an account in a text. `names`: those of other accounts in it, which may be the same. */
export function mentionName(nickname: string, account: number, names: ReadonlyMap<string, number>): string {
  const name = `@${[...nickname].slice(0, LONGEST_NAME).join("").trimEnd()}`;
  return (names.get(name) ?? account) === account ? name : `${name}#${account}`;
}

/** `names`: names in the text, with the accounts that they mention. */
export function mentioning(text: string, names: ReadonlyMap<string, number>): Mentioning[] {
  const found = [...names.keys()].filter((name) => text.includes(name)).sort((one, other) => other.length - one.length);
  if (!found.length) return text ? [{ t: "text", text }] : [];
  const any = found.map((name) => name.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&")).join("|");
  return text
    .split(new RegExp(`(${any})(?![\\p{L}\\p{N}_])`, "u"))
    .filter(Boolean)
    .map((part): Mentioning => {
      const account = names.get(part);
      return account === undefined ? { t: "text", text: part } : { t: "mention", account, text: part };
    });
}
