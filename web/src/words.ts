/** Texts in the user's language. A further language is one file in words/ and one line here. */
import { computed, signal } from "@preact/signals-core";
import { en } from "../words/en.ts";

export type Words = Record<keyof typeof en, string>;
type Key = keyof typeof en;

const LANGUAGES: Record<string, () => Promise<Words>> = {
  en: () => Promise.resolve(en),
  zh: () => import("../words/zh.ts").then(({ zh }) => zh),
};
export const LANGUAGE_NAMES: Record<string, string> = { en: "English", zh: "中文" };
const CHOSEN = "dragoman.language";

const words = signal<Words>(en);
export const language = signal("en");

export async function chooseLanguage(chosen = localStorage.getItem(CHOSEN) ?? navigator.language): Promise<void> {
  const name = chosen.split("-")[0] ?? "en";
  const known = name in LANGUAGES ? name : "en";
  words.value = (await LANGUAGES[known]?.()) ?? en;
  language.value = known;
  document.documentElement.lang = known;
}

export function keepLanguage(chosen: string): void {
  localStorage.setItem(CHOSEN, chosen);
  void chooseLanguage(chosen);
}

export function t(key: Key, values: Record<string, string | number> = {}): string {
  return words.value[key].replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}

/** By the plural rules of the language: `KEY_one`, `KEY_other`. */
export function count<K extends string>(
  key: `${K}_other` extends Key ? K : never,
  number: number,
  values: Record<string, string | number> = {},
): string {
  const rule = `${key as string}_${plurals.value.select(number)}`;
  const found = (rule in words.value ? rule : `${key as string}_other`) as Key;
  return t(found, { count: numbers.value.format(number), ...values });
}

/** Formats stay: to make one takes a hundred times as long as to use it, and each row on the screen has two. */
const plurals = computed(() => new Intl.PluralRules(language.value));
const numbers = computed(() => new Intl.NumberFormat(language.value));
const relative = computed(() => new Intl.RelativeTimeFormat(language.value, { numeric: "auto" }));
const inRegion = (options: Intl.DateTimeFormatOptions) =>
  computed(() => {
    const region = navigator.languages.find((one) => one.split("-")[0] === language.value) ?? language.value;
    const format = new Intl.DateTimeFormat(region, options);
    return (time: number) => format.format(time);
  });
const weekday = { weekday: "long", day: "numeric", month: "long" } as const;
const formats = {
  time: inRegion({ hour: "2-digit", minute: "2-digit" }),
  date: inRegion({}),
  moment: inRegion({ dateStyle: "medium", timeStyle: "medium" }),
  short: inRegion({ day: "numeric", month: "short" }),
  day: inRegion(weekday),
  dayOfYear: inRegion({ ...weekday, year: "numeric" }),
};

export function timeOf(time: number): string {
  return formats.time.value(time);
}

export function dateOf(time: number): string {
  return formats.date.value(time);
}

/** Date and time, whole. */
export function momentOf(time: number): string {
  return formats.moment.value(time);
}

/** Screens with the name of a day are shown again when the next day begins. */
const today = signal(beginOfDay(Date.now()));
setInterval(() => {
  today.value = beginOfDay(Date.now());
}, 30_000);

function beginOfDay(time: number): number {
  return new Date(time).setHours(0, 0, 0, 0);
}

/** Today, yesterday, or the date. */
export function dayOf(time: number): string {
  const days = Math.round((beginOfDay(time) - today.value) / 86_400_000);
  if (days === 0 || days === -1) return relative.value.format(days, "day");
  const isThisYear = new Date(time).getFullYear() === new Date(today.value).getFullYear();
  return (isThisYear ? formats.day : formats.dayOfYear).value(time);
}

/** As the list of chats shows it. */
export function shortTime(time: number): string {
  return beginOfDay(time) === today.value ? timeOf(time) : formats.short.value(time);
}
