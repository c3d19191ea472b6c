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


def test_a_login_that_is_over_ends_although_its_last_token_could_not_be_stored() -> None:
    with page_with("session.ts", "Login") as page:
        assert page.evaluate(_SCRIPT) == ["unauthenticated", [None, "first", "second", "first"], None]
