//! The contract as OpenAPI 3.1, made from the handlers. What holds for many operations is added here, once: the errors
//! that any call may meet, the request id, the schemes of authorization.

use bytes::Bytes;
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, Header, HeaderBuilder, InfoBuilder, ObjectBuilder, OpenApi, OpenApiBuilder, Ref,
    RefOr, Required, Response, ResponseBuilder, Schema, Type, extensions,
};
use utoipa::{PartialSchema as _, ToSchema as _};

use super::problem::{KINDS, Kind, Problem};

/// The document in its two forms.
pub(crate) struct Document {
    pub(crate) yaml: Bytes,
    pub(crate) json: Bytes,
}

const DESCRIPTION: &str = "\
A chat service that speaks plain HTTP: REST to act, one Server-Sent Events stream per session to listen.\n\n\
Open a session (`POST /v1/sessions`), join topics (`PUT /v1/session/topics/{topic}`), open the stream \
(`GET /v1/session/events`), send (`POST /v1/topics/{topic}/messages`). Topics are rooms (`room:NAME`), groups \
(`group:UUID`) and direct messages (`dm:USER`). Every error is `application/problem+json` (RFC 9457); its `code` is \
stable, its `detail` says what to do; a method that a path does not have is 405 with `Allow`. Every request may \
bring an `x-request-id`, and every answer has one.";

impl Document {
    /// Completes what the handlers say.
    pub(crate) fn new(mut api: OpenApi) -> Self {
        for item in api.paths.paths.values_mut() {
            let operations = [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
            operations.into_iter().flatten().for_each(complete);
        }
        Self { yaml: api.to_yaml().unwrap_or_default().into(), json: api.to_pretty_json().unwrap_or_default().into() }
    }
}

/// What stands in the document before any handler.
pub(crate) fn frame() -> OpenApi {
    let bearer = |text: &str| {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").description(Some(text));
        SecurityScheme::Http(scheme.build())
    };
    let query = ApiKeyValue::with_description("access_token", "The `stream_token`, for EventSource.");
    let components = ComponentsBuilder::new()
        .schema(Problem::name(), Problem::schema())
        .security_scheme("session_token", bearer("The `token` of a session."))
        .security_scheme("user_token", bearer("A token of a configured issuer: `sub`, `exp`, and perhaps `name`."))
        .security_scheme("stream_token", SecurityScheme::ApiKey(ApiKey::Query(query)));
    let components = SHARED.iter().fold(components, |components, (name, status, description)| {
        components.response(*name, shared_response(status, description))
    });
    let info = InfoBuilder::new().title("Parlour").version(env!("CARGO_PKG_VERSION")).description(Some(DESCRIPTION));
    OpenApiBuilder::new().info(info).components(Some(components.build())).build()
}

/// Errors that many operations share: name, status, description. A description names the codes that it is about.
const SHARED: [(&str, &str, &str); 8] = [
    ("MalformedJson", "400", "The body is not JSON (`malformed_json`)."),
    ("Unauthenticated", "401", "The token is missing or not good, or its session has ended (`unauthenticated`)."),
    ("Timeout", "408", "The body took too long (`request_timeout`)."),
    ("TooLarge", "413", "The body is too large (`body_too_large`)."),
    ("Invalid", "422", "A value is wrong: `detail` names it (`invalid`)."),
    ("TooMany", "429", "Too many requests: wait as long as `Retry-After` says (`rate_limited`)."),
    ("Internal", "500", "The service's own fault: report the `x-request-id` (`internal`)."),
    ("Unavailable", "503", "The service is busy or its database away: try again (`unavailable`)."),
];

/// Operations whose body may be left out.
const OPTIONAL_BODY: [&str; 3] = ["open_session", "refresh_session", "join_topic"];

fn shared_response(status: &str, description: &str) -> Response {
    let mut response = ResponseBuilder::new().description(description).build();
    describe_problem(&mut response, status);
    response
}

fn complete(operation: &mut Operation) {
    let calls = operation.security.is_some();
    let opens_stream = operation.operation_id.as_deref() == Some("stream_events");
    let has_body = operation.request_body.is_some();
    let has_values = has_body || operation.parameters.as_ref().is_some_and(|list| !list.is_empty());
    if let Some(RefOr::T(body)) = &mut operation.request_body
        && OPTIONAL_BODY.contains(&operation.operation_id.as_deref().unwrap_or_default())
    {
        body.required = Some(Required::False);
    }
    // A header is there or not; it is never null.
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
            RefOr::T(response) => drop(response.headers.insert("x-request-id".into(), request_id())),
            RefOr::Ref(_) => {}
        }
    }
    for (name, status, _) in SHARED {
        let applies = match status {
            "400" | "408" | "413" => has_body,
            "422" => has_values,
            "401" | "429" | "503" => calls,
            _ => true,
        };
        if applies {
            responses.entry(status.to_owned()).or_insert_with(|| Ref::from_response_name(name).into());
        }
    }
    if opens_stream {
        // An EventSource meets neither.
        for (status, code) in [("429", "rate_limited"), ("503", "unavailable")] {
            let response = shared_response(
                status,
                &format!("Long polls only (`{code}`): a stream is answered by a `retry:` and the end."),
            );
            responses.insert(status.to_owned(), response.into());
        }
    }
}

fn describe_problem(response: &mut Response, status: &str) {
    let named =
        |kind: &&&Kind| kind.status.as_str() == status && response.description.contains(&format!("`{}`", kind.code));
    let codes: Vec<&Kind> = KINDS.iter().filter(named).copied().collect();
    let schema = Ref::from_schema_name(Problem::name());
    let example = codes.first().map(|kind| example(kind));
    let content = ContentBuilder::new().schema(Some(schema)).example(example).build();
    response.content.insert("application/problem+json".into(), RefOr::T(content));
    match status {
        "401" => drop(response.headers.insert("www-authenticate".into(), header("`Bearer realm=\"parlour\"`"))),
        "429" | "503" => drop(response.headers.insert("retry-after".into(), header("Seconds to wait."))),
        _ => {}
    }
    response.headers.insert("x-request-id".into(), request_id());
    let codes: Vec<_> = codes.iter().map(|kind| serde_json::Value::from(kind.code)).collect();
    let extension = extensions::ExtensionsBuilder::new().add("x-codes", codes).build();
    response.extensions = Some(extension);
}

fn example(kind: &Kind) -> serde_json::Value {
    serde_json::json!({
        "type": format!("urn:parlour:{}", kind.code),
        "title": kind.title,
        "status": kind.status.as_u16(),
        "detail": "A sentence that says what to do.",
        "code": kind.code,
    })
}

fn request_id() -> RefOr<Header> {
    header("Names the request: taken from it, or made here.")
}

fn header(description: &str) -> RefOr<Header> {
    let schema = ObjectBuilder::new().schema_type(Type::String);
    RefOr::T(HeaderBuilder::new().schema(Some(schema)).description(Some(description)).build())
}
