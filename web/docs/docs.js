/** The reference of the API, drawn by Swagger UI. */

const dark = matchMedia("(prefers-color-scheme: dark)");
const wear = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", wear);
wear();

/** A stream never ends, and so would never be shown: tried here, it is asked for as a long poll. */
function poll(request) {
  if (new URL(request.url, location.href).pathname === "/v1/session/events")
    request.headers.Accept = "application/json";
  return request;
}

globalThis.SwaggerUIBundle({
  url: "/openapi.json",
  domNode: document.getElementById("reference"),
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  persistAuthorization: false,
  requestInterceptor: poll,
  tryItOutEnabled: true,
});
