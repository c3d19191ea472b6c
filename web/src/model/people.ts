/** Names and pictures of accounts. Unknown ones are asked for, many at a time. */
import { type Signal, signal } from "@preact/signals-core";
import type { Call } from "../native.ts";
import type { Person } from "./shapes.ts";

const MOST = 200;
const WAIT_MS = 30;

export class People {
  #known = new Map<number, Signal<Person>>();
  #wanted = new Set<number>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    readonly call: Call,
    readonly keep: (people: Person[]) => void,
  ) {}

  /** Follows the person: a screen that reads it is shown again when the name is known. */
  get(account: number): Person {
    const person = this.#signal(account).value;
    if (!person.nickname && !person.deleted) this.#want(account);
    return person;
  }

  name(account: number): string {
    return this.get(account).nickname || `#${account}`;
  }

  set(person: Person): void {
    const one = this.#signal(person.account);
    if (person.v < one.peek().v && one.peek().nickname) return;
    if (
      person.nickname === one.peek().nickname &&
      person.avatar === one.peek().avatar &&
      !!person.deleted === !!one.peek().deleted
    )
      return;
    one.value = person;
    this.keep([person]);
  }

  /** From a message: it names no picture. */
  meet(account: number, nickname: string, v = 0): void {
    const { avatar, nickname: known, v: before } = this.#signal(account).peek();
    if (!known || (v > before && known !== nickname)) this.set({ account, nickname, avatar, v });
  }

  load(people: Person[]): void {
    for (const person of people) this.#signal(person.account).value = person;
  }

  #signal(account: number): Signal<Person> {
    const known = this.#known.get(account) ?? signal<Person>({ account, nickname: "", avatar: "", v: 0 });
    this.#known.set(account, known);
    return known;
  }

  /** Once their names are known, or cannot be. */
  async ensure(accounts: number[]): Promise<void> {
    const unknown = accounts.filter((account) => !this.#signal(account).peek().nickname);
    for (const account of unknown) this.#wanted.add(account);
    if (unknown.length) await this.#ask();
  }

  #want(account: number): void {
    this.#wanted.add(account);
    this.#timer ??= setTimeout(() => this.#ask(), WAIT_MS);
  }

  async #ask(): Promise<void> {
    const accounts = [...this.#wanted].slice(0, MOST);
    for (const account of accounts) this.#wanted.delete(account);
    clearTimeout(this.#timer);
    this.#timer = this.#wanted.size ? setTimeout(() => this.#ask(), WAIT_MS) : undefined;
    if (!accounts.length) return;
    try {
      const { profiles } = await this.call("profiles", { accounts });
      for (const { account, nickname, avatar, v = 0, deleted } of profiles) {
        this.set({ account, nickname, avatar, v, ...(deleted ? { deleted } : {}) });
      }
    } catch {
      // without a connection they stay numbers, and are asked for when they are shown again
    }
  }
}
