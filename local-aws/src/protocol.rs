//! The wire: what a request asks for, and how an answer or an error is written. GuardDuty and Account Management speak
//! REST JSON 1, Organizations JSON 1.1, SQS JSON 1.0.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, DATE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde_json::{Value, json};

use crate::account_id::account_ids_in;
use crate::fault::{CodeIn, Shape, TextIn};
use crate::input::Input;
use crate::refusal::Refusal;

/// Every operation there is: its service, its name, and in REST its method and path, where `*` is the detector.
pub(crate) const OPERATIONS: [(Service, &str, &str); 17] = [
    (Service::GuardDuty, "ListDetectors", "GET detector"),
    (Service::GuardDuty, "CreateMembers", "POST detector/*/member"),
    (Service::GuardDuty, "GetMembers", "POST detector/*/member/get"),
    (Service::GuardDuty, "ListMembers", "GET detector/*/member"),
    (Service::GuardDuty, "StartMonitoringMembers", "POST detector/*/member/start"),
    (Service::GuardDuty, "DescribeOrganizationConfiguration", "GET detector/*/admin"),
    (Service::GuardDuty, "GetMemberDetectors", "POST detector/*/member/detector/get"),
    (Service::GuardDuty, "GetOrganizationStatistics", "GET organization/statistics"),
    (Service::Organizations, "DescribeAccount", ""),
    (Service::Organizations, "DescribeEffectivePolicy", ""),
    (Service::Organizations, "ListAccounts", ""),
    (Service::Account, "ListRegions", "POST listRegions"),
    (Service::Sqs, "SendMessageBatch", ""),
    (Service::Sqs, "ChangeMessageVisibilityBatch", ""),
    (Service::Sqs, "ReceiveMessage", ""),
    (Service::Sqs, "DeleteMessage", ""),
    (Service::Sqs, "StartMessageMoveTask", ""),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    GuardDuty,
    Organizations,
    Account,
    Sqs,
}

/// Service and Region as the signature names them: a client reaches every service at one address, so only the `SigV4`
/// credential scope tells them apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scope {
    pub(crate) region: String,
    pub(crate) service: String,
}

impl Scope {
    /// Reads `Credential=AKID/date/REGION/SERVICE/aws4_request`. The signature itself is not checked.
    pub(crate) fn read(headers: &HeaderMap) -> Option<Self> {
        let authorization = headers.get(AUTHORIZATION)?.to_str().ok()?;
        let credential = authorization.split_once("Credential=")?.1.split([',', ' ']).next()?;
        let mut parts = credential.rsplit('/');
        let ("aws4_request", service, region) = (parts.next()?, parts.next()?, parts.next()?)
        else {
            return None;
        };
        Some(Self { region: region.to_owned(), service: service.to_owned() })
    }

    pub(crate) fn service(&self) -> Option<Service> {
        match self.service.as_str() {
            "guardduty" => Some(Service::GuardDuty),
            "organizations" => Some(Service::Organizations),
            "account" => Some(Service::Account),
            "sqs" => Some(Service::Sqs),
            _ => None,
        }
    }
}

/// What a request asks for.
#[derive(Clone, Debug)]
pub(crate) struct Inquiry {
    pub(crate) service: Service,
    pub(crate) operation: &'static str,
    pub(crate) input: Input,
}

impl Inquiry {
    pub(crate) fn read(
        service: Option<Service>,
        request: &http::Request<Bytes>,
    ) -> Result<Self, Refusal> {
        let service = service.ok_or_else(|| {
            let code = "MissingAuthenticationTokenException";
            Refusal::new(403, code, "Missing Authentication Token")
        })?;
        let path = request.uri().path().split('/');
        let mut path: Vec<_> = path.filter(|part| !part.is_empty()).collect();
        let is_of_detector = path.first() == Some(&"detector");
        let detector = path.get_mut(1).filter(|_| is_of_detector);
        let detector = detector.map(|part| std::mem::replace(part, "*"));
        let route = format!("{} {}", request.method(), path.join("/"));
        let target = request.headers().get("x-amz-target");
        let target = target.and_then(|target| target.to_str().ok()).unwrap_or_default();
        let asked = |(owner, name, rest): &&(Service, &str, &str)| {
            *owner == service
                && match service {
                    Service::GuardDuty | Service::Account => route == *rest,
                    Service::Organizations => {
                        target.strip_prefix("AWSOrganizationsV20161128.") == Some(name)
                    }
                    Service::Sqs => target.strip_prefix("AmazonSQS.") == Some(name),
                }
        };
        let operation = OPERATIONS.iter().find(asked).map(|(_, name, _)| *name);
        let operation = operation.ok_or_else(|| {
            let code = "UnknownOperationException";
            Refusal::new(404, code, "The operation does not exist here.")
        })?;
        let mut input = Input::parse(request.body())?;
        if service == Service::GuardDuty {
            // Labels and query parameters are members like those of the body. Nothing decodes them: no value that is
            // right here has a character that a client encodes.
            input.set("detectorId", detector.unwrap_or_default());
            let query = request.uri().query().unwrap_or_default().split('&');
            for (name, value) in query.filter_map(|pair| pair.split_once('=')) {
                input.set(name, value);
            }
        }
        Ok(Self { service, operation, input })
    }

    /// The account ids the request names. What is malformed names none; the operation itself refuses it.
    pub(crate) fn accounts(&self) -> Vec<String> {
        let list = |name| self.input.list(name).unwrap_or_default();
        let string = |value: &Value| value.as_str().map(str::to_owned);
        match self.operation {
            "CreateMembers" => list("accountDetails")
                .iter()
                .filter_map(|detail| string(detail.get("accountId")?))
                .collect(),
            "DescribeAccount" => {
                let id = self.input.string("AccountId").ok().flatten();
                id.map(str::to_owned).into_iter().collect()
            }
            "SendMessageBatch" => {
                let entries = list("Entries").iter();
                let bodies = entries.filter_map(|entry| entry.get("MessageBody")?.as_str());
                account_ids_in(&bodies.collect::<Vec<_>>().join(" "))
            }
            _ => list("accountIds").iter().filter_map(string).collect(),
        }
    }
}

/// Writes a successful answer, in which AWS leaves out what is absent; nothing at all for an operation without output.
pub(crate) fn success(service: Service, mut answer: Value) -> Response<Bytes> {
    remove_nulls(&mut answer);
    let body = match answer {
        Value::Null => String::new(),
        answer => answer.to_string(),
    };
    raw(service, body)
}

fn remove_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(remove_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_nulls),
        _ => {}
    }
}

/// Writes an answer as it is, which may be no JSON.
pub(crate) fn raw(service: Service, body: String) -> Response<Bytes> {
    response(200, content_type(Some(service)), body.into())
}

/// Writes an error. Without a service (the request was not signed, or for one that does not exist here) as JSON 1.0.
pub(crate) fn error(service: Option<Service>, refusal: &Refusal) -> Response<Bytes> {
    let Refusal { status, code, message } = refusal;
    // The subtype that GuardDuty adds; nobody should rely on it. Its name is that of the service model; it was `__type`.
    let subtype = if code == "BadRequestException" { "InvalidInputException" } else { code };
    let fault = if *status < 500 { "Sender" } else { "Receiver" };
    let (body, header) = match service {
        Some(Service::GuardDuty) => (
            json!({ "type": subtype, "message": message }),
            Some(("x-amzn-errortype", code.clone())),
        ),
        Some(Service::Account) => {
            (json!({ "message": message }), Some(("x-amzn-errortype", code.clone())))
        }
        Some(Service::Organizations) => (json!({ "__type": code, "Message": message }), None),
        Some(Service::Sqs) => (
            json!({ "__type": format!("com.amazonaws.sqs#{code}"), "message": message }),
            Some(("x-amzn-query-error", format!("{};{fault}", query_code(code)))),
        ),
        None => (
            json!({ "__type": code, "message": message }),
            Some(("x-amzn-errortype", code.clone())),
        ),
    };
    let mut response = response(*status, content_type(service), body.to_string().into());
    if let Some((name, value)) = header
        && let Ok(value) = HeaderValue::from_str(&value)
    {
        response.headers_mut().insert(name, value);
    }
    response
}

/// Writes a success with this `Date`.
pub(crate) fn dated(service: Service, answer: Value, date: &str) -> Response<Bytes> {
    let mut response = success(service, answer);
    if let Ok(date) = HeaderValue::from_str(date) {
        response.headers_mut().insert(DATE, date);
    }
    response
}

/// Writes an answer without a body that does not say how long its body is.
pub(crate) fn empty_chunked(service: Service) -> Response<Bytes> {
    let mut response = raw(service, String::new());
    response.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    response
}

/// Writes an error in a shape that the service itself does not write.
pub(crate) fn odd_error(
    service: Service,
    status: u16,
    code: Option<&str>,
    message: &str,
    shape: Shape,
) -> Response<Bytes> {
    let mut body = serde_json::Map::new();
    match (shape.code, code) {
        (CodeIn::Type, Some(code)) => {
            body.insert("__type".to_owned(), format!("com.amazonaws#{code}").into());
        }
        (CodeIn::Code, Some(code)) => {
            body.insert("code".to_owned(), code.into());
        }
        _ => {}
    }
    let name = if shape.text == TextIn::Capitalized { "Message" } else { "message" };
    body.insert(name.to_owned(), message.into());
    let (content_type, body) = match shape.text {
        TextIn::Html => ("text/html", format!("<html><body><h1>{message}</h1></body></html>")),
        _ => (content_type(Some(service)), Value::Object(body).to_string()),
    };
    let mut response = response(status, content_type, body.into());
    if shape.code == CodeIn::Header
        && let Some(Ok(code)) = code.map(HeaderValue::from_str)
    {
        response.headers_mut().insert("x-amzn-errortype", code);
    }
    response
}

/// Writes an error that no AWS service has written.
pub(crate) fn plain(status: u16, message: &str) -> Response<Bytes> {
    response(status, "text/plain", message.to_owned().into())
}

/// What the older query protocol called the error; the SDK shows this name.
fn query_code(code: &str) -> String {
    match code {
        "QueueDoesNotExist" => "AWS.SimpleQueueService.NonExistentQueue".to_owned(),
        "EmptyBatchRequest"
        | "TooManyEntriesInBatchRequest"
        | "BatchEntryIdsNotDistinct"
        | "InvalidBatchEntryId"
        | "BatchRequestTooLong"
        | "MessageNotInflight"
        | "UnsupportedOperation" => {
            format!("AWS.SimpleQueueService.{code}")
        }
        other => other.to_owned(),
    }
}

fn content_type(service: Option<Service>) -> &'static str {
    match service {
        Some(Service::GuardDuty | Service::Account) => "application/json",
        Some(Service::Organizations) => "application/x-amz-json-1.1",
        Some(Service::Sqs) | None => "application/x-amz-json-1.0",
    }
}

fn response(status: u16, content_type: &'static str, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_odd_error_has_its_code_and_its_text_in_the_places_that_were_asked_for() {
        let html = "<html><body><h1>no</h1></body></html>".to_owned();
        for (code, text, header, body) in [
            (CodeIn::Header, TextIn::Lowercase, Some("X"), json!({ "message": "no" }).to_string()),
            (
                CodeIn::Header,
                TextIn::Capitalized,
                Some("X"),
                json!({ "Message": "no" }).to_string(),
            ),
            (
                CodeIn::Type,
                TextIn::Lowercase,
                None,
                json!({ "__type": "com.amazonaws#X", "message": "no" }).to_string(),
            ),
            (
                CodeIn::Code,
                TextIn::Capitalized,
                None,
                json!({ "code": "X", "Message": "no" }).to_string(),
            ),
            (CodeIn::Nowhere, TextIn::Lowercase, None, json!({ "message": "no" }).to_string()),
            (CodeIn::Header, TextIn::Html, Some("X"), html.clone()),
            (CodeIn::Nowhere, TextIn::Html, None, html),
        ] {
            let shape = Shape { code, text };
            let reply = odd_error(Service::GuardDuty, 418, Some("X"), "no", shape);
            assert_eq!(reply.status(), 418);
            let seen = reply.headers().get("x-amzn-errortype").map(HeaderValue::as_bytes);
            assert_eq!(seen, header.map(str::as_bytes), "{shape:?}");
            assert_eq!(reply.body(), &Bytes::from(body), "{shape:?}");
            let is_html = reply.headers()[CONTENT_TYPE] == "text/html";
            assert_eq!(is_html, text == TextIn::Html);
        }
    }
}
