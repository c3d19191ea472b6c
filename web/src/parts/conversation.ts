/** The open chat: its name, its messages, the field for writing. */
import { type TemplateResult, html, nothing } from "lit";
import { keyed } from "lit/directives/keyed.js";
import { alertOf, drop, markUnread, place, react, recall, textOfSegments } from "../model/actions.ts";
import type { Chat, Sending } from "../model/chat.ts";
import { type Model, manages } from "../model/model.ts";
import type { Message } from "../model/shapes.ts";
import { go, route } from "../site.ts";
import { attempt, drafts, model, said } from "../state.ts";
import { t } from "../words.ts";
import { typing } from "./chats.ts";
import type { Composer } from "./composer.ts";
import { chatAvatar, icon } from "./icons.ts";
import type { Choice, Menu } from "./menu.ts";
import { type RowActions, reactorsOf } from "./message.ts";
import type { Messages } from "./messages.ts";
import "./emojis.ts";
import { Part, isComposing } from "./part.ts";
import { copy } from "./text.ts";

const LATER_MS = 8 * 3_600_000;
/** After every message. */
const NEVER = 4_000_000_000_000;

export class Conversation extends Part {
  static override properties = { showsMembers: { state: true } };
  declare showsMembers: boolean;
  readonly actions: RowActions = {
    jump: (index) => {
      this.#uncover();
      void this.#messages?.jump(index);
    },
    reply: (message) => {
      this.#uncover();
      this.#composer?.reply(message.index);
    },
    showReplies: (index) => go({ chat: route.peek().chat as number, index, replies: true }),
    menu: (message, anchor) => this.#menu?.open(anchor, this.#choices(message, anchor)),
    emojis: (message, anchor) => this.#pick(message, anchor),
    edit: (message) => {
      if (message.sender !== model.peek()?.me) return;
      this.#uncover();
      this.#composer?.begin(message);
    },
    editRefused: (entry) => this.#editRefused(entry),
  };

  protected override render(): TemplateResult {
    const known = model.value;
    const { chat: id, index, replies } = route.value;
    const chat = known?.chats.get(id ?? 0);
    void known?.members.value;
    if (!known || !chat || !drafts.value)
      return html`<p class="hint empty">${id && known?.isSynced.value ? t("no_member") : t("choose_chat")}</p>`;
    const title = known.title(chat);
    return html`<section class="conversation" aria-label=${title} @edit-last=${this.#editLast} @choose-emoji=${this.#insertEmoji} @message-sent=${() => this.#messages?.toEnd()}
      @dragover=${(event: DragEvent) => hasFiles(event) && event.preventDefault()} @drop=${this.#drop}>
      ${this.#header(known, chat, title)}
      ${keyed(
        `${known.me} ${id}`,
        html`<dragoman-messages .model=${known} .chat=${chat} .actions=${this.actions} .index=${replies ? undefined : index}></dragoman-messages>
        <p class="typing">${chat.typing.value.size ? typing(known, [...chat.typing.value]) : nothing}</p>
        <dragoman-composer .model=${known} .drafts=${drafts.value} .chat=${chat}></dragoman-composer>
        <dragoman-menu></dragoman-menu>`,
      )}
    </section>
    ${
      replies
        ? keyed(
            `${id} ${index}`,
            html`<dragoman-thread .model=${known} .chat=${chat} .index=${index} .actions=${this.actions} @close=${this.#closeSide} @keydown=${this.#sideKeys}></dragoman-thread>`,
          )
        : this.showsMembers
          ? html`<dragoman-members .model=${known} .chat=${chat} @close=${this.#closeSide} @keydown=${this.#sideKeys}></dragoman-members>`
          : nothing
    }`;
  }

  /** The focus goes back to where the pane was opened. */
  #closeSide(): void {
    const { index = 0, replies } = route.peek();
    this.#hideSide();
    void this.updateComplete.then(() => {
      if (replies) this.#messages?.focusMessage(index);
      else this.querySelector<HTMLElement>(".show-members")?.focus();
    });
  }

  #hideSide(): void {
    const { chat = 0, replies } = route.peek();
    if (replies) go({ chat }, { replace: true });
    else this.showsMembers = false;
  }

  #sideKeys(event: KeyboardEvent): void {
    if (event.key !== "Escape" || isComposing(event)) return;
    event.stopPropagation();
    this.#closeSide();
  }

  /** Where a pane is in the place of the chat, it goes. */
  #uncover(): void {
    if (!matchMedia("(max-width: 60rem)").matches) return;
    this.#hideSide();
    this.showsMembers = false;
  }

  #header(known: Model, chat: Chat, title: string): TemplateResult {
    const { topic = "" } = chat.head.value;
    return html`<header class="bar conversation-bar">
      <button type="button" class="plain back" aria-label=${t("back")} title=${t("back")} @click=${() => go({})}>${icon("back")}</button>
      ${chatAvatar(known, chat, 32)}<h1><bdi>${title}</bdi></h1> <span class="topic"><bdi>${topic}</bdi></span>
      <button type="button" class="plain show-members" aria-label=${t("members")} title=${t("members")} aria-expanded=${!!this.showsMembers && !route.value.replies}
        @click=${this.#turnMembers}>${icon("people")}</button>
      <button type="button" class="plain" aria-label=${t("chat_actions")} title=${t("chat_actions")} aria-haspopup="menu"
        @click=${({ currentTarget }: Event) => this.#menu?.open(currentTarget as HTMLElement, chatChoices(known, chat))}>${icon("more")}</button>
    </header>`;
  }

  #turnMembers(): void {
    const isShown = this.showsMembers && !route.peek().replies;
    this.#hideSide();
    this.showsMembers = !isShown;
  }

  get #messages(): Messages | null {
    return this.querySelector<Messages>("dragoman-messages");
  }
  get #composer(): Composer | null {
    return this.querySelector<Composer>("dragoman-composer");
  }
  get #menu(): Menu | null {
    return this.querySelector<Menu>("dragoman-menu");
  }

  #choices(message: Message, anchor: HTMLElement): Choice[] {
    const known = model.peek();
    const chat = known?.chats.get(message.chat);
    if (!known || !chat || message.recalled)
      return [{ label: t("mark_unread"), choose: () => void attempt(() => markUnread(known as Model, message)) }];
    const isOwn = message.sender === known.me;
    return [
      { label: t("react"), choose: () => this.#pick(message, anchor) },
      { label: t("reply"), choose: () => this.actions.reply(message) },
      ...(chat.replies.peek().has(message.index)
        ? [{ label: t("show_replies"), choose: () => this.actions.showReplies(message.index) }]
        : []),
      ...(Object.keys(message.reactions ?? {}).length
        ? [{ label: t("show_reactions"), choose: () => void this.#showReactors(known, message, anchor) }]
        : []),
      { label: t("copy"), choose: () => void copy(textOfSegments(message.segments)) },
      { label: t("mark_unread"), choose: () => void attempt(() => markUnread(known, message)) },
      ...(isOwn ? [{ label: t("edit"), choose: () => this.actions.edit(message) }] : []),
      ...(isOwn || manages(chat.head.peek(), known.me)
        ? [{ label: t("recall"), isDangerous: true, choose: () => void attempt(() => recall(known, message)) }]
        : []),
    ];
  }

  /** The names of those that have reacted: also for fingers and keyboards, which point at nothing. */
  async #showReactors(known: Model, message: Message, anchor: HTMLElement): Promise<void> {
    const emojis = Object.keys(message.reactions ?? {});
    const lines = await Promise.all(emojis.map((emoji) => reactorsOf(known, message, emoji)));
    this.#menu?.open(anchor, [], () => html`<ul class="reactors" tabindex="0">${lines.map((line) => html`<li><bdi>${line}</bdi></li>`)}</ul>`);
  }

  #pick(message: Message, anchor: HTMLElement): void {
    const choose = (emoji: string) => {
      this.#menu?.close();
      const known = model.peek();
      if (known)
        void attempt(() => react(known, known.chats.get(message.chat)?.messages.get(message.index) ?? message, emoji));
    };
    this.#chooseEmoji(anchor, choose, (emoji) => t("react_with", { emoji }));
  }

  #chooseEmoji(anchor: HTMLElement, choose: (emoji: string) => void, label: (emoji: string) => string): void {
    this.#menu?.open(
      anchor,
      [],
      () => html`<dragoman-emojis .choose=${choose} .label=${label}></dragoman-emojis>`,
    );
  }

  #insertEmoji({ detail: anchor }: CustomEvent<HTMLElement>): void {
    const choose = (emoji: string) => {
      this.#menu?.close();
      this.#composer?.insert(emoji);
    };
    this.#chooseEmoji(anchor, choose, (emoji) => emoji);
  }

  #editLast(): void {
    const last = this.#messages?.lastOwn;
    if (last) this.#composer?.begin(last.message);
  }

  #editRefused(entry: Sending): void {
    const known = model.peek();
    if (!known) return;
    this.#composer?.putBack(entry);
    drop(known, entry);
  }

  #drop(event: DragEvent): void {
    if (!hasFiles(event)) return;
    event.preventDefault();
    const items = [...(event.dataTransfer?.items ?? [])].filter(({ kind }) => kind === "file");
    const folder = items.map((item) => item.webkitGetAsEntry()).find((entry) => entry?.isDirectory);
    if (folder) said.value = t("folder", { name: folder.name });
    this.#composer?.add(
      items.flatMap((item) => (item.webkitGetAsEntry()?.isDirectory ? [] : (item.getAsFile() ?? []))),
    );
  }
}
customElements.define("dragoman-conversation", Conversation);

/** A text is the field's. */
function hasFiles({ dataTransfer }: DragEvent): boolean {
  return dataTransfer?.types.includes("Files") ?? false;
}

function chatChoices(known: Model, chat: Chat): Choice[] {
  const { pinned = false, archived = false } = chat.head.peek();
  const alerts =
    (until: number, mentionsOnly = false) =>
    () =>
      void attempt(() => alertOf(known, chat, until, mentionsOnly));
  return [
    {
      label: pinned ? t("unpin_chat") : t("pin_chat"),
      choose: () => void attempt(() => place(known, chat, { pinned: !pinned })),
    },
    {
      label: archived ? t("unarchive") : t("archive"),
      choose: () => void attempt(() => place(known, chat, { archived: !archived })),
    },
    { label: t("alerts_all"), choose: alerts(0) },
    { label: t("alerts_mentions"), choose: alerts(0, true) },
    { label: t("alerts_later"), choose: alerts(Date.now() + LATER_MS) },
    { label: t("alerts_none"), choose: alerts(NEVER) },
  ];
}
