// Signs in: name and password, then the second factor of those who have one.
import { agreeOnLanguage, call, destination, one, onSubmit, Refused, tell, words } from "./door.js";

const form = one("login");
const first = one("first");
const second = one("second");

function askForCode() {
  first.hidden = true;
  second.hidden = false;
  one("title").textContent = words.second_title;
  one("lead").textContent = words.second_lead;
  one("lead").hidden = false;
  one("code").required = true;
  one("code").focus();
}

function askAgain() {
  first.hidden = false;
  second.hidden = true;
  one("title").textContent = words.title;
  one("lead").hidden = true;
  one("code").required = false;
  one("code").value = "";
  one("password").value = "";
  one("password").focus();
  tell("");
}

onSubmit(form, async (typed) => {
  const said = { username: typed.get("username").trim(), password: typed.get("password") };
  if (!second.hidden) said.totp = typed.get("totp").trim();
  try {
    await call("POST", "auth/login?console=true", said);
  } catch (error) {
    if (error instanceof Refused && error.type.endsWith(":totp-required")) {
      askForCode();
      return;
    }
    if (error instanceof Refused && error.status === 401) {
      const field = one(second.hidden ? "password" : "code");
      field.select();
      field.focus();
    }
    throw error;
  }
  await agreeOnLanguage();
  location.replace(destination());
  await new Promise(() => {}); // the button stays as it is until the page has gone
});

one("back").addEventListener("click", askAgain);
if (new URLSearchParams(location.search).has("signed-out")) tell(words.signed_out, "", "ok");
