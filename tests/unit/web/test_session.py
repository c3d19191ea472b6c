"""Tests in a browser the login of the web client."""

from tests.unit.web.bundled_page import needs_browser, page_with

pytestmark = needs_browser

_SCRIPT = """async () => {
  const session = new Login.Session();
  const granted = (refresh) => ({ account: 1, token: "t", refresh, expires: Date.now() + 1e6 });
  const replies = [granted("first"), granted("second")];
  const over = { error: { code: "unauthenticated", text: "the login is over" } };
  const tried = [];
  window.fetch = async (_, { body }) => {
    tried.push(JSON.parse(body).refresh);
    const late = { error: { code: "unavailable", text: "too many attempts" } };
    return new Response(JSON.stringify(replies.shift() ?? (tried.length > 9 ? late : over)));
  };
  await session.enter({ identifier: "ann", secret: { scheme: "plain", value: "" } });
  IDBObjectStore.prototype.put = () => { throw new DOMException("full", "QuotaExceededError"); };
  session.spoil();
  await session.token();
  session.spoil();
  const { code } = await session.token().catch((failure) => failure);
  return [code, tried, session.login.value ?? null];
}"""

_LEFT = """async () => {
  const names = ["messages", "heads", "places", "outbox", "people", "facts"];
  const database = () => new Promise((resolve) => {
    const request = indexedDB.open("dragoman-1", 1);
    request.onupgradeneeded = () => names.map((name) => request.result.createObjectStore(name).put("value", "key"));
    request.onsuccess = () => resolve(request.result);
  });
  (await database()).close();
  const replies = [
    { account: 1, token: "t", refresh: "r", expires: Date.now() + 1e6 },
    { error: { code: "unauthenticated", text: "the login is over" } },
  ];
  window.fetch = async () => new Response(JSON.stringify(replies.shift()));
  const session = new Login.Session();
  await session.enter({ identifier: "ann", secret: { scheme: "plain", value: "" } });
  await session.rejected();
  const opened = await database();
  const transaction = opened.transaction(names);
  const counted = names.map((name) => new Promise((resolve) => {
    transaction.objectStore(name).count().onsuccess = ({ target }) => resolve(target.result ? [name] : []);
  }));
  return (await Promise.all(counted)).flat();
}"""

_TABS = """async () => {
  const accounts = { ann: 1, bob: 2 };
  let refreshed = 0;
  window.fetch = async (_, { body }) => {
    const { identifier, refresh } = JSON.parse(body);
    refreshed += Number(!identifier);
    const name = identifier ?? refresh;
    const granted = { account: accounts[name], token: "t", refresh: name, expires: Date.now() + 1e6 };
    return new Response(JSON.stringify(granted));
  };
  const tabs = [new Login.Session(), new Login.Session()];
  for (const tab of tabs) await tab.restore();
  const [one, other] = tabs;
  const shown = (tab, account) => new Promise((resolve) => {
    tab.login.subscribe((login) => login?.account === account && resolve());
  });
  const enter = (tab, identifier) => tab.enter({ identifier, secret: { scheme: "plain", value: "" } });
  await enter(one, "ann");
  await shown(other, accounts.ann);
  await Promise.all([other.token(), other.token()]);
  await enter(other, "bob");
  await shown(one, accounts.bob);
  return refreshed;
}"""


def test_all_tabs_have_the_login_that_is_stored_and_refresh_it_once() -> None:
    with page_with("session.ts", "Login") as page:
        assert page.evaluate(_TABS) == 1


def test_a_login_that_is_over_ends_although_its_last_token_could_not_be_stored() -> None:
    with page_with("session.ts", "Login") as page:
        assert page.evaluate(_SCRIPT) == ["unauthenticated", [None, "first", "second", "first"], None]


def test_a_login_that_another_device_has_ended_leaves_unsent_texts_alone() -> None:
    with page_with("session.ts", "Login") as page:
        assert page.evaluate(_LEFT) == ["outbox"]
