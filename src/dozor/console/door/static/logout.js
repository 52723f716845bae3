// Ends the session. A link of another site must not do so, hence the button then.
import { call, one, tellRefusal } from "./door.js";

const button = one("sign-out");

async function signOut() {
  button.disabled = true;
  try {
    const me = await call("GET", "auth/me");
    await call("POST", "auth/logout", {}, me.csrf_token);
  } catch (error) {
    if (error.status !== 401) {
      button.disabled = false;
      one("ask").hidden = false;
      tellRefusal(error, button);
      return;
    }
  }
  location.replace(new URL("login?signed-out", location.href));
}

button.addEventListener("click", signOut);
let from = "";
try {
  from = new URL(document.referrer).origin;
} catch {}
if (from === location.origin) signOut();
else one("ask").hidden = false;
