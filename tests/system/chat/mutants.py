"""Deliberately broken builds of the web client, which show that its tests can fail.

`python -m tests.system.chat.mutants [NAME…]` breaks one thing in a copy of `web`, builds it into `clients/chat`, and
runs the test that must fail. It prints a table of the builds and of the tests that found them. At the end, the correct
client is built again.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.support.commands import ROOT
from tests.support.javascript import NODE

_TESTS = "tests/system/chat"
_FAILED = re.compile(r"^(FAILED|ERROR) \S+::(\w+(?:\[\S+\])?)", re.MULTILINE)
"""The tests that have failed, in pytest's output.

A test with an error could not begin, because no user could sign in, so it shows nothing about its point.
"""


@dataclass(frozen=True)
class BrokenPage:
    """A broken build.

    `broken` replaces `sound`, which occurs once in the file. `test` is the beginning of the name of the test that must
    fail.
    """

    file: str
    sound: str
    broken: str
    test: str


MUTANTS = {
    "forget-draft": BrokenPage(
        "src/model/drafts.ts", "else localStorage.setItem(this.#key(chat), JSON.stringify(draft));", "",
        "test_01_a_draft",
    ),
    "deaf-tab": BrokenPage(
        "src/model/drafts.ts", ' addEventListener("storage", this.#follow);', "", "test_01_two_tabs"
    ),
    "replace-draft": BrokenPage(
        "src/model/drafts.ts", "own.text === own.synced && !draft.cut && !isBeingWritten(chat)", "true", "test_02"
    ),
    "no-new-line": BrokenPage("src/parts/messages.ts", "unread_from || (unread ? upto + 1 : 0)", "0", "test_03"),
    "jump": BrokenPage("src/parts/messages.ts", 'anchorTo: "end",', "", "test_04"),
    "top-is-the-end": BrokenPage("src/parts/messages.ts", "    this.#loadNearStart();\n", "", "test_04"),
    "jump-at-top": BrokenPage(
        "src/parts/messages.ts", "(virtualizer.scrollOffset ?? 0) + above", "virtualizer.scrollOffset ?? 0",
        "test_04",
    ),
    "stay-behind": BrokenPage("src/parts/messages.ts", "if (this.#follows) virtualizer.scrollToEnd();", "", "test_05"),
    "read-mark": BrokenPage(
        "src/parts/messages.ts", "unread_from ? unread_from !== this.#marked :", "!unread_from &&", "test_06"
    ),
    "count-twice": BrokenPage("src/model/chat.ts", "index > read ? unread + 1 : unread", "unread + 2", "test_07"),
    "no-title": BrokenPage("src/announce.ts", '`(${messages || "•"}) Dragoman`', '"Dragoman"', "test_08"),
    "no-arrow": BrokenPage("src/parts/composer.ts", '"edit-last"', '"none"', "test_11_arrow"),
    "send-late": BrokenPage(
        "src/storage/store.ts", "localStorage.setItem(key, JSON.stringify(entry));", "", "test_11_what"
    ),
    "lose-files": BrokenPage(
        "src/parts/writing.ts", "this.attachments.putBack(segments);", "", "test_11_a_rejected"
    ),
    "paste-picture": BrokenPage(
        "src/parts/composer.ts", 'clipboardData.types.includes("text/plain") ||', "", "test_12_files_are_pasted"
    ),
    "never-again": BrokenPage(
        "src/parts/attachments.ts", "@click=${() => void this.#upload(one)}", "", "test_12_several"
    ),
    "all-sizes": BrokenPage("style.css", "inline-size: min(10rem, 48%); aspect-ratio: 1 !important;", "", "test_13"),
    "load-nothing": BrokenPage(
        "src/model/history.ts", "await fetchPage(model, chat, { around: index, count: PAGE });", "", "test_14"
    ),
    "one-tone": BrokenPage("src/parts/emojis.ts", "forms[this.tone] ??", "", "test_15"),
    "only-react": BrokenPage(
        "src/model/actions.ts", "const on = !mine.includes(emoji);", "const on = true;", "test_16"
    ),
    "follow-links": BrokenPage("src/parts/text.ts", "noopener noreferrer nofollow", "noopener", "test_17"),
    "no-neighbour": BrokenPage("src/parts/app.ts", "keep(() => neighbour(1))", "() => undefined", "test_20"),
    "forget-outbox": BrokenPage(
        "src/wire/tabs.ts", "entries.forEach((entry) => this.#holder?.post(entry))", "undefined", "test_21_two_tabs"
    ),
    "old-outbox": BrokenPage(
        "src/model/model.ts", "for (const entry of this.#waiting) this.wire.post(entry);", "", "test_21_a_new_tab"
    ),
    "closed-tab": BrokenPage(
        "src/model/model.ts", "if (this.wire.isHolder && this.outbox.peek().includes(entry)) this.wire.post(entry);",
        "", "test_21_a_tab_that",
    ),
    "silent-holder": BrokenPage("src/wire/tabs.ts", "if (navigator.locks) this.share(news);", "", "test_21_two_tabs"),
    "all-at-once": BrokenPage(
        "src/storage/store.ts", "inTurn(writes, transaction)", "...writes.map((write) => write(transaction))",
        "test_21_changes_that_come_together",
    ),
    "place-first": BrokenPage(
        "src/storage/store.ts", "writes.push((t) => Promise.all(places", "writes.unshift((t) => Promise.all(places",
        "test_21_the_place",
    ),
    "silent-store": BrokenPage(
        "src/storage/database.ts", "      superseded();\n", "", "test_a_tab_goes_on_when_a_newer"
    ),
    "trust-store": BrokenPage(
        "src/storage/store.ts", '} catch {\n      this.trouble.value ||= "missing";',
        "} catch (error) {\n      throw error;",
        "test_a_tab_goes_on_when_the_browser",
    ),
    "late-tab": BrokenPage(
        "src/wire/tabs.ts", "news: [...heads, this.#state]", "news: [this.#state]", "test_21_a_late"
    ),
    "page-alone": BrokenPage(
        "src/wire/holder.ts", 'op === "history" ? await this.#page(params as never) :', "", "test_21_a_page"
    ),
    "unnamed-block": BrokenPage(
        "src/parts/drawer.ts", 'if (isBlocked) return t("blocked_socket");', "", "test_a_blocked"
    ),
    "both-layers": BrokenPage(
        "style.css", '.workspace[data-layer="detail"] > dragoman-chats { display: none; }', "{ color: inherit; }",
        "test_22",
    ),
    "all-rows": BrokenPage("src/parts/messages.ts", "overscan: 8,", "overscan: 500,", "test_23_of"),
    "say-twice": BrokenPage(
        "src/announce.ts", "...announced.peek(), { key: lines, text }",
        "...announced.peek(), { key: lines, text }, { key: -lines, text }", "test_24",
    ),
    "send-composition": BrokenPage("src/parts/composer.ts", "isComposing(event) || event", "event", "test_26"),
    "impatient": BrokenPage(
        "src/session.ts", 'if ((error as Failure).code !== "unauthenticated") throw error;', "", "test_27"
    ),
    "tell-place": BrokenPage("src/files/without_place.ts", "content[0] === 0xff &&", "content[0] === 0 &&", "test_28"),
    "keep-build": BrokenPage("src/shell.ts", "if (web && web !== BUILD)", "if (!web)", "test_a_server_of"),
    "shrink": BrokenPage("src/parts/messages.ts", "    this.#keepEnd(before);\n", "", "test_04"),
    "forget-rejected": BrokenPage(
        "src/storage/store.ts", "const entry = failure && (await store.get(nonce));", "const entry = undefined as any;",
        "test_a_rejected_text",
    ),
    "left-to-right": BrokenPage(
        "src/parts/message.ts", '${isOwn ? " message-own" : ""}`} dir="auto">', '`}>', "test_an_interface"
    ),
    "flat-colours": BrokenPage(
        "style.css", ".badge, .dot, .reaction[aria-pressed", ".none[aria-pressed", "test_forced"
    ),
    "wide": BrokenPage(
        "style.css", ".workspace { grid-template-columns: minmax(0, 1fr); }",
        ".workspace { grid-template-columns: minmax(60rem, 1fr); }", "test_at_200",
    ),
    "no-gap": BrokenPage(
        "src/model/rows.ts", "if (before && index > before.index + 1)", "if (!before)", "test_21_a_gap"
    ),
    "load-no-gap": BrokenPage(
        "src/parts/line_row.ts", "loadButton(row.to + 1,", "loadButton(row.from,", "test_21_a_gap"
    ),
    "read-in-render": BrokenPage(
        "src/parts/messages.ts", "const newer = this.#newer();", "const newer = this.#newer();\n    this.#isAtEnd();",
        "test_23_a_message",
    ),
    "lose-focus": BrokenPage(
        "src/parts/menu.ts", 'menu.querySelector<HTMLElement>("button, input, ul")?.focus({ preventScroll: true });',
        "", "test_a_working_day_by",
    ),
    "stay-signed-in": BrokenPage(
        "src/session.ts", "if (account) this.#tabs.postMessage({ account, why } satisfies Letter);", "",
        "test_logging_out_offline",
    ),
    "move-rows": BrokenPage(
        "src/parts/each.ts", "known && known === left[0] ? known : insertPart(container, left[0], known)",
        "insertPart(container, undefined, known)", "test_04_a_row",
    ),
    "usual-icon": BrokenPage("src/announce.ts", '(chats && icon.dataset["unread"]) || usual', "usual", "test_08"),
    "always-today": BrokenPage(
        "src/words.ts", "  today.value = beginOfDay(Date.now());\n", "", "test_a_day_has"
    ),
    "copy-page": BrokenPage("src/parts/messages.ts", " @copy=${this.#copy}", "", "test_17_a_selection"),
    "always-enter": BrokenPage(
        "src/parts/composer.ts", "(sendsByEnter() || event", "(true || event", "test_enter_begins"
    ),
    "under-keyboard": BrokenPage("src/shell.ts", "scale === 1 && height < innerHeight - 1", "false", "test_22_where"),
    "no-reactors": BrokenPage(
        "src/parts/conversation.ts", "Object.keys(message.reactions ?? {}).length\n", "false\n", "test_16_on_a"
    ),
    "all-replies": BrokenPage(
        "src/parts/thread.ts", "row.message.reply_to === this.index", "true", "test_14_the_replies"
    ),
    "covered-field": BrokenPage(
        "src/parts/conversation.ts", 'if (!matchMedia("(max-width: 60rem)").matches) return;', "return;",
        "test_14_on_a_narrow",
    ),
    "no-gap-in-replies": BrokenPage(
        "src/parts/thread.ts", 'kind !== "earlier"', 'kind !== "gap"', "test_14_what",
    ),
    "escape-to-field": BrokenPage(
        "src/parts/conversation.ts", "    event.stopPropagation();\n    this.#closeSide();\n", "", "test_20_replies"
    ),
    "plain-names": BrokenPage(
        "src/parts/composer.ts", "...mentioning(text.trim(), this.#writing.mentioned)",
        "...mentioning(text.trim(), new Map())", "test_a_member_is",
    ),
    "edit-loses-files": BrokenPage(
        "src/model/actions.ts", "segments: [...files, ...written]", "segments: written", "test_13"
    ),
    "covering": BrokenPage(
        "style.css", ".said p { display: flex;", ".said p { position: fixed; inset-block-start: 4rem; display: flex;",
        "test_a_message_to_the_user_covers",
    ),
    "keep-all": BrokenPage(
        "src/wire/holder.ts", "    this.store.prune(this.#client.serverTime());\n", "", "test_21_messages_older"
    ),
    "own-clock": BrokenPage(
        "src/wire/holder.ts", "prune(this.#client.serverTime())", "prune(Date.now())", "test_21_messages_older"
    ),
    "grey": BrokenPage("src/parts/message.ts", "${hash ? html`<canvas", "${false ? html`<canvas", "test_13_a_large"),
    "whole-picture": BrokenPage(
        "src/files/smaller.ts", "copy.size < picture.size && ", "false && ", "test_13_a_large"
    ),
    "edit-loses-copy": BrokenPage(
        "src/model/actions.ts", ', ...(preview && { preview: preview.split("/").pop() ?? null })', "",
        "test_13_a_large",
    ),
    "held-by-preview": BrokenPage(
        "src/parts/attachments.ts", "setTimeout(() => stop.abort(), PREVIEW_MS)", "0", "test_13_a_picture_is_sent"
    ),
    "held-by-drawing": BrokenPage(
        "src/parts/attachments.ts", "Promise.race([smallerOf(picture), late])", "smallerOf(picture)",
        "test_13_a_picture_is_sent",
    ),
    "all-or-nothing": BrokenPage(
        "src/parts/attachments.ts", "signal: stop.signal }).catch(() => undefined)", "signal: stop.signal })",
        "test_13_a_picture_is_sent",
    ),
    "any-preview": BrokenPage(
        "src/parts/attachments.ts", "preview?.width &&", "preview &&", "test_13_a_picture_is_sent"
    ),
    "trust-preview": BrokenPage(
        "src/parts/message.ts", 'return image.setAttribute("src", whole);', "image.dataset;",
        "test_13_a_picture_is_shown",
    ),
    "deaf-click": BrokenPage(
        "src/push/shown.ts", 'best.postMessage({ kind: "clicked", path });', "", "test_09_a_click"
    ),
    "no-tag": BrokenPage("src/push/shown.ts", "...shown, tag, icon,", "...shown, icon,", "test_10_what_comes"),
    "stay-shown": BrokenPage(
        "src/push/shown.ts", 'await post(windows, { kind: "shown" });', "", "test_10_a_notification_of"
    ),
    "come-back": BrokenPage(
        "src/push/device.ts", "await register(known, true);", "await register(known, false);", "test_10_a_device_that"
    ),
    "keep-replaced": BrokenPage(
        "src/push/shown.ts", 'await post(windows, { kind: "replaced" });', "", "test_10_a_subscription"
    ),
    "keep-other-account": BrokenPage(
        "src/push/device.ts", "if (!isWanted) void untracked(forget);", "", "test_10_a_device_is_not"
    ),
    "loud": BrokenPage("src/parts/conversation.ts", "alerts(0, true)", "alerts(0)", "test_25_levels"),
    "mail-again": BrokenPage(
        "src/parts/notifications.ts", 'this.mails && !this.devices.some(({ kind }) => kind === "mail")', "this.mails",
        "test_25_one_click",
    ),
    "lose-text": BrokenPage(
        "src/model/drafts.ts", '      this.model.store.trouble.value = "full";', '      throw new Error("full");',
        "test_01_writing_goes_on",
    ),
    "forget-edit": BrokenPage("src/parts/writing.ts", "writings.set(chat, known);", "", "test_11_an_edit"),
    "raw-quotes": BrokenPage(
        "src/model/actions.ts", "return plain(textOfSegments", "return String(textOfSegments", "test_14_quotes"
    ),
    "only-online": BrokenPage(
        "src/worker.ts", "      () => stored,", "      (error) => Promise.reject(error),", "test_21_what_is_written"
    ),
    "lose-changes": BrokenPage(
        "src/model/chat.ts", "this.#ahead = [...this.#ahead, news].slice(-MOST_AHEAD);", "this.#ahead = [];",
        "test_21_a_message_from",
    ),
    "unsorted": BrokenPage(
        "src/model/rows.ts", "[...messages.keys()].sort((one, other) => one - other)", "[...messages.keys()]",
        "test_21_five_hundred",
    ),
    "deaf-link": BrokenPage(
        "src/parts/messages.ts", '&& changes.has("index")) void', "&& false) void", "test_09_a_link"
    ),
    "sent-elsewhere": BrokenPage(
        "src/model/drafts.ts", "model.heads.add((head) => this.#compare(head));", "", "test_02_a_draft_that"
    ),
    "end-edit": BrokenPage(
        "src/parts/composer.ts", "isSaved && writing.editing.peek() === message && writing.edited.trim() === text",
        "isSaved", "test_11_a_text_that",
    ),
    "say-late": BrokenPage("src/announce.ts", "others.end();", "", "test_24_messages_of"),
    "old-key": BrokenPage(
        "src/push/device.ts", "if (old && keyOf(old) !== key) await old.unsubscribe();", "", "test_10_each"
    ),
}  # fmt: skip


def find_all(names: list[str]) -> list[str]:
    """Returns the names of the broken builds that no test has found."""
    try:
        return [name for name in names or MUTANTS if not _is_found(name, MUTANTS[name])]
    finally:
        _build(ROOT)


def _is_found(name: str, mutant: BrokenPage) -> bool:
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory)
        shutil.copytree(ROOT / "web", copy / "web")
        (copy / "clients").mkdir()
        for shared in ("node_modules", "clients/javascript", "clients/chat"):
            (copy / shared).symlink_to(ROOT / shared)
        file = copy / "web" / mutant.file
        text = file.read_text()
        assert text.count(mutant.sound) == 1, f"{name}: {mutant.file} has {mutant.sound!r} not exactly once"
        file.write_text(text.replace(mutant.sound, mutant.broken))
        _build(copy)
    test = [sys.executable, "-m", "pytest", "-q", "-rfE", "-p", "no:cacheprovider", _TESTS, "-k", mutant.test]
    done = subprocess.run(test, cwd=ROOT, capture_output=True, text=True, check=False)
    failed = _FAILED.findall(done.stdout)
    found = bool(failed) and all(kind == "FAILED" for kind, _ in failed)
    result = ", ".join(f"{kind} {test}" for kind, test in failed) or done.stdout.strip().splitlines()[-1]
    print(f"{name:<20}{mutant.file:<28}{result if not found else result.replace('FAILED ', '')}", flush=True)  # noqa: T201
    return found


def _build(root: Path) -> None:
    assert NODE, "there is no node"
    subprocess.run([NODE, "web/build.mjs"], cwd=root, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    missed = find_all(sys.argv[1:])
    sys.exit(f"no test has found: {', '.join(missed)}" if missed else 0)
