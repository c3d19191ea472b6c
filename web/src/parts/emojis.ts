/** Emoji to choose from: those of late first, all by their names; a skin tone stays. The lists are loaded at first use. */
import { type PropertyValues, type TemplateResult, html, nothing } from "lit";
import { model } from "../state.ts";
import { language, t } from "../words.ts";
import { Part } from "./part.ts";

/** `forms`: without a skin tone, then in five. */
interface Emoji {
  label: string;
  tags: string;
  forms: string[];
}

const LISTS: Record<string, () => Promise<{ default: string }>> = {
  en: () => import("emoji:en"),
  zh: () => import("emoji:zh"),
};
const HANDS = ["👋", "👋🏻", "👋🏼", "👋🏽", "👋🏾", "👋🏿"];
const FIRST = ["👍", "❤️", "😂", "🎉", "😮", "😢", "🙏", "👀", "✅", "🔥"];
const MOST = 200;

export class Emojis extends Part {
  static override properties = {
    choose: { attribute: false },
    label: { attribute: false },
    all: { state: true },
    query: { state: true },
    tone: { state: true },
    most: { state: true },
  };
  declare choose: (emoji: string) => void;
  /** Of a button. */
  declare label: (emoji: string) => string;
  declare all: Emoji[];
  declare query: string;
  declare tone: number;
  declare most: number;

  constructor() {
    super();
    this.all = [];
    this.query = "";
    this.tone = Number(kept("tone") ?? 0);
    this.most = MOST;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    void LISTS[language.peek()]?.().then(({ default: lines }) => {
      this.all = lines.split("\n").map((line) => {
        const [label = "", tags = "", ...forms] = line.split("\t");
        return { label, tags, forms };
      });
    });
  }

  protected override firstUpdated(changes: PropertyValues): void {
    super.firstUpdated(changes);
    this.querySelector("input")?.focus({ preventScroll: true });
  }

  protected override render(): TemplateResult {
    const wanted = this.query.trim().toLocaleLowerCase();
    const found = this.all.filter(({ label, tags }) => `${label} ${tags}`.toLocaleLowerCase().includes(wanted));
    return html`<div class="emoji-search">
        <input type="search" aria-label=${t("search_emoji")} placeholder=${t("search_emoji")} autocomplete="off" @input=${(
          event: InputEvent,
        ) => {
          this.query = (event.target as HTMLInputElement).value;
          this.most = MOST;
        }}>
        <select aria-label=${t("skin_tone")} @change=${this.#tone}>${HANDS.map(
          (hand, tone) => html`<option value=${tone} ?selected=${tone === this.tone}>${hand}</option>`,
        )}</select></div>
      ${wanted ? nothing : html`<div class="emojis" role="group" aria-label=${t("recent_emoji")}>${recent().map((emoji) => this.#button(emoji, emoji))}</div>`}
      <div class="emojis emojis-all" role="group" aria-label=${t("emoji")} @scroll=${this.#more}>${found
        .slice(0, this.most)
        .map(({ label, forms }) => this.#button(forms[this.tone] ?? forms[0] ?? "", label))}</div>
      ${wanted && this.all.length && !found.length ? html`<p class="hint" role="status">${t("no_match")}</p>` : nothing}`;
  }

  #button(emoji: string, name: string): TemplateResult {
    return html`<button type="button" class="plain" aria-label=${this.label(emoji)} title=${name} @click=${() => {
      keep("recent", JSON.stringify([...new Set([emoji, ...recent()])].slice(0, FIRST.length)));
      this.choose(emoji);
    }}>${emoji}</button>`;
  }

  #tone({ target }: Event): void {
    this.tone = Number((target as HTMLSelectElement).value);
    keep("tone", String(this.tone));
  }

  #more({ target }: Event): void {
    const { scrollTop, scrollHeight, clientHeight } = target as HTMLElement;
    if (scrollHeight - scrollTop - clientHeight < 200) this.most += MOST;
  }
}
customElements.define("dragoman-emojis", Emojis);

function recent(): string[] {
  const chosen = JSON.parse(kept("recent") ?? "[]") as string[];
  return [...new Set([...chosen, ...FIRST])].slice(0, FIRST.length);
}

function kept(name: string): string | null {
  return localStorage.getItem(`dragoman.${model.peek()?.me}.emoji.${name}`);
}

/** A storage that is full keeps it not. */
function keep(name: string, value: string): void {
  try {
    localStorage.setItem(`dragoman.${model.peek()?.me}.emoji.${name}`, value);
  } catch {
    return;
  }
}
