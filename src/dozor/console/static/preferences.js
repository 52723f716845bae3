// Remembers the language and the theme in this browser, and goes back to where the person was.
// Streamlit keeps the theme once per page path.
"use strict";
const PAGES = [
  "", "dynamics", "geography", "top", "anomalies", "errors", "lines",
  "people", "sessions", "keys", "audit", "profile",
];
{
  const wishes = new URLSearchParams(location.search);
  const root = new URL("./", location.href);
  const language = wishes.get("lang");
  if (["en", "ru"].includes(language)) {
    document.cookie = `dozor_lang=${language}; path=${root.pathname}; max-age=31536000; SameSite=Lax`;
  }
  const theme = wishes.get("theme");
  if (["Light", "Dark", "System"].includes(theme)) {
    for (const page of PAGES) {
      localStorage.setItem(`stActiveTheme-${root.pathname}${page}-v2`, JSON.stringify(theme));
    }
  }
  let next = root;
  try {
    next = new URL(wishes.get("next") || "./", root);
  } catch {}
  location.replace(next.origin === root.origin && next.href.startsWith(root.href) ? next : root);
}
