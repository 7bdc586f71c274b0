//! The cloud under an AWS SDK client of the same process, in virtual time: for tests, with tokio's clock paused.

use std::io;

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http::header::TRANSFER_ENCODING;
use http_body_util::{BodyExt, Full};

use crate::cloud::Cloud;

/// An HTTP connector that knows only the cloud. Time runs from [`Cloud::start`].
///
/// Read and connect timeouts are ignored; the SDK enforces attempt and operation timeouts itself.
#[derive(Debug)]
pub struct InProcess {
    cloud: Cloud,
}

impl InProcess {
    /// A connector to this cloud.
    #[must_use]
    pub fn new(cloud: &Cloud) -> Self {
        Self { cloud: cloud.clone() }
    }
}

/// A client of this cloud, ready for an SDK configuration.
#[must_use]
pub fn http_client(cloud: &Cloud) -> SharedHttpClient {
    // The clock starts with the client, not with its first call.
    let _ = cloud.start();
    let connector = SharedHttpConnector::new(InProcess::new(cloud));
    http_client_fn(move |_, _| connector.clone())
}

impl HttpConnector for InProcess {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let cloud = self.cloud.clone();
        HttpConnectorFuture::new(async move { answer(&cloud, request).await })
    }
}

async fn answer(cloud: &Cloud, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
    let request = request
        .try_into_http1x()
        .map_err(|error| ConnectorError::user(error.into()))?
        .map(|body| body.bytes().map(Bytes::copy_from_slice).unwrap_or_default());
    let answer = cloud.handle(cloud.elapsed(), &request);
    if !answer.delay.is_zero() {
        tokio::time::sleep(answer.delay).await;
    }
    let reply = answer.reply.ok_or_else(|| {
        ConnectorError::io(
            io::Error::new(io::ErrorKind::ConnectionReset, "the connection dropped").into(),
        )
    })?;
    let is_chunked = reply.headers().contains_key(TRANSFER_ENCODING);
    let body = |body| {
        if is_chunked {
            // Mapped only because nothing knows how long a mapped body is.
            SdkBody::from_body_1_x(Full::new(body).map_frame(|frame| frame))
        } else {
            SdkBody::from(body)
        }
    };
    HttpResponse::try_from(reply.map(body)).map_err(|error| ConnectorError::user(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::Setup;

    #[tokio::test(start_paused = true)]
    async fn the_length_of_a_body_is_known_except_of_a_chunked_one() {
        for (kind, length) in [("empty", Some(0)), ("empty-chunked", None), ("bare", Some(2))] {
            let cloud = Cloud::new(&Setup::default());
            let fault = format!("ListDetectors:{kind}").parse();
            cloud.lock().faults.push(fault.unwrap());
            let mut request = HttpRequest::new(SdkBody::empty());
            request.set_uri("http://x/detector").unwrap();
            let scope = "Credential=AKID/20261124/eu-west-1/guardduty/aws4_request, x";
            request.headers_mut().insert("authorization", scope);
            let reply = answer(&cloud, request).await.unwrap();
            assert_eq!(reply.status().as_u16(), 200, "{kind}");
            assert_eq!(reply.body().content_length(), length, "{kind}");
            let body = reply.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, if kind == "bare" { "{}" } else { "" });
        }
    }
}
