//! The contract as OpenAPI 3.1, generated from the handlers. This file adds what many operations have in common: the
//! errors that any call may get, the request id, the security schemes.

use bytes::Bytes;
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, Header, HeaderBuilder, InfoBuilder, ObjectBuilder, OpenApi, OpenApiBuilder, Ref,
    RefOr, Required, Response, ResponseBuilder, Schema, Type, extensions,
};
use utoipa::{PartialSchema as _, ToSchema as _};

use super::problem::{KINDS, Problem, ProblemKind};

/// The document, serialized.
pub(crate) struct Document {
    pub(crate) yaml: Bytes,
    pub(crate) json: Bytes,
}

const DESCRIPTION: &str = "\
A chat service over plain HTTP: REST calls to act, and one stream of Server-Sent Events per session to receive.\n\n\
Open a session (`POST /v1/sessions`), join topics (`PUT /v1/session/topics/{topic}`), open the stream \
(`GET /v1/session/events`), send messages (`POST /v1/topics/{topic}/messages`). Topics are rooms (`room:NAME`), groups \
(`group:UUID`) and direct messages (`dm:USER`). Every error is `application/problem+json` (RFC 9457). Its `code` is \
stable and made for programs; its `detail` is a sentence that tells you what to do. A method that a path does not \
support is 405 with an `Allow` header. Every request may have an `x-request-id` header, and every response has one.";

impl Document {
    /// Adds to what the handlers declare what many operations have in common. An operation under `/v1/` takes a session
    /// token unless it declares something else.
    pub(crate) fn new(mut api: OpenApi) -> Self {
        for (path, item) in &mut api.paths.paths {
            let operations = [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
            for operation in operations.into_iter().flatten() {
                if path.starts_with("/v1/") && operation.security.is_none() {
                    operation.security = Some(vec![SecurityRequirement::new("session_token", Vec::<String>::new())]);
                }
                complete(operation);
            }
        }
        Self { yaml: api.to_yaml().unwrap_or_default().into(), json: api.to_pretty_json().unwrap_or_default().into() }
    }
}

/// The document without any operation.
pub(crate) fn frame() -> OpenApi {
    let bearer = |text: &str| {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").description(Some(text));
        SecurityScheme::Http(scheme.build())
    };
    let query = ApiKeyValue::with_description(
        "access_token",
        "The `stream_token` of a session. EventSource cannot set headers, so the stream also takes it in the query.",
    );
    let components = ComponentsBuilder::new()
        .schema(Problem::name(), Problem::schema())
        .security_scheme("session_token", bearer("The `token` of a session, from `POST /v1/sessions`."))
        .security_scheme("user_token", bearer("A JWT of an issuer that the service trusts. Claims: `sub` (the user id), `exp`, and optionally `name`."))
        .security_scheme("stream_token", SecurityScheme::ApiKey(ApiKey::Query(query)));
    let components = SHARED.iter().fold(components, |components, (name, status, description)| {
        components.response(*name, shared_response(status, description))
    });
    let info = InfoBuilder::new().title("Parlour").version(env!("CARGO_PKG_VERSION")).description(Some(DESCRIPTION));
    OpenApiBuilder::new().info(info).components(Some(components.build())).build()
}

/// The errors that many operations share: name, status, description. A description quotes the codes that it covers.
const SHARED: [(&str, &str, &str); 8] = [
    ("MalformedJson", "400", "The request body is not valid JSON (`malformed_json`)."),
    (
        "Unauthenticated",
        "401",
        "The token is missing, invalid or expired, or its session has ended (`unauthenticated`).",
    ),
    ("Timeout", "408", "The request body took too long to arrive (`request_timeout`)."),
    ("TooLarge", "413", "The request body is too large (`body_too_large`)."),
    ("Invalid", "422", "A value is invalid; `detail` names it (`invalid`)."),
    ("TooMany", "429", "Too many requests. Wait for the number of seconds in `Retry-After` (`rate_limited`)."),
    ("Internal", "500", "An error inside the service. Report the `x-request-id` of this response (`internal`)."),
    (
        "Unavailable",
        "503",
        "The service is overloaded, or its database cannot be reached. Try again later (`unavailable`).",
    ),
];

/// The extension of an operation whose request body may be absent. It is only for this file and not in the document: utoipa
/// has no attribute for a body that is optional without being nullable.
const OPTIONAL_BODY: &str = "x-optional-body";

fn shared_response(status: &str, description: &str) -> Response {
    let mut response = ResponseBuilder::new().description(description).build();
    describe_problem(&mut response, status);
    response
}

fn complete(operation: &mut Operation) {
    let has_security = operation.security.is_some();
    let has_body = operation.request_body.is_some();
    let has_values = has_body || operation.parameters.as_ref().is_some_and(|list| !list.is_empty());
    let optional_body = operation.extensions.take().is_some_and(|extensions| extensions.contains_key(OPTIONAL_BODY));
    if let Some(RefOr::T(body)) = &mut operation.request_body
        && optional_body
    {
        body.required = Some(Required::False);
    }
    // A header is present or absent, and never null.
    for parameter in operation.parameters.iter_mut().flatten() {
        if let RefOr::T(parameter) = parameter
            && parameter.parameter_in == ParameterIn::Header
            && let Some(RefOr::T(Schema::Object(schema))) = &mut parameter.schema
        {
            schema.schema_type = Type::String.into();
        }
    }
    let responses = &mut operation.responses.responses;
    for (status, response) in responses.iter_mut() {
        match response {
            RefOr::T(response) if status.starts_with(['4', '5']) => describe_problem(response, status),
            RefOr::T(response) => {
                response.headers.insert("x-request-id".into(), request_id());
            }
            RefOr::Ref(_) => {}
        }
    }
    for (name, status, _) in SHARED {
        let applies = match status {
            "400" | "408" | "413" => has_body,
            "422" => has_values,
            "401" | "429" | "503" => has_security,
            _ => true,
        };
        if applies {
            responses.entry(status.to_owned()).or_insert_with(|| Ref::from_response_name(name).into());
        }
    }
}

fn describe_problem(response: &mut Response, status: &str) {
    let named = |kind: &&&ProblemKind| {
        kind.status.as_str() == status && response.description.contains(&format!("`{}`", kind.code))
    };
    let codes: Vec<&ProblemKind> = KINDS.iter().filter(named).copied().collect();
    let schema = Ref::from_schema_name(Problem::name());
    let example = codes.first().map(|kind| example(kind));
    let content = ContentBuilder::new().schema(Some(schema)).example(example).build();
    response.content.insert("application/problem+json".into(), RefOr::T(content));
    let headers = &mut response.headers;
    if status == "401" {
        headers.insert("www-authenticate".into(), header("Always `Bearer realm=\"parlour\"`."));
    }
    if ["429", "503"].contains(&status) {
        headers.insert("retry-after".into(), header("The number of seconds to wait before the next request."));
    }
    headers.insert("x-request-id".into(), request_id());
    let codes: Vec<_> = codes.iter().map(|kind| serde_json::Value::from(kind.code)).collect();
    let extension = extensions::ExtensionsBuilder::new().add("x-codes", codes).build();
    response.extensions = Some(extension);
}

fn example(kind: &ProblemKind) -> serde_json::Value {
    serde_json::json!({
        "type": format!("urn:parlour:{}", kind.code),
        "title": kind.title,
        "status": kind.status.as_u16(),
        "detail": "A sentence that says what to do.",
        "code": kind.code,
    })
}

fn request_id() -> RefOr<Header> {
    header(
        "The id of the request: its own `x-request-id` if that is 1 to 128 visible ASCII characters, otherwise a new one.",
    )
}

fn header(description: &str) -> RefOr<Header> {
    let schema = ObjectBuilder::new().schema_type(Type::String);
    RefOr::T(HeaderBuilder::new().schema(Some(schema)).description(Some(description)).build())
}
