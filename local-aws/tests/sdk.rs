//! The SDK's own clients understand what the cloud writes, in virtual time.

use std::time::Duration;

use aws_sdk_guardduty::error::ProvideErrorMetadata;
use local_aws::in_process::http_client;
use local_aws::{Cloud, Fault, FaultKind, NEW_ACCOUNT, RETRY_QUEUE_URL, Setup};
use tokio::time::Instant;

/// Each SDK crate has types of its own, with the same names.
macro_rules! client {
    ($sdk:ident, $cloud:expr) => {
        $sdk::Client::from_conf(
            $sdk::Config::builder()
                .behavior_version($sdk::config::BehaviorVersion::v2026_01_12())
                .region($sdk::config::Region::new("eu-west-1"))
                .credentials_provider($sdk::config::Credentials::new(
                    "AKIDEXAMPLE",
                    "secret",
                    None,
                    None,
                    "test",
                ))
                .http_client(http_client($cloud))
                .build(),
        )
    };
}

#[tokio::test(start_paused = true)]
async fn errors_arrive_with_their_code_and_message() {
    let cloud = Cloud::new(&Setup::default());
    let organizations = client!(aws_sdk_organizations, &cloud);
    let call = organizations.describe_account().account_id("999999999999").send().await;
    let error = call.unwrap_err().into_service_error();
    assert!(error.is_account_not_found_exception(), "{error:?}");
    let guardduty = client!(aws_sdk_guardduty, &cloud);
    let call = guardduty.get_members().detector_id("none").account_ids(NEW_ACCOUNT).send().await;
    let error = call.unwrap_err().into_service_error();
    assert!(error.is_bad_request_exception(), "{error:?}");
    let text =
        "The request is rejected because the input detectorId is not owned by the current account.";
    assert_eq!(error.message(), Some(text));
    let sqs = client!(aws_sdk_sqs, &cloud);
    let queue = "https://sqs.eu-west-1.amazonaws.com/222222222222/none";
    let error =
        sqs.receive_message().queue_url(queue).send().await.unwrap_err().into_service_error();
    assert!(error.is_queue_does_not_exist(), "{error:?}");
    assert_eq!(error.meta().code(), Some("AWS.SimpleQueueService.NonExistentQueue"));
    let account = client!(aws_sdk_account, &cloud);
    let error =
        account.list_regions().max_results(51).send().await.unwrap_err().into_service_error();
    assert!(error.is_validation_exception(), "{error:?}");
}

/// What the function does not call: an operator does.
#[tokio::test(start_paused = true)]
async fn a_dead_letter_is_read_and_deleted() {
    let cloud = Cloud::new(&Setup::default());
    let sqs = client!(aws_sdk_sqs, &cloud);
    let entry = aws_sdk_sqs::types::SendMessageBatchRequestEntry::builder()
        .id("a")
        .message_body("x")
        .build();
    sqs.send_message_batch()
        .queue_url(RETRY_QUEUE_URL)
        .entries(entry.unwrap())
        .send()
        .await
        .unwrap();
    let received = sqs.receive_message().queue_url(RETRY_QUEUE_URL).send().await.unwrap();
    let receipt = received.messages()[0].receipt_handle().unwrap();
    sqs.delete_message().queue_url(RETRY_QUEUE_URL).receipt_handle(receipt).send().await.unwrap();
    let depth = cloud.lock().queues.depth(cloud.elapsed(), RETRY_QUEUE_URL);
    assert_eq!(depth.total(), 0);
}

#[tokio::test(start_paused = true)]
async fn latency_and_delays_pass_in_virtual_time() {
    let cloud = Cloud::new(&Setup { latency: Duration::from_secs(2), ..Setup::default() });
    let delay = FaultKind::Delay(Duration::from_secs(3));
    cloud.lock().faults.push(Fault::always("ListRegions", delay));
    let before = Instant::now();
    let regions = client!(aws_sdk_account, &cloud).list_regions().send().await.unwrap();
    assert_eq!(regions.regions().len(), 4);
    assert_eq!(before.elapsed(), Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_connection_is_an_io_error_which_the_sdk_retries() {
    let cloud = Cloud::new(&Setup::default());
    let drop = FaultKind::Drop { effect: false };
    cloud.lock().faults.push(Fault::always("ListDetectors", drop).first(3));
    let guardduty = client!(aws_sdk_guardduty, &cloud);
    let error = guardduty.list_detectors().send().await.unwrap_err();
    assert!(
        matches!(&error, aws_sdk_guardduty::error::SdkError::DispatchFailure(failure) if failure.is_io()),
        "{error:?}"
    );
    assert_eq!(cloud.lock().calls.len(), 3);
    assert!(guardduty.list_detectors().send().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn garbage_is_no_answer_and_an_empty_body_reads_as_nothing() {
    let cloud = Cloud::new(&Setup::default());
    let guardduty = client!(aws_sdk_guardduty, &cloud);
    cloud.lock().faults.push(Fault::always("ListDetectors", FaultKind::Garbage));
    assert!(guardduty.list_detectors().send().await.is_err());
    cloud.lock().faults = vec![Fault::always("ListDetectors", FaultKind::Empty)];
    assert!(guardduty.list_detectors().send().await.unwrap().detector_ids().is_empty());
}
