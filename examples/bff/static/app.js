// The page has no token and renews none: its cookie is the session, and the server does the rest.
const at = (id) => document.getElementById(id);

async function call(path, method = "GET") {
  const away = () => new Response("The server cannot be reached", { status: 503 });
  const response = await fetch(path, { method, headers: { "X-CSRF": "1" } }).catch(away);
  const isJson = (response.headers.get("content-type") ?? "").includes("json");
  const body = isJson ? await response.json() : await response.text();
  // Only the login itself says "Session": an API cannot send the user elsewhere.
  const isOurs = response.status === 401 && response.headers.get("www-authenticate") === "Session";
  return { status: response.status, body, login: isOurs ? body.login_url : undefined };
}

async function whoAmI() {
  const { status, body, login } = await call("/me");
  at("nobody").hidden = !login;
  at("somebody").hidden = status !== 200;
  at("who").textContent = login ? "Nobody is logged in" : "Try again in a moment";
  if (login) at("login").href = login;
  if (status === 200) at("who").textContent = `Hello ${body.claims.name ?? body.subject}`;
  else at("answer").textContent = "";
}

at("somebody").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { status, body, login } = await call(`/api/${at("path").value}`);
  if (login) location.assign(login); // the session is over, or the API wants a stronger login
  else at("answer").textContent = `${status} ${typeof body === "string" ? body : JSON.stringify(body, null, 1)}`;
});

at("logout").addEventListener("click", async () => {
  const { body } = await call("/logout", "POST");
  location.assign(body.logout_url ?? "/logged-out");
});

// Another tab may have logged out meanwhile, and "back" shows a page as it was.
document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && whoAmI());
addEventListener("pageshow", whoAmI);
