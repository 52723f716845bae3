// Makes the owner with the token of the link, then offers the second factor and shows the recovery codes.
// The token stands after # so that it reaches no log; it works once.
import { call, one, onSubmit, Refused, say, tell, tellRefusal, words } from "./door.js";

const HOME = new URL("./", location.href);
const steps = ["owner", "factor", "codes"];
let csrf = "";
let name = "";

function show(step) {
  tell("");
  for (const other of steps) one(`step-${other}`).hidden = other !== step;
  const marks = [...document.querySelectorAll(".steps li")];
  marks.forEach((mark, place) => {
    mark.classList.toggle("done", place < steps.indexOf(step));
    if (place === steps.indexOf(step)) mark.setAttribute("aria-current", "step");
    else mark.removeAttribute("aria-current");
  });
  const heading = one(`step-${step}`).querySelector("h1");
  heading.tabIndex = -1;
  heading.focus();
}

function refuseLink() {
  for (const step of steps) one(`step-${step}`).hidden = true;
  document.querySelector(".steps").hidden = true;
  one("no-link").hidden = false;
}

const token = location.hash.slice(1);
if (!token) refuseLink();

onSubmit(one("owner"), async (typed) => {
  if (typed.get("password") !== typed.get("again")) {
    tell(words.differ);
    one("again").focus();
    return;
  }
  name = typed.get("username").trim();
  try {
    const password = typed.get("password");
    const language = document.documentElement.lang;
    await call("POST", "auth/setup?console=true", { token, username: name, password, language });
  } catch (error) {
    if (error instanceof Refused && [401, 403, 404, 409, 410].includes(error.status)) {
      refuseLink();
      one("no-link-why").textContent = `${error.message} ${error.hint}`.trim();
      return;
    }
    throw error;
  }
  history.replaceState(null, "", location.pathname); // the token is spent
  one("owner").reset();
  show("factor");
  await enrol();
});

// The secret to enrol: shown as a picture and as text.
async function enrol() {
  const button = one("confirm").querySelector("button[type=submit]");
  try {
    csrf = (await call("GET", "auth/me")).csrf_token;
    const begun = await call("POST", "auth/totp", {}, csrf);
    one("qr").src = begun.qr;
    one("key").textContent = begun.secret.replace(/(.{4})(?=.)/g, "$1 ");
    one("open-app").href = begun.uri;
    one("code").focus();
  } catch (error) {
    tellRefusal(error, button);
  }
}

onSubmit(one("confirm"), async (typed) => {
  const answer = await call("POST", "auth/totp/confirm", { code: typed.get("code").replace(/\s/g, "") }, csrf);
  one("list").replaceChildren(
    ...answer.recovery_codes.map((code) => {
      const item = document.createElement("li");
      item.textContent = code;
      return item;
    }),
  );
  show("codes");
});

const codes = () => [...one("list").children].map((item) => item.textContent).join("\n") + "\n";

one("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(codes());
  } catch {
    // Plain HTTP from afar has no clipboard of its own.
    getSelection().selectAllChildren(one("list"));
    document.execCommand("copy");
    getSelection().removeAllRanges();
  }
  tell(words.copied, "", "ok");
});

one("download").addEventListener("click", () => {
  const title = say(words.file_title, { name, host: location.host });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([`${title}\n\n${codes()}`], { type: "text/plain" }));
  link.download = `dozor-recovery-codes-${location.hostname}.txt`;
  link.click();
  URL.revokeObjectURL(link.href);
});

one("kept").addEventListener("change", () => {
  one("enter").disabled = !one("kept").checked;
});
one("enter").addEventListener("click", () => location.replace(HOME));
one("later").addEventListener("click", () => location.replace(HOME));
