//! The wire: what a request asks for, and how an answer or an error is written. GuardDuty and Account Management speak
//! REST JSON 1, Organizations JSON 1.1, SQS JSON 1.0.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::account_id::account_ids_in;
use crate::input::Input;
use crate::refusal::Refusal;

/// Every operation there is, with its service.
pub(crate) const OPERATIONS: [(Service, &str); 17] = [
    (Service::GuardDuty, "ListDetectors"),
    (Service::GuardDuty, "CreateMembers"),
    (Service::GuardDuty, "GetMembers"),
    (Service::GuardDuty, "ListMembers"),
    (Service::GuardDuty, "StartMonitoringMembers"),
    (Service::GuardDuty, "DescribeOrganizationConfiguration"),
    (Service::Organizations, "DescribeAccount"),
    (Service::Organizations, "ListAccounts"),
    (Service::Account, "ListRegions"),
    (Service::Sqs, "SendMessage"),
    (Service::Sqs, "SendMessageBatch"),
    (Service::Sqs, "ReceiveMessage"),
    (Service::Sqs, "DeleteMessage"),
    (Service::Sqs, "ChangeMessageVisibility"),
    (Service::Sqs, "ChangeMessageVisibilityBatch"),
    (Service::Sqs, "GetQueueUrl"),
    (Service::Sqs, "GetQueueAttributes"),
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
        let credential = authorization
            .split_once("Credential=")?
            .1
            .split([',', ' '])
            .next()?;
        let mut parts = credential.rsplit('/');
        let ("aws4_request", service, region) = (parts.next()?, parts.next()?, parts.next()?)
        else {
            return None;
        };
        Some(Self {
            region: region.to_owned(),
            service: service.to_owned(),
        })
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
    pub(crate) operation: &'static str,
    pub(crate) input: Input,
}

impl Inquiry {
    pub(crate) fn operation(
        service: Service,
        request: &http::Request<Bytes>,
    ) -> Option<&'static str> {
        let name = match service {
            Service::GuardDuty | Service::Account => rest_operation(service, request)?,
            Service::Organizations => target(request.headers(), "AWSOrganizationsV20161128.")?,
            Service::Sqs => target(request.headers(), "AmazonSQS.")?,
        };
        OPERATIONS
            .iter()
            .find(|(owner, known)| *owner == service && *known == name)
            .map(|(_, known)| *known)
    }

    pub(crate) fn read(
        service: Service,
        operation: &'static str,
        request: &http::Request<Bytes>,
    ) -> Result<Self, Refusal> {
        let mut input = Input::parse(request.body())?;
        if service == Service::GuardDuty {
            // Labels and query parameters are members like those of the body.
            if let Some(detector) = segments(request.uri().path()).nth(1) {
                input.set("detectorId", percent_decoded(detector));
            }
            for pair in request
                .uri()
                .query()
                .unwrap_or_default()
                .split('&')
                .filter(|pair| !pair.is_empty())
            {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                input.set(&percent_decoded(name), percent_decoded(value));
            }
        }
        Ok(Self { operation, input })
    }

    /// The account ids the request names. What is malformed names none; the operation itself refuses it.
    pub(crate) fn accounts(&self) -> Vec<String> {
        let list = |name| self.input.list(name).ok().flatten().unwrap_or_default();
        let string = |name| self.input.string(name).ok().flatten();
        let owned = |id: &Value| id.as_str().map(str::to_owned);
        match self.operation {
            "CreateMembers" => list("accountDetails")
                .iter()
                .filter_map(|detail| owned(detail.get("accountId")?))
                .collect(),
            "DescribeAccount" => string("AccountId").map(str::to_owned).into_iter().collect(),
            "SendMessage" => account_ids_in(string("MessageBody").unwrap_or_default()),
            "SendMessageBatch" => {
                let bodies = list("Entries")
                    .iter()
                    .filter_map(|entry| entry.get("MessageBody")?.as_str());
                account_ids_in(&bodies.collect::<Vec<_>>().join(" "))
            }
            _ => list("accountIds").iter().filter_map(owned).collect(),
        }
    }
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

fn rest_operation(service: Service, request: &http::Request<Bytes>) -> Option<&'static str> {
    let path: Vec<_> = segments(request.uri().path()).collect();
    match (service, request.method(), path.as_slice()) {
        (Service::Account, &Method::POST, ["listRegions"]) => Some("ListRegions"),
        (Service::GuardDuty, &Method::GET, ["detector"]) => Some("ListDetectors"),
        (Service::GuardDuty, &Method::POST, ["detector", _, "member"]) => Some("CreateMembers"),
        (Service::GuardDuty, &Method::GET, ["detector", _, "member"]) => Some("ListMembers"),
        (Service::GuardDuty, &Method::POST, ["detector", _, "member", "get"]) => Some("GetMembers"),
        (Service::GuardDuty, &Method::POST, ["detector", _, "member", "start"]) => {
            Some("StartMonitoringMembers")
        }
        (Service::GuardDuty, &Method::GET, ["detector", _, "admin"]) => {
            Some("DescribeOrganizationConfiguration")
        }
        _ => None,
    }
}

fn target<'a>(headers: &'a HeaderMap, prefix: &str) -> Option<&'a str> {
    headers
        .get("x-amz-target")?
        .to_str()
        .ok()?
        .strip_prefix(prefix)
}

fn percent_decoded(text: &str) -> String {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, tail @ ..] = rest {
        rest = tail;
        let hex = |digit: &u8| {
            char::from(*digit)
                .to_digit(16)
                .and_then(|value| u8::try_from(value).ok())
        };
        match (byte, tail) {
            (b'%', [high, low, after @ ..]) if hex(high).is_some() && hex(low).is_some() => {
                decoded.push(hex(high).unwrap_or_default() * 16 + hex(low).unwrap_or_default());
                rest = after;
            }
            (b'+', _) => decoded.push(b' '),
            _ => decoded.push(*byte),
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Writes a successful answer.
pub(crate) fn success(service: Service, body: Vec<u8>) -> Response<Bytes> {
    response(200, content_type(Some(service)), body.into())
}

/// Writes an error. Without a service (the request was not signed, or for one that does not exist here) as JSON 1.0.
pub(crate) fn error(service: Option<Service>, refusal: &Refusal) -> Response<Bytes> {
    let Refusal {
        status,
        code,
        message,
    } = refusal;
    // The subtype that GuardDuty adds; nobody should rely on it. Its name is that of the service model; it was `__type`.
    let subtype = if code == "BadRequestException" {
        "InvalidInputException"
    } else {
        code
    };
    let body = match service {
        Some(Service::GuardDuty) => json!({ "type": subtype, "message": message }),
        Some(Service::Account) => json!({ "message": message }),
        Some(Service::Organizations) => json!({ "__type": code, "Message": message }),
        Some(Service::Sqs) => {
            json!({ "__type": format!("com.amazonaws.sqs#{code}"), "message": message })
        }
        None => json!({ "__type": code, "message": message }),
    };
    let mut response = response(*status, content_type(service), body.to_string().into());
    let header = match service {
        Some(Service::GuardDuty | Service::Account) | None => {
            Some(("x-amzn-errortype", code.clone()))
        }
        Some(Service::Organizations) => None,
        Some(Service::Sqs) => {
            let fault = if *status < 500 { "Sender" } else { "Receiver" };
            Some((
                "x-amzn-query-error",
                format!("{};{fault}", query_code(code)),
            ))
        }
    };
    if let Some((name, value)) = header
        && let Ok(value) = HeaderValue::from_str(&value)
    {
        response.headers_mut().insert(name, value);
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
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
