// Remembers the language and the theme in this browser, and goes back to where the person was.
// Streamlit keeps the theme once per page path. The language is told to the server too, for other browsers.
"use strict";
{
  const wishes = new URLSearchParams(location.search);
  const root = new URL("./", location.href);

  async function tellLanguage(language) {
    const headers = { Accept: "application/json" };
    const me = await (await fetch(new URL("api/v1/auth/me", root), { headers })).json();
    await fetch(new URL("api/v1/auth/me", root), {
      method: "PATCH",
      headers: { ...headers, "Content-Type": "application/json", "X-CSRF-Token": me.csrf_token },
      body: JSON.stringify({ language }),
    });
  }

  async function keep() {
    const theme = wishes.get("theme");
    if (["Light", "Dark", "System"].includes(theme)) {
      for (const page of [
        "", "dynamics", "geography", "top", "anomalies", "errors", "lines",
        "people", "sessions", "keys", "audit", "profile",
      ]) {
        localStorage.setItem(`stActiveTheme-${root.pathname}${page}-v2`, JSON.stringify(theme));
      }
    }
    const language = wishes.get("lang");
    if (["en", "ru"].includes(language)) {
      document.cookie = `dozor_lang=${language}; path=${root.pathname}; max-age=31536000; SameSite=Lax`;
      try {
        await tellLanguage(language);
      } catch {} // this browser knows it all the same
    }
  }

  let next = root;
  try {
    next = new URL(wishes.get("next") || "./", root);
  } catch {}
  keep().finally(() => {
    location.replace(next.origin === root.origin && next.href.startsWith(root.href) ? next : root);
  });
}
