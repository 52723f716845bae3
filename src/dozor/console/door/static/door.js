// What the pages in front of the console share: calls to the API, messages, language, theme.

const ROOT = new URL("./", location.href);
const words = JSON.parse(document.getElementById("words").textContent);
const message = document.getElementById("message");
let countdown = 0;

export const one = (id) => document.getElementById(id);

export function say(template, values = {}) {
  return template.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

export { words };

// The address to go to afterwards: a page of this console and nothing else.
export function destination() {
  let next = ROOT;
  try {
    next = new URL(new URLSearchParams(location.search).get("next") || "./", ROOT);
  } catch {}
  const ours = next.origin === ROOT.origin && next.href.startsWith(ROOT.href);
  const door = ["login", "logout", "setup"].some((page) => next.pathname === ROOT.pathname + page);
  return ours && !door ? next.href : ROOT.href;
}

export class Refused extends Error {
  constructor(status, problem, wait) {
    super(problem.detail || problem.title || words.failed);
    this.status = status;
    this.type = problem.type || "";
    this.hint = problem.hint || "";
    this.wait = wait;
  }
}

// Calls the API; gives what it answers, or throws `Refused` with its reason.
export async function call(method, path, body, csrf) {
  const headers = { Accept: "application/json", "Accept-Language": document.documentElement.lang };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (csrf) headers["X-CSRF-Token"] = csrf;
  let answer;
  try {
    answer = await fetch(new URL(`api/v1/${path}`, ROOT), {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
      cache: "no-store",
    });
  } catch {
    throw new Refused(0, { detail: words.away, hint: words.away_hint }, 0);
  }
  let said = {};
  try {
    said = await answer.json();
  } catch {}
  if (answer.ok) return said;
  const wait = Number(answer.headers.get("Retry-After")) || said.retry_after || 0;
  throw new Refused(answer.status, said, wait);
}

export function tell(text, hint = "", tone = "bad") {
  clearInterval(countdown);
  message.className = `note ${tone}`;
  message.replaceChildren();
  const title = document.createElement("b");
  title.textContent = text;
  message.append(title, hint);
  message.hidden = !text;
}

function left(seconds) {
  return seconds > 90
    ? say(words.minutes, { count: Math.ceil(seconds / 60) })
    : say(words.seconds, { count: seconds });
}

// Says why a call was refused. After too many tries it counts down, and the button waits with it.
export function tellRefusal(error, button) {
  if (!(error instanceof Refused)) throw error;
  if (error.status !== 429) {
    tell(error.message, error.hint);
    return;
  }
  const until = Date.now() + 1000 * (error.wait || 60);
  tell(words.too_many, "");
  const hint = document.createElement("span");
  message.append(hint);
  const tick = () => {
    const seconds = Math.ceil((until - Date.now()) / 1000);
    button.disabled = seconds > 0;
    if (seconds > 0) {
      hint.textContent = say(words.again_in, { time: left(seconds) });
    } else {
      tell("");
    }
  };
  tick();
  countdown = setInterval(tick, 1000);
}

// Runs `work` when a form is sent, once at a time.
export function onSubmit(form, work) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button[type=submit]");
    if (button.disabled) return;
    button.disabled = true;
    tell("");
    try {
      await work(new FormData(form));
      button.disabled = false;
    } catch (error) {
      button.disabled = false;
      tellRefusal(error, button);
    }
  });
}

for (const button of document.querySelectorAll(".peek")) {
  const input = button.parentElement.querySelector("input");
  button.addEventListener("click", () => {
    const shown = input.type === "text";
    input.type = shown ? "password" : "text";
    button.setAttribute("aria-pressed", String(!shown));
    button.textContent = shown ? words.show : words.hide;
    input.focus();
  });
}

function keepLanguage(language) {
  document.cookie = `dozor_lang=${language}; path=${ROOT.pathname}; max-age=31536000; SameSite=Lax`;
}

// Once somebody is signed in: the language chosen on this page becomes theirs, else theirs that of the browser.
export async function agreeOnLanguage() {
  try {
    const me = await call("GET", "auth/me");
    const chosen = sessionStorage.getItem("dozor_lang");
    if (chosen) await call("PATCH", "auth/me", { language: chosen }, me.csrf_token);
    else if (me.language) keepLanguage(me.language);
    sessionStorage.removeItem("dozor_lang");
    return me;
  } catch {
    return {}; // a language is not worth a failed login
  }
}

for (const button of document.querySelectorAll("[data-lang]")) {
  button.addEventListener("click", () => {
    keepLanguage(button.dataset.lang);
    sessionStorage.setItem("dozor_lang", button.dataset.lang);
    location.reload();
  });
}

const pages = document.body.dataset.pages.split(" ");
const themes = [...document.querySelectorAll("[data-choose]")];
function showTheme() {
  const chosen = document.documentElement.dataset.theme || "system";
  for (const button of themes) button.setAttribute("aria-pressed", String(button.dataset.choose === chosen));
}
for (const button of themes) {
  button.addEventListener("click", () => {
    const theme = button.dataset.choose;
    const name = theme[0].toUpperCase() + theme.slice(1);
    for (const page of ["", ...pages]) {
      localStorage.setItem(`stActiveTheme-${ROOT.pathname}${page}-v2`, JSON.stringify(name));
    }
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    showTheme();
  });
}
showTheme();
