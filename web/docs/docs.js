/** The reference of the API, shown by Swagger UI. */

/** The calls whose responses contain a new session token. */
const TOKEN_PATHS = ["/v1/sessions", "/v1/session/refresh"];
const STREAM_PATH = "/v1/session/events";
/** The key in `sessionStorage` for the tokens. */
const TOKENS_KEY = "parlour.docs.authorized";

const dark = matchMedia("(prefers-color-scheme: dark)");
const applyTheme = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", applyTheme);
applyTheme();

const pathOf = ({ url }) => new URL(url, location.href).pathname;

/** Turns a request of the stream into a long poll: Swagger UI shows a response at its end, and a stream has none. */
function pollInsteadOfStream(request) {
  if (pathOf(request) === STREAM_PATH) request.headers.accept = "application/json";
  return request;
}

/** Uses the token of a session that was opened or refreshed here for the following calls. */
function useNewToken(response) {
  const token = TOKEN_PATHS.includes(pathOf(response)) && response.ok && response.body?.token;
  if (token) {
    ui.preauthorizeApiKey("session_token", token);
    ui.authActions.persistAuthorizationIfNeeded();
  }
  return response;
}

/**
 * Moves the examples of optional parameters into their descriptions. Otherwise Swagger UI fills in all of them, and some
 * exclude each other.
 */
function withoutOptionalExamples(description) {
  const operations = Object.values(description.paths).flatMap((path) => Object.values(path));
  for (const parameter of operations.flatMap(({ parameters = [] }) => parameters)) {
    if (parameter.required || parameter.example === undefined) continue;
    parameter.description = `${parameter.description ?? ""} Example: \`${parameter.example}\`.`;
    delete parameter.example;
  }
  return description;
}

/** Saves the tokens for this tab, until it is closed. Swagger UI itself would save them for all tabs and for good. */
function saveTokens({ authSelectors }) {
  sessionStorage.setItem(TOKENS_KEY, JSON.stringify(authSelectors.authorized().toJS()));
}

function restoreTokens() {
  const authorized = JSON.parse(sessionStorage.getItem(TOKENS_KEY) ?? "{}");
  ui.authActions.restoreAuthorization({ authorized });
}

const plugin = {
  statePlugins: {
    auth: { wrapActions: { persistAuthorizationIfNeeded: (_, system) => () => saveTokens(system) } },
    spec: {
      wrapActions: { updateJsonSpec: (update) => (description) => update(withoutOptionalExamples(description)) },
    },
  },
};

const ui = globalThis.SwaggerUIBundle({
  url: "/openapi.json",
  domNode: document.getElementById("reference"),
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  onComplete: restoreTokens,
  plugins: [plugin],
  requestInterceptor: pollInsteadOfStream,
  responseInterceptor: useNewToken,
  tryItOutEnabled: true,
});
