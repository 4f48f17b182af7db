/** The reference of the API, drawn by Swagger UI. */

const OPENING = ["/v1/sessions", "/v1/session/refresh"];
const STREAM = "/v1/session/events";
const KEPT = "parlour.docs.authorized";

const dark = matchMedia("(prefers-color-scheme: dark)");
const wear = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", wear);
wear();

const pathOf = ({ url }) => new URL(url, location.href).pathname;

/** A stream never ends, and so would never be shown: tried here, it is asked for as a long poll. */
function poll(request) {
  if (pathOf(request) === STREAM) request.headers.accept = "application/json";
  return request;
}

/** Whoever opens a session here, or refreshes it, goes on with its token. */
function goOn(response) {
  const token = OPENING.includes(pathOf(response)) && response.ok && response.body?.token;
  if (token) {
    ui.preauthorizeApiKey("session_token", token);
    ui.authActions.persistAuthorizationIfNeeded();
  }
  return response;
}

/** What a call may leave out begins empty, and its example is told: all of them at once would not go together. */
function emptied(description) {
  const operations = Object.values(description.paths).flatMap((path) => Object.values(path));
  for (const parameter of operations.flatMap(({ parameters = [] }) => parameters)) {
    if (parameter.required || parameter.example === undefined) continue;
    parameter.description = `${parameter.description ?? ""} Example: \`${parameter.example}\`.`;
    delete parameter.example;
  }
  return description;
}

/** Swagger UI would keep tokens for all tabs, and for good: they are kept for this tab, as long as it is open. */
function keep({ authSelectors }) {
  sessionStorage.setItem(KEPT, JSON.stringify(authSelectors.authorized().toJS()));
}

function restore() {
  const authorized = JSON.parse(sessionStorage.getItem(KEPT) ?? "{}");
  ui.authActions.restoreAuthorization({ authorized });
}

const ours = {
  statePlugins: {
    auth: { wrapActions: { persistAuthorizationIfNeeded: (_, system) => () => keep(system) } },
    spec: { wrapActions: { updateJsonSpec: (update) => (description) => update(emptied(description)) } },
  },
};

const ui = globalThis.SwaggerUIBundle({
  url: "/openapi.json",
  domNode: document.getElementById("reference"),
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  onComplete: restore,
  plugins: [ours],
  requestInterceptor: poll,
  responseInterceptor: goOn,
  tryItOutEnabled: true,
});
